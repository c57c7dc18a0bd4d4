/**
 * A client of the gateway, for a person: connects to the edge, makes requests from the descriptors, and shows what comes. It stays connected
 * while other views are looked at.
 */

import { get } from "../api.js";
import { combobox } from "../combobox.js";
import { el, fresh, put } from "../dom.js";
import { Client, OWN, isTemporary, takesMany } from "../envelope.js";
import { form } from "../form.js";
import { duration, latency } from "../format.js";
import { journal } from "../journal.js";
import { Catalogue, described, inOrder } from "../messages.js";

export const title = "Playground";

/** The one playground of this page. @type {Playground | null} */
let playground = null;

/** @param {import("../app.js").Context} context */
export function show({ main, argument }) {
  playground ??= new Playground();
  put(main, playground.element);
  playground.shown(argument);
}

class Playground {
  #catalogue = new Catalogue();
  #log = journal();
  /** @type {Client | null} */
  #client = null;
  /** The route that is chosen, described. @type {any} */
  #route = null;
  /** Topics that are heard. @type {Set<string>} */
  #topics = new Set();

  #url = el("input", { id: fresh(), type: "text", autocomplete: "off", spellcheck: "false", class: "mono" });
  #connect = el("button", { type: "submit", class: "primary" }, "Connect");
  #who = el("p", { class: "who", role: "status" }, "Not connected.");
  #token = el("input", { id: fresh(), type: "password", autocomplete: "off" });
  #topic = el("input", { id: fresh(), type: "text", autocomplete: "off", spellcheck: "false" });
  #heard = el("ul", { class: "plain" });
  #running = el("ul", { class: "plain", "aria-label": "Streams" });
  #about = el("p", { class: "hint" });
  #json = el("textarea", { id: fresh(), class: "mono", rows: "9", spellcheck: "false" });
  #wrong = el("p", { class: "problem", role: "alert", hidden: true });
  #send = el("button", { type: "submit", class: "primary" }, "Send");
  #form = form({ changed: (json) => this.#write(json) });
  #request;
  #picker;

