// A line plot: axes, lines that light up, and the nearest point's values in a tooltip.
const MARGIN = { left: 58, right: 14, top: 12, bottom: 42 };
const REACH = 90;

/** Draw the axes and give back the group for what lies between them. */
function axes(root, x, y, box, titles) {
  const grid = svg("g", { class: "grid" });
  for (const [value, text] of y.ticks) {
    const at = y.px(value);
    grid.append(svg("line", { x1: box.left, x2: box.right, y1: at, y2: at }),
      svg("text", { x: box.left - 8, y: at + 4, "text-anchor": "end", text }));
  }
  for (const [value, text] of x.ticks) {
    const at = x.px(value);
    grid.append(svg("line", { x1: at, x2: at, y1: box.top, y2: box.bottom }),
      svg("text", { x: at, y: box.bottom + 17, "text-anchor": "middle", text }));
  }
  const middle = (box.top + box.bottom) / 2;
  grid.append(
    svg("text", {
      class: "title", x: (box.left + box.right) / 2, y: box.bottom + 36,
      "text-anchor": "middle", text: titles.x,
    }),
    svg("text", {
      class: "title", x: 0, y: 0, "text-anchor": "middle",
      transform: `translate(14 ${middle}) rotate(-90)`, text: titles.y,
    }));
  root.append(grid);
}

class LinePlot {
  /** compact: no axes' titles, no pointer; for a small card. */
  constructor(host, { label, compact = false, height }) {
    this.host = host;
    this.label = label;
    this.compact = compact;
    this.height = height;
    this.groups = [];
    if (!compact) {
      new ResizeObserver(() => {
        if (this.content && this.host.clientWidth !== this.width) this.draw(this.content);
      }).observe(host);
    }
  }

  /**
   * content: {lines: [{entry, xs, ys, dash, ended, tell(i)}], x: {log, title}, y: {log, title},
   * floor: [low, high] or null, empty: what to say without lines}
   */
  draw(content) {
    this.content = content;
    this.width = this.host.clientWidth;
    const { lines, floor } = content;
    if (!lines.length || !this.width) {
      this.groups = [];
      this.host.replaceChildren(el("p", { class: "none", text: content.empty }));
      return;
    }
    const height = this.height ?? Math.max(250, Math.min(400, this.width * 0.6));
    const m = this.compact ? { left: 40, right: 8, top: 6, bottom: 22 } : MARGIN;
    const box = { left: m.left, right: this.width - m.right, top: m.top, bottom: height - m.bottom };
    const [left, right] = extent(lines.map((line) => line.xs));
    let [low, high] = extent(lines.map((line) => line.ys));
    if (floor) low = Math.min(low, floor[0] / (this.compact ? 10 : 100));
    [low, high] = content.y.log ? [low / 1.3, high * 1.3]
      : [low - (high - low) * 0.04, high + (high - low) * 0.04];
    const x = scale({
      low: left, high: right, from: box.left, to: box.right, log: content.x.log,
      ticks: Math.max(2, Math.floor(this.width / 90)),
    });
    const y = scale({
      low, high, from: box.bottom, to: box.top, log: content.y.log, ticks: this.compact ? 3 : 7,
    });
    const root = svg("svg", {
      width: this.width, height, viewBox: `0 0 ${this.width} ${height}`,
      role: "img", "aria-label": this.label(content),
    });
    if (floor) this.floorBand(root, floor, y, box);
    axes(root, x, y, box, this.compact ? { x: "", y: "" } : {
      x: content.x.title, y: content.y.title });
    this.own = svg("g", { class: "own-floor" });
    this.dot = svg("circle", { class: "dot", r: 4.5, visibility: "hidden" });
    this.y = y;
    this.box = box;
    // The best line is drawn last, on top.
    this.groups = [...lines].reverse().map((line) => this.line(line, x, y));
    root.append(this.own, ...this.groups.map((group) => group.node), this.dot);
    if (!this.compact) {
      root.addEventListener("pointermove", (event) => this.hover(event));
      root.addEventListener("pointerdown", (event) => this.hover(event));
      root.addEventListener("pointerleave", () => this.leave());
    }
    this.host.replaceChildren(root);
    this.light();
  }

  floorBand(root, [low, high], y, box) {
    const band = (from, to, name) => svg("rect", {
      class: name, x: box.left, width: Math.max(0, box.right - box.left),
      y: from, height: Math.max(0, to - from),
    });
    root.append(band(y.px(low), box.bottom, "floor"), band(y.px(high), y.px(low), "floor-span"),
      svg("line", {
        class: "floor-line", x1: box.left, x2: box.right, y1: y.px(low), y2: y.px(low),
      }));
    if (!this.compact) {
      root.append(svg("text", {
        class: "floor-text", x: box.left + 8, y: box.bottom - 6, text: "under the floor: rounding noise",
      }));
    }
  }

  line(line, x, y) {
    const points = Array.from(line.xs, (value, i) => [x.px(value), y.px(line.ys[i])]);
    const d = points.map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`).join("");
    const [a, b] = points.at(-1);
    const node = svg("g", { class: "line", ...coloured(line.entry), "data-entry": line.entry },
      // A single point has no length; a round cap shows it.
      svg("path", { d: points.length > 1 ? d : `${d}h0.01`, "stroke-dasharray": line.dash }));
    if (line.ended === "floor") node.append(svg("path", { class: "end", d: `M${a} ${b - 6}v12` }));
    if (line.ended === "cross") {
      node.append(svg("path", { class: "end", d: `M${a - 5} ${b - 5}l10 10m0 -10l-10 10` }));
    }
    return { line, points, node };
  }

  /** The point nearest to the pointer, if one is near. */
  hover(event) {
    const frame = this.host.firstChild.getBoundingClientRect();
    const [px, py] = [event.clientX - frame.left, event.clientY - frame.top];
    let best = null;
    for (const group of this.groups) {
      group.points.forEach(([a, b], i) => {
        const distance = Math.hypot(a - px, b - py);
        if (distance < (best?.distance ?? REACH)) best = { group, i, distance };
      });
    }
    if (best) {
      this.show(best.group, best.i);
      highlight(best.group.line.entry);
    } else this.leave();
  }

  leave() {
    tip.hide();
    this.dot.setAttribute("visibility", "hidden");
    highlight(null);
  }

  /** Mark a point of a line, and tell its values. */
  show(group, i) {
    const [a, b] = group.points[i];
    fill(this.dot, { cx: a, cy: b, visibility: "visible", ...coloured(group.line.entry) }, []);
    const told = [ENTRIES[group.line.entry].label, ...group.line.tell(i)];
    tip.show(told, () => {
      const frame = this.host.firstChild.getBoundingClientRect();
      return [frame.left + a, frame.top + b];
    }, group.line.entry);
    return told;
  }

  /** Light the pointed-out entry's lines; every other one steps back. */
  light() {
    if (this.compact) return;
    const lit = state.highlighted;
    const here = this.groups.some(({ line }) => line.entry === lit);
    this.own?.replaceChildren();
    for (const { line, node } of this.groups) {
      node.classList.toggle("lit", here && line.entry === lit);
      node.classList.toggle("dim", here && line.entry !== lit);
      if (here && line.entry === lit && line.floor) {
        const at = this.y.px(line.floor);
        this.own.append(svg("line", {
          x1: this.box.left, x2: this.box.right, y1: at, y2: at, ...coloured(lit),
        }));
      }
    }
  }
}
