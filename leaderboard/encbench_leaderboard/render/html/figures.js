// Figures by Plotly, and pictures side by side.
const decoded = (text) => (
  new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));
function save(text, name) {
  const link = document.createElement("a");
  Object.assign(link, { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

function drawFigure(host) {
  const { traces, layout: given, arrays } = json($("script", host));
  const values = arrays.map(decoded);
  const plot = $(".plot", host);
  const controls = $$("[data-key]", host);
  const panels = Object.keys(given).filter((name) => name.startsWith("xaxis")).length;
  const file = [host.closest(".task")?.dataset.name, host.dataset.name].filter(Boolean).join("-");

  function apply() {
    controls.forEach(load);
    const [x, y, unit] = ["x", "y", "unit"].map((n) => controls.find((c) => c.dataset.key.endsWith(`.${n}`)));
    const width = plot.clientWidth;
    const columns = Math.max(1, Math.min(panels, Math.floor(width / 320)));
    const height = Math.ceil(panels / columns) * 340;
    const { color, backgroundColor } = getComputedStyle(plot);
    const layout = { ...given, width, height, font: { ...given.font, color }, hoverlabel: { bgcolor: backgroundColor },
      uirevision: controls.map((c) => c.value).join() };
    const span = (place, of, gap) => [place / of + (place ? gap : 0), (place + 1) / of - (place + 1 < of ? gap : 0)];
    for (let panel = 0; panel < panels; panel += 1) {
      const at = panel ? panel + 1 : "";
      const row = Math.floor(panel / columns);
      const domains = [span(panel % columns, columns, 34 / width),
        span(height / 340 - 1 - row, height / 340, 44 / height)];
      [[`xaxis${at}`, x], [`yaxis${at}`, y]].forEach(([name, scale], i) => {
        layout[name] = { ...given[name], domain: domains[i] };
        if (scale.value !== scale.first) Object.assign(layout[name], { type: scale.value, range: undefined });
      });
      if (unit && unit.value !== unit.first) Object.assign(layout[`xaxis${at}`], { title: { text: unit.value }, range: undefined });
    }
    const error = (bars) => bars && { ...bars, array: values[bars.array], arrayminus: values[bars.arrayminus] };
    const hidden = state.getAll("hide");
    for (const button of $$(".legend button", host)) button.setAttribute("aria-pressed", !hidden.includes(button.dataset.name));
    return Plotly.react(plot, traces.map((trace) => {
      const own = trace.meta.colours[Number(isDark())];
      return {
        ...trace, x: values[trace.meta.other[unit?.value] ?? trace.x], y: values[trace.y],
        line: { ...trace.line, color: own }, marker: { ...trace.marker, color: own }, fillcolor: `${own}2e`,
        error_x: error(trace.error_x), error_y: error(trace.error_y), visible: !hidden.includes(trace.meta.name),
      };
    }), layout, { displaylogo: false, responsive: false, modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d"] });
  }

  function csv() {
    const cell = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
    const lines = plot.data.filter((t) => t.hovertemplate).flatMap((t) => Array.from(t.x, (x, i) => [
      t.meta.name, t.meta.label, t.meta.panel, x, t.y[i]].map(cell).join()));
    return ["entry,series,panel,x,y", ...lines, ""].join("\n");
  }
  host.addEventListener("click", ({ target }) => {
    const button = target.closest(".legend button");
    const kind = target.dataset.save;
    if (button) hide(button.dataset.name);
    else if (kind === "csv") save(csv(), `${file}.csv`);
    else if (kind) {
      const layout = { ...plot.layout, showlegend: true, paper_bgcolor: getComputedStyle(plot).backgroundColor };
      Plotly.downloadImage({ data: plot.data, layout }, {
        format: kind, filename: file, width: plot.clientWidth + 300, height: plot.clientHeight });
    }
  });
  function hide(name) {
    const hidden = state.getAll("hide");
    keep("hide", ...(hidden.includes(name) ? hidden.filter((n) => n !== name) : [...hidden, name]));
    for (const widget of widgets) if (!widget.table) widget.apply();
  }

  // The arrow keys walk along an entry's lines.
  const at = { line: 0, point: -1 };
  host.addEventListener("focusin", () => Object.assign(at, { line: 0, point: -1 }));
  host.addEventListener("keydown", (event) => {
    const entry = event.target.closest(".legend button")?.dataset.entry;
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
      Home: [0, -Infinity], End: [0, Infinity], Escape: [0, 0] }[event.key];
    const lines = [...plot.data.keys()].filter((i) => plot.data[i].hovertemplate && String(plot.data[i].meta.entry) === entry);
    if (!move || !lines.length) return;
    event.preventDefault();
    const within = (value, size) => Math.max(0, Math.min(size - 1, value));
    at.line = within(at.line + move[0], lines.length);
    const { x, y, xaxis, yaxis, name } = plot.data[lines[at.line]];
    at.point = within(at.point + move[1], x.length);
    const subplot = [`${xaxis}${yaxis}`];
    if (event.key === "Escape") Plotly.Fx.unhover(plot);
    else Plotly.Fx.hover(plot, [{ curveNumber: lines[at.line], pointNumber: at.point }], subplot);
    $("#said").textContent = `${name}: ${x[at.point]}, ${y[at.point]}`;
  });

  apply().then(() => {
    host.dataset.ready = "";
    plot.on("plotly_hover", ({ points: [{ data }] }) => light(data.meta.entry));
    plot.on("plotly_unhover", () => light());
    new ResizeObserver(() => plot.clientWidth && plot.clientWidth !== plot.layout.width && apply()).observe(host);
  });
  return { host, apply };
}

let uris = null;
function drawPictures(host) {
  const controls = $$("[data-key]", host); // left, right, divider
  const frame = $(".compare", host);
  function apply() {
    controls.forEach(load);
    const [left, right, divider] = controls;
    uris ??= json($("#uris"));
    [left, right].forEach(({ selectedOptions: [{ value, dataset }] }, i) => {
      $$("img", frame)[i].src = uris[dataset.picture];
      $$("img", frame)[i].alt = value;
      $$("span", frame)[i].textContent = dataset.caption ? `${value}, ${dataset.caption}` : value;
    });
    const { width, height } = left.selectedOptions[0].dataset;
    frame.style.setProperty("--at", `${divider.value}%`);
    frame.style.setProperty("--ratio", width / height);
    frame.classList.toggle("small", Math.max(width, height) <= 320); // single pixels are to be seen
    divider.setAttribute("aria-valuetext", `${divider.value} % ${left.value}, then ${right.value}`);
  }
  $("[data-swap]", host).addEventListener("click", () => {
    const [left, right] = controls;
    [left.value, right.value] = [right.value, left.value];
    for (const target of [left, right]) changed({ target });
  });
  apply();
  return { host, apply };
}
