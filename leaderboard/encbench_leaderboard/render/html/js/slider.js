// Two pictures laid over one another, with a divider to drag.
class Slider {
  constructor() {
    this.host = document.querySelector("[data-plot=pictures]");
    this.chosen = new Map();
    when("filter", () => {
      if (this.task !== state.task) this.renew();
    });
  }

  name({ name, entry }) {
    const what = name.replaceAll("_", " ");
    return entry === null ? what : `${what}: ${ENTRIES[entry].label}`;
  }

  renew() {
    this.task = state.task;
    const { pictures, pictures_left_out: lost } = TASKS[state.task];
    const limit = DATA.pictures_limit / 1e6;
    const full = `The pictures of ${plural(lost, "entry", "entries")} are not here or not all: those of the best entries come first, up to ${brief(limit)} MB in this file.`;
    let note = lost ? full : "";
    if (!limit) note = "This file was made without pictures.";
    if (!pictures.length) {
      this.host.replaceChildren(el("p", {
        class: "none", text: note || "The records of this task hold no pictures.",
      }));
      return;
    }
    const best = pictures.findIndex(({ name }) => name === "prediction");
    const start = [0, best > 0 ? best : Math.min(1, pictures.length - 1)];
    const options = pictures.map((picture, i) => [String(i), this.name(picture)]);
    this.sides = ["left", "right"].map((side, i) => ({
      label: el("span", { class: `side ${side}` }),
      image: el("img", {
        class: side, draggable: "false",
        onerror: () => { this.note.textContent = "A picture here is damaged and cannot be shown."; },
      }),
      pick: picker(side === "left" ? "Left" : "Right", options, String(start[i]), (value) => {
        this.set(i, Number(value));
      }),
    }));
    this.handle = el("div", {
      class: "handle", role: "slider", tabindex: "0", "aria-label": "Divider between the pictures",
      "aria-valuemin": "0", "aria-valuemax": "100", "aria-orientation": "horizontal",
      onkeydown: (event) => this.key(event),
    });
    this.frame = el("div", { class: "compare" }, this.sides[0].image, this.sides[1].image,
      this.sides[0].label, this.sides[1].label, this.handle);
    this.drag();
    this.note = el("p", { class: "note", text: note });
    const swap = el("button", {
      type: "button", class: "quiet", text: "Swap",
      onclick: () => {
        const [a, b] = this.sides.map(({ pick }) => pick.querySelector("select"));
        [a.value, b.value] = [b.value, a.value];
        this.set(0, Number(a.value));
        this.set(1, Number(b.value));
      },
    });
    this.host.replaceChildren(
      el("div", { class: "bar sides" }, this.sides[0].pick, this.sides[1].pick, swap),
      this.frame, this.note);
    start.forEach((picture, i) => this.set(i, picture));
    this.move(50);
  }

  set(side, number) {
    const picture = TASKS[state.task].pictures[number];
    const { image, label } = this.sides[side];
    image.src = DATA.pictures[picture.picture];
    image.alt = this.name(picture);
    label.textContent = this.name(picture);
    if (side === 0) {
      const [width, height] = picture.size;
      this.frame.style.setProperty("--ratio", `${width} / ${height}`);
      this.frame.style.setProperty("--wide", String(width / height));
      // Single pixels of a small picture are what there is to see.
      this.frame.classList.toggle("small", Math.max(width, height) <= 320);
    }
    this.move(this.value ?? 50);
  }

  move(value) {
    this.value = Math.max(0, Math.min(100, value));
    const shown = Math.round(this.value);
    this.frame.style.setProperty("--at", `${this.value}%`);
    fill(this.handle, {
      "aria-valuenow": String(shown),
      "aria-valuetext": `${shown} % ${this.sides[0].image.alt}, ${100 - shown} % ${this.sides[1].image.alt}`,
    }, []);
  }

  key(event) {
    const step = event.shiftKey ? 10 : 2;
    const to = {
      ArrowLeft: this.value - step, ArrowDown: this.value - step,
      ArrowRight: this.value + step, ArrowUp: this.value + step,
      PageDown: this.value - 10, PageUp: this.value + 10, Home: 0, End: 100,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.move(to);
  }

  drag() {
    const follow = (event) => {
      const { left, width } = this.frame.getBoundingClientRect();
      this.move(((event.clientX - left) / width) * 100);
    };
    this.frame.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      this.handle.focus({ preventScroll: true });
      this.frame.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.frame.addEventListener("pointermove", (event) => {
      if (this.frame.hasPointerCapture(event.pointerId)) follow(event);
    });
  }
}
