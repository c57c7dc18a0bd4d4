/** What is wrong in configuration files, shown as the command line shows it: what, where, and what to do. */

import { el } from "./dom.js";

/**
 * @param {any} check a document of `protogate check --format json`
 * @returns {HTMLElement}
 */
export function diagnostics(check) {
  const found = check?.diagnostics ?? [];
  const { errors = 0, warnings = 0, routes, files } = check?.summary ?? {};
  const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
  const summary = [
    many(errors, "error"),
    many(warnings, "warning"),
    routes !== undefined && `${routes} routes`,
    files !== undefined && `${files} files`,
  ];
  return el("div", { class: "diagnostics" }, found.map(diagnostic), el("p", { class: "muted" }, summary.filter(Boolean).join(", ")));
}

function diagnostic(found) {
  return el(
    "article",
    { class: `diagnostic ${found.severity === "error" ? "bad" : "warn"}` },
    el("p", { class: "what" }, el("b", {}, `${found.severity}[${found.code}]`), `: ${found.message}`),
    el("p", { class: "where mono" }, place(found), found.path && el("span", { class: "muted" }, `  ${found.path}`)),
    (found.related ?? []).map((related) =>
      el("p", { class: "where mono" }, place(related), el("span", { class: "muted" }, `  ${related.message}`)),
    ),
    found.help && el("p", { class: "help" }, `help: ${found.help}`),
  );
}

const place = (found) => `${found.file}:${found.line}:${found.column}`;