  constructor() {
    this.#picker = combobox({
      label: "Route",
      hint: "A number, or a part of the name. Arrows choose, Enter takes.",
      choices: () => this.#catalogue.routes,
      text: (route) => `${route.number} ${route.name}`,
      matches: (route, typed) => `${route.number} ${route.name} ${route.rpc}`.toLowerCase().includes(typed),
      chosen: (route) => this.#choose(route.number),
      typed: (text) => this.#choose(Number.parseInt(text, 10)),
    });
    this.#json.addEventListener("input", () => this.#read());
    this.#request = el("form", { class: "request", hidden: true, onsubmit: (event) => this.#submit(event) }, this.#about, this.#form.element,
      el("div", { class: "field" }, el("label", { for: this.#json.id }, "JSON"), this.#json), this.#wrong,
      el("div", { class: "bar" }, this.#send, el("span", { class: "hint" }, "or Ctrl+Enter")));
    this.#request.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.#request.requestSubmit();
    });
    this.element = el("div", { class: "play" },
      el("div", { class: "left" },
        el("form", { class: "card connect", onsubmit: (event) => this.#toggle(event) }, el("div", { class: "bar" }, el("div", { class: "field grow" }, el("label", { for: this.#url.id }, "Gateway"), this.#url), this.#connect), this.#who),
        el("section", { class: "card" }, el("h2", {}, "Request"), this.#picker.element, this.#request),
        el("section", { class: "card more" }, el("h2", {}, "Identity and topics"),
          this.#line(this.#token, "Token", "Authenticate", () => this.#client.call(OWN.AUTHENTICATE, { token: this.#token.value.trim(), clientName: "playground" })),
          this.#line(this.#topic, "Topic", "Subscribe", () => this.#client.call(OWN.SUBSCRIBE, { topic: this.#topic.value.trim() })),
          this.#heard, this.#running)),
      this.#log.element);
    this.#mark();
  }

  /** Is seen again, perhaps with a route in its address. */
  async shown(argument) {
    if (argument) this.#choose(Number.parseInt(argument, 10));
    await Promise.all([this.#catalogue.load(), this.#place()]);
    if (argument) this.#named();
  }

  /** Where the edge is, as seen from here. */
  async #place() {
    if (this.#url.value) return;
    const edge = await get("/api/v1/edge").catch(() => ({ port: 7080, path: "/ws", tls: false }));
    this.#url.value ||= `${edge.tls ? "wss" : "ws"}://${location.hostname}:${edge.port}${edge.path}`;
    if (edge.origins?.length && !edge.origins.includes(location.origin)) {
      put(this.#who, `Not connected. The gateway lists its \`origins\`, and this page is not among them: add ${location.origin} to let it connect.`);
    }
  }

  #line(input, label, action, work) {
    const act = (event) => {
      event.preventDefault();
      if (this.#client?.isOpen && input.value.trim()) work();
    };
    return el("form", { class: "bar", onsubmit: act }, el("div", { class: "field grow" }, el("label", { for: input.id }, label), input), el("button", { type: "submit", class: "needs-connection" }, action));
  }

  // The connection.

  #toggle(event) {
    event.preventDefault();
    if (this.#client) {
      this.#client.close();
      return;
    }
    try {
      this.#client = new Client(this.#url.value.trim(), {
        opened: () => this.#mark(),
        said: (envelope) => this.#said(envelope),
        heard: (envelope, call) => this.#hear(envelope, call),
        closed: (code, reason) => this.#closed(code, reason),
      });
      put(this.#who, "Connecting …");
      this.#mark();
    } catch {
      put(this.#who, "This is no URL of a gateway: it begins with ws:// or wss://.");
    }
  }

  #closed(code, reason) {
    this.#client = null;
    this.#topics.clear();
    const again = isTemporary(code) ? "connect again" : "do not connect again like this";
    const why = code === 1006 ? "Not connected: the connection broke, or the gateway refused it." : `Closed with ${code} ${reason}`.trim();
    put(this.#who, code === 1000 || code === 1005 ? "Not connected." : `${why} (${again})`);
    this.#log.add({ kind: code === 1000 || code === 1005 ? "gateway" : "failure", name: "closed", note: `${code} ${reason}` });
    this.#mark();
  }

  /** Lets that be done which can be done now. */
  #mark() {
    const isOpen = this.#client?.isOpen ?? false;
    put(this.#connect, this.#client ? "Disconnect" : "Connect");
    this.#send.disabled = !isOpen;
    for (const button of this.element.querySelectorAll(".needs-connection")) button.disabled = !isOpen;
    put(this.#send, this.#streaming() ? "Send on the stream" : takesMany(this.#route?.kind) || this.#route?.kind === "server_stream" ? "Open the stream" : "Send");
    this.#lists();
  }

  // What is said.

  #said(envelope) {
    const isToken = envelope.protocol === OWN.AUTHENTICATE;
    this.#log.add({ kind: "said", number: envelope.protocol, name: this.#catalogue.name(envelope.protocol), id: envelope.id, note: envelope.more ? "more" : "", body: isToken ? undefined : this.#hidden(envelope) });
  }

  /** A request without what its type marks as secret: whoever looks at the screen has not typed it. */
  #hidden({ protocol, payload }) {
    if (protocol !== this.#route?.number || typeof payload !== "object" || payload === null) return payload;
    const secret = (this.#route.request?.fields ?? []).filter((field) => field.secret && payload[field.name]).map((field) => [field.name, "…"]);
    return { ...payload, ...Object.fromEntries(secret) };
  }

  #hear(envelope, call) {
    const { protocol = 0, payload } = envelope;
    if (protocol === OWN.PING || protocol === OWN.PONG) return;
    const number = protocol || call?.protocol || 0;
    const isFailure = Boolean(envelope.status?.code);
    const isPush = number >= 1000 && !envelope.id && !call && !isFailure;
    const kind = isFailure ? "failure" : isPush ? "push" : number >= 1000 || call ? "answer" : "gateway";
    const notes = [envelope.topic && `${envelope.topic}${envelope.offset ? ` #${envelope.offset}` : ""}`, envelope.seq && `seq ${envelope.seq}`, envelope.dropped && `${envelope.dropped} lost before it`,
      envelope.more && "more", call && !envelope.more && latency((performance.now() - call.at) / 1000)];
    const body = isFailure || (envelope.status && payload === undefined) ? envelope.status : payload ?? {};
    this.#log.add({ kind, number, name: this.#catalogue.name(number), id: envelope.id, note: notes.filter(Boolean).join(" · "), body });
    this.#own(protocol, envelope);
    this.#mark();
  }

  /** What the gateway says about the connection itself. */
  #own(protocol, { payload = {}, status }) {
    if (protocol === OWN.HELLO) put(this.#who, `Connected to ${payload.node ?? "a gateway"}, without a name. A sign of life every ${duration((payload.heartbeatMs ?? 0) / 1000)}, ${payload.inflightMax ?? "–"} calls at once.`);
    if (protocol === OWN.READY && !status) put(this.#who, `Connected as ${payload.user}${payload.roles?.length ? `, ${payload.roles.join(", ")}` : ""}, in session ${payload.sessionId}.`);
    if (protocol === OWN.SUBSCRIBE && payload.topic && !status) this.#topics.add(payload.topic);
    if (protocol === OWN.UNSUBSCRIBE && payload.topic) this.#topics.delete(payload.topic);
  }

  // The request.

  async #choose(number) {
    if (!Number.isInteger(number)) return;
    let found;
    try {
      found = await described(number);
      if (!found.request) throw new Error(`${number} is a push: nobody asks for it.`);
    } catch (problem) {
      this.#complain(problem.message);
      put(this.#about, "");
      this.#request.hidden = false;
      return;
    }
    this.#route = found;
    this.#named();
    put(this.#about, el("code", {}, found.rpc), found.kind === "unary" ? "" : ` (${found.kind.replace("_", " ")})`, found.comment ? ` ${found.comment}` : "");
    this.#form.open(found.request.fields);
    this.#write(inOrder(found.request.template, found.request.fields));
    this.#form.read(JSON.parse(this.#json.value));
    this.#request.hidden = false;
    this.#mark();
    (this.#form.element.querySelector("input, select, textarea") ?? this.#json).focus();
  }

  #named() {
    if (this.#route) this.#picker.input.value = `${this.#route.number} ${this.#route.name}`;
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
    if (json === undefined || !this.#route || !this.#client?.isOpen) return;
    const stream = this.#streaming();
    if (stream) this.#client.more(stream.id, json);
    else this.#client.call(this.#route.number, json, this.#route.kind);
    this.#mark();
  }

  /** The stream on which the next message of this route goes. */
  #streaming() {
    return [...(this.#client?.open.values() ?? [])].find((call) => call.protocol === this.#route?.number && takesMany(call.kind) && !call.ended);
  }

  // What goes on.

  #lists() {
    const leave = (topic) => el("li", {}, el("span", { class: "mono" }, topic), el("button", { type: "button", "aria-label": `Leave ${topic}`, onclick: () => this.#client?.call(OWN.UNSUBSCRIBE, { topic }) }, "Leave"));
    const topics = [...this.#topics].join("\n");
    if (this.#heard.dataset.shown !== topics) {
      this.#heard.dataset.shown = topics;
      put(this.#heard, ...[...this.#topics].map(leave));
    }
    const streams = [...(this.#client?.open.values() ?? [])].filter((call) => call.kind !== "unary");
    const running = streams.map((call) => `${call.id} ${call.ended}`).join("\n");
    if (this.#running.dataset.shown === running) return;
    this.#running.dataset.shown = running;
    put(this.#running, ...streams.map((call) => {
      const name = `${call.protocol} ${this.#catalogue.name(call.protocol)}, id ${call.id}`;
      const end = () => {
        this.#client?.end(call.id);
        this.#mark();
      };
      return el("li", {}, el("span", {}, name), !call.ended && el("button", { type: "button", "aria-label": `End ${name}`, onclick: end }, "End"), el("button", { type: "button", "aria-label": `Cancel ${name}`, onclick: () => this.#client?.cancel(call.id) }, "Cancel"));
    }));
  }
}
