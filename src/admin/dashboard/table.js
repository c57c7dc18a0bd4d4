/** A table that is brought up to date in place, so that whoever has the focus in it, or reads it, keeps their place. */

import { el, put } from "./dom.js";

/**
 * @template Row
 * @typedef {{ name: string, cell: (row: Row) => string | number | Node | Node[], number?: boolean, once?: boolean, head?: boolean, wide?: boolean }} Column
 * `once`: made when the row comes, and never again; for links and buttons. `head`: names the row.
 */

/**
 * @template Row
 * @param {{ caption: string, columns: Column<Row>[], key: (row: Row) => string | number, empty?: string, hideCaption?: boolean }} options
 * @returns {{ element: HTMLElement, update: (rows: Row[]) => void }}
 */
export function table({ caption, columns, key, empty = "nothing", hideCaption = true }) {
  const body = el("tbody");
  const head = el(
    "tr",
    {},
    columns.map((column) => el("th", { scope: "col", class: classOf(column) }, column.name)),
  );
  const element = el(
    "div",
    { class: "scroll card", role: "region", "aria-label": caption, tabindex: "0" },
    el("table", {}, el("caption", { class: hideCaption ? "unseen" : "" }, caption), el("thead", {}, head), body),
  );
  /** @type {Map<string, { row: HTMLElement, cells: HTMLElement[] }>} */
  let known = new Map();

  function made(row) {
    const cells = columns.map((column) =>
      el(column.head ? "th" : "td", { class: classOf(column), scope: column.head ? "row" : null }, column.once ? column.cell(row) : null),
    );
    return { row: el("tr", {}, cells), cells };
  }

  return {
    element,
    update(rows) {
      const now = new Map();
      for (const row of rows) {
        const entry = known.get(String(key(row))) ?? made(row);
        columns.forEach((column, i) => column.once || put(entry.cells[i], ...[column.cell(row)].flat()));
        now.set(String(key(row)), entry);
      }
      known = now;
      const order = [...now.values()].map((entry) => entry.row);
      const isSame = order.length === body.children.length && order.every((row, i) => body.children[i] === row);
      if (order.length === 0) put(body, el("tr", {}, el("td", { colspan: columns.length, class: "empty" }, empty)));
      else if (!isSame) body.replaceChildren(...order);
    },
  };
}

const classOf = (column) => [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") || null;
