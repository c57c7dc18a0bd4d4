/** What was said and heard on a connection, newest last, to be filtered and cleared. */

import { el, fresh, put } from "./dom.js";
import { clock } from "./format.js";

/** Entries that are kept, and characters of one that are shown at once. */
const KEPT = 500;
const SHOWN = 600;

/** What entries are: said by us, an answer, a push, what the gateway says itself, and what did not go well. */
const KINDS = { said: "→", answer: "=", push: "←", gateway: "•", failure: "✕" };
const WORDS = { said: "sent", answer: "reply", push: "push", gateway: "gateway", failure: "failure" };

/**
 * @typedef {{ kind: keyof typeof KINDS, number?: number, name?: string, id?: number, note?: string, body?: any, secret?: string[] }} Entry
 * `secret` names fields of the body that are shown only to who opens the entry.
 */

/** @returns {{ element: HTMLElement, add: (entry: Entry) => void, toEnd: () => void }} */
export function journal() {
  const [searchId, kindId] = [fresh(), fresh()];
  const list = el("ol", { class: "journal", role: "log", "aria-label": "Messages", tabindex: "0" });
  const search = el("input", { id: searchId, type: "search", autocomplete: "off", spellcheck: "false", oninput: filter });
  const kind = el(
    "select",
    { id: kindId, onchange: filter },
    el("option", { value: "" }, "all"),
    Object.keys(KINDS).map((name) => el("option", { value: name }, `${KINDS[name]} ${WORDS[name]}`)),
  );
  const clear = el(
    "button",
    {
      type: "button",
      onclick: () => {
        entries.length = 0;
        put(list, nothing());
      },
    },
    "Clear",
  );
  const element = el(
    "section",
    { class: "card log" },
    el(
      "div",
      { class: "bar" },
      el("h2", {}, "Messages"),
      el("label", { for: searchId, class: "unseen" }, "Filter messages"),
      search,
      el("label", { for: kindId, class: "unseen" }, "Kind of messages"),
      kind,
      clear,
    ),
    list,
  );
  search.placeholder = "filter by number, name or text";
  /** @type {{ kind: string, text: string, element: HTMLElement }[]} */
  const entries = [];
  put(list, nothing());

  const isWanted = (entry) => (kind.value === "" || entry.kind === kind.value) && entry.text.includes(search.value.trim().toLowerCase());

  function filter() {
    for (const entry of entries) entry.element.hidden = !isWanted(entry);
  }

  function nothing() {
    return el("li", { class: "empty" }, "Nothing was said yet.");
  }

  return {
    element,
    /** Shows what was said last: an element that was taken away and put back has forgotten where it was. */
    toEnd() {
      list.scrollTop = list.scrollHeight;
    },
    add(entry) {
      if (entries.length === 0) put(list);
      const wasAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
      const made = shown(entry);
      const kept = { kind: entry.kind, text: made.textContent.toLowerCase(), element: made };
      made.hidden = !isWanted(kept);
      entries.push(kept);
      list.append(made);
      for (const old of entries.splice(0, entries.length - KEPT)) old.element.remove();
      if (wasAtEnd) list.scrollTop = list.scrollHeight;
    },
  };
}

function shown(entry) {
  const secret = (entry.secret ?? []).filter((name) => entry.body?.[name]);
  const masked = secret.length > 0 ? { ...entry.body, ...Object.fromEntries(secret.map((name) => [name, "…"])) } : entry.body;
  const body = masked === undefined ? "" : JSON.stringify(masked, null, 1).replace(/\n\s*/g, " ");
  const head = el(
    "p",
    { class: "head" },
    el("time", {}, clock(Date.now())),
    el("span", { class: "arrow", "aria-label": WORDS[entry.kind] }, KINDS[entry.kind]),
    entry.number ? el("b", {}, entry.number) : null,
    entry.name && el("span", { class: "name" }, entry.name),
    entry.id ? el("span", { class: "muted" }, `id ${entry.id}`) : null,
    entry.note && el("span", { class: "note" }, entry.note),
  );
  const isCut = body.length > SHOWN || secret.length > 0;
  const text = isCut ? whole(body, entry.body) : body && el("p", { class: "body mono" }, body);
  return el("li", { class: entry.kind }, head, text);
}

/** A beginning that can be opened. What it holds is made when it is: until then it is nowhere on the page. */
function whole(body, all) {
  const full = el("pre");
  const beginning = body.length > SHOWN ? `${body.slice(0, SHOWN)}…` : body;
  return el(
    "details",
    { ontoggle: (event) => put(full, event.target.open ? JSON.stringify(all, null, 2) : "") },
    el("summary", { class: "mono" }, beginning),
    full,
  );
}
