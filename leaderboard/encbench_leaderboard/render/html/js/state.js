// What is chosen, and who wants to know when it changes.
const ALL = -1;

const state = {
  /** The task or category that the table shows, ALL for all tasks. */
  shown: 0,
  /** The task that plots show: the table's own, else one of the table's. */
  task: 0,
  find: "",
  statuses: new Set(),
  /** Rows of the plots' task that pass the filters, in the order of the table. */
  rows: [],
  highlighted: null,
};

const listeners = { filter: [], rows: [], highlight: [] };

function when(what, listener) {
  listeners[what].push(listener);
}

function changed(what) {
  for (const listener of listeners[what]) listener();
}

/** Point out an entry in the table and in every plot, or none with null. */
function highlight(entry) {
  if (state.highlighted === entry) return;
  state.highlighted = entry;
  changed("highlight");
}

/** The tasks that the plots may show beside a table. */
function plottable(shown) {
  if (shown === ALL) return SINGLE;
  return TASKS[shown].targets.length ? TASKS[shown].targets : [shown];
}

function setShown(number) {
  state.shown = number;
  const able = plottable(number);
  if (!able.includes(state.task)) [state.task] = able;
}

function chooseTask(number) {
  setShown(number);
  // A link to the page with this hash opens the task.
  try {
    history.replaceState(null, "", number === ALL ? "#all" : `#task=${TASKS[number].slug}`);
  } catch {
    // Some viewers forbid it; the choice holds all the same.
  }
  changed("filter");
}

/** A row's text in lower case: its encoding, its statuses and its reason. */
function haystack(row) {
  row.haystack ??= [ENTRIES[row.entry].label, ...Object.keys(row.status).map(words),
    DATA.texts[row.reason]].join("\n").toLowerCase();
  return row.haystack;
}

function passes(row) {
  return (!state.statuses.size || Object.keys(row.status).some((s) => state.statuses.has(s)))
    && state.find.split(/\s+/).every((word) => haystack(row).includes(word));
}
