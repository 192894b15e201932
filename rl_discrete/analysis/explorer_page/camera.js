// What part of the plane the canvas shows.

class Camera {
  constructor(canvas) {
    Object.assign(this, { canvas, x: 0, y: 0, scale: 1, fitted: true, least: 0.001 });
  }

  get width() {
    return this.canvas.clientWidth;
  }

  get height() {
    return this.canvas.clientHeight;
  }

  /** Place on the canvas, in CSS pixels, of a point of the plane. */
  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toPlane(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, (top - this.height / 2) / this.scale + this.y];
  }

  /** Shows everything of a table. */
  fit(table) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let node = 0; node < table.size; node++) {
      [left, right] = [Math.min(left, table.x[node]), Math.max(right, table.x[node])];
      [top, bottom] = [Math.min(top, table.y[node]), Math.max(bottom, table.y[node])];
    }
    if (!table.size) [left, right, top, bottom] = [0, 1, 0, 1];
    const whole = Math.min((this.width - 90) / (right - left + 1), (this.height - 110) / (bottom - top + 1));
    this.least = Math.max(whole / 4, 1e-4);
    Object.assign(this, { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.max(Math.min(whole, 120), 1e-4) });
    this.fitted = true;
  }

  move(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.fitted = false;
  }

  /** Zooms by a factor, keeping the point under (left, top) where it is. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toPlane(left, top);
    this.scale = Math.min(Math.max(this.scale * factor, this.least), 400);
    this.x = x - (left - this.width / 2) / this.scale;
    this.y = y - (top - this.height / 2) / this.scale;
    this.fitted = false;
  }

  /** Brings a point into the middle, close enough to tell it from its neighbours. */
  show(x, y, scale = 40) {
    Object.assign(this, { x, y, scale: Math.max(this.scale, scale), fitted: false });
  }

  holds(x, y, margin = 30) {
    const [left, top] = this.toScreen(x, y);
    return left > -margin && top > -margin && left < this.width + margin && top < this.height + margin;
  }
}
