// Draws a table on the canvas, and tells what lies under the pointer.

const VIRIDIS = ["440154", "472c7a", "3b518b", "2c718e", "21908d", "27ad81", "5cc863", "aadc32", "fde725"];
const LAST_SHADE = 128;
const CURVES_FROM = 22; // pixels of an edge from which the two directions of a link part
const ARROWS_FROM = 34;
const LABELS_FROM = 80;
const MOST_CURVES = 2500;
const MOST_LABELS = 300;
const LINES_AT_A_TIME = 100;
const BEND = 0.14; // of a curved link, as a share of its length
const SHADES = [0.16, 0.28, 0.45, 0.7]; // of links, by their counts

/** A colour of the scale of values, from 0 to 1. Its ends are those of all checkpoints, so that colours compare. */
function shadeOf(share, dark) {
  const place = (dark ? 0.12 + 0.88 * share : 0.94 * share) * (VIRIDIS.length - 1);
  const first = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const channel = (color, i) => parseInt(VIRIDIS[color].slice(2 * i, 2 * i + 2), 16);
  const mix = (i) => Math.round(channel(first, i) + (place - first) * (channel(first + 1, i) - channel(first, i)));
  return `rgb(${mix(0)},${mix(1)},${mix(2)})`;
}

/** Share of the largest radius for a number of visits. */
const sizeOf = (visits, most) => 0.3 + 0.7 * (Math.log1p(visits) / Math.log1p(most));

class Picture {
  constructor(canvas, camera) {
    Object.assign(this, { canvas, camera, context: canvas.getContext("2d"), table: null, marks: [], curves: [], ranked: false });
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const takeColors = () => {
      const style = getComputedStyle(document.documentElement);
      const color = (name) => style.getPropertyValue(`--${name}`).trim();
      this.colors = Object.fromEntries(["ink", "muted", "link", "paper", "route", "halo"].map((c) => [c, color(c)]));
      this.dark = dark.matches;
      this.shades = Array.from({ length: LAST_SHADE + 1 }, (_, i) => shadeOf(i / LAST_SHADE, this.dark));
    };
    takeColors();
    dark.addEventListener("change", takeColors);
  }

  /** By value, or by its rank among the values of all checkpoints. */
  color(value) {
    const { quantiles } = meta;
    const [low, high] = [quantiles[0], quantiles[LAST_SHADE]];
    if (high <= low) return this.shades[LAST_SHADE / 2];
    if (!this.ranked) {
      const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
      return this.shades[Math.round(LAST_SHADE * share)];
    }
    let [first, last] = [0, LAST_SHADE];
    while (first < last) {
      const middle = (first + last) >> 1;
      if (quantiles[middle] < value) first = middle + 1;
      else last = middle;
    }
    return this.shades[first];
  }

  /** Draws a table with a choice { from, to, route, at } on it. */
  draw(table, choice) {
    const { canvas, camera, context } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(camera.width * ratio), Math.round(camera.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, camera.width, camera.height);
    this.table = table;
    this.inView = [];
    for (let node = 0; node < table.size; node++) {
      if (camera.holds(table.x[node], table.y[node])) this.inView.push(node);
    }
    this.mode = this.inView.length > MOST_CODES ? "groups" : "codes";
    this.marks = [];
    this.curves = [];
    this.linksInView = 0;
    if (this.mode === "groups") this.drawGroups();
    else this.drawCodes(choice);
    this.drawChoice(choice);
  }

  drawGroups() {
    const { camera, context, table } = this;
    const level = Math.ceil(2 * Math.log2(GROUP_PIXELS / camera.scale));
    const { groups, pairs, mostVisits, mostCount } = groupsOf(table, level);
    const visible = groups.map(({ x, y }) => camera.holds(x, y));
    const places = groups.map(({ x, y }) => camera.toScreen(x, y));
    const shown = pairs.filter(([a, b]) => visible[a] || visible[b]);
    this.linksInView = shown.length;
    this.strokeShaded(shown, mostCount, ([a, b, count]) => [places[a], places[b], count]);
    groups.forEach((group, index) => {
      if (!visible[index]) return;
      const radius = Math.max(0.46 * camera.scale * 2 ** (level / 2) * sizeOf(group.visits, mostVisits), 1.2);
      this.marks.push({ group, x: places[index][0], y: places[index][1], radius });
    });
    this.marks.sort((a, b) => b.radius - a.radius);
    for (const { group, x, y, radius } of this.marks) this.dot(x, y, radius, this.color(group.value));
    context.globalAlpha = 1;
  }

  radius(node) {
    return Math.min(Math.max(0.4 * this.camera.scale * sizeOf(this.table.visits[node], this.table.mostVisits), 1.6), 20);
  }

