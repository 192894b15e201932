// Where more codes are in view than anyone can tell apart, those in the same square of the plane are one mark.

const MOST_CODES = 5000; // drawn one by one
const GROUP_PIXELS = 9; // least side of a square on the screen

/** The groups of a table for squares of side 2 ** (level / 2); made once. */
function groupsOf(table, level) {
  if (!table.groupings.has(level)) table.groupings.set(level, makeGroups(table, 2 ** (level / 2)));
  return table.groupings.get(level);
}

function makeGroups(table, side) {
  const numbers = new Map();
  const groups = [];
  const member = new Int32Array(table.size);
  for (let node = 0; node < table.size; node++) {
    const square = `${Math.floor(table.x[node] / side)} ${Math.floor(table.y[node] / side)}`;
    if (!numbers.has(square)) {
      numbers.set(square, groups.length);
      groups.push({ x: 0, y: 0, size: 0, visits: 0, weight: 0, value: 0, low: Infinity, high: -Infinity, node });
    }
    member[node] = numbers.get(square);
    const group = groups[member[node]];
    const weight = table.visits[node] + 1;
    group.size += 1;
    group.visits += table.visits[node];
    group.weight += weight;
    group.x += weight * table.x[node];
    group.y += weight * table.y[node];
    group.value += weight * table.values[node];
    group.low = Math.min(group.low, table.values[node]);
    group.high = Math.max(group.high, table.values[node]);
  }
  for (const group of groups) for (const name of ["x", "y", "value"]) group[name] /= group.weight;
  const links = new Map();
  const { from, to, counts } = table.links;
  for (let link = 0; link < to.length; link++) {
    const [a, b] = [member[from[link]], member[to[link]]];
    if (a === b) continue;
    const pair = Math.min(a, b) * groups.length + Math.max(a, b);
    links.set(pair, (links.get(pair) ?? 0) + counts[link]);
  }
  const pairs = Array.from(links, ([pair, count]) => [Math.floor(pair / groups.length), pair % groups.length, count]);
  return {
    groups,
    pairs,
    mostVisits: groups.reduce((most, group) => Math.max(most, group.visits), 1),
    mostCount: pairs.reduce((most, pair) => Math.max(most, pair[2]), 1),
  };
}
