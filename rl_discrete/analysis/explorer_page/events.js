// Mouse, touch, keys, form fields and the address: what calls the functions of main.js.

const pointers = new Map();
let moved = 0;

function tipAt(left, top, found) {
  const tip = byId("tip");
  tip.replaceChildren(...tipFor(picture, found));
  tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tip;
  tip.style.left = `${left + 16 + width > camera.width ? Math.max(left - width - 12, 4) : left + 16}px`;
  tip.style.top = `${Math.max(Math.min(top + 12, camera.height - height - 6), 4)}px`;
}

let tipped = null;

function hideTip() {
  byId("tip").hidden = true;
  tipped = null;
}

function point(left, top) {
  const found = picture.under(left, top);
  canvas.classList.toggle("over", found !== null && found.link === undefined);
  if (!found) return hideTip();
  const what = found.node ?? found.group ?? `link ${found.link}`;
  if (what === tipped) return;
  tipAt(left, top, found);
  tipped = what;
}

function click(left, top) {
  const found = picture.under(left, top, 8);
  if (!found || found.link !== undefined) return;
  hideTip();
  if (found.node !== undefined) return choose(found.node);
  if (found.group.size === 1) return choose(found.group.node);
  camera.zoom(3, left, top);
  redraw();
  keepAddress();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.isTrusted) canvas.setPointerCapture(event.pointerId); // a script has no pointer to capture
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  if (pointers.size === 1) moved = 0;
});
canvas.addEventListener("pointermove", (event) => {
  const [left, top] = [event.offsetX, event.offsetY];
  if (!pointers.has(event.pointerId)) return point(left, top);
  const [oldLeft, oldTop] = pointers.get(event.pointerId);
  pointers.set(event.pointerId, [left, top]);
  moved += Math.hypot(left - oldLeft, top - oldTop);
  if (moved < 4) return;
  hideTip();
  canvas.classList.add("held");
  const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const spread = (x, y) => Math.max(Math.hypot(x - other[0], y - other[1]), 1);
    camera.zoom(spread(left, top) / spread(oldLeft, oldTop), (left + other[0]) / 2, (top + other[1]) / 2);
  } else {
    camera.move(left - oldLeft, top - oldTop);
  }
  redraw();
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    pointers.delete(event.pointerId);
    canvas.classList.remove("held");
    if (name === "pointerup" && moved < 4) click(event.offsetX, event.offsetY);
    else keepAddress();
  });
}
canvas.addEventListener("pointerleave", hideTip);
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
  camera.zoom(Math.exp(-0.0018 * pixels), event.offsetX, event.offsetY);
  hideTip();
  redraw();
  keepAddress();
}, { passive: false });

function fit() {
  camera.fit(state.table);
  redraw();
  keepAddress();
}

function nearest() {
  const [left, top] = [camera.width / 2, camera.height / 2];
  const distance = (mark) => Math.hypot(mark.x - left, mark.y - top);
  const mark = picture.marks.reduce((best, other) => (best && distance(best) <= distance(other) ? best : other), null);
  if (mark) click(mark.x, mark.y);
}

const KEYS = {
  ArrowLeft: () => camera.move(60, 0),
  ArrowRight: () => camera.move(-60, 0),
  ArrowUp: () => camera.move(0, 60),
  ArrowDown: () => camera.move(0, -60),
  "+": () => camera.zoom(1.3),
  "=": () => camera.zoom(1.3),
  "-": () => camera.zoom(1 / 1.3),
  0: fit,
  Enter: nearest,
};
canvas.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
  redraw();
  keepAddress();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target.id !== "query") clear();
});
byId("closer").addEventListener("click", () => KEYS["+"]() ?? (redraw(), keepAddress()));
byId("wider").addEventListener("click", () => KEYS["-"]() ?? (redraw(), keepAddress()));
byId("fit").addEventListener("click", fit);
byId("slider").addEventListener("input", (event) => {
  stopTraining();
  goTo(Number(event.target.value));
});
byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search(byId("query").value);
});

function stopTraining() {
  clearInterval(state.training);
  state.training = 0;
  byId("train").textContent = "▶";
  byId("train").setAttribute("aria-pressed", "false");
}

