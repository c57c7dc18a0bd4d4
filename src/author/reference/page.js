// Search, the place in the list, copies and the theme. The page is whole without it.
"use strict";

const find = document.getElementById("find");
const none = document.getElementById("none");
const nav = document.querySelector("nav");
const links = [...document.querySelectorAll("nav a")];
const groups = [...document.querySelectorAll("nav section")];

function filter() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const link of links) {
    const text = `${link.textContent} ${link.dataset.words ?? ""}`.toLowerCase();
    link.parentElement.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of groups) group.hidden = !group.querySelector("li:not([hidden])");
  none.hidden = groups.some((group) => !group.hidden);
}

find.addEventListener("input", filter);
find.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    find.value = "";
    filter();
  } else if (event.key === "Enter" || event.key === "ArrowDown") {
    const first = links.find((link) => !link.closest("[hidden]"));
    if (first && event.key === "Enter") first.click();
    else first?.focus();
    event.preventDefault();
  }
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    find.focus();
    event.preventDefault();
  }
  if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.closest?.("nav a")) {
    const shown = links.filter((link) => !link.closest("[hidden]"));
    const next = shown.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
    (shown[next] ?? (next < 0 ? find : undefined))?.focus();
    event.preventDefault();
  }
});

// Moves the list alone: the page is where its reader wants it.
function follow(link) {
  if (link.closest("[hidden]")) return;
  const [list, entry] = [nav.getBoundingClientRect(), link.getBoundingClientRect()];
  if (entry.top < list.top) nav.scrollTop -= list.top - entry.top + 40;
  else if (entry.bottom > list.bottom) nav.scrollTop += entry.bottom - list.bottom + 40;
}

const byTarget = new Map(links.map((link) => [link.hash.slice(1), link]));
const watcher = new IntersectionObserver(
  (entries) => {
    const seen = entries.filter((entry) => entry.isIntersecting).map((entry) => byTarget.get(entry.target.id)).find(Boolean);
    if (!seen) return;
    for (const link of links) link.toggleAttribute("aria-current", link === seen);
    seen.setAttribute("aria-current", "true");
    follow(seen);
  },
  { rootMargin: "0px 0px -75% 0px" },
);
for (const id of byTarget.keys()) {
  const target = document.getElementById(id);
  if (target) watcher.observe(target);
}

for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.closest(".example").querySelector("pre").textContent);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
}

const theme = document.getElementById("theme");
theme.hidden = false;
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
