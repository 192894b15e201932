// What the page says in words, numbers and frames: the tip at the pointer, the panel beside the graph.

/** A DOM element with attributes and children; `on...` attributes are listeners. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

const whole = (number) => number.toLocaleString("en");
const plural = (number, word) => `${whole(number)} ${word}${number === 1 ? "" : "s"}`;

function decimal(number) {
  if (Number.isNaN(number)) return "–";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return number.toExponential(2).replace("-", "−");
  return number.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3).replace("-", "−");
}

const probability = (share) => (share >= 0.9995 ? "1" : share >= 0.001 ? share.toPrecision(3) : share.toExponential(1));

function framesOf(table, node, size) {
  const figures = kindsOf(table, node).map((kind) => {
    const label = meta.moments[table.index].frames[kind].kind === "decoded" ? "decoded" : "seen in the env";
    const canvas = frameCanvas(table, node, kind, size);
    Object.assign(canvas, { role: "img", ariaLabel: `Frame of ${table.names[node]}, ${label}` });
    return make("figure", {}, canvas, make("figcaption", {}, label));
  });
  if (figures.length) return make("div", { class: "frames" }, figures);
  const few = table.frames.length > 0;
  return make("p", { class: "quiet" }, few ? "The page has no frame of this code: it is among the rarest." : "No frames here.");
}

function facts(pairs) {
  const items = pairs.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
  return make("dl", { class: "facts" }, items);
}

const factsOf = (table, node) => facts([["N", whole(table.visits[node])], ["V", decimal(table.values[node])]]);

/** For each action: N, mean reward and Q; the greedy one bold. */
function actionTable(table, node, rewards) {
  const best = table.greedy(node);
  const rows = Array.from({ length: table.actions }, (_, action) => {
    const pair = node * table.actions + action;
    const cells = [table.counts[pair] ? whole(table.counts[pair]) : "0"];
    if (rewards) cells.push(decimal(table.rewards[pair]));
    cells.push(decimal(table.q[pair]));
    const row = cells.map((cell) => make("td", { class: table.counts[pair] ? false : "none" }, cell));
    return make("tr", { class: action === best && "best" }, make("td", {}, String(action)), row);
  });
  const heads = ["action", "N", ...(rewards ? ["reward"] : []), "Q"].map((head) => make("th", { scope: "col" }, head));
  return make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows));
}

function keyButton(table, node, choose) {
  return make("button", { class: "key", onclick: () => choose(node) }, table.names[node]);
}

const MOST_OUTCOMES = 16;

function outcomeTable(table, node, choose) {
  const outcomes = table.outcomes(node);
  if (!outcomes.length) return make("p", { class: "quiet" }, "Never left: no action was tried here.");
  const rows = outcomes.slice(0, MOST_OUTCOMES).map(({ action, target, count, share }) => {
    const where = typeof target === "number" ? keyButton(table, target, choose) : target;
    const cells = [whole(count), probability(share)].map((cell) => make("td", {}, cell));
    return make("tr", {}, make("td", {}, String(action)), make("td", { class: "left" }, where), cells);
  });
  const heads = ["action", "to", "n", "n / N"].map((head, i) => make("th", { scope: "col", class: i === 1 && "left" }, head));
  const rest = outcomes.length - rows.length;
  return make(
    "div",
    {},
    make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows)),
    rest > 0 ? make("p", { class: "quiet" }, `and ${plural(rest, "rarer outcome")}`) : null,
  );
}

/** The chosen code. `actions` are { show, start, goal }: what its buttons do. */
function codePanel(table, node, actions) {
  if (node < 0) {
    const text = "Point at a code for its frame and values; click it to keep it here, and a second one for the planned path.";
    return [make("p", { class: "quiet" }, text)];
  }
  return [
    make("h2", { tabindex: -1 }, make("span", { class: "key" }, table.names[node])),
    framesOf(table, node, 132),
    factsOf(table, node),
    make(
      "div",
      { class: "row" },
      make("button", { onclick: () => actions.show(node) }, "Show"),
      make("button", { onclick: () => actions.start(node) }, "Path from here"),
      make("button", { onclick: () => actions.goal(node) }, "Path to here"),
    ),
    make("h3", {}, "Actions"),
    actionTable(table, node, true),
    make("h3", {}, "What followed"),
    outcomeTable(table, node, actions.choose),
  ];
}

/** The tip for what is under the pointer. */
function tipFor(picture, found) {
  const { table } = picture;
  if (found.group && found.group.size > 1) {
    const { group } = found;
    return [
      make("strong", {}, plural(group.size, "code")),
      facts([["N", whole(group.visits)], ["V", `${decimal(group.low)} to ${decimal(group.high)}`]]),
      make("span", { class: "quiet" }, "click to come closer"),
    ];
  }
  if (found.link !== undefined) {
    const { from, to } = table.links;
    const lines = picture.linkActions(found.link).map(({ action, count, tried }) => {
      return make("div", {}, `action ${action}: ${whole(count)} of ${whole(tried)}`);
    });
    return [make("div", { class: "key" }, `${table.names[from[found.link]]} → ${table.names[to[found.link]]}`), ...lines];
  }
  const node = found.node ?? found.group.node;
  return [
    make("div", { class: "key" }, table.names[node]),
    framesOf(table, node, 104),
    factsOf(table, node),
    actionTable(table, node, false),
  ];
}
