// The table of a task's entries, or of all tasks', with its filters.
let standings;

function allRows(number) {
  return number === ALL
    ? SINGLE.flatMap((t) => TASKS[t].rows.map((row) => ({ ...row, task: t })))
    : TASKS[number].rows.map((row) => ({ ...row, task: number }));
}

const rowsOf = new Map();

/** Rows of a task with its number, made once. */
function rowsFor(number) {
  if (!rowsOf.has(number)) rowsOf.set(number, allRows(number));
  return rowsOf.get(number);
}

function named(entry, button = null) {
  return el("div", { class: "label" }, button, el("span", { class: "swatch", ...coloured(entry) }),
    el("code", { text: wrappable(ENTRIES[entry].label) }));
}

function nameCell(row) {
  const button = el("button", {
    type: "button", class: "unfold", "aria-expanded": "false",
    "aria-label": `Details of ${ENTRIES[row.entry].label}`,
  });
  return named(row.entry, button);
}

function statusCell(row) {
  const cells = Object.values(row.status).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(row.status)
    .sort(([a], [b]) => (b === "ok") - (a === "ok") || natural.compare(a, b))
    .map(([status, count]) =>
      badge(status, cells === 1 ? words(status) : `${count} of ${cells} ${words(status)}`));
  const reason = DATA.texts[row.reason];
  return [...parts, reason ? el("span", { class: "reason", text: reason }) : null];
}

/** A number, and under it what it is known to. */
function twoLines(text) {
  const [first, second] = text.split("\n");
  return second ? [first, el("small", { text: second })] : text;
}

const RANK = {
  title: "#", kind: "num rank", hint: "ranks that the data allow",
  key: (row) => row.rank, cell: (row) => row.rank_text,
};
const NAME = {
  title: "encoding", kind: "name", key: (row) => ENTRIES[row.entry].label, cell: nameCell,
};
const STATUS = {
  title: "status", kind: "status",
  key: (row) => Object.keys(row.status).filter((s) => s !== "ok").sort().join() || " ok",
  cell: statusCell,
};

function taskColumns(number) {
  const columns = TASKS[number].columns.map((column, place) => ({
    ...column, kind: "num",
    key: (row) => row.sort[place], cell: (row) => twoLines(row.text[place]),
  }));
  return [RANK, NAME, STATUS, ...columns];
}

/** The columns that every task has; quality is sorted within each metric. */
function commonColumns() {
  const wanted = ["params_mlp", "params_encoding", "training", "peak_memory", "median"];
  const titles = { median: "λ median" };
  const columns = wanted.map((name) => {
    const place = TASKS.map((task) => task.columns.findIndex((c) =>
      c.name === name || c.title === titles[name]));
    const owner = TASKS[place.findIndex((p) => p >= 0)];
    if (!owner) return null;
    return {
      ...owner.columns[place.find((p) => p >= 0)], kind: "num",
      key: (row) => (place[row.task] < 0 ? null : row.sort[place[row.task]]),
      cell: (row) => (place[row.task] < 0 ? MISSING : row.text[place[row.task]]),
    };
  }).filter(Boolean);
  const task = {
    title: "task", kind: "text", key: (row) => TASKS[row.task].label,
    cell: (row) => el("code", { text: wrappable(TASKS[row.task].label) }),
  };
  const metric = {
    title: "metric", group: "Quality", kind: "text",
    key: (row) => TASKS[row.task].columns[0].title, cell: (row) => TASKS[row.task].columns[0].title,
  };
  const value = {
    title: "value", group: "Quality", kind: "num", descending: true,
    hint: "of the task's primary metric; compare within a task only",
    key: (row) => row.sort[0], cell: (row) => twoLines(row.text[0]),
  };
  return [task, RANK, NAME, STATUS, metric, value, ...columns];
}

function toggleDetails(row, line) {
  const button = line.querySelector(".unfold");
  const open = button.getAttribute("aria-expanded") === "true";
  unpeek();
  button.setAttribute("aria-expanded", String(!open));
  if (open) line.nextElementSibling.remove();
  else {
    line.after(el("tr", { class: "unfolded" },
      el("td", { colspan: line.children.length }, details(TASKS[row.task], row))));
  }
}

