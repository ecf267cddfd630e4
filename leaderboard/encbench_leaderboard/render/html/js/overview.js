// Encodings by tasks, by mean rank; a task's heading opens it below.
function startOverview() {
  const host = byId("overview-table");
  if (!host) return;
  const columns = [
    {
      title: "encoding", kind: "name", key: (row) => ENTRIES[row.entry].label,
      cell: (row) => named(row.entry),
    },
    { title: "mean rank ↓", kind: "num", key: (row) => row.order, cell: (row) => row.mean },
    {
      title: "tasks", kind: "num", descending: true,
      key: (row) => row.tasks, cell: (row) => thousands(row.tasks),
    },
    ...DATA.groups.map((g, t) => ({
      title: `${t + 1}. ${TASKS[g].columns[0].title}`, kind: "num", hint: TASKS[g].label,
      descending: TASKS[g].columns[0].descending,
      key: (row) => (row.cells[t] ?? [MISSING, null])[1],
      cell: (row) => (row.cells[t] ?? [MISSING, null])[0],
    })),
  ];
  const table = new SortableTable(host, {
    caption: "Overview of all tasks", columns, sort: { place: 1, descending: false },
    drawn: (row, line) => {
      line.dataset.entry = row.entry;
      line.addEventListener("pointerenter", () => highlight(row.entry));
      line.addEventListener("pointerleave", () => highlight(null));
    },
  });
  table.show(DATA.overview.map((row, order) => ({ ...row, order })));
  host.append(el("ol", { class: "tasks", "aria-label": "Tasks" }, ...DATA.groups.map((g) =>
    el("li", {}, el("button", {
      type: "button", class: "link", text: TASKS[g].label,
      onclick: () => {
        chooseTask(g);
        byId("standings").scrollIntoView();
        byId("standings").focus({ preventScroll: true });
      },
    })))));
}
