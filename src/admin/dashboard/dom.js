/**
 * Makes elements. Text is always text: nothing here, and nothing on this page, reads markup from a string, so what a client or a
 * configuration is called cannot become part of the page.
 */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element with attributes and children. A key `on…` is a listener, `true` an attribute without a value, and what is `false`, `null` or
 * `undefined` is left out.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {any} the element, of whatever kind its tag says
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * The same for what is drawn.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Gives an element other children, and leaves it alone if they are the text that it has.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function put(element, ...children) {
  const [only] = children;
  if (children.length === 1 && (typeof only === "string" || typeof only === "number")) {
    if (element.textContent !== String(only) || element.firstElementChild) element.textContent = String(only);
    return;
  }
  element.replaceChildren(...nodes(children));
}

/**
 * A number that is unique on this page, for ids that labels refer to.
 * @returns {string}
 */
export function fresh() {
  count += 1;
  return `e${count}`;
}
let count = 0;

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}