function drawnRow(row, line) {
  const button = line.querySelector(".unfold");
  line.dataset.entry = row.entry;
  line.classList.toggle("failed", !row.status.ok);
  button.addEventListener("click", () => toggleDetails(row, line));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...line.parentElement.querySelectorAll(".unfold")];
    const next = buttons[buttons.indexOf(button) + step];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  });
  const point = (event) => {
    highlight(row.entry);
    const folded = button.getAttribute("aria-expanded") === "false";
    if (folded) peek(row, line, event.clientX ?? 0);
  };
  line.addEventListener("pointerenter", point);
  line.addEventListener("pointerleave", () => {
    highlight(null);
    unpeek();
  });
  button.addEventListener("focus", point);
  button.addEventListener("blur", () => {
    highlight(null);
    unpeek();
  });
}

function showStandings(renewed) {
  const one = state.shown !== ALL;
  if (renewed) {
    const columns = one ? taskColumns(state.shown) : commonColumns();
    standings = new SortableTable(byId("standings-table"), {
      caption: one ? `Standings of ${TASKS[state.shown].label}` : "Standings of all tasks",
      columns, sort: { place: 0, descending: false }, drawn: drawnRow,
    });
    const sections = document.querySelectorAll(".of-task");
    sections.forEach((section, t) => { section.hidden = t !== state.shown; });
  }
  const rows = rowsFor(state.shown);
  const passed = rows.filter(passes);
  standings.show(passed);
  byId("shown").textContent = passed.length === rows.length
    ? plural(rows.length, "entry", "entries")
    : `${thousands(passed.length)} of ${plural(rows.length, "entry", "entries")}`;
  state.rows = rowsFor(state.task).filter(passes);
  countStatuses(rows);
  changed("rows");
}

/** Which task each plot shows; a choice where the table holds several. */
function nameTasks() {
  const able = plottable(state.shown);
  for (const place of document.querySelectorAll("[data-task-name]")) {
    if (able.length === 1) place.textContent = TASKS[state.task].label;
    else {
      const select = el("select", {
        "aria-label": "Task of this plot",
        onchange: () => {
          state.task = Number(select.value);
          changed("filter");
        },
      }, ...able.map((t) =>
        el("option", { value: t, text: TASKS[t].label, selected: t === state.task })));
      place.replaceChildren(select);
    }
  }
  byId("cost-of").textContent = TASKS[costTask()].label;
}

function countStatuses(rows) {
  for (const chip of byId("status").querySelectorAll("input")) {
    const count = rows.filter((row) => chip.value in row.status).length;
    chip.nextElementSibling.textContent = `${words(chip.value)} ${thousands(count)}`;
    chip.disabled = !count && !chip.checked;
  }
}

function startFilters() {
  const task = byId("task");
  const option = (t) => el("option", { value: t, text: TASKS[t].label });
  const pooled = TASKS.map((_, t) => t).filter((t) => TASKS[t].targets.length);
  if (pooled.length) {
    task.append(el("optgroup", { label: "Categories" }, ...pooled.map(option)),
      el("optgroup", { label: "Tasks" }, ...SINGLE.map(option)));
  } else task.append(...SINGLE.map(option));
  if (SINGLE.length > 1) task.append(el("option", { value: ALL, text: "All tasks" }));
  task.addEventListener("change", () => chooseTask(Number(task.value)));
  byId("find").addEventListener("input", () => {
    state.find = byId("find").value.trim().toLowerCase();
    changed("filter");
  });
  const present = [...new Set(TASKS.flatMap((t) => t.rows.flatMap((r) => Object.keys(r.status))))];
  present.sort((a, b) => (b === "ok") - (a === "ok") || natural.compare(a, b));
  for (const status of present) {
    byId("status").append(el("label", { class: `chip ${status}` },
      el("input", {
        type: "checkbox", value: status,
        onchange: (event) => {
          if (event.target.checked) state.statuses.add(status);
          else state.statuses.delete(status);
          changed("filter");
        },
      }), el("span", { text: words(status) })));
  }
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    state.find = "";
    state.statuses.clear();
    // The form's own reset, which comes after this, would choose the first task.
    setTimeout(() => changed("filter"));
  });
  let before;
  when("filter", () => {
    task.value = state.shown;
    nameTasks();
    showStandings(before !== state.shown);
    before = state.shown;
  });
  when("highlight", () => {
    for (const line of document.querySelectorAll("tr[data-entry]")) {
      line.classList.toggle("lit", Number(line.dataset.entry) === state.highlighted);
    }
  });
}
