/**
 * A client of the gateway, for a person: connects to the edge, makes requests from the descriptors, and shows what comes. It stays connected
 * while other views are looked at.
 */

import { get } from "../api.js";
import { el, fresh, put } from "../dom.js";
import { Client, OWN, isTemporary, takesMany } from "../envelope.js";
import { duration, latency } from "../format.js";
import { journal } from "../journal.js";
import { Catalogue } from "../messages.js";
import { Request } from "../request.js";

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
  /** When it is known where the edge is. @type {Promise<void> | undefined} */
  #placed;
  /** Topics that are heard. @type {Set<string>} */
  #topics = new Set();
  #request = new Request({ routes: () => this.#catalogue.routes, chosen: () => this.#mark(), sent: (json) => this.#send(json) });

  #url = el("input", { id: fresh(), type: "text", autocomplete: "off", spellcheck: "false", class: "mono" });
  #connect = el("button", { type: "submit", class: "primary" }, "Connect");
  #who = el("p", { class: "who", role: "status" }, "Not connected.");
  #token = el("input", { id: fresh(), type: "password", autocomplete: "off" });
  #topic = el("input", { id: fresh(), type: "text", autocomplete: "off", spellcheck: "false" });
  #heard = el("ul", { class: "plain", "aria-label": "Topics" });
  #running = el("ul", { class: "plain", "aria-label": "Streams" });

  constructor() {
    const gateway = el("div", { class: "field grow" }, el("label", { for: this.#url.id }, "Gateway"), this.#url);
    const connection = el("form", { class: "card connect", onsubmit: (event) => this.#toggle(event) });
    connection.append(el("div", { class: "bar" }, gateway, this.#connect), this.#who);
    const authenticate = (token) => this.#client.call(OWN.AUTHENTICATE, { token, clientName: "playground" });
    const subscribe = (topic) => this.#client.call(OWN.SUBSCRIBE, { topic });
    const more = el(
      "section",
      { class: "card more" },
      el("h2", {}, "Identity and topics"),
      this.#line(this.#token, "Token", "Authenticate", authenticate),
      this.#line(this.#topic, "Topic", "Subscribe", subscribe),
      this.#heard,
      this.#running,
    );
    this.element = el("div", { class: "play" }, el("div", { class: "left" }, connection, this.#request.element, more), this.#log.element);
    this.#mark();
  }

  /** Is seen again, perhaps with a route in its address. */
  async shown(argument) {
    this.#log.toEnd();
    if (argument) this.#request.choose(Number.parseInt(argument, 10));
    this.#placed ??= this.#place();
    await Promise.all([this.#catalogue.load(), this.#placed]);
  }

  /** Where the edge is, as seen from here. */
  async #place() {
    const edge = await get("/api/v1/edge").catch(() => ({ port: 7080, path: "/ws", tls: false }));
    this.#url.value ||= `${edge.tls ? "wss" : "ws"}://${location.hostname}:${edge.port}${edge.path}`;
    const isStranger = edge.origins?.length > 0 && !edge.origins.includes(location.origin);
    if (isStranger)
      put(this.#who, `Not connected. The gateway lists its origins, and has to list ${location.origin} for this page to connect.`);
  }

  /** A field and what is done with what is in it. */
  #line(input, label, action, work) {
    const act = (event) => {
      event.preventDefault();
      if (this.#client?.isOpen && input.value.trim()) work(input.value.trim());
    };
    return el(
      "form",
      { class: "bar", onsubmit: act },
      el("div", { class: "field grow" }, el("label", { for: input.id }, label), input),
      el("button", { type: "submit", class: "needs-connection" }, action),
    );
  }

  // The connection.

  async #toggle(event) {
    event.preventDefault();
    await this.#placed;
    if (this.#client) {
      this.#client.close();
      return;
    }
    const url = this.#url.value.trim();
    try {
      // A browser would take another URL for one of this page's own place.
      if (!/^wss?:\/\//.test(url)) throw new SyntaxError();
      this.#client = new Client(url, {
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
    const isAsked = code === 1000 || code === 1005;
    const verdict = isTemporary(code) ? "connect again" : "do not connect again like this";
    const why = code === 1006 ? "The connection broke, or the gateway refused it" : `Closed with ${code} ${reason}`.trimEnd();
    this.#client = null;
    this.#topics.clear();
    put(this.#who, isAsked ? "Not connected." : `${why} (${verdict}).`);
    this.#log.add({ kind: isAsked ? "gateway" : "failure", name: "closed", note: `${code} ${reason}` });
    this.#mark();
  }

  /** Lets that be done which can be done now. */
  #mark() {
    const isOpen = this.#client?.isOpen ?? false;
    const kind = this.#request.route?.kind ?? "unary";
    put(this.#connect, this.#client ? "Disconnect" : "Connect");
    for (const button of this.element.querySelectorAll(".needs-connection")) button.disabled = !isOpen;
    this.#request.label(this.#streaming() ? "Send on the stream" : kind === "unary" ? "Send" : "Open the stream", isOpen);
    this.#list(
      this.#heard,
      [...this.#topics],
      (topic) => topic,
      (topic) => this.#leave(topic),
    );
    const streams = [...(this.#client?.open.values() ?? [])].filter((call) => call.kind !== "unary");
    this.#list(
      this.#running,
      streams,
      (call) => `${call.id} ${call.ended}`,
      (call) => this.#stream(call),
    );
  }

  // What is said.

  #said(envelope) {
    const isToken = envelope.protocol === OWN.AUTHENTICATE;
    this.#log.add({
      kind: "said",
      number: envelope.protocol,
      name: this.#catalogue.name(envelope.protocol),
      id: envelope.id,
      note: envelope.more ? "more" : "",
      body: isToken ? undefined : envelope.payload,
      secret: this.#request.secret(this.#client?.open.get(envelope.id)?.protocol, "request"),
    });
  }

  #hear(envelope, call) {
    const { protocol = 0, payload } = envelope;
    if (protocol === OWN.PING || protocol === OWN.PONG) return;
    const number = protocol || call?.protocol || 0;
    const isFailure = Boolean(envelope.status?.code);
    const isPush = number >= 1000 && !envelope.id && !call && !isFailure;
    const kind = isFailure ? "failure" : isPush ? "push" : number >= 1000 || call ? "answer" : "gateway";
    const notes = [
      envelope.topic && `${envelope.topic}${envelope.offset ? ` #${envelope.offset}` : ""}`,
      envelope.seq && `seq ${envelope.seq}`,
      envelope.dropped && `${envelope.dropped} lost before it`,
      envelope.more && "more",
      call && !envelope.more && latency((performance.now() - call.at) / 1000),
    ];
    const body = isFailure || (envelope.status && payload === undefined) ? envelope.status : (payload ?? {});
    this.#log.add({
      kind,
      number,
      name: this.#catalogue.heard(number),
      id: envelope.id,
      note: notes.filter(Boolean).join(" · "),
      body,
      secret: protocol === OWN.READY ? ["resumeToken"] : this.#request.secret(call?.protocol, "response"),
    });
    this.#own(protocol, envelope);
    this.#mark();
  }

  /** What the gateway says about the connection itself. */
  #own(protocol, { payload = {}, status }) {
    if (protocol === OWN.HELLO) {
      const heartbeat = duration((payload.heartbeatMs ?? 0) / 1000);
      put(
        this.#who,
        `Connected to ${payload.node ?? "a gateway"}, as nobody. A sign of life every ${heartbeat}, ${payload.inflightMax ?? "–"} calls at once.`,
      );
    }
    if (protocol === OWN.READY && !status) {
      put(this.#who, `Connected as ${[payload.user, ...(payload.roles ?? [])].join(", ")}, in session ${payload.sessionId}.`);
    }
    if (protocol === OWN.SUBSCRIBE && payload.topic && !status) this.#topics.add(payload.topic);
    if (protocol === OWN.UNSUBSCRIBE && payload.topic) this.#topics.delete(payload.topic);
  }

  /** Sends it on the stream of its route that is open, or begins a call. */
  #send(json) {
    const stream = this.#streaming();
    const { number, kind } = this.#request.route;
    if (stream) this.#client.more(stream.id, json);
    else this.#client.call(number, json, kind);
    this.#mark();
  }

  /** The stream on which the next message of the chosen route goes. */
  #streaming() {
    const number = this.#request.route?.number;
    return [...(this.#client?.open.values() ?? [])].find((call) => call.protocol === number && takesMany(call.kind) && !call.ended);
  }

  // What goes on.

  /** Brings a list up to date if it is not: whoever has the focus in it keeps it. */
  #list(list, items, key, shown) {
    const keys = items.map(key).join("\n");
    if (list.dataset.shown === keys) return;
    list.dataset.shown = keys;
    put(list, ...items.map(shown));
  }

  #leave(topic) {
    const leave = () => this.#client?.call(OWN.UNSUBSCRIBE, { topic });
    return el("li", {}, el("span", { class: "mono" }, topic), action("Leave", topic, leave));
  }

  #stream(call) {
    const name = `${call.protocol} ${this.#catalogue.name(call.protocol)}, id ${call.id}`;
    const end = () => {
      this.#client?.end(call.id);
      this.#mark();
    };
    return el(
      "li",
      {},
      el("span", {}, name),
      !call.ended && action("End", name, end),
      action("Cancel", name, () => this.#client?.cancel(call.id)),
    );
  }
}

/** A button in a list, whose name says of what. */
const action = (does, to, onclick) => el("button", { type: "button", "aria-label": `${does} ${to}`, onclick }, does);
