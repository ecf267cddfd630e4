// Building elements. Foreign text goes in as text nodes only, never as markup.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) node.style.setProperty(name, value);
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

/** The custom properties from which the style sheet takes an entry's colour in each theme. */
function coloured(entry) {
  const { light, dark } = ENTRIES[entry];
  return { "--light": light, "--dark": dark };
}

/** A set of buttons of which one, or with `many` any number, is on. */
function choice(legend, options, chosen, changed, many = false) {
  const name = `choice-${choice.count++}`;
  const inputs = options.map(([value, label]) =>
    el("label", { class: "chip" },
      fill(el("input", {
        type: many ? "checkbox" : "radio", name, value, checked: chosen.includes(value),
      }), {
        onchange: () => changed(inputs
          .map((chip) => chip.firstChild).filter((i) => i.checked).map((i) => i.value)),
      }, []),
      el("span", { text: label })));
  return el("fieldset", { class: "chips" }, el("legend", { text: legend }), ...inputs);
}
choice.count = 0;

function picker(label, options, chosen, changed) {
  const select = el("select", { onchange: () => changed(select.value) },
    ...options.map(([value, text]) => el("option", { value, text, selected: value === chosen })));
  return el("label", { class: "field" }, `${label} `, select);
}

/** Text for screen readers, said when there is time. */
function say(text) {
  byId("said").textContent = text;
}

const tip = {
  node: byId("tip"),

  /** Show lines of text beside a point; `where` gives it in the window's coordinates. */
  show(lines, where, entry) {
    this.where = where;
    this.node.replaceChildren(...lines.map((line, i) => el(i ? "div" : "strong", { text: line })));
    fill(this.node, entry === undefined ? {} : coloured(entry), []);
    this.node.hidden = false;
    this.place();
  },

  /** Beside its point, and inside the window. */
  place() {
    const [x, y] = this.where();
    const { width, height } = this.node.getBoundingClientRect();
    const left = x + 14 + width > innerWidth ? x - 14 - width : x + 14;
    const top = y + 14 + height > innerHeight ? y - 14 - height : y + 14;
    this.node.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 4))}px`;
    this.node.style.top = `${Math.max(4, top)}px`;
  },

  hide() {
    this.node.hidden = true;
  },
};

addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hide();
});
addEventListener("scroll", () => {
  if (!tip.node.hidden) tip.place();
}, { passive: true });
