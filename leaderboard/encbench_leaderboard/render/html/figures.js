// Figures by Plotly, and pictures side by side.
function loadPlotly() { // half a second that only figures need
  const script = Object.assign(document.createElement("script"), { text: $("#plotly").textContent });
  if (!window.Plotly) document.head.append(script);
}
const decoded = (text) => (
  new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer));

function drawFigure(host) {
  loadPlotly();
  const { traces, layout: given, config, arrays } = json($("script", host));
  const values = arrays.map(decoded);
  const plot = $(".plot", host);
  const panels = Object.keys(given).filter((name) => name.startsWith("xaxis")).length;
  const controls = Object.fromEntries($$("[data-key]", host).map((c) => [c.name, c]));
  const hidden = ({ list, name }) => state.getAll(list).includes(name);
  const styles = `${host.dataset.name}.hide`;

  function apply() {
    Object.values(controls).forEach(load);
    const { x, y, unit, lines } = controls;
    const all = !lines || lines.value !== lines.first;
    const width = plot.clientWidth;
    const columns = Math.max(1, Math.min(panels, Math.floor(width / 320)));
    const rows = Math.ceil(panels / columns);
    const layout = structuredClone(given);
    const uirevision = `${x.value} ${y.value} ${unit?.value}`; // a zoom is kept while it is the same
    Object.assign(layout, { width, height: rows * 340, uirevision });
    Object.assign(layout.grid, { rows, columns });
    layout.font.color = getComputedStyle(plot).color;
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
      const [axis, scale] = [layout[name], controls[name[0]]];
      if (scale.value !== scale.first) Object.assign(axis, { type: scale.value, range: null });
      if (scale === x && unit && unit.value !== unit.first) {
        Object.assign(axis, { title: { ...axis.title, text: unit.value }, range: null });
      }
    }
    for (const button of $$(".legend button", host)) button.ariaPressed = !hidden(button.dataset);
    return Plotly.react(plot, traces.map((trace) => {
      const { colours, other, name, style, named } = trace.meta;
      const off = hidden({ list: "hide", name }) || hidden({ list: styles, name: style });
      const colour = colours[Number(isDark())];
      return {
        ...trace, x: values[other[unit?.value] ?? trace.x], y: values[trace.y],
        line: { ...trace.line, color: colour }, marker: { ...trace.marker, color: colour },
        fillcolor: `${colour}2e`, visible: !off && (named || all),
      };
    }), layout, config);
  }

  function csv() {
    const cell = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const lines = plot.data.filter((trace) => trace.hovertemplate).flatMap(({ x, y, meta }) => (
      Array.from(x, (at, i) => [meta.name, meta.label, meta.panel, at, y[i]].map(cell).join())));
    return encodeURIComponent(["entry,series,panel,x,y", ...lines, ""].join("\n"));
  }
  host.addEventListener("click", ({ target }) => {
    const switched = target.closest(".legend button")?.dataset;
    const format = target.dataset.save;
    const filename = `${host.closest(".task")?.dataset.name ?? "page"}-${host.dataset.name}`;
    if (switched) {
      const others = state.getAll(switched.list).filter((name) => name !== switched.name);
      keep(switched.list, ...others, hidden(switched) ? "" : switched.name);
      redraw();
    } else if (format === "csv") {
      const file = { href: `data:text/csv;charset=utf-8,${csv()}`, download: `${filename}.csv` };
      Object.assign(document.createElement("a"), file).click();
    } else if (format) {
      const paper = getComputedStyle(plot).backgroundColor;
      const layout = { ...plot.layout, showlegend: true, paper_bgcolor: paper };
      const [width, height] = [plot.layout.width + 300, plot.layout.height];
      Plotly.downloadImage({ data: plot.data, layout }, { format, filename, width, height });
    }
  });

  // The arrow keys walk along an entry's lines, one after the other.
  let at = -1;
  host.addEventListener("focusin", () => { at = -1; });
  host.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    const entry = Number(event.target.dataset.entry);
    const points = plot.data.flatMap(({ hovertemplate, visible, meta, x }, curveNumber) => (
      hovertemplate && visible && meta.entry === entry
        ? Array.from(x, (_, pointNumber) => ({ curveNumber, pointNumber })) : []));
    if (!step || !points.length) return;
    event.preventDefault();
    at = Math.max(0, Math.min(points.length - 1, at + step));
    const { x, y, xaxis, yaxis, meta } = plot.data[points[at].curveNumber];
    Plotly.Fx.hover(plot, [points[at]], [xaxis + yaxis]);
    const { pointNumber } = points[at];
    $("#said").textContent = `${meta.name} ${meta.label}: ${x[pointNumber]}, ${y[pointNumber]}`;
  });

  apply().then(() => {
    host.dataset.ready = "";
    plot.on("plotly_hover", ({ points: [{ data }] }) => light(data.meta.entry));
    plot.on("plotly_unhover", () => light());
    const fits = () => !plot.clientWidth || plot.clientWidth === plot.layout.width;
    new ResizeObserver(() => fits() || apply()).observe(host);
  });
  return { host, apply };
}

let uris = null;
function drawPictures(host) {
  const [left, right, divider] = $$("[data-key]", host);
  const frame = $(".compare", host);
  function apply() {
    [left, right, divider].forEach(load);
    uris ??= json($("#uris"));
    [left, right].forEach(({ value, selectedOptions: [{ dataset }] }, i) => {
      Object.assign($$("img", frame)[i], { src: uris[dataset.picture], alt: value });
      $$("span", frame)[i].textContent = [value, dataset.caption].filter(Boolean).join(", ");
    });
    const { width, height } = left.selectedOptions[0].dataset;
    frame.style.setProperty("--at", `${divider.value}%`);
    frame.style.setProperty("--ratio", width / height);
    frame.classList.toggle("small", Math.max(width, height) <= 320); // single pixels can be seen
    divider.ariaValueText = `${divider.value} % ${left.value}, then ${right.value}`;
  }
  $("[data-swap]", host).addEventListener("click", () => {
    [[left, right.value], [right, left.value]].forEach(([{ dataset }, value]) => keep(dataset.key, value));
    apply();
  });
  apply();
  return { host, apply };
}
