// The planned path between two codes: the most probable route under tried actions.

const PER_STEP = 1e-7; // nats: of two routes that are equally probable, the shorter one

/**
 * Dijkstra on -log(n / N). Returns [{ node, action, share }], the goal last and without an action; null where no
 * tried actions lead there.
 */
function findRoute(table, start, goal) {
  const costs = new Float64Array(table.size).fill(Infinity);
  const cameBy = new Array(table.size);
  const queue = new Heap();
  costs[start] = 0;
  queue.push(0, start);
  while (queue.length) {
    const [cost, node] = queue.pop();
    if (node === goal) break;
    if (cost > costs[node]) continue;
    for (let action = 0; action < table.actions; action++) {
      const pair = node * table.actions + action;
      for (let edge = table.offsets[pair]; edge < table.offsets[pair + 1]; edge++) {
        const share = table.edgeCounts[edge] / table.counts[pair];
        const target = table.targets[edge];
        const next = cost - Math.log(share) + PER_STEP;
        if (next < costs[target]) {
          costs[target] = next;
          cameBy[target] = { node, action, share };
          queue.push(next, target);
        }
      }
    }
  }
  if (costs[goal] === Infinity) return null;
  const steps = [{ node: goal, action: null, share: 1 }];
  for (let node = goal; node !== start; node = cameBy[node].node) steps.unshift(cameBy[node]);
  return steps;
}

/** A binary heap of [cost, node], the least cost first. */
class Heap {
  items = [];

  get length() {
    return this.items.length;
  }

  push(cost, node) {
    const { items } = this;
    let place = items.push([cost, node]) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (items[parent][0] <= items[place][0]) break;
      [items[parent], items[place]] = [items[place], items[parent]];
      place = parent;
    }
  }

  pop() {
    const { items } = this;
    const first = items[0];
    const last = items.pop();
    if (!items.length) return first;
    items[0] = last;
    for (let place = 0; ; ) {
      const left = 2 * place + 1;
      if (left >= items.length) return first;
      const least = left + 1 < items.length && items[left + 1][0] < items[left][0] ? left + 1 : left;
      if (items[place][0] <= items[least][0]) return first;
      [items[least], items[place]] = [items[place], items[least]];
      place = least;
    }
  }
}
