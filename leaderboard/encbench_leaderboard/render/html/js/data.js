// The board as payload.py wrote it, and how its packed parts are read.
const DATA = JSON.parse(document.getElementById("data").textContent);
const TASKS = DATA.tasks;
const ENTRIES = DATA.entries;
/** Tasks alone; the others are categories, of several tasks each. */
const SINGLE = TASKS.map((_, t) => t).filter((t) => !TASKS[t].targets.length);
const WHENS = ["start", "middle", "end"];
// Places in a cell of `row.cells`.
const CELL = {
  seed: 0, status: 1, reason: 2, quality: 3, best: 4, bestStep: 5,
  steps: 6, training: 7, ntk: 8, memory: 9, machine: 10, key: 11,
};
const MISSING = "–";

const natural = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Numbers from base64 of little-endian float64. */
function floats(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 8 }, (_, i) => view.getFloat64(8 * i, true));
}

const indexSets = new Map();

/** The indices (from 1) at which a spectrum was kept. */
function indexSet(number) {
  if (!indexSets.has(number)) indexSets.set(number, floats(DATA.index_sets[number]));
  return indexSets.get(number);
}

/** A number over many orders of magnitude, as the tables write it: 2.40e+3 as "2.40e3". */
function eigenvalue(value) {
  return value.toExponential(2).replace("e+", "e");
}

function thousands(value) {
  return Math.round(value).toLocaleString("en-US");
}

/** Three or four significant digits, in words where the number is large. */
function brief(value, digits = 4) {
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return eigenvalue(value);
  return Number.isInteger(value) && Math.abs(value) >= 1e3
    ? thousands(value)
    : String(Number(value.toPrecision(digits)));
}

function words(status) {
  return status.replaceAll("_", " ");
}

/** A name with a space after each comma, where a long one may wrap. */
function wrappable(label) {
  return label.replace(/,(?=\S)/g, ", ");
}

function plural(number, what, many = `${what}s`) {
  return `${thousands(number)} ${number === 1 ? what : many}`;
}
