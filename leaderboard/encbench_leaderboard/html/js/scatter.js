// Quality against cost, a mark an entry, with the front that nothing beats in both.
const MARKS = {
  o: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
  s: "M-4.5 -4.5h9v9h-9z",
  "^": "M0 -5.5L5.5 4.5H-5.5z",
  D: "M0 -6L6 0L0 6L-6 0z",
  v: "M0 5.5L5.5 -4.5H-5.5z",
  P: "M-2 -5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z",
  X: "M-5.5 -3L-3 -5.5L0 -2.5L3 -5.5L5.5 -3L2.5 0L5.5 3L3 5.5L0 2.5L-3 5.5L-5.5 3L-2.5 0z",
};
const MOST_MARKS = 500;
const COSTS = {
  parameters: ["params_mlp", "params_encoding"], "training [s]": ["training"],
  "peak memory [MiB]": ["peak_memory"],
};

/** The means of a category where the table shows one, else of the plots' task. */
function costTask() {
  return state.shown === ALL ? state.task : state.shown;
}

/** What an entry costs: the sum of these columns, in MiB for memory; null where none is known. */
function costOf(row, names) {
  const { columns } = TASKS[costTask()];
  const values = names.map((name) => row.sort[columns.findIndex((c) => c.name === name)])
    .filter((value) => value !== null && value !== undefined);
  const total = values.reduce((sum, value) => sum + value, 0);
  if (!values.length || total <= 0) return null;
  return names[0] === "peak_memory" ? total / 2 ** 20 : total;
}

/** Those that no other one beats or equals at no more cost; points sorted by cost. */
function paretoFront(points, higher) {
  const better = (a, b) => (higher ? a > b : a < b);
  const sorted = [...points].sort((a, b) => a.x - b.x || (better(a.y, b.y) ? -1 : 1));
  const front = [];
  for (const point of sorted) {
    if (!front.length || better(point.y, front.at(-1).y)) front.push(point);
  }
  return front;
}

class Scatter {
  constructor() {
    const host = document.querySelector("[data-plot=cost]");
    this.cost = "parameters";
    this.metric = 0;
    this.bar = el("div", { class: "bar" });
    this.drawing = el("div", { class: "drawing" });
    this.note = el("p", { class: "note" });
    host.append(this.bar, this.drawing, this.note);
    new ResizeObserver(() => {
      if (this.width !== undefined && this.drawing.clientWidth !== this.width) this.draw();
    }).observe(this.drawing);
    when("rows", () => this.renew());
    when("highlight", () => this.light());
  }

  /** Metrics differ between tasks. */
  renew() {
    if (this.task !== costTask()) {
      this.task = costTask();
      this.metric = 0;
      const metrics = TASKS[costTask()].columns
        .map((column, place) => [String(place), column])
        .filter(([, column]) => column.name.startsWith("metric:"))
        .map(([place, column]) => [place, column.title]);
      this.bar.replaceChildren(
        choice("Cost", Object.keys(COSTS).map((c) => [c, c]), [this.cost], ([cost]) => {
          this.cost = cost;
          this.draw();
        }),
        picker("Quality", metrics, "0", (place) => {
          this.metric = Number(place);
          this.draw();
        }));
    }
    this.draw();
  }

  points() {
    return rowsFor(costTask()).filter(passes).map((row) => ({
      entry: row.entry, row, x: costOf(row, COSTS[this.cost]), y: row.sort[this.metric],
    })).filter(({ x, y }) => x !== null && y !== null && y !== undefined && Math.abs(y) < 1e300);
  }

