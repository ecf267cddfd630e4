// Light and dark: the system's choice until the button says otherwise.
function remembered(value) {
  // Storage may be forbidden, as it is for files in some browsers.
  try {
    if (value !== undefined) localStorage.setItem("encbench-theme", value);
    return localStorage.getItem("encbench-theme");
  } catch {
    return null;
  }
}

function startTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = byId("theme");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const tell = () => button.setAttribute("aria-pressed", String(dark()));
  const chosen = remembered();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered(root.dataset.theme);
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}
