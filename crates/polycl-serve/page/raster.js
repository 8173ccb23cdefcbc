// Shapes to pixels. A picture of flags is a Uint8Array, row by row; pixel (x, y) has its centre at (x + 0.5, y + 0.5).

/// Flags every pixel whose centre lies within `radius` mm of the segment from a to b, and the pixel under b.
export function sweepDisc(flags, plane, a, b, radius) {
  const { width, height, pixel: [sx, sy] } = plane;
  const under = { x: Math.floor(b.x), y: Math.floor(b.y) };
  if (plane.holds(under.x, under.y)) flags[under.y * width + under.x] = 1;
  const left = Math.max(0, Math.floor(Math.min(a.x, b.x) - radius / sx - 1));
  const right = Math.min(width - 1, Math.ceil(Math.max(a.x, b.x) + radius / sx));
  const top = Math.max(0, Math.floor(Math.min(a.y, b.y) - radius / sy - 1));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(a.y, b.y) + radius / sy));
  const dx = (b.x - a.x) * sx, dy = (b.y - a.y) * sy;
  const length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const px = (x + 0.5 - a.x) * sx, py = (y + 0.5 - a.y) * sy;
      const t = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ex = px - t * dx, ey = py - t * dy;
      if (ex * ex + ey * ey <= radius * radius) flags[y * width + x] = 1;
    }
  }
}

/// Flags every pixel whose centre lies inside the closed outline (even-odd rule).
export function fillPolygon(flags, plane, points) {
  const { width, height } = plane;
  for (let y = 0; y < height; y++) {
    const centre = y + 0.5;
    const crossings = [];
    for (let p = 0; p < points.length; p++) {
      const a = points[p], b = points[(p + 1) % points.length];
      if (a.y <= centre !== b.y <= centre) crossings.push(a.x + ((centre - a.y) / (b.y - a.y)) * (b.x - a.x));
    }
    crossings.sort((one, other) => one - other);
    for (let c = 0; c + 1 < crossings.length; c += 2) {
      const from = Math.max(0, Math.ceil(crossings[c] - 0.5));
      const to = Math.min(width - 1, Math.ceil(crossings[c + 1] - 0.5) - 1);
      for (let x = from; x <= to; x++) flags[y * width + x] = 1;
    }
  }
}

/// Flags the pixels connected with (x, y) over sides for which `inside(at)` holds; tells if the picture's border was met.
export function flood(flags, plane, x, y, inside) {
  const { width, height } = plane;
  const stack = [y * width + x];
  let border = false;
  if (!inside(stack[0])) return border;
  flags[stack[0]] = 1;
  while (stack.length) {
    const at = stack.pop();
    const column = at % width, row = (at - column) / width;
    border ||= column === 0 || row === 0 || column === width - 1 || row === height - 1;
    const visit = (next) => {
      if (!flags[next] && inside(next)) {
        flags[next] = 1;
        stack.push(next);
      }
    };
    if (column > 0) visit(at - 1);
    if (column < width - 1) visit(at + 1);
    if (row > 0) visit(at - width);
    if (row < height - 1) visit(at + width);
  }
  return border;
}

/// The sides between pixels of different values as one path for each value that `shown` holds, in pixels.
export function outlines(values, width, height, shown) {
  const paths = new Map();
  const put = (value, x0, y0, x1, y1) => {
    if (!value || !shown[value]) return;
    let path = paths.get(value);
    if (!path) paths.set(value, (path = new Path2D()));
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  const blank = new values.constructor(width);
  const upright = new Int32Array(width + 1).fill(-1);
  let over = blank;
  for (let y = 0; y <= height; y++) {
    const row = y < height ? values.subarray(y * width, (y + 1) * width) : blank;
    let from = -1, left = 0, corner = 0;
    for (let x = 0; x <= width; x++) {
      const here = x < width ? row[x] : 0, above = x < width ? over[x] : 0;
      if (here !== above || here !== left || here !== corner) {
        if (from >= 0 && (here !== left || above !== corner)) {
          put(left, from, y, x, y);
          put(corner, from, y, x, y);
          from = -1;
        }
        if (from < 0 && here !== above) from = x;
        if (upright[x] >= 0 && (here !== above || left !== corner)) {
          put(above, x, upright[x], x, y);
          put(corner, x, upright[x], x, y);
          upright[x] = -1;
        }
        if (upright[x] < 0 && here !== left) upright[x] = y;
      }
      left = here;
      corner = above;
    }
    over = row;
  }
  return paths;
}
