// Figures by Plotly, and pictures side by side.
const floats = (text) => new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
function drawFigure(host) {
  const library = { text: $("#plotly").textContent }; // takes half a second; only figures need it
  if (!window.Plotly) document.head.append(Object.assign(document.createElement("script"), library));
  const { traces, layout: given, config, arrays } = json($("script", host));
  const values = arrays.map(floats);
  const plot = $(".plot", host);
  const axes = Object.keys(given).filter((name) => /^[xy]axis/.test(name)); // two per panel
  const controls = Object.fromEntries($$("[data-key]", host).map((c) => [c.name, c]));
  const hidden = ({ list, name }) => state.getAll(list).includes(name);
  function apply() {
    Object.values(controls).forEach(load);
    const { x, y, unit, lines } = controls;
    const all = !lines || lines.value !== lines.first;
    const width = plot.clientWidth;
    const columns = Math.max(1, Math.min(axes.length / 2, Math.floor(width / 320)));
    const rows = Math.ceil(axes.length / 2 / columns);
    const layout = structuredClone(given);
    const uirevision = `${x.value} ${y.value} ${unit?.value}`; // zoom is kept until this changes
    const { color: ink, backgroundColor: paper_bgcolor } = getComputedStyle(plot);
    Object.assign(layout, { width, height: rows * 340, uirevision, paper_bgcolor });
    if (columns === 1) layout.margin.t += 26; // or Plotly's buttons would cover the panel's title
    Object.assign(layout.grid, { rows, columns });
    layout.font.color = ink;
    for (const name of axes) {
      const [axis, scale] = [layout[name], controls[name[0]]];
      const unlike = scale === x && unit && unit.value !== unit.first;
      if (unlike) axis.title.text = unit.value;
      axis.type = scale.value === scale.first ? axis.type : scale.value;
      if (unlike || scale.value !== scale.first) delete axis.range;
    }
    for (const button of $$(".legend button", host)) button.ariaPressed = !hidden(button.dataset);
    if (plot.data) Plotly.Fx.unhover(plot); // its trace may now be hidden
    return Plotly.react(plot, traces.map((trace) => {
      const { colours, other, lists, named } = trace.meta;
      const color = colours[Number(isDark())];
      return {
        ...trace, x: values[other[unit?.value] ?? trace.x], y: values[trace.y],
        z: trace.z?.map((row) => values[row]),
        line: { ...trace.line, color }, marker: { ...trace.marker, color },
        fillcolor: color + (trace.meta.alpha ?? ""), visible: !lists.some(hidden) && (named || all),
      };
    }), layout, config);
  }
  function csv() {
    const cell = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const drawn = plot.data.filter((trace) => trace.hovertemplate);
    const lines = drawn.flatMap(({ x, y, z, meta }) => { // for a map, upper edges of its cells
      const about = [meta.name, meta.label, meta.panel];
      const points = z ? z.flatMap((row, j) => Array.from(row, (value, i) => (
        [x[i + 1], y[j + 1], 10 ** value]))) : Array.from(x, (at, i) => [at, y[i]]);
      return points.map((point) => [...about, ...point].map(cell).join());
    });
    const names = `entry,series,panel,x,y${drawn.some(({ z }) => z) ? ",value" : ""}`;
    return encodeURIComponent([names, ...lines, ""].join("\n"));
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
      const layout = { ...plot.layout, showlegend: true };
      const [width, height] = [layout.width + 300, layout.height];
      Plotly.downloadImage({ data: plot.data, layout }, { format, filename, width, height });
    }
  });
  let at = -1; // arrow keys move along an entry's lines, one after the other
  host.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    const entry = Number(event.target.dataset.entry);
    const points = plot.data.flatMap(({ hovertemplate, visible, meta, x }, curveNumber) => (
      hovertemplate && visible && meta.entry === entry
        ? Array.from(x, (_, pointNumber) => ({ curveNumber, pointNumber })) : []));
    if (!step || !points.length) return;
    event.preventDefault();
    at = Math.max(0, Math.min(points.length - 1, at + step));
    const { curveNumber, pointNumber: i } = points[at];
    const { x, y, xaxis, yaxis, meta } = plot.data[curveNumber];
    Plotly.Fx.hover(plot, [points[at]], [xaxis + yaxis]);
    $("#said").textContent = `${meta.name} ${meta.label}: ${x[i]}, ${y[i]}`;
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

function drawPictures(host) {
  const [left, right, divider] = $$("[data-key]", host);
  const frame = $(".compare", host);
  function apply() {
    [left, right, divider].forEach(load);
    drawPictures.uris ??= json($("#uris"));
    [left, right].forEach(({ value, selectedOptions: [{ dataset }] }, i) => {
      Object.assign($$("img", frame)[i], { src: drawPictures.uris[dataset.picture], alt: value });
      $$("span", frame)[i].textContent = [value, dataset.caption].filter(Boolean).join(", ");
    });
    const { width, height } = left.selectedOptions[0].dataset;
    frame.style.setProperty("--at", `${divider.value}%`);
    frame.style.setProperty("--ratio", width / height);
    frame.classList.toggle("small", Math.max(width, height) <= 320); // shows single pixels
    divider.ariaValueText = `${divider.value} % ${left.value}, then ${right.value}`;
  }
  $("[data-swap]", host).addEventListener("click", () => {
    [[left, right.value], [right, left.value]].forEach(([{ dataset }, value]) => keep(dataset.key, value));
    apply();
  });
  apply();
  return { host, apply };
}
