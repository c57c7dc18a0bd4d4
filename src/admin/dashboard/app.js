/** The page as a whole: who may see it, which view is shown, and the line above all of them. */

import { Refused } from "./api.js";
import { el, fresh, put } from "./dom.js";
import { count, duration } from "./format.js";
import { History } from "./history.js";
import { forget, keep, takeFromAddress, token } from "./token.js";
import * as backends from "./views/backends.js";
import * as connections from "./views/connections.js";
import * as errors from "./views/errors.js";
import * as overview from "./views/overview.js";
import * as playground from "./views/playground.js";
import * as reloads from "./views/reloads.js";
import * as routes from "./views/routes.js";

/**
 * A view fills `main`, and may ask for more as long as it is shown.
 * @typedef {{ main: HTMLElement, argument: string, history: History, every: (ms: number, work: () => Promise<void>) => void, onEnd: (end: () => void) => void }} Context
 * @typedef {{ title: string, show: (context: Context) => void }} View
 */

/** @type {Record<string, View>} */
const VIEWS = { overview, routes, backends, connections, reloads, errors, playground };

const main = document.getElementById("main");
const status = document.getElementById("status");
const views = document.getElementById("views");
const theme = document.getElementById("theme");
const forgetButton = document.getElementById("forget");

const history = new History();
/** What ends when another view is shown. @type {(() => void)[]} */
let ends = [];

/** The view and its argument that the address says: `#/routes/9001`. */
function said() {
  const [name, ...rest] = location.hash.replace(/^#\//, "").split("/");
  let argument = "";
  try {
    argument = decodeURIComponent(rest.join("/"));
  } catch {
    // Not something that this page has written.
  }
  return Object.hasOwn(VIEWS, name) ? { name, argument } : { name: "overview", argument: "" };
}

function show() {
  for (const end of ends.splice(0)) end();
  const { name, argument } = said();
  for (const link of views.children) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[name].title} · protogate`;
  if (!token()) return ask();
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  const content = el("div", { class: `view view-${name}` });
  put(main, el("h1", { tabindex: "-1" }, VIEWS[name].title), problem, content);
  const ending = ends;
  VIEWS[name].show({ main: content, argument, history, onEnd: (end) => ending.push(end), every: (ms, work) => repeat(ms, work, problem) });
}

/** Does something now and again and again, until another view is shown; and says when it does not succeed. */
function repeat(ms, work, problem) {
  let ended = false;
  let timer = 0;
  ends.push(() => {
    ended = true;
    clearTimeout(timer);
  });
  const again = async () => {
    try {
      await work();
      problem.hidden = true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (ended) return;
      if (error.status === 401) return ask("This token is not the gateway's.");
      put(problem, error.isAbsent ? `This gateway does not tell: ${error.message}` : error.message);
      problem.hidden = false;
    } finally {
      if (!ended) timer = setTimeout(again, ms);
    }
  };
  again();
}

/** Asks for the token, in place of a view. */
function ask(problem = "") {
  for (const end of ends.splice(0)) end();
  history.stop();
  forgetButton.hidden = true;
  const id = fresh();
  const input = el("input", { id, type: "password", autocomplete: "off", required: true, "aria-describedby": `${id}-help` });
  const enter = (event) => {
    event.preventDefault();
    keep(input.value.trim());
    begin();
  };
  put(
    main,
    el(
      "form",
      { class: "card token", onsubmit: enter },
      el("h1", {}, "The operator's token"),
      problem && el("p", { class: "problem", role: "alert" }, problem),
      el("label", { for: id }, "Token"),
      input,
      el("button", { type: "submit", class: "primary" }, "Open"),
      el(
        "p",
        { class: "hint", id: `${id}-help` },
        "It is `admin.token` of gateway.yaml, or in development in the data folder's admin.token. `protogate dashboard` prints a link that has it. It stays in this tab.",
      ),
    ),
  );
  put(status, "");
  input.focus();
}

function begin() {
  forgetButton.hidden = false;
  history.start();
  show();
}

/** What holds for every view: which gateway this is, and how it does. */
function tell() {
  if (history.problem?.status === 401) return ask("This token is not the gateway's.");
  const now = history.latest;
  if (history.problem || !now) {
    put(status, el("span", { class: "state bad" }, history.problem?.message ?? "asking"));
    return;
  }
  const draining = now.ready === false;
  const facts = [
    now.node,
    now.version && `v${now.version}`,
    now.generation !== undefined && `generation ${now.generation}`,
    `${count(now.connections)} connection${now.connections === 1 ? "" : "s"}`,
    now.uptime_seconds !== undefined && `up ${duration(now.uptime_seconds)}`,
  ];
  put(
    status,
    el("span", { class: draining ? "state warn" : "state good" }, draining ? "not ready" : "ready"),
    facts.filter(Boolean).map((fact) => el("span", {}, fact)),
  );
}

put(views, ...Object.entries(VIEWS).map(([name, view]) => el("a", { href: `#/${name}`, "data-view": name }, view.title)));

theme.value = document.documentElement.dataset.theme ?? "";
theme.addEventListener("change", () => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem("theme", theme.value);
});

forgetButton.addEventListener("click", () => {
  forget();
  ask();
});

// A fragment that is no view is a place on the page.
addEventListener("hashchange", () => {
  if (location.hash !== "" && !location.hash.startsWith("#/")) return takeToken();
  show();
  main.querySelector("h1")?.focus();
});

function takeToken() {
  if (!location.hash.startsWith("#token=")) return;
  takeFromAddress();
  begin();
}

history.listen(tell);
takeFromAddress();
if (token()) begin();
else show();