  draw() {
    const column = TASKS[costTask()].columns[this.metric];
    const found = this.points();
    const front = paretoFront(found, column.descending);
    const points = [...new Set([...front, ...found.slice(0, MOST_MARKS)])];
    this.width = this.drawing.clientWidth;
    if (!points.length || !this.width) {
      this.marks = [];
      this.drawing.replaceChildren(el("p", { class: "none", text: "No entry in the table has both numbers." }));
      this.note.textContent = "";
      return;
    }
    const height = Math.max(250, Math.min(400, this.width * 0.6));
    const box = {
      left: MARGIN.left, right: this.width - MARGIN.right,
      top: MARGIN.top, bottom: height - MARGIN.bottom,
    };
    const [left, right] = extent([points.map((p) => p.x)]);
    const [low, high] = extent([points.map((p) => p.y)]);
    const log = right / left > 8;
    const margin = log ? (right / left) ** 0.06 : (right - left) * 0.06;
    const spread = (high - low) * 0.08;
    const x = scale({
      low: log ? left / margin : left - margin, high: log ? right * margin : right + margin,
      from: box.left, to: box.right, log, ticks: Math.max(2, Math.floor(this.width / 110)),
    });
    const y = scale({ low: low - spread, high: high + spread, from: box.bottom, to: box.top, ticks: 6 });
    const root = svg("svg", {
      width: this.width, height, viewBox: `0 0 ${this.width} ${height}`, role: "group",
      "aria-label": `${column.title} against ${this.cost}, ${plural(points.length, "mark")}; arrow keys walk from mark to mark`,
    });
    axes(root, x, y, box, { x: this.cost, y: column.title });
    const steps = front.map((p, i) => (i ? `H${x.px(p.x)}V${y.px(p.y)}` : `M${x.px(p.x)} ${y.px(p.y)}`));
    root.append(svg("path", { class: "front", d: steps.join("") }));
    points.sort((a, b) => a.x - b.x || a.y - b.y);
    this.marks = points.map((point, i) => this.mark(point, i, column, x, y, front.includes(point)));
    root.append(...this.marks.map(({ node }) => node));
    this.drawing.replaceChildren(root);
    const names = front.map(({ entry }) => ENTRIES[entry].label);
    const told = names.length > 6 ? plural(names.length, "entry", "entries") : names.join("; ");
    const cut = points.length < found.length ? ` The first ${points.length} of ${found.length} marks are drawn.` : "";
    this.note.textContent = `Means over the seeds that finished. Not beaten at lower or equal cost (the stepped line): ${told}.${cut}`;
    this.light();
  }

  mark(point, i, column, x, y, onFront) {
    const at = [x.px(point.x), y.px(point.y)];
    const { label, marker } = ENTRIES[point.entry];
    const told = [`${column.title}: ${point.row.text[this.metric]}`,
      `${this.cost}: ${brief(point.x)}`, ...(onFront ? ["on the front"] : [])];
    const node = svg("path", {
      class: "mark", d: MARKS[marker] ?? MARKS.o, transform: `translate(${at[0]} ${at[1]})`,
      ...coloured(point.entry), tabindex: i ? "-1" : "0", role: "img",
      "aria-label": [label, ...told].join(", "), "data-entry": point.entry,
    });
    const show = () => {
      tip.show([label, ...told], () => {
        const frame = this.drawing.firstChild.getBoundingClientRect();
        return [frame.left + at[0], frame.top + at[1]];
      }, point.entry);
      highlight(point.entry);
    };
    const hide = () => {
      tip.hide();
      highlight(null);
    };
    fill(node, {
      onpointerenter: show, onpointerleave: hide, onfocus: show, onblur: hide,
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        const next = step && this.marks[i + step];
        if (!step) return;
        event.preventDefault();
        if (!next) return;
        node.setAttribute("tabindex", "-1");
        next.node.setAttribute("tabindex", "0");
        next.node.focus();
      },
    }, []);
    return { node, entry: point.entry };
  }

  light() {
    const lit = state.highlighted;
    const here = this.marks?.some(({ entry }) => entry === lit);
    for (const { node, entry } of this.marks ?? []) {
      node.classList.toggle("lit", here && entry === lit);
      node.classList.toggle("dim", here && entry !== lit);
    }
  }
}
