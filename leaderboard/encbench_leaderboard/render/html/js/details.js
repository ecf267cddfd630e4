// What is folded away under a row: its cells, its spectra and its settings.
function small(caption, heads, rows, left = 1) {
  const align = (place) => (place < left ? "" : "num");
  return el("div", { class: "scroll" }, el("table", { class: "small" },
    el("caption", { text: caption }),
    el("thead", {}, el("tr", {}, ...heads.map((text, i) =>
      el("th", { scope: "col", class: align(i), text })))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((part, i) =>
      el("td", { class: align(i) }, part)))))));
}

function badge(status, text = words(status)) {
  return el("span", { class: `badge ${status}`, text });
}

function cellsTitle(task, row) {
  const all = Object.values(row.status).reduce((sum, count) => sum + count, 0);
  if (all === row.cells.length) return "Cells";
  const kind = task.targets.length ? "Cells that did not finish" : "The first cells";
  return `${kind}: ${thousands(row.cells.length)} of ${thousands(all)}`;
}

function details(task, row) {
  const reasons = row.cells.some((cell) => cell[CELL.reason] !== row.cells[0][CELL.reason]
    || DATA.texts[cell[CELL.reason]]);
  const cells = row.cells.map((cell) => [
    String(cell[CELL.seed]),
    badge(cell[CELL.status]),
    ...(reasons ? [DATA.texts[cell[CELL.reason]] || MISSING] : []),
    cell[CELL.quality], cell[CELL.best], cell[CELL.bestStep], cell[CELL.steps],
    cell[CELL.training], cell[CELL.ntk], cell[CELL.memory],
    ...(task.machines > 1 ? [DATA.texts[cell[CELL.machine]]] : []),
    el("code", { text: cell[CELL.key].slice(0, 10) }),
  ]);
  const heads = ["seed", "status", ...(reasons ? ["reason"] : []), task.primary.title,
    "best", "at step", "steps", "training [s]", "NTK [s]", "memory [MiB]",
    ...(task.machines > 1 ? ["machine"] : []), "record"];
  return el("div", { class: "details" },
    el("p", {}, el("strong", { text: ENTRIES[row.entry].label }), el("br"),
      DATA.texts[row.about], el("br"), DATA.texts[row.settings]),
    cells.length ? small(cellsTitle(task, row), heads, cells, reasons ? 3 : 2) : null,
    row.spectra ? small(`NTK spectra (${task.kernel} kernel)`,
      ["moment", "λ_max", "λ median", "λ 10th percentile", "λ_min", "floor",
        "resolved rank / size", "effective rank"], row.spectra) : null);
}
