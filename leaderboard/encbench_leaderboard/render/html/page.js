// State, controls and tables of the page. Foreign text was escaped when the page was made.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const json = (node) => JSON.parse(node.textContent);
const widgets = []; // drawn tables, figures and pictures: { host, apply, … }
// State lives in the address: #task=…&find=…&status=…&hide=…&standings.sort=psnr:desc&…
let state = new URLSearchParams();
let writing = 0;
const write = () => history.replaceState(null, "", `#${state}`);
function read() {
  if (location.hash.includes("=")) state = new URLSearchParams(location.hash.slice(1));
  else if (state.size) write(); // a link within the page was followed
}
function keep(key, ...values) {
  state.delete(key);
  for (const value of values) if (value) state.append(key, value);
  clearTimeout(writing); // browsers refuse an address that changes with every move of a slider
  writing = setTimeout(write, 100);
}

// Set a control to its value in the address, or to its first value if that is not an option.
function load(control) {
  control.first ??= control.value;
  control.value = state.get(control.dataset.key) ?? control.first;
  if (control.selectedIndex === -1) control.value = control.first;
}
function changed({ target }) {
  if (!target.dataset.key) return;
  if (target.type === "checkbox") keep("status", ...$$("#status :checked").map(({ value }) => value));
  else keep(target.dataset.key, target.value === target.first ? "" : target.value);
  if (target.id === "task") apply();
  else if (target.closest("#bar")) filter();
  else if (target.id === "theme") redraw();
  else widgets.find(({ host }) => host.contains(target)).apply();
  if (target.id === "task") $(".task:not([hidden])").scrollIntoView();
}

// Highlight an entry wherever it is shown; the other lines of its figures fade.
const lit = new CSSStyleSheet();
document.adoptedStyleSheets.push(lit);
function light(entry) {
  const own = `[class*="tracee${entry}s"]`;
  lit.replaceSync(entry === undefined ? "" : `
    tr[data-entry="${entry}"] > *, .legend [data-entry="${entry}"] { background: var(--lit) !important; }
    .plot:has(${own}) g.trace:not(${own}) { opacity: 0.15 !important; }`);
}

// Missing values come last in both directions.
const ordered = (sign) => (a, b) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
};
DataTable.type("value", { order: { asc: ordered(1), desc: ordered(-1) } });
function drawTable(host) {
  const [options, more] = $$("script", host);
  const { name } = host.dataset;
  const given = json(options);
  const names = given.columns.map((column) => column.name);
  const first = names.filter((n, i) => n && given.columns[i].visible);
  const title = host.closest(".task")?.dataset.title ?? "";
  const format = { header: (_, i, th) => names[th.dataset.dtColumn] };
  for (const { exportOptions } of given.layout.topEnd.buttons) Object.assign(exportOptions, { format });
  given.drawCallback = () => $("tbody tr[tabindex]", host)?.setAttribute("tabindex", 0);
  const table = new DataTable($("table", host), given);
  table.search.fixed("page", (text, { statuses, DT_RowAttr }) => {
    const wanted = state.getAll("status");
    return !("data-entry" in DT_RowAttr) || (found(`${title} ${text}`)
      && (!wanted.length || wanted.some((status) => statuses?.includes(status))));
  });
  const toggle = (tr) => {
    const row = table.row(tr);
    const html = more && (host.details ??= json(more))[row.index()];
    if (!html) return;
    if (row.child.isShown()) row.child.hide();
    else row.child(`<div class="details">${html}</div>`, "opened").show();
    tr.ariaExpanded = row.child.isShown();
  };
  host.addEventListener("click", ({ target }) => {
    const tr = target.closest("tbody > tr[tabindex]");
    if (tr && !String(getSelection())) toggle(tr);
  });
  host.addEventListener("keydown", (event) => {
    const rows = $$("tbody > tr[tabindex]", host);
    const place = rows.indexOf(event.target);
    const step = { ArrowDown: 1, ArrowUp: -1, Enter: 0, " ": 0 }[event.key];
    if (place < 0 || step === undefined) return;
    event.preventDefault();
    if (step) rows[place + step]?.focus();
    else toggle(rows[place]);
  });
  let [sorted, shown] = ["", null]; // as in the address; the table reports every change
  const apply = () => {
    const asked = (state.get(`${name}.cols`) ?? "").split(",").filter((n) => n && names.includes(n));
    const columns = asked.length ? asked : first;
    shown = null;
    names.forEach((n, i) => n && table.column(i).visible(columns.includes(n), false));
    shown = columns.join();
    const [whole, by, way] = /^(.+):(asc|desc)$/.exec(state.get(`${name}.sort`)) ?? [];
    sorted = names.includes(by) ? whole : "";
    table.order(sorted ? [[names.indexOf(by), way]] : []).draw();
  };
  apply();
  table.on("order", () => {
    const [[place, way] = []] = table.order();
    const now = way ? `${names[place]}:${way}` : "";
    if (now !== sorted) keep(`${name}.sort`, sorted = now);
  });
  table.on("column-visibility", () => {
    const now = names.filter((n, i) => n && table.column(i).visible()).join();
    if (shown !== null && now !== shown) keep(`${name}.cols`, shown = now);
  });
  return { host, apply, table, rows: given.data, ranks: given.data.some((row) => row.statuses) };
}

