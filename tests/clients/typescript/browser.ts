/** The conversation in a page: the world is in its address, what came of it is its text. */

import { converse, type World } from "./conversation.js";

const page = globalThis as unknown as {
  location: { hash: string };
  document: { body: { textContent: string } };
  addEventListener(type: "unhandledrejection", listener: (event: { readonly reason: unknown }) => void): void;
};
let failed = "";
page.addEventListener("unhandledrejection", ({ reason }) => {
  failed = `unhandled: ${String(reason)}`;
  page.document.body.textContent = failed;
});
converse(JSON.parse(decodeURIComponent(page.location.hash.slice(1))) as World).then(
  (steps) => (page.document.body.textContent = failed || JSON.stringify(steps)),
  (error: unknown) => (page.document.body.textContent = error instanceof Error ? (error.stack ?? error.message) : String(error)),
);
