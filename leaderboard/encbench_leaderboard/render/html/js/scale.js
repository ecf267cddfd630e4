// Axes: numbers to pixels, and where their ticks stand.
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function power(exponent) {
  return `10${[...String(exponent)].map((c) => RAISED[c]).join("")}`;
}

/** 1,200,000 as "1.2M", as an axis has room for. */
function tickText(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit) return `${Number((value / unit).toPrecision(4))}${letter}`;
  }
  return String(Number(value.toPrecision(6)));
}

function linearTicks(low, high, most) {
  const rough = (high - low) / most || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((n) => n * unit >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) {
    ticks.push([n * step, tickText(n * step)]);
  }
  return ticks;
}

function logTicks(low, high, most) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  if (last - first < 1) {
    const ticks = [];
    for (let k = first - 1; k <= last; k++) {
      for (const n of [1, 2, 5]) {
        const value = n * 10 ** k;
        if (value >= low * 0.999 && value <= high * 1.001) ticks.push([value, tickText(value)]);
      }
    }
    // Less than an octave holds none of them.
    return ticks.length > 1 ? ticks : linearTicks(low, high, 3);
  }
  const step = Math.ceil((last - first + 1) / most);
  const ticks = [];
  for (let k = first; k <= last; k++) {
    if ((k - first) % step === 0) {
      ticks.push([10 ** k, low >= 1 ? tickText(10 ** k) : power(k)]);
    }
  }
  return ticks;
}

/** A scale from [low, high] to pixels [from, to]. */
function scale({ low, high, from, to, log, ticks = 6 }) {
  let [a, b] = [low, high];
  if (a === b) [a, b] = log ? [a / 2, b * 2] : [a - 0.5, b + 0.5];
  const t = log ? Math.log10 : (v) => v;
  const [ta, tb] = [t(a), t(b)];
  return {
    low: a, high: b, log,
    px: (value) => from + ((t(value) - ta) / (tb - ta)) * (to - from),
    ticks: (log ? logTicks : linearTicks)(a, b, ticks),
  };
}

/** Smallest and largest of many numbers; null where there are none. */
function extent(lists) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}