  drawCodes(choice) {
    const { camera, context, table } = this;
    const { starts, to, from, counts, most, arrivals } = table.links;
    const seen = new Set();
    for (const node of this.inView) {
      for (let link = starts[node]; link < starts[node + 1]; link++) seen.add(link);
      for (const link of arrivals[node]) seen.add(link);
    }
    const links = [...seen];
    this.linksInView = links.length;
    const curved = camera.scale >= CURVES_FROM && links.length <= MOST_CURVES;
    const at = (node) => camera.toScreen(table.x[node], table.y[node]);
    if (curved) {
      this.curves = links.map((link) => this.curve(at(from[link]), at(to[link]), from[link] === to[link], link));
      for (const curve of this.curves) this.strokeCurve(curve, this.colors.link, this.shade(counts[curve.link], most));
    } else {
      this.strokeShaded(links, most, (link) => [at(from[link]), at(to[link]), counts[link]]);
    }
    if (choice.from >= 0 && !choice.route) this.drawNeighbours(choice.from, curved);
    for (const node of this.inView) {
      const [x, y] = at(node);
      this.marks.push({ node, x, y, radius: this.radius(node) });
      this.dot(x, y, this.radius(node), this.color(table.values[node]));
    }
    if (curved && camera.scale >= LABELS_FROM && links.length <= MOST_LABELS) {
      this.labels(counts);
    }
    context.globalAlpha = 1;
  }

  /** The links of the chosen code. */
  drawNeighbours(node, curved) {
    const { table, camera } = this;
    const { starts, from, to, arrivals, most, counts } = table.links;
    const at = (other) => camera.toScreen(table.x[other], table.y[other]);
    const stroke = (link, color) => {
      const curve = this.curve(at(from[link]), at(to[link]), from[link] === to[link], link, curved ? BEND : 0);
      this.strokeCurve(curve, color, 0.45 + 0.5 * this.shade(counts[link], most), 1.6);
    };
    for (const link of arrivals[node]) stroke(link, this.colors.muted);
    for (let link = starts[node]; link < starts[node + 1]; link++) stroke(link, this.colors.route);
  }

  drawChoice({ from, to, route, at }) {
    const { camera, context, table, colors } = this;
    const place = (node) => camera.toScreen(table.x[node], table.y[node]);
    if (route) {
      context.lineJoin = "round";
      for (const [width, color] of [[6, colors.halo], [2.6, colors.route]]) {
        context.beginPath();
        route.forEach(({ node }, index) => context[index ? "lineTo" : "moveTo"](...place(node)));
        Object.assign(context, { lineWidth: width, strokeStyle: color, globalAlpha: width > 3 ? 0.75 : 1 });
        context.stroke();
      }
      context.globalAlpha = 1;
      for (const { node } of route) {
        this.dot(...place(node), Math.max(this.radius(node), 3), this.color(table.values[node]), colors.route);
      }
      this.ring(place(route[at].node), Math.max(this.radius(route[at].node), 4) + 4, 2.5);
    }
    if (from >= 0) this.pin(place(from), this.radius(from), "A");
    if (to >= 0 && to !== from) this.pin(place(to), this.radius(to), "B");
  }

  ring([x, y], radius, width) {
    const { context, colors } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    Object.assign(context, { lineWidth: width + 2, strokeStyle: colors.halo });
    context.stroke();
    Object.assign(context, { lineWidth: width, strokeStyle: colors.route });
    context.stroke();
  }

  pin([x, y], radius, letter) {
    const { context, colors } = this;
    this.ring([x, y], Math.max(radius, 4) + 3, 2);
    const top = y - Math.max(radius, 4) - 15;
    this.dot(x, top, 9, colors.route, colors.halo);
    Object.assign(context, { fillStyle: colors.halo, font: "600 11px sans-serif", textAlign: "center", textBaseline: "middle" });
    context.fillText(letter, x, top + 0.5);
  }

  dot(x, y, radius, color, rim = this.colors.halo) {
    const { context } = this;
    context.globalAlpha = 1;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = color;
    context.fill();
    if (radius < 2.5) return;
    Object.assign(context, { lineWidth: 1, strokeStyle: rim });
    context.stroke();
  }

  shade(count, most) {
    const share = Math.log1p(count) / Math.log1p(most);
    return SHADES[Math.min(Math.floor(share * SHADES.length), SHADES.length - 1)];
  }

  /** Straight lines. A path of thousands of them takes far longer to fill in than as many short paths. */
  strokeShaded(items, most, ends) {
    const { context } = this;
    const thin = items.length > 6000 ? 0.6 : 1;
    const lines = new Map(SHADES.map((shade) => [shade, []]));
    for (const item of items) {
      const [first, second, count] = ends(item);
      lines.get(this.shade(count, most)).push([first, second]);
    }
    for (const [shade, all] of lines) {
      Object.assign(context, { strokeStyle: this.colors.link, globalAlpha: shade * thin, lineWidth: 0.8 + 0.6 * shade });
      for (let begin = 0; begin < all.length; begin += LINES_AT_A_TIME) {
        context.beginPath();
        for (const [first, second] of all.slice(begin, begin + LINES_AT_A_TIME)) {
          context.moveTo(...first);
          context.lineTo(...second);
        }
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }
}
