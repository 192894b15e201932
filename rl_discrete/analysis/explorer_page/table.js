// The learned MDP at one checkpoint: S codes with A actions, and which code followed which.

class Table {
  constructor(index, arrays) {
    const { keys, places, values, q, counts, rewards, ends, hidden, offsets, targets, edgeCounts } = arrays;
    Object.assign(this, { index, values, q, counts, rewards, ends, hidden, offsets, targets, edgeCounts });
    this.actions = meta.actions;
    this.size = values.length;
    this.x = places.filter((_, i) => i % 2 === 0);
    this.y = places.filter((_, i) => i % 2 === 1);
    this.frames = meta.moments[index].frames.map((_, kind) => arrays[`frame${kind}`]);
    this.names = hexNames(keys, this.size);
    this.nodes = new Map(this.names.map((name, node) => [name, node]));
    this.visits = new Float64Array(this.size);
    counts.forEach((count, pair) => (this.visits[Math.floor(pair / this.actions)] += count));
    this.mostVisits = this.visits.reduce((most, count) => Math.max(most, count), 1);
    this.groupings = new Map();
    this.link();
  }

  /** Links: all transitions from one code to another, whatever the action. */
  link() {
    const place = new Int32Array(this.size).fill(-1);
    const starts = new Uint32Array(this.size + 1);
    const [from, to, counts] = [[], [], []];
    for (let node = 0; node < this.size; node++) {
      starts[node] = to.length;
      const last = this.offsets[(node + 1) * this.actions];
      for (let edge = this.offsets[node * this.actions]; edge < last; edge++) {
        const target = this.targets[edge];
        if (place[target] < starts[node]) {
          place[target] = to.length;
          from.push(node);
          to.push(target);
          counts.push(0);
        }
        counts[place[target]] += this.edgeCounts[edge];
      }
    }
    starts[this.size] = to.length;
    const arrivals = Array.from({ length: this.size }, () => []);
    to.forEach((target, link) => arrivals[target].push(link));
    this.links = { starts, from, to, counts, arrivals, most: counts.reduce((most, count) => Math.max(most, count), 1) };
  }

  /** What followed an action or any: [{ action, target, count, share }], most frequent first. */
  outcomes(node) {
    const found = [];
    for (let action = 0; action < this.actions; action++) {
      const pair = node * this.actions + action;
      const add = (target, count) => found.push({ action, target, count, share: count / this.counts[pair] });
      for (let edge = this.offsets[pair]; edge < this.offsets[pair + 1]; edge++) {
        add(this.targets[edge], this.edgeCounts[edge]);
      }
      if (this.ends[pair]) add("end", this.ends[pair]);
      if (this.hidden[pair]) add("left out", this.hidden[pair]);
    }
    return found.sort((a, b) => b.count - a.count);
  }

  /** The tried action with the largest Q; -1 where none was tried. */
  greedy(node) {
    let best = -1;
    for (let action = 0; action < this.actions; action++) {
      const q = this.q[node * this.actions + action];
      if (!Number.isNaN(q) && (best < 0 || q > this.q[node * this.actions + best])) best = action;
    }
    return best;
  }

  /** The node of a code written in hex, with or without 0x and leading zeros; -1 where there is none. */
  find(text) {
    const digits = text.trim().toLowerCase().replace(/^0x/, "");
    return this.nodes.get(digits.padStart(hexDigits(), "0")) ?? -1;
  }

  /** At most `most` nodes whose code contains the digits, those that begin with them first, then by visits. */
  search(text, most) {
    const digits = text.trim().toLowerCase().replace(/^0x/, "");
    const exact = this.find(text);
    if (!/^[0-9a-f]+$/.test(digits)) return [];
    const found = [];
    for (let node = 0; node < this.size; node++) {
      const at = node === exact ? -1 : this.names[node].indexOf(digits);
      if (at >= 0 || node === exact) found.push({ node, rank: Math.min(at, 1) });
    }
    found.sort((a, b) => a.rank - b.rank || this.visits[b.node] - this.visits[a.node]);
    return Object.assign(found.slice(0, most).map(({ node }) => node), { total: found.length });
  }
}

const hexDigits = () => Math.max(Math.ceil(meta.keyBits / 4), 1);

function hexNames(keys, size) {
  const words = size ? keys.length / size : 1;
  return Array.from({ length: size }, (_, node) => {
    let name = "";
    for (let word = words - 1; word >= 0; word--) name += keys[node * words + word].toString(16).padStart(16, "0");
    return name.slice(-hexDigits()).padStart(hexDigits(), "0");
  });
}
