// Spectra and training curves: which lines are drawn, their legends, and the card beside a row.
const DASHES = { start: "1.5 4", middle: "7 4", end: null };
const unpacked = new WeakMap();

/** A spectrum or curve with its numbers unpacked, once. */
function unpack(packed) {
  if (!unpacked.has(packed)) {
    unpacked.set(packed, packed.values !== undefined
      ? { xs: indexSet(packed.index), ys: floats(packed.values) }
      : { xs: floats(packed.step), ys: floats(packed.value) });
  }
  return unpacked.get(packed);
}

/** Entries of the plots' task with lines: the table's first ones, and the one pointed out. */
function drawnEntries(limit, has) {
  const { lines } = TASKS[state.task];
  const able = state.rows.map((row) => row.entry).filter((e) => lines[e] && has(lines[e]));
  const shown = able.slice(0, limit);
  const extra = state.highlighted;
  const more = extra !== null && !shown.includes(extra) && lines[extra] && has(lines[extra]);
  return { shown: more ? [...shown, extra] : shown, able: able.length };
}

function spectrumLines(entries, options) {
  const { lines } = TASKS[state.task];
  const made = [];
  const sizes = new Set();
  for (const entry of entries) {
    for (const moment of options.moments) {
      const packed = lines[entry].spectra[`${options.part}${moment}`];
      if (!packed) continue;
      sizes.add(packed.size);
      const { xs, ys } = unpack(packed);
      if (!ys.length) continue;
      made.push({
        entry, moment, packed, xs, ys, dash: DASHES[moment], floor: packed.floor,
        ended: packed.resolved < packed.size ? "floor" : null,
        tell: (i) => [
          `${moment} of training`,
          `index ${thousands(indexSet(packed.index)[i])} of ${thousands(packed.size)}`,
          `λ = ${eigenvalue(ys[i])}`,
          `floor ${eigenvalue(packed.floor)}, ${thousands(packed.size - packed.resolved)} under it`,
        ],
      });
    }
  }
  // Kernels of different sizes are laid over one another by the share of their size.
  if (sizes.size > 1) for (const line of made) line.xs = line.xs.map((i) => i / line.packed.size);
  return { made, oneSize: sizes.size <= 1 };
}

function spectrumContent(entries, options) {
  const { made, oneSize } = spectrumLines(entries, options);
  return {
    lines: made,
    x: {
      log: options.log,
      title: `index of the eigenvalue${oneSize ? "" : " / size of the kernel"}`,
    },
    y: { log: true, title: "eigenvalue λ" },
    floor: extent([made.map((line) => line.packed.floor).filter((f) => f > 0)]),
    empty: "No entry in the table has a spectrum here.",
  };
}

function curveContent(entries, options) {
  const task = TASKS[state.task];
  const made = entries.flatMap((entry) => task.lines[entry].curves
    .filter((curve) => curve[options.curve])
    .map((curve) => {
      const { xs, ys } = unpack(curve[options.curve]);
      const name = options.curve === "loss" ? "training loss" : task.followed;
      return {
        entry, xs, ys, ended: curve.ok ? null : "cross",
        tell: (i) => [`seed ${curve.seed}, step ${thousands(xs[i])}`, `${name}: ${brief(ys[i])}`],
      };
    }));
  return {
    lines: made,
    x: { log: false, title: "optimizer step" },
    y: {
      log: options.curve === "loss",
      title: options.curve === "loss" ? "training loss" : task.followed,
    },
    floor: null,
    empty: "No entry in the table has a curve.",
  };
}

/** A plot with its switches above and its legend below. */
class LinesCard {
  constructor(name, { options, content, has, label, note, switches }) {
    const host = document.querySelector(`[data-plot=${name}]`);
    Object.assign(this, { options, content, has, note });
    this.limit = 10;
    const drawing = el("div", { class: "drawing" });
    this.legend = el("ul", { class: "legend" });
    this.note = el("p", { class: "note" });
    this.tellNote = note;
    const change = (field, one) => (values) => {
      this.options[field] = one ? values[0] : values;
      this.draw();
    };
    host.append(el("div", { class: "bar" }, ...switches(change)), drawing, this.legend, this.note);
    this.plot = new LinePlot(drawing, { label });
    when("rows", () => this.draw());
    when("highlight", () => {
      const { shown } = this.entries();
      if (shown.join() !== this.drawn.join()) this.draw();
      else this.plot.light();
      for (const button of this.legend.querySelectorAll("button")) {
        button.classList.toggle("lit", Number(button.dataset.entry) === state.highlighted);
      }
    });
  }

  entries() {
    return drawnEntries(this.limit, this.has);
  }

  draw() {
    const { shown, able } = this.entries();
    this.drawn = shown;
    const focused = this.legend.querySelector(":focus")?.dataset.entry;
    const content = this.content(shown, this.options);
    this.plot.draw(content);
    const present = shown.filter((entry) => content.lines.some((line) => line.entry === entry));
    this.legend.replaceChildren(...present.map((entry) => this.item(entry)));
    if (focused !== undefined) this.legend.querySelector(`[data-entry="${focused}"]`)?.focus();
    this.note.textContent = this.tellNote(Math.min(able, this.limit), able);
  }

