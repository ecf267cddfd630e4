// What the page begins with.
function taskOfLink() {
  const found = /^#task=(.+)$/.exec(location.hash);
  const place = TASKS.findIndex(({ slug }) => found && slug === found[1]);
  return Math.max(0, place);
}

startTheme();
document.body.append(el("p", {
  id: "walk-help", hidden: true, text: "The left and right arrow keys walk along a line, up and down between the lines of an entry.",
}));
if (TASKS.length) {
  [state.task] = SINGLE;
  setShown(taskOfLink());
  startOverview();
  startFilters();
  startLines();
  new Scatter();
  new Slider();
  changed("filter");
}
document.documentElement.dataset.ready = "";
// On paper the whole table counts, as far as that can be read.
addEventListener("beforeprint", () => standings?.append(1000));