byId("train").addEventListener("click", () => {
  if (state.training) return stopTraining();
  byId("train").textContent = "⏸";
  byId("train").setAttribute("aria-pressed", "true");
  const last = meta.moments.length - 1;
  goTo(state.index === last ? 0 : state.index + 1);
  state.training = setInterval(() => (state.index < last ? goTo(state.index + 1) : stopTraining()), 1200);
});

/** The address keeps moment, choice and view, so that what is on the screen can be sent to somebody. */
function keepAddress() {
  const { table, index, from, to, at } = state;
  const parts = [["step", meta.moments[index].step]];
  if (from >= 0) parts.push(["from", table.names[from]]);
  if (to >= 0) parts.push(["to", table.names[to]]);
  if (at) parts.push(["at", at]);
  if (!camera.fitted) parts.push(["view", [camera.x, camera.y, camera.scale].map((number) => number.toFixed(3)).join(",")]);
  if (picture.ranked) parts.push(["color", "rank"]);
  const address = `#${parts.map((part) => part.join("=")).join("&")}`;
  if (location.hash !== address) history.replaceState(null, "", address);
}

async function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  picture.ranked = parts.get("color") === "rank";
  drawLegend();
  const wanted = meta.moments.findIndex(({ step }) => String(step) === parts.get("step"));
  await goTo(wanted < 0 ? meta.moments.length - 1 : wanted);
  const view = parts.get("view")?.split(",").map(Number);
  if (view?.length === 3 && view.every(Number.isFinite)) {
    Object.assign(camera, { x: view[0], y: view[1], scale: view[2], fitted: false });
  }
  const [from, to] = ["from", "to"].map((name) => state.table.find(parts.get(name) ?? "none"));
  if (from >= 0) start(from);
  if (from >= 0 && to >= 0) goal(to);
  const at = Number(parts.get("at"));
  if (state.route && Number.isInteger(at) && at > 0 && at < state.route.length) go(at);
  redraw();
}

/** Fills in what never changes, and begins. */
async function begin() {
  byId("title").textContent = `${meta.env}, ${meta.encoder}`;
  byId("about").textContent = `run ${meta.run}, seed ${meta.seed}, discount ${meta.discount}, ${plural(meta.actions, "action")}`;
  byId("slider").max = meta.moments.length - 1;
  byId("slider").disabled = byId("train").disabled = meta.moments.length < 2;
  byId("rank").addEventListener("click", () => {
    picture.ranked = !picture.ranked;
    drawLegend();
    redraw();
    keepAddress();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (drawLegend(), redraw()));
  new ResizeObserver(() => {
    if (!state.table) return;
    if (camera.fitted) camera.fit(state.table);
    drawNow(); // before anything is painted: what was drawn for another size would be stretched
  }).observe(canvas);
  window.addEventListener("hashchange", readAddress);
  await readAddress();
  drawNow();
  document.documentElement.dataset.ready = "1";
}

function drawLegend() {
  const [low, middle, high] = [0, LAST_SHADE / 2, LAST_SHADE].map((i) => decimal(meta.quantiles[i]));
  byId("low").textContent = low;
  byId("high").textContent = high;
  byId("scale").textContent = picture.ranked ? `V by rank, half of them below ${middle}` : "V";
  byId("rank").setAttribute("aria-pressed", String(picture.ranked));
  const ramp = byId("ramp").getContext("2d");
  picture.shades.forEach((shade, i) => {
    ramp.fillStyle = shade;
    ramp.fillRect(i, 0, 1, 8);
  });
}

/** Sizes of marks, those of the table that is shown. */
function drawSizes() {
  const most = state.table.mostVisits;
  const counts = [...new Set([0, Math.round(Math.sqrt(most)), most])];
  byId("sizes").replaceChildren(...counts.map((count) => {
    const pixels = 14 * sizeOf(count, most);
    return make("span", {}, make("i", { style: `width:${pixels}px;height:${pixels}px` }), `N ${whole(count)}`);
  }));
}

/** For scripts that look at the page. */
window.explorer = {
  meta,
  state,
  picture,
  drawNow,
  place: (key) => camera.toScreen(state.table.x[state.table.find(key)], state.table.y[state.table.find(key)]),
};
begin().catch((error) => {
  byId("status").textContent = `This page cannot be shown: ${error.message}. It needs a browser of 2023 or later.`;
  throw error;
});
