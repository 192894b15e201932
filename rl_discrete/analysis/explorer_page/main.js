// The page: its state, what changes it, and the address in which it can be kept.

const canvas = byId("canvas");
const camera = new Camera(canvas);
const picture = new Picture(canvas, camera);
const state = { index: -1, table: null, from: -1, to: -1, route: null, at: 0, shown: -1, playing: 0, training: 0 };
let drawing = 0;

function redraw() {
  drawing ||= requestAnimationFrame(drawNow);
}

function drawNow() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  picture.draw(state.table, state);
  report();
}

/** What the page shows, in words for readers and as data for scripts. */
function report() {
  const { table } = state;
  const groups = picture.mode === "groups";
  const [codes, marks] = [plural(picture.inView.length, "code"), whole(picture.marks.length)];
  byId("status").textContent = groups
    ? `${codes} drawn as ${marks} groups; come closer for single codes`
    : `${codes} and ${plural(picture.linksInView, "link")} in view`;
  Object.assign(document.querySelector("main").dataset, {
    step: meta.moments[state.index].step,
    codes: table.size,
    mode: picture.mode,
    marks: picture.marks.length,
    from: table.names[state.from] ?? "",
    to: table.names[state.to] ?? "",
    steps: state.route ? state.route.length - 1 : "",
    at: state.at,
  });
}

/** Goes to a moment. A choice survives only where keys mean the same at every moment. */
async function goTo(index) {
  const asked = (state.index = index);
  const table = await loadTable(index);
  if (state.index !== asked) return; // the slider has moved on
  const before = state.table;
  const again = (node) => (before && node >= 0 && meta.sameMeaning ? table.find(before.names[node]) : -1);
  Object.assign(state, { table, from: again(state.from), to: again(state.to), shown: again(state.shown), at: 0 });
  if (state.from < 0) state.to = -1;
  byId("slider").value = index;
  byId("step").textContent = `step ${whole(meta.moments[index].step)}`;
  byId("moment").replaceChildren(...aboutMoment(index));
  byId("found").replaceChildren();
  hideTip();
  drawSizes();
  if (camera.fitted) camera.fit(table);
  plan();
}

function aboutMoment(index) {
  const { codes, visits, leftOut, frames } = meta.moments[index];
  const lines = [`${plural(codes, "code")}, ${plural(visits, "transition")}. Checkpoint ${index + 1} of ${meta.moments.length}`];
  if (meta.moments.length < meta.checkpoints) lines[0] += ` on this page (the run has ${meta.checkpoints})`;
  lines[0] += ".";
  if (leftOut[0]) {
    const share = ((100 * leftOut[1]) / (leftOut[1] + visits)).toFixed(1);
    lines.push(`These are the ${whole(meta.maxCodes)} most visited codes; ${whole(leftOut[0])} others with ${share} % of
      the visits are added up as "left out".`);
  }
  if (!meta.sameMeaning) {
    lines.push("The encoder learns between checkpoints: the same key can mean something else at another one, so each has its own graph.");
  }
  if (!frames.length) lines.push("No frames: the encoder decodes none, and the replay holds none for this checkpoint.");
  return lines.map((line) => make("span", {}, line, " "));
}

/** Looks for the path between the chosen codes, and shows it. */
function plan() {
  const { table, from, to } = state;
  stopPlaying();
  Object.assign(state, { route: from >= 0 && to >= 0 ? findRoute(table, from, to) : null, at: 0 });
  refresh();
}

function refresh() {
  const { table, from, playing } = state;
  const focused = document.activeElement;
  const section = focused?.closest("#route, #code");
  byId("route").hidden = from < 0;
  const actions = { go, play, clear };
  byId("route").replaceChildren(...(from < 0 ? [] : routePanel(table, state, playing !== 0, actions).filter(Boolean)));
  byId("code").replaceChildren(...codePanel(table, state.shown, { show, start, goal, choose }));
  if (section && !focused.isConnected) (byId(focused.id) ?? section.querySelector("h2"))?.focus();
  for (const current of document.querySelectorAll(".strip [aria-current], .steps [aria-current]")) {
    const list = current.closest(".strip, .steps");
    list.scrollTop = current.offsetTop - list.clientHeight / 2;
  }
  redraw();
  keepAddress();
}

/** A click on a code: the first chooses A, the second B, the third begins anew. */
function choose(node) {
  state.shown = node;
  if (state.from < 0 || state.to >= 0) start(node);
  else goal(node);
}

function start(node) {
  Object.assign(state, { from: node, to: -1, shown: node });
  plan();
}

function goal(node) {
  Object.assign(state, state.from < 0 ? { from: node } : { to: node }, { shown: node });
  plan();
}

function show(node) {
  state.shown = node;
  camera.show(state.table.x[node], state.table.y[node]);
  refresh();
}

function clear() {
  Object.assign(state, { from: -1, to: -1, shown: -1 });
  plan();
}

function go(at) {
  Object.assign(state, { at, shown: state.route[at].node });
  const { x, y } = state.table;
  if (!camera.holds(x[state.shown], y[state.shown], -20)) camera.show(x[state.shown], y[state.shown], 0);
  refresh();
}

function play() {
  if (state.playing) return stopPlaying(), refresh();
  const last = state.route.length - 1;
  if (state.at === last) state.at = 0;
  state.playing = setInterval(() => {
    if (state.at + 1 >= last) stopPlaying();
    go(Math.min(state.at + 1, last));
  }, STEP_MILLISECONDS);
  refresh();
}

function stopPlaying() {
  clearInterval(state.playing);
  state.playing = 0;
}

function search(text) {
  const found = state.table.search(text, 12);
  const exact = state.table.find(text);
  if (exact >= 0) show(exact);
  else if (found.length === 1) show(found[0]);
  const items = found.map((node) => make("li", {}, keyButton(state.table, node, show)));
  const rest = (found.total ?? 0) - found.length;
  if (!found.length) items.push(make("li", {}, `No code at this checkpoint contains ${text || "nothing"}.`));
  if (rest > 0) items.push(make("li", {}, `and ${whole(rest)} more`));
  byId("found").replaceChildren(...items);
}
