// The planned path beside the graph: its steps, and its frames one after the other.

const STEP_MILLISECONDS = 350;
const MOST_STEPS = 400; // listed

/** `choice` is { from, to, route, at }; `actions` are { go, play, clear }, `playing` whether frames are played. */
function routePanel(table, choice, playing, actions) {
  const { from, to, route, at } = choice;
  const name = (node) => make("span", { class: "key" }, table.names[node]);
  const clear = make("button", { id: "clear", onclick: actions.clear, title: "Escape" }, "Clear");
  const head = make("h2", { tabindex: -1 }, "Planned path", clear);
  if (to < 0) return [head, make("p", { class: "quiet" }, "A is ", name(from), ". Choose B, the code to go to.")];
  if (!route) return [head, make("p", {}, "No tried actions lead from ", name(from), " to ", name(to), ".")];
  const steps = route.length - 1;
  const likely = Math.exp(route.reduce((sum, { share }) => sum + Math.log(share), 0));
  const { node, action, share } = route[at];
  const [kind] = kindsOf(table, node);
  const caption = action === null ? "arrived" : `then action ${action}, n / N = ${probability(share)}`;
  return [
    head,
    facts([["steps", whole(steps)], ["probability", probability(likely)], ["V at A", decimal(table.values[from])]]),
    make(
      "figure",
      { id: "player" },
      kind === undefined ? null : frameCanvas(table, node, kind, 200),
      make("figcaption", {}, `Step ${at} of ${steps}: `, name(node), `, ${caption}`),
    ),
    make(
      "div",
      { class: "row" },
      make("button", { id: "play", "aria-pressed": String(playing), onclick: actions.play }, playing ? "Pause" : "Play"),
      make("input", { id: "at", type: "range", min: 0, max: steps, value: at, "aria-label": "Step of the path",
        oninput: (event) => actions.go(Number(event.target.value)) }),
    ),
    strip(table, route, at, actions.go),
    make("div", { class: "steps" }, stepTable(table, route, at, actions.go)),
  ];
}

function strip(table, route, at, go) {
  const framed = route.map(({ node }, index) => [index, node, kindsOf(table, node)[0]]).filter((item) => item[2] !== undefined);
  if (!framed.length) return null;
  const buttons = framed.slice(0, MOST_STEPS).map(([index, node, kind]) => {
    const attributes = { "aria-label": `Step ${index}`, "aria-current": index === at && "true", onclick: () => go(index) };
    return make("button", attributes, frameCanvas(table, node, kind, 34));
  });
  return make("div", { class: "strip" }, buttons);
}

function stepTable(table, route, at, go) {
  const rows = route.slice(0, MOST_STEPS).map(({ node, action, share }, index) => {
    const greedy = action !== null && action === table.greedy(node);
    const cells = action === null ? ["", ""] : [`${action}${greedy ? " •" : ""}`, probability(share)];
    return make(
      "tr",
      { "aria-current": index === at && "true" },
      make("td", {}, String(index)),
      make("td", { class: "left" }, make("button", { class: "key", onclick: () => go(index) }, table.names[node])),
      cells.map((cell) => make("td", {}, cell)),
      make("td", {}, decimal(table.values[node])),
    );
  });
  const heads = ["step", "code", "action", "n / N", "V"].map((head, i) => make("th", { scope: "col", class: i === 1 && "left" }, head));
  const note = make("p", { class: "quiet" }, "• the greedy action");
  return make("div", {}, make("table", {}, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows)), note);
}
