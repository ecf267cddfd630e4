// Figures by Plotly, and pictures side by side.
function loadPlotly() {
  if (window.Plotly) return;
  const script = document.createElement("script"); // half a second that only figures need
  script.textContent = $("#plotly").textContent;
  document.head.append(script);
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

  function apply() {
    Object.values(controls).forEach(load);
    const { x, y, unit, lines } = controls;
    const all = !lines || lines.value !== lines.first;
    const { color, backgroundColor } = getComputedStyle(plot);
    const width = plot.clientWidth;
    const columns = Math.max(1, Math.min(panels, Math.floor(width / 320)));
    const rows = Math.ceil(panels / columns);
    const layout = {
      ...given, width, height: rows * 340, grid: { ...given.grid, rows, columns },
      font: { ...given.font, color }, hoverlabel: { bgcolor: backgroundColor },
      uirevision: [x.value, y.value, unit?.value].join(),
    };
    for (const name of Object.keys(given).filter((key) => /^[xy]axis/.test(key))) {
      layout[name] = { ...given[name] };
      const scale = controls[name[0]];
      if (scale.value !== scale.first) Object.assign(layout[name], { type: scale.value, range: null });
      if (name[0] === "x" && unit && unit.value !== unit.first) {
        Object.assign(layout[name], { title: { text: unit.value }, range: null });
      }
    }
    for (const button of $$(".legend button", host)) {
      button.ariaPressed = !hidden(button.dataset);
    }
    return Plotly.react(plot, traces.map((trace) => {
      const { colours, other, name, style, named } = trace.meta;
      const off = hidden({ list: "hide", name }) || hidden({ list: `${host.dataset.name}.hide`, name: style });
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
    const drawn = plot.data.filter(({ hovertemplate }) => hovertemplate);
    const lines = drawn.flatMap(({ x, y, meta: { name, label, panel } }) => (
      Array.from(x, (at, i) => [name, label, panel, at, y[i]].map(cell).join())));
    return ["entry,series,panel,x,y", ...lines, ""].join("\n");
  }
  host.addEventListener("click", ({ target }) => {
    const switched = target.closest(".legend button")?.dataset;
    const format = target.dataset.save;
    const filename = [host.closest(".task")?.dataset.name, host.dataset.name].filter(Boolean).join("-");
    if (switched) {
      const others = state.getAll(switched.list).filter((name) => name !== switched.name);
      keep(switched.list, ...others, hidden(switched) ? "" : switched.name);
      redraw();
    } else if (format === "csv") {
      const href = `data:text/csv;charset=utf-8,${encodeURIComponent(csv())}`;
      Object.assign(document.createElement("a"), { href, download: `${filename}.csv` }).click();
    } else if (format) {
      const layout = { ...plot.layout, showlegend: true, paper_bgcolor: plot.layout.hoverlabel.bgcolor };
      const [width, height] = [plot.layout.width + 300, plot.layout.height];
      Plotly.downloadImage({ data: plot.data, layout }, { format, filename, width, height });
    }
  });

  // The arrow keys walk along an entry's lines.
  let [line, point] = [0, -1];
  host.addEventListener("focusin", () => { [line, point] = [0, -1]; });
  host.addEventListener("keydown", (event) => {
    const entry = event.target.closest(".legend button")?.dataset.entry;
    const [over, along] = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0],
      ArrowDown: [1, 0], Home: [0, -Infinity], End: [0, Infinity] }[event.key] ?? [];
    const lines = [...plot.data.keys()].filter((i) => (
      plot.data[i].hovertemplate && plot.data[i].meta.entry === Number(entry)));
    if (over === undefined || !lines.length) return;
    event.preventDefault();
    const within = (value, size) => Math.max(0, Math.min(size - 1, value));
    line = within(line + over, lines.length);
    const { x, y, xaxis, yaxis, meta } = plot.data[lines[line]];
    point = within(point + along, x.length);
    Plotly.Fx.hover(plot, [{ curveNumber: lines[line], pointNumber: point }], [xaxis + yaxis]);
    $("#said").textContent = `${meta.name} ${meta.label}: ${x[point]}, ${y[point]}`;
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
    [left.value, right.value] = [right.value, left.value];
    for (const target of [left, right]) changed({ target });
  });
  apply();
  return { host, apply };
}
