// Links that are drawn one by one: curves with arrows, loops, labels.

Object.assign(Picture.prototype, {
  /** The quadratic curve of a link between two places on the screen; a loop where both are one code. */
  curve([x, y], [endX, endY], loop, link, bend = BEND) {
    if (loop) {
      const rim = this.radius(this.table.links.from[link]);
      const size = Math.min(0.16 * this.camera.scale, 13);
      return { link, loop, x, y: y - rim - 0.7 * size, size, middle: [x, y - rim - 2.2 * size] };
    }
    const control = [(x + endX) / 2 + bend * (endY - y), (y + endY) / 2 - bend * (endX - x)];
    const middle = [0.25 * x + 0.5 * control[0] + 0.25 * endX, 0.25 * y + 0.5 * control[1] + 0.25 * endY];
    return { link, x, y, control, endX, endY, middle };
  },

  strokeCurve(curve, color, shade, width = 0.8 + 0.8 * shade) {
    const { context } = this;
    Object.assign(context, { strokeStyle: color, fillStyle: color, globalAlpha: shade, lineWidth: width });
    context.beginPath();
    if (curve.loop) {
      context.arc(curve.x, curve.y, curve.size, 0, 7);
      context.stroke();
      return;
    }
    context.moveTo(curve.x, curve.y);
    context.quadraticCurveTo(...curve.control, curve.endX, curve.endY);
    context.stroke();
    if (this.camera.scale >= ARROWS_FROM) this.arrow(curve);
  },

  /** The head of an arrow, where the curve meets the rim of its target. */
  arrow({ link, control, endX, endY }) {
    const { context } = this;
    const [dx, dy] = [endX - control[0], endY - control[1]];
    const length = Math.hypot(dx, dy) || 1;
    const rim = this.radius(this.table.links.to[link]) + 1;
    const [tipX, tipY] = [endX - (rim * dx) / length, endY - (rim * dy) / length];
    const size = Math.min(0.12 * this.camera.scale, 8) + 1;
    const [backX, backY] = [tipX - (size * dx) / length, tipY - (size * dy) / length];
    const [sideX, sideY] = [(0.45 * size * dy) / length, (-0.45 * size * dx) / length];
    context.globalAlpha = Math.min(context.globalAlpha + 0.25, 1);
    context.beginPath();
    context.moveTo(tipX, tipY);
    context.lineTo(backX + sideX, backY + sideY);
    context.lineTo(backX - sideX, backY - sideY);
    context.fill();
  },

  /** Which actions led along a link, and how often: "0 ×12  2 ×3". */
  linkActions(link) {
    const { links, offsets, targets, edgeCounts, counts, actions } = this.table;
    const found = [];
    for (let action = 0; action < actions; action++) {
      const pair = links.from[link] * actions + action;
      for (let edge = offsets[pair]; edge < offsets[pair + 1]; edge++) {
        if (targets[edge] === links.to[link]) found.push({ action, count: edgeCounts[edge], tried: counts[pair] });
      }
    }
    return found;
  },

  linkLabel(link) {
    return this.linkActions(link).map(({ action, count }) => `${action}\u2009×\u2009${count}`).join("   ");
  },

  /** Labels of links, the most frequent first; one that would cover another is left to the tip. */
  labels(counts) {
    const { context, colors } = this;
    Object.assign(context, { font: "11px sans-serif", textAlign: "center", textBaseline: "middle", lineJoin: "round" });
    Object.assign(context, { globalAlpha: 0.9, lineWidth: 4, strokeStyle: colors.halo, fillStyle: colors.ink });
    const boxes = this.marks.map(({ x, y, radius }) => [x - radius, y - radius, x + radius, y + radius]);
    for (const { link, middle: [x, y] } of [...this.curves].sort((a, b) => counts[b.link] - counts[a.link])) {
      const text = this.linkLabel(link);
      const half = context.measureText(text).width / 2 + 3;
      const box = [x - half, y - 7, x + half, y + 7];
      if (boxes.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      boxes.push(box);
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    }
  },

  /** What is at a place of the canvas: { node }, { group }, { link } or nothing. */
  under(left, top, slack = 4) {
    let [best, least] = [null, Infinity];
    for (const mark of this.marks) {
      const distance = Math.hypot(mark.x - left, mark.y - top) - mark.radius;
      if (distance < Math.min(slack, least)) [best, least] = [mark, distance];
    }
    if (best) return best;
    least = 5;
    for (const curve of this.curves) {
      const distance = this.distanceTo(curve, left, top);
      if (distance < least) [best, least] = [{ link: curve.link }, distance];
    }
    return best;
  },

  distanceTo(curve, left, top) {
    if (curve.loop) return Math.abs(Math.hypot(curve.x - left, curve.y - top) - curve.size);
    let least = Infinity;
    for (let share = 0.1; share < 0.95; share += 0.1) {
      const rest = 1 - share;
      const weights = [rest * rest, 2 * rest * share, share * share];
      const x = weights[0] * curve.x + weights[1] * curve.control[0] + weights[2] * curve.endX;
      const y = weights[0] * curve.y + weights[1] * curve.control[1] + weights[2] * curve.endY;
      least = Math.min(least, Math.hypot(x - left, y - top));
    }
    return least;
  },
});
