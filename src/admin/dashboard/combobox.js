/** A field in which something is typed, and chosen from a list, with the keyboard alone or the mouse. */

import { el, fresh, put } from "./dom.js";

/** Choices that are shown at once; who has more types more. */
const SHOWN_MAX = 50;

/**
 * @template Choice
 * @param {{ label: string, hint?: string, choices: () => Choice[], text: (choice: Choice) => string, matches: (choice: Choice, typed: string) => boolean,
 *   chosen: (choice: Choice) => void, typed?: (text: string) => void }} options
 * `typed` is told what was entered that is none of the choices.
 * @returns {{ element: HTMLElement, input: HTMLInputElement }}
 */
export function combobox({ label, hint, choices, text, matches, chosen, typed }) {
  const [id, listId, hintId] = [fresh(), fresh(), fresh()];
  const list = el("ul", { class: "choices", role: "listbox", id: listId, "aria-label": label, hidden: true });
  const input = el("input", {
    id,
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-describedby": hint ? hintId : null,
  });
  const element = el(
    "div",
    { class: "combobox field" },
    el("label", { for: id }, label),
    input,
    list,
    hint && el("p", { class: "hint", id: hintId }, hint),
  );
  let found = [];
  let active = -1;

  function open() {
    const wanted = input.value.trim().toLowerCase();
    found = choices()
      .filter((choice) => matches(choice, wanted))
      .slice(0, SHOWN_MAX);
    active = wanted && found.length > 0 ? 0 : -1;
    put(
      list,
      ...found.map((choice, i) =>
        el(
          "li",
          {
            role: "option",
            id: `${listId}-${i}`,
            onpointerdown: (event) => {
              event.preventDefault();
              take(i);
            },
          },
          text(choice),
        ),
      ),
    );
    list.hidden = found.length === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark();
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function mark() {
    [...list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === active)));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else {
      input.setAttribute("aria-activedescendant", `${listId}-${active}`);
      list.children[active].scrollIntoView({ block: "nearest" });
    }
  }

  function take(index) {
    close();
    if (found[index] !== undefined) {
      input.value = text(found[index]);
      chosen(found[index]);
    } else if (typed && input.value.trim()) typed(input.value.trim());
  }

  input.addEventListener("input", open);
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) {
      event.preventDefault();
      if (list.hidden) open();
      else {
        active = (active + steps[event.key] + found.length) % found.length;
        mark();
      }
    } else if (event.key === "Enter") {
      event.preventDefault();
      take(list.hidden ? -1 : active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  return { element, input };
}
