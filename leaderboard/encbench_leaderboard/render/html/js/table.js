// A table that sorts by any column and draws its rows as they are scrolled to.
const CHUNK = 100;
// So many rows are shown at once; more scroll in a frame of their own.
const SHORT = 30;

/**
 * columns: [{title, group, hint, descending, kind, key(row), cell(row)}]; `cell` returns a string or
 * nodes, `key` a number, a string or null (null is last in either direction).
 */
class SortableTable {
  constructor(host, { caption, columns, sort, drawn }) {
    this.columns = columns;
    this.sort = sort;
    this.drawn = drawn ?? (() => {});
    this.rows = [];
    this.body = el("tbody");
    this.more = el("p", { class: "more", hidden: true });
    this.heads = columns.map((column, place) => this.head(column, place));
    const table = el("table", { class: "sortable" },
      el("caption", { class: "unseen", text: caption }),
      el("thead", {}, this.groups(), el("tr", {}, ...this.heads)), this.body);
    this.frame = el("div", {
      class: "scroll boxed", tabindex: "0", role: "region", "aria-label": caption,
    }, table, this.more);
    this.edge = el("div", { class: "edge" }, this.frame);
    this.frame.addEventListener("scroll", () => {
      this.fillView();
      this.tellEdge();
    }, { passive: true });
    new ResizeObserver(() => this.tellEdge()).observe(this.frame);
    host.replaceChildren(this.edge);
    this.tell();
  }

  groups() {
    if (!this.columns.some((c) => c.group)) return null;
    const spans = [];
    for (const { group = "", kind } of this.columns) {
      // The name stays in sight, and so does the empty place above it.
      const name = kind === "name";
      const before = spans.at(-1);
      if (before && before.group === group && !before.name && !name) before.span += 1;
      else spans.push({ group, name, span: 1 });
    }
    return el("tr", { class: "groups" }, ...spans.map(({ group, name, span }) =>
      group ? el("th", { colspan: span, scope: "colgroup", text: group })
        : el("td", { colspan: span, class: name ? "name" : null })));
  }

  head(column, place) {
    return el("th", { scope: "col", class: column.kind, title: column.hint || null },
      el("button", { type: "button", onclick: () => this.sortBy(place) },
        column.title, el("span", { class: "arrow", "aria-hidden": "true" })));
  }

  sortBy(place) {
    const column = this.columns[place];
    const same = this.sort.place === place;
    this.sort = { place, descending: same ? !this.sort.descending : Boolean(column.descending) };
    this.tell();
    this.show(this.rows);
    say(`sorted by ${column.title}, ${this.sort.descending ? "descending" : "ascending"}`);
  }

  tell() {
    this.heads.forEach((head, place) => {
      const value = this.sort.descending ? "descending" : "ascending";
      if (place === this.sort.place) head.setAttribute("aria-sort", value);
      else head.removeAttribute("aria-sort");
    });
  }

  sorted(rows) {
    const { key } = this.columns[this.sort.place];
    const sign = this.sort.descending ? -1 : 1;
    const keyed = rows.map((row, place) => ({ row, place, key: key(row) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) {
        return (a.key === null) - (b.key === null) || a.place - b.place;
      }
      const order = typeof a.key === "string" ? natural.compare(a.key, b.key) : a.key - b.key;
      return sign * order || a.place - b.place;
    });
    return keyed.map(({ row }) => row);
  }

  show(rows) {
    this.rows = rows;
    this.frame.classList.toggle("tall", rows.length > SHORT);
    this.order = this.sorted(rows);
    this.drawnRows = 0;
    this.body.replaceChildren();
    if (!rows.length) {
      this.body.append(el("tr", {}, el("td", {
        class: "none", colspan: this.columns.length, text: "No entry passes the filters.",
      })));
    }
    this.frame.scrollTop = 0;
    this.append();
    this.fillView();
    this.tellEdge();
  }

  append(count = CHUNK) {
    const rows = this.order.slice(this.drawnRows, this.drawnRows + count);
    this.drawnRows += rows.length;
    this.body.append(...rows.map((row) => this.line(row)));
    const left = this.order.length - this.drawnRows;
    this.more.hidden = !left;
    this.more.textContent = `${plural(left, "more row")}: scroll on, or filter`;
  }

  /** Draw rows until the frame is full a screen ahead. */
  fillView() {
    const { frame } = this;
    while (this.drawnRows < this.order.length
      && frame.scrollTop + 2 * frame.clientHeight > frame.scrollHeight) this.append();
  }

  /** Whether columns are hidden behind the right edge, which then has a shadow. */
  tellEdge() {
    const { scrollWidth, clientWidth, scrollLeft } = this.frame;
    this.edge.classList.toggle("more-right", scrollWidth - clientWidth - scrollLeft > 4);
  }

  line(row) {
    const line = el("tr", {}, ...this.columns.map((column) => {
      const content = column.cell(row);
      const parts = Array.isArray(content) ? content : [content];
      return column.kind === "name"
        ? el("th", { scope: "row", class: "name" }, ...parts)
        : el("td", { class: column.kind }, ...parts);
    }));
    this.drawn(row, line);
    return line;
  }
}
