/**
 * A form for the fields of a message, in step with its JSON: what is written in one stands in the other. The JSON is what is sent; the form
 * has the fields that a line of text, a number, a choice or a mark can hold, and says of the others where they are.
 */

import { el, fresh, put } from "./dom.js";

/** @typedef {import("./messages.js").Field} Field */

/**
 * @param {{ changed: (json: any) => void }} options is told the whole message after each change in the form
 * @returns {{ element: HTMLElement, open: (fields: Field[]) => void, read: (json: any) => void }}
 */
export function form({ changed }) {
  const element = el("div", { class: "fields" });
  let message = {};
  /** @type {((json: any) => void)[]} */
  let readers = [];

  /** @param {string[]} path @param {unknown} value */
  function write(path, value) {
    let at = message;
    for (const name of path.slice(0, -1)) {
      if (typeof at[name] !== "object" || at[name] === null || Array.isArray(at[name])) at[name] = {};
      at = at[name];
    }
    at[path.at(-1)] = value;
    changed(message);
  }

  function group(fields, path) {
    return fields.filter((field) => !field.stamped).map((field) => one(field, [...path, field.name]));
  }

  function one(field, path) {
    if (field.kind === "message" && !field.repeated && field.fields?.length) {
      return el("fieldset", {}, el("legend", {}, field.name), about(field, fresh()), group(field.fields, path));
    }
    const control = controlOf(field);
    const hint = fresh();
    if (!control)
      return el(
        "div",
        { class: "field" },
        el("p", { class: "label" }, field.name, " ", el("span", { class: "muted" }, "in the JSON")),
        about(field, hint),
      );
    const id = fresh();
    control.element.id = id;
    control.element.setAttribute("aria-describedby", hint);
    control.element.addEventListener(control.event, () => write(path, control.value()));
    readers.push((json) => control.show(path.reduce((at, name) => (at === null || typeof at !== "object" ? undefined : at[name]), json)));
    const label = el("label", { for: id }, field.name);
    const isMark = control.element.type === "checkbox";
    return el(
      "div",
      { class: isMark ? "field mark" : "field" },
      isMark ? [control.element, label] : [label, control.element],
      about(field, hint),
    );
  }

  return {
    element,
    open(fields) {
      readers = [];
      const shown = group(fields, []);
      const stamped = fields.filter((field) => field.stamped).map((field) => field.name);
      put(
        element,
        ...shown,
        shown.length === 0 && el("p", { class: "muted" }, "There is nothing to fill in."),
        stamped.length > 0 && el("p", { class: "hint" }, `Written by the gateway, whatever is sent: ${stamped.join(", ")}.`),
      );
    },
    read(json) {
      message = json;
      for (const reader of readers) reader(json);
    },
  };
}

/** Type and comment of a field. */
function about(field, id) {
  const kind = [field.repeated && "repeated", field.optional && "optional", field.type, field.oneof && `one of ${field.oneof}`]
    .filter(Boolean)
    .join(" ");
  const values = (field.values ?? [])
    .filter((value) => value.comment)
    .map((value) => el("span", { class: "value" }, el("b", {}, value.name), ` ${value.comment}`));
  return el("p", { class: "hint", id }, el("code", {}, kind), field.comment && ` ${field.comment}`, values);
}

/**
 * @param {Field} field
 * @returns {{ element: any, event: string, value: () => unknown, show: (value: any) => void } | null} `null`: a form has none for it
 */
function controlOf(field) {
  if (field.kind === "message" || field.kind === "map") return null;
  if (field.repeated) return field.kind === "bool" || field.kind === "enum" ? null : lines(field);
  if (field.kind === "enum")
    return choice(
      field,
      field.values.map((value) => value.name),
    );
  if (field.kind === "bool") return field.optional ? choice(field, ["false", "true"], (text) => text === "true") : mark();
  const element = el("input", {
    type: field.secret ? "password" : "text",
    autocomplete: "off",
    spellcheck: "false",
    inputmode: isNumber(field) ? "decimal" : null,
  });
  return {
    element,
    event: "input",
    value: () => (element.value === "" && field.optional ? null : parsed(field, element.value)),
    show: (value) =>
      (element.value = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value)),
  };
}

function choice(field, names, parse = (text) => text) {
  const element = el(
    "select",
    {},
    field.optional && el("option", { value: "" }, "not said"),
    names.map((name) => el("option", {}, name)),
  );
  return {
    element,
    event: "change",
    value: () => (element.value === "" ? null : parse(element.value)),
    show: (value) => (element.value = value === null || value === undefined ? "" : String(value)),
  };
}

function mark() {
  const element = el("input", { type: "checkbox" });
  return { element, event: "change", value: () => element.checked, show: (value) => (element.checked = value === true) };
}

/** A list, one entry a line. */
function lines(field) {
  const element = el("textarea", { rows: "2", spellcheck: "false" });
  return {
    element,
    event: "input",
    value: () =>
      element.value
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => parsed(field, line)),
    // What is being typed is not rewritten: a line that is still empty would be taken away.
    show: (value) => document.activeElement === element || (element.value = Array.isArray(value) ? value.join("\n") : ""),
  };
}

const isNumber = (field) => field.kind === "integer" || field.kind === "number";

/** What was typed, as JSON has it: 64-bit integers are text there. What is no number stays text, and the gateway says so. */
function parsed(field, text) {
  if (!isNumber(field)) return text;
  if (text === "") return field.type.endsWith("64") ? "0" : 0;
  const number = Number(text);
  return field.type.endsWith("64") || !Number.isFinite(number) ? text : number;
}
