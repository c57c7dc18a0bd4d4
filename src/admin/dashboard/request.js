/** A request in the making: a route is chosen, and its message filled in, by a form or in JSON. */

import { combobox } from "./combobox.js";
import { el, fresh, put } from "./dom.js";
import { form } from "./form.js";
import { described, inOrder } from "./messages.js";

/** @typedef {import("./messages.js").Route} Route */

export class Request {
  /** The route that is chosen, described. @type {any} */
  route = null;
  /** Every route that was chosen. @type {Map<number, any>} */
  #known = new Map();
  #options;
  #about = el("p", { class: "hint" });
  #json = el("textarea", { id: fresh(), class: "mono", rows: "9", spellcheck: "false" });
  #wrong = el("p", { class: "problem", role: "alert", hidden: true });
  #button = el("button", { type: "submit", class: "primary" }, "Send");
  #form = form({ changed: (json) => this.#write(json) });
  #filled;
  #picker;

  /**
   * @param {{ routes: () => Route[], chosen: () => void, sent: (json: any) => void }} options
   * `sent` is told what is to be sent to the chosen route.
   */
  constructor(options) {
    this.#options = options;
    this.#picker = combobox({
      label: "Route",
      hint: "A number, or a part of the name. Arrows choose, Enter takes.",
      choices: options.routes,
      text: (route) => `${route.number} ${route.name}`,
      matches: (route, typed) => `${route.number} ${route.name} ${route.rpc}`.toLowerCase().includes(typed),
      chosen: (route) => this.choose(route.number),
      typed: (text) => this.choose(Number.parseInt(text, 10)),
    });
    this.#json.addEventListener("input", () => this.#read());
    this.#filled = el(
      "form",
      { class: "request", hidden: true, onsubmit: (event) => this.#submit(event) },
      this.#about,
      this.#form.element,
      el("div", { class: "field" }, el("label", { for: this.#json.id }, "JSON"), this.#json),
      this.#wrong,
      el("div", { class: "bar" }, this.#button, el("span", { class: "hint" }, "or Ctrl+Enter")),
    );
    this.#filled.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#filled.requestSubmit();
    });
    this.element = el("section", { class: "card" }, el("h2", {}, "Request"), this.#picker.element, this.#filled);
  }

  /** Begins a request of this route, and brings who chose it to its first field. @param {number} number */
  async choose(number) {
    if (!Number.isInteger(number)) return;
    this.#filled.hidden = false;
    try {
      const found = await described(number);
      if (!found.request) throw new Error(`${number} is a push: nobody asks for it.`);
      this.#open(found);
    } catch (problem) {
      this.route = null;
      put(this.#about, "");
      this.#form.open([]);
      this.#complain(problem.message);
    }
    this.#options.chosen();
  }

  /** Says what the button does, and whether it can. @param {string} does @param {boolean} isAble */
  label(does, isAble) {
    put(this.#button, does);
    this.#button.disabled = !isAble || this.route === null;
  }

  /**
   * The fields of a message that its type marks as secret: whoever looks at the screen is not to see them.
   * @param {number | undefined} number
   * @param {"request" | "response"} side
   * @returns {string[]}
   */
  secret(number, side) {
    const fields = this.#known.get(number)?.[side].fields ?? [];
    return fields.filter((field) => field.secret).map((field) => field.name);
  }

  #open(found) {
    this.route = found;
    this.#known.set(found.number, found);
    const kind = found.kind === "unary" ? "" : ` (${found.kind.replace("_", " ")})`;
    this.#picker.input.value = `${found.number} ${found.name}`;
    put(this.#about, el("code", {}, found.rpc), kind, found.comment ? ` ${found.comment}` : "");
    this.#form.open(found.request.fields);
    const template = inOrder(found.request.template, found.request.fields);
    this.#write(template);
    this.#form.read(template);
    (this.#form.element.querySelector("input, select, textarea") ?? this.#json).focus();
  }

  /** The form has changed. */
  #write(json) {
    this.#json.value = JSON.stringify(json, null, 2);
    this.#complain("");
  }

  /** The JSON has. @returns {any} what it says; nothing if it is none */
  #read() {
    try {
      const json = JSON.parse(this.#json.value || "{}");
      if (typeof json === "object" && json !== null && !Array.isArray(json)) this.#form.read(json);
      this.#complain("");
      return json;
    } catch (problem) {
      this.#complain(`This is not JSON: ${problem.message}`);
      return undefined;
    }
  }

  #complain(problem) {
    put(this.#wrong, problem);
    this.#wrong.hidden = problem === "";
  }

  #submit(event) {
    event.preventDefault();
    const json = this.#read();
    if (json !== undefined && this.route && !this.#button.disabled) this.#options.sent(json);
  }
}
