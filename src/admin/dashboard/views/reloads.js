/** The configuration: what became of each reload, whether the files are sound now, and reading them again. */

import { get, post } from "../api.js";
import { diagnostics } from "../diagnostics.js";
import { el, put } from "../dom.js";
import { ago, count, moment, text } from "../format.js";

export const title = "Reloads";

const EVERY_MS = 3000;

/** How outcomes read. */
const GOOD = new Set(["swapped", "started", "unchanged"]);

/** @param {import("../app.js").Context} context */
export function show({ main, every }) {
  const result = el("div", { "aria-live": "polite" });
  const buttons = [
    el("button", { type: "button", onclick: (event) => ask(event.target, "/api/v1/check", "Check") }, "Check the files"),
    el("button", { type: "button", class: "primary", onclick: (event) => ask(event.target, "/api/v1/reload", "Reload") }, "Reload"),
  ];
  const list = el("ol", { class: "reloads" });
  put(
    main,
    el(
      "div",
      { class: "bar" },
      buttons,
      el("p", { class: "muted" }, "A check changes nothing. A reload of files that are wrong changes nothing either."),
    ),
    result,
    el("h2", {}, "What happened"),
    list,
  );

  async function ask(button, path, what) {
    for (const each of buttons) each.disabled = true;
    let answer;
    try {
      answer = await post(path);
    } catch (problem) {
      // Files that are wrong are an answer, in the shape of one.
      answer = problem.body?.check ? problem.body : { outcome: problem.message };
    }
    for (const each of buttons) each.disabled = false;
    button.focus();
    const outcome = answer.outcome ?? (answer.check?.summary?.errors > 0 ? "the files are wrong" : "the files are sound");
    const isGood = GOOD.has(answer.outcome) || (answer.outcome === undefined && !(answer.check?.summary?.errors > 0));
    put(
      result,
      el(
        "section",
        { class: "card result" },
        el("h2", {}, `${what}: `, el("span", { class: `state ${isGood ? "good" : "bad"}` }, outcome)),
        answer.check && diagnostics(answer.check),
      ),
    );
    read().catch(() => {});
  }

  let shown = "";
  const read = async () => {
    const { reloads } = await get("/api/v1/reloads");
    // Only what is new is drawn, so that what somebody has opened stays open.
    const newest = JSON.stringify(reloads.map((reload) => [reload.at_ms, reload.outcome]));
    if (newest === shown) return;
    shown = newest;
    put(list, ...reloads.map(entry), reloads.length === 0 && el("li", { class: "muted" }, "nothing yet"));
  };
  every(EVERY_MS, read);
}

function entry(reload, index) {
  const found = reload.check?.diagnostics?.length ?? 0;
  const head = [
    el("span", { class: `state ${GOOD.has(reload.outcome) ? "good" : "bad"}` }, reload.outcome),
    el("time", { title: ago(reload.at_ms) }, moment(reload.at_ms)),
    el("span", { class: "muted" }, `by ${text(reload.cause)}`),
    reload.generation !== undefined && el("span", {}, `generation ${reload.generation}`),
    reload.hash && el("code", { title: reload.hash }, String(reload.hash).slice(0, 12)),
    reload.took_ms !== undefined && el("span", { class: "muted" }, `${count(reload.took_ms)} ms`),
  ];
  const isBad = found > 0;
  return el(
    "li",
    { class: "card" },
    isBad
      ? el(
          "details",
          { open: index === 0 },
          el("summary", {}, head, el("span", {}, `${found} finding${found === 1 ? "" : "s"}`)),
          diagnostics(reload.check),
        )
      : el("p", { class: "summary" }, head),
  );
}