// Draw what is visible: tables at once, the rest when it is scrolled to.
const seen = new IntersectionObserver((changes) => {
  for (const { target } of changes.filter(({ isIntersecting }) => isIntersecting)) {
    seen.unobserve(target);
    widgets.push(target.matches(".figure") ? drawFigure(target) : drawPictures(target));
  }
}, { rootMargin: "300px" });
function draw() {
  for (const host of $$(".drawable:not([data-drawn])").filter((node) => node.checkVisibility())) {
    host.dataset.drawn = "";
    if (host.matches(".table")) widgets.push(drawTable(host));
    else seen.observe(host);
  }
}

// Whether a text, of a row or a task's name, contains every word of the find box.
function found(text) {
  const words = (state.get("find") ?? "").toLowerCase().split(/\s+/);
  return words.every((word) => text.toLowerCase().includes(word));
}
function filter() {
  light(); // the highlighted entry may be gone
  for (const { table } of widgets) table?.draw();
  const ranked = widgets.filter(({ ranks, host }) => ranks && host.checkVisibility());
  const rows = ranked.flatMap((widget) => widget.rows);
  const passed = ranked.flatMap(({ table }) => table.rows({ search: "applied" })[0]).length;
  $("#shown").textContent = `${passed === rows.length ? "" : `${passed} of `}${rows.length} rows`;
  for (const input of $$("#status input")) {
    const count = rows.filter(({ statuses }) => statuses?.includes(input.value)).length;
    input.checked = state.getAll("status").includes(input.value);
    input.parentNode.hidden = !count && !input.checked;
    input.nextElementSibling.textContent = `${input.value} ${count}`;
  }
  const tasks = $$("#found button");
  for (const task of tasks) task.hidden = !state.get("find") || !found(task.textContent);
  $("#found").hidden = tasks.every(({ hidden }) => hidden);
}

// Set everything as in the address.
function apply() {
  $$("#theme, #task, #find").forEach(load);
  const task = $("#task")?.value;
  for (const section of $$(".task")) section.hidden = ![section.dataset.name, "*"].includes(task);
  draw();
  for (const { table, apply: again } of widgets) if (table) again();
  redraw();
  filter();
}
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => ($("#theme").value === "system" ? system.matches : $("#theme").value === "dark");
function redraw() {
  document.documentElement.dataset.theme = $("#theme").value;
  for (const { host, table, apply: again } of widgets) if (!table && host.checkVisibility()) again();
}
system.addEventListener("change", redraw);

const pointed = ({ target }) => (
  target.closest(".plot") || light(target.closest("[data-entry]")?.dataset.entry));
document.addEventListener("mouseover", pointed);
document.addEventListener("focusin", pointed);
document.addEventListener("input", changed);
document.addEventListener("toggle", draw, true);
document.addEventListener("click", ({ target }) => {
  const link = target.closest("[data-task]");
  if (link) changed({ target: Object.assign($("#task"), { value: link.dataset.task }) });
});
$("#clear").addEventListener("click", () => { keep("find"); keep("status"); apply(); });
addEventListener("hashchange", () => { read(); apply(); });
read();
apply();
document.documentElement.dataset.ready = "";
