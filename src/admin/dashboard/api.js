/** Asks the operator's door. */

import { token } from "./token.js";

/** How long an answer may take. A reload of a large configuration takes a few seconds. */
const PATIENCE_MS = 30_000;

/** An answer that is not the one that was asked for. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP; 0: nobody answered
   * @param {string} message
   * @param {any} [body]
   */
  constructor(status, message, body) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** This gateway has no such thing. */
  get isAbsent() {
    return this.status === 404;
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} [query] what is empty is left out
 * @returns {Promise<any>}
 */
export function get(path, query = {}) {
  const said = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  const search = said.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  return ask("GET", search ? `${path}?${search}` : path);
}

/** How many of a list come at once: as many as the door gives. */
const PAGE = 1000;

/**
 * All pages of a list, which is called as its path is.
 * @param {string} name
 * @returns {Promise<any[]>}
 */
export async function all(name) {
  const found = [];
  let after = "";
  do {
    const page = await get(`/api/v1/${name}`, { limit: PAGE, after });
    found.push(...page[name]);
    after = page.next ?? "";
  } while (after !== "");
  return found;
}

/**
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export function post(path, body = {}) {
  return ask("POST", path, JSON.stringify(body));
}

async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${encoded(token())}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  let text;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    text = await answer.text();
  } catch {
    throw new Refused(0, "the gateway does not answer");
  }
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    if (answer.ok) throw new Refused(answer.status, "the answer is not JSON");
  }
  if (answer.ok) return said;
  throw new Refused(answer.status, typeof said.error === "string" ? said.error : `the gateway answers ${answer.status}`, said);
}

/** A header carries bytes, one a character: those of the token in UTF-8. */
function encoded(value) {
  return String.fromCharCode(...new TextEncoder().encode(value));
}
