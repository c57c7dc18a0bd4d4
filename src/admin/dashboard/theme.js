// The theme that was chosen here before, set ahead of the first drawing. Not a module, because modules wait for the page.
try {
  document.documentElement.dataset.theme = localStorage.getItem("theme") || "";
} catch {
  // A browser that keeps nothing follows the system.
}