  /** A legend entry: focus lights its lines, the arrow keys walk along one and between them. */
  item(entry) {
    let at = null;
    let which = 0;
    const walk = (event) => {
      // The last moment, and of a curve the last seed, comes first.
      const own = this.plot.groups.filter(({ line }) => line.entry === entry);
      const other = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      const move = other ? 0 : {
        ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity,
      }[event.key];
      if (!own.length || move === undefined) return;
      event.preventDefault();
      which = (which + (other ?? 0) + own.length) % own.length;
      const last = own[which].points.length - 1;
      at = Math.max(0, Math.min(last, (at ?? (move > 0 ? -1 : last + 1)) + move));
      say(this.plot.show(own[which], at).join(", "));
    };
    return el("li", {}, el("button", {
      type: "button", "data-entry": entry, "aria-describedby": "walk-help",
      onpointerenter: () => highlight(entry), onpointerleave: () => highlight(null),
      onfocus: () => highlight(entry),
      onblur: () => {
        at = null;
        this.plot.leave();
      },
      onkeydown: walk,
    }, el("span", { class: "swatch", ...coloured(entry) }),
    el("span", { text: wrappable(ENTRIES[entry].label) })));
  }
}

function chosenNote(shown, able, what) {
  const task = TASKS[state.task];
  const kept = Object.values(task.lines).length;
  const told = able > shown
    ? `The first ${shown} of ${able} entries in the table are drawn; filter or point at a row for others.` : "";
  const left = task.rows.length - kept;
  const lost = left > 0 ? ` ${plural(left, "entry", "entries")} of this task ${left === 1 ? "has" : "have"} no ${what} in this file.` : "";
  return `${told}${lost}`.trim();
}

function startLines() {
  new LinesCard("spectra", {
    options: { moments: ["end"], part: "", log: false },
    content: spectrumContent,
    has: (lines) => Object.keys(lines.spectra).length,
    label: (content) => `NTK eigenvalues against their index, ${plural(content.lines.length, "line")}; the table holds the numbers`,
    note: (shown, able) => `${TASKS[state.task].kernel} kernel, first seed. A line ends, with a bar, where its eigenvalues reach the floor. ${chosenNote(shown, able, "spectra")}`,
    switches: (change) => [
      choice("Moment", WHENS.map((m) => [m, m]), ["end"], change("moments"), true),
      choice("Kernel", [["", "K"], ["mlp_", "MLP’s part"]], [""], change("part", true)),
      choice("Index", [["", "linear"], ["log", "log"]], [""], change("log", true)),
    ],
  });
  new LinesCard("curves", {
    options: { curve: "loss" },
    content: curveContent,
    has: (lines) => lines.curves.length,
    label: (content) => `${content.y.title} against the optimizer step, ${plural(content.lines.length, "line")}`,
    note: (shown, able) => `A line a seed, means of neighbouring steps; × where training stopped early. ${chosenNote(shown, able, "curves")}`,
    switches: (change) => [
      choice("Curve", [["loss", "loss"], ["curve", "quality"]], ["loss"], change("curve", true)),
    ],
  });
}

/** A small spectrum beside a row, while it is pointed at and its plot is out of sight. */
const card = byId("peek");
let cardPlot;

function peek(row, line, pointer) {
  const packed = TASKS[state.task].lines[row.entry]?.spectra;
  const own = row.task === state.task || TASKS[row.task].targets.includes(state.task);
  const plot = document.querySelector("[data-plot=spectra] .drawing")?.getBoundingClientRect();
  const seen = plot && plot.top < innerHeight - 150 && plot.bottom > 150;
  if (!packed || !Object.keys(packed).length || !own || seen) return;
  const drawing = el("div", { class: "drawing" });
  const of = row.task === state.task ? "" : ` on ${TASKS[state.task].label}`;
  card.replaceChildren(el("strong", { text: `NTK spectrum${of}` }), drawing,
    el("p", { text: "dotted start, dashed middle, solid end" }));
  // On the other side than the pointer, whose way it would be in.
  card.classList.toggle("left", pointer > innerWidth / 2);
  card.hidden = false;
  cardPlot ??= new LinePlot(drawing, {
    label: () => "spectrum of this row", compact: true, height: 130,
  });
  cardPlot.host = drawing;
  cardPlot.draw(spectrumContent([row.entry], { moments: WHENS, part: "", log: false }));
  const at = line.getBoundingClientRect();
  const size = card.getBoundingClientRect();
  const below = at.bottom + size.height + 8 < innerHeight;
  card.style.top = `${below ? at.bottom + 6 : Math.max(4, at.top - size.height - 6)}px`;
}

function unpeek() {
  card.hidden = true;
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") unpeek();
});
