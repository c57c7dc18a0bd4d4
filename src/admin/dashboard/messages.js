/** What numbers stand for: the routes and pushes of the live table, and the types of their messages. */

import { all, get } from "./api.js";
import { ownName } from "./envelope.js";

/** @typedef {{ name: string, type: string, kind: string, repeated?: boolean, optional?: boolean, oneof?: string, stamped?: boolean, secret?: boolean, comment?: string,
 *   values?: { name: string, comment?: string }[], fields?: Field[] }} Field */

/** @typedef {{ number: number, name: string, rpc: string, kind: import("./envelope.js").Kind, access?: string }} Route */

/** Names of numbers. */
export class Catalogue {
  /** @type {Route[]} */
  routes = [];
  #names = new Map();

  /** Reads it anew. What this gateway does not tell is left out. */
  async load() {
    const [routes, pushes] = await Promise.all(["routes", "pushes"].map((name) => all(name).catch(() => [])));
    this.routes = routes;
    this.#names = new Map([...routes, ...pushes].map(({ number, name }) => [number, name]));
  }

  /** What a number is called in the direction from the gateway. @param {number} number */
  heard(number) {
    return this.#names.get(number) ?? ownName(number, true) ?? "";
  }

  /** @param {number} number */
  name(number) {
    return this.#names.get(number) ?? ownName(number) ?? "";
  }
}

/** What a route's messages are made of. @param {number} number @returns {Promise<any>} */
export function described(number) {
  return get(`/api/v1/messages/${number}`);
}

/**
 * A request to begin with, its fields in the order in which they are declared.
 * @param {any} template
 * @param {Field[]} fields
 * @returns {any}
 */
export function inOrder(template, fields) {
  if (Array.isArray(template)) return template.map((item) => inOrder(item, fields));
  if (typeof template !== "object" || template === null) return template;
  const known = fields
    .filter((field) => field.name in template)
    .map((field) => [field.name, inOrder(template[field.name], field.fields ?? [])]);
  return {
    ...Object.fromEntries(known),
    ...Object.fromEntries(Object.entries(template).filter(([name]) => !fields.some((field) => field.name === name))),
  };
}
