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
// Places in a point of a panel.
const POINT = { entry: 0, cost: 1, quality: 2, front: 3, told: 4, spread: 5 };

/** The means of a category where the table shows one, else of the plots' task. */
function costTask() {
  return state.shown === ALL ? state.task : state.shown;
}

class Scatter {
  constructor() {
    const host = document.querySelector("[data-plot=cost]");
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

  /** Panels differ between tasks: times of two machines do not share one. */
  renew() {
    if (this.task !== costTask()) {
      this.task = costTask();
      const { panels } = TASKS[this.task].costs;
      this.panel = 0;
      const names = panels.map(({ label, where }, i) =>
        [String(i), where ? `${label}, ${where}` : label]);
      this.bar.replaceChildren(...(panels.length ? [choice("Cost", names, ["0"], ([panel]) => {
        this.panel = Number(panel);
        this.draw();
      })] : []));
    }
    this.draw();
  }

  draw() {
    const { title, panels, left_out: left } = TASKS[this.task].costs;
    const panel = panels[this.panel];
    const passed = new Set(rowsFor(this.task).filter(passes).map((row) => row.entry));
    const points = (panel?.points ?? []).filter((point) => passed.has(point[POINT.entry]));
    this.width = this.drawing.clientWidth;
    if (!points.length || !this.width) {
      this.marks = [];
      this.drawing.replaceChildren(el("p", {
        class: "none", text: "No entry in the table has both numbers.",
      }));
      this.note.textContent = left;
      return;
    }
    points.sort((a, b) => a[POINT.cost] - b[POINT.cost] || a[POINT.quality] - b[POINT.quality]);
    const { root, x, y } = this.frame(points, title, panel.label);
    const front = points.filter((point) => point[POINT.front]);
    const steps = front.map((p, i) => (i ? `H${x.px(p[POINT.cost])}V${y.px(p[POINT.quality])}`
      : `M${x.px(p[POINT.cost])} ${y.px(p[POINT.quality])}`));
    root.append(svg("path", { class: "front", d: steps.join("") }));
    this.marks = points.map((point, i) => this.mark(point, i, [x, y], [title, panel.label]));
    root.append(...this.marks.map(({ node }) => node));
    this.drawing.replaceChildren(root);
    const names = front.map((point) => ENTRIES[point[POINT.entry]].label);
    const told = names.length > 6 ? plural(names.length, "entry", "entries") : names.join("; ");
    this.note.textContent = `A mark is an encoding’s mean. The stepped line joins those that none beats at no more cost: ${told || "none in the table"}. ${left}`;
    this.light();
  }

  /** The axes for these points. */
  frame(points, title, label) {
    const height = Math.max(250, Math.min(400, this.width * 0.6));
    const box = {
      left: MARGIN.left, right: this.width - MARGIN.right,
      top: MARGIN.top, bottom: height - MARGIN.bottom,
    };
    const [left, right] = extent([points.map((p) => p[POINT.cost])]);
    const [low, high] = extent([points.map((p) => p[POINT.quality])]);
    const log = right / left > 8;
    const margin = log ? (right / left) ** 0.06 : (right - left) * 0.06;
    const spread = (high - low) * 0.08;
    const x = scale({
      low: log ? left / margin : left - margin, high: log ? right * margin : right + margin,
      from: box.left, to: box.right, log, ticks: Math.max(2, Math.floor(this.width / 110)),
    });
    const y = scale({
      low: low - spread, high: high + spread, from: box.bottom, to: box.top, ticks: 6,
    });
    const root = svg("svg", {
      width: this.width, height, viewBox: `0 0 ${this.width} ${height}`, role: "group",
      "aria-label": `${title} against ${label}, ${plural(points.length, "mark")}; arrow keys walk from mark to mark`,
    });
    axes(root, x, y, box, { x: label, y: title });
    return { root, x, y };
  }

  mark(point, i, [x, y], [title, label]) {
    const entry = point[POINT.entry];
    const at = [x.px(point[POINT.cost]), y.px(point[POINT.quality])];
    const { label: name, marker } = ENTRIES[entry];
    const told = [`${title}: ${point[POINT.told]}`, `${label}: ${point[POINT.spread]}`,
      ...(point[POINT.front] ? ["on the front"] : [])];
    const node = svg("path", {
      class: "mark", d: MARKS[marker] ?? MARKS.o, transform: `translate(${at[0]} ${at[1]})`,
      ...coloured(entry), tabindex: i ? "-1" : "0", role: "img",
      "aria-label": [name, ...told].join(", "), "data-entry": entry,
    });
    const show = () => {
      tip.show([name, ...told], () => {
        const frame = this.drawing.firstChild.getBoundingClientRect();
        return [frame.left + at[0], frame.top + at[1]];
      }, entry);
      highlight(entry);
    };
    const hide = () => {
      tip.hide();
      highlight(null);
    };
    fill(node, {
      onpointerenter: show, onpointerleave: hide, onfocus: show, onblur: hide,
      onkeydown: (event) => this.walk(event, i),
    }, []);
    return { node, entry };
  }

  walk(event, i) {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.marks[i + step];
    if (!next) return;
    this.marks[i].node.setAttribute("tabindex", "-1");
    next.node.setAttribute("tabindex", "0");
    next.node.focus();
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
