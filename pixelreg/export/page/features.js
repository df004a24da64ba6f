// What the detector sees of a picture: pixelreg/faces/cascade.py.
//
// A plane is {values, width, height}. A pose {x, y, ax, ay} puts the face's own frame into a picture:
// its origin midway between the eyes, and the vector from one eye to the other, which is its unit.

const CELL = 4;
const CHANNELS = 8;
const FLAT = 0.02; // a gradient below which a neighbourhood counts as flat
const MEAN_SHAPE = [-0.5, 0, 0.5, 0, 0, 0.56, -0.4, 1.1, 0.4, 1.1];
const CROP_SIDE = 64;
const CROP_UNIT = 24;
const PATCH_SIDE = 24;
const PATCH_UNIT = 40;

const unitOf = ({ ax, ay }) => Math.hypot(ax, ay);

// Luminance as Pillow's, a byte a pixel.
function greyOf({ data, width, height }) {
  const values = new Uint8Array(width * height);
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const sum = data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471;
    values[i] = (sum + 32768) >> 16;
  }
  return { values, width, height };
}

// The square roots of a plane's whole cells, their border repeated once.
function rootsOf({ values, width, height }, scale) {
  const columns = width - (width % CELL);
  const rows = height - (height % CELL);
  const wide = columns + 2;
  const roots = new Float32Array(wide * (rows + 2));
  for (let y = 0; y < rows; y++) {
    const to = (y + 1) * wide + 1;
    for (let x = 0; x < columns; x++) roots[to + x] = Math.sqrt(values[y * width + x] * scale);
    roots[to - 1] = roots[to];
    roots[to + columns] = roots[to + columns - 1];
  }
  roots.copyWithin(0, wide, 2 * wide);
  roots.copyWithin((rows + 1) * wide, rows * wide, (rows + 1) * wide);
  return { roots, wide, columns: columns / CELL, rows: rows / CELL };
}

// Histograms of gradient orientation on cells of 4 x 4 pixels, as `cell_features` has them.
// `scale` brings the plane's values to [0, 1].
function cellFeatures(plane, scale = 1) {
  const { roots, wide, columns, rows } = rootsOf(plane, scale);
  const cells = new Float32Array(rows * columns * CHANNELS);
  const energy = new Float32Array(rows * columns);
  for (let i = 0; i < rows * columns; i++) {
    const corner = (CELL * Math.floor(i / columns) + 1) * wide + CELL * (i % columns) + 1;
    energy[i] = fillCell(roots, wide, corner, cells, CHANNELS * i);
  }
  normaliseCells(cells, energy, columns, rows);
  return { cells, columns, rows };
}

const HALF = Math.fround(Math.SQRT1_2);

function fillCell(roots, wide, corner, cells, to) {
  let p0 = 0, p1 = 0, p2 = 0, p3 = 0, n0 = 0, n1 = 0, n2 = 0, n3 = 0;
  for (let y = 0; y < CELL; y++) {
    for (let at = corner + y * wide, end = at + CELL; at < end; at++) {
      const right = roots[at + 1] - roots[at - 1];
      const down = roots[at + wide] - roots[at - wide];
      const falling = (right + down) * HALF;
      const rising = (down - right) * HALF;
      if (right > 0) p0 += right; else n0 -= right;
      if (falling > 0) p1 += falling; else n1 -= falling;
      if (down > 0) p2 += down; else n2 -= down;
      if (rising > 0) p3 += rising; else n3 -= rising;
    }
  }
  cells[to] = p0 / 16;
  cells[to + 1] = p1 / 16;
  cells[to + 2] = p2 / 16;
  cells[to + 3] = p3 / 16;
  cells[to + 4] = n0 / 16;
  cells[to + 5] = n1 / 16;
  cells[to + 6] = n2 / 16;
  cells[to + 7] = n3 / 16;
  return (p0 + p1 + p2 + p3 + n0 + n1 + n2 + n3) / 16;
}

// Divide every cell by the mean energy of its 3 x 3 neighbourhood, and take the root.
function normaliseCells(cells, energy, columns, rows) {
  for (let i = 0; i < rows; i++) {
    const above = columns * Math.max(i - 1, 0);
    const below = columns * Math.min(i + 1, rows - 1);
    for (let j = 0; j < columns; j++) {
      const left = Math.max(j - 1, 0);
      const right = Math.min(j + 1, columns - 1);
      let sum = 0;
      for (const line of [above, i * columns, below]) {
        sum += energy[line + left] + energy[line + j] + energy[line + right];
      }
      const by = sum / 9 + FLAT;
      const first = CHANNELS * (i * columns + j);
      for (let k = first; k < first + CHANNELS; k++) cells[k] = Math.sqrt(cells[k] / by);
    }
  }
}

// Points [x, y, x, y, ...] of the face's frame in the picture, and the other way round.
function toPicture({ x, y, ax, ay }, points) {
  const out = new Float64Array(points.length);
  for (let k = 0; k < points.length; k += 2) {
    out[k] = ax * points[k] - ay * points[k + 1] + x;
    out[k + 1] = ay * points[k] + ax * points[k + 1] + y;
  }
  return out;
}

function toFrame({ x, y, ax, ay }, points) {
  const square = ax * ax + ay * ay;
  const out = new Float64Array(points.length);
  for (let k = 0; k < points.length; k += 2) {
    const [u, v] = [points[k] - x, points[k + 1] - y];
    out[k] = (ax * u + ay * v) / square;
    out[k + 1] = (ax * v - ay * u) / square;
  }
  return out;
}

const middleOf = (points) => {
  const middle = [0, 0];
  points.forEach((value, k) => { middle[k % 2] += (2 * value) / points.length; });
  return middle;
};

// The least-squares similarity from the mean shape to five landmarks.
function fitPose(points) {
  const [mx, my] = middleOf(points);
  const [cx, cy] = middleOf(MEAN_SHAPE);
  let ax = 0, ay = 0, square = 0;
  for (let k = 0; k < points.length; k += 2) {
    const [u, v] = [MEAN_SHAPE[k] - cx, MEAN_SHAPE[k + 1] - cy];
    const [x, y] = [points[k] - mx, points[k + 1] - my];
    ax += x * u + y * v;
    ay += y * u - x * v;
    square += u * u + v * v;
  }
  ax /= square;
  ay /= square;
  return { x: mx - (ax * cx - ay * cy), y: my - (ay * cx + ax * cy), ax, ay };
}

// Grey pictures on [0, 1] at octaves, each halved by 2 x 2 means.
function pyramidOf({ values, width, height }) {
  const levels = [{ values: Float32Array.from(values, (value) => value / 255), width, height }];
  while (levels.length < 6 && Math.min(levels.at(-1).width, levels.at(-1).height) >= 16) {
    levels.push(halved(levels.at(-1)));
  }
  return levels;
}

function halved(plane) {
  const width = plane.width >> 1;
  const height = plane.height >> 1;
  const values = new Float32Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    let from = 2 * y * plane.width;
    for (let x = 0; x < width; x++, to++, from += 2) {
      const below = from + plane.width;
      const { values: v } = plane;
      values[to] = (v[from] + v[below] + (v[from + 1] + v[below + 1])) * 0.25;
    }
  }
  return { values, width, height };
}

// A lattice of `side` x `side` points of a face's frame, `step` apart from the corner (x, y) on,
// bilinear from the octave that fits.
function sampleLattice(pyramid, pose, corner, side, step) {
  const wanted = Math.round(Math.log2(Math.max(unitOf(pose) * step, 1e-6)));
  const octave = within(wanted, 0, pyramid.length - 1);
  const { values, width, height } = pyramid[octave];
  const share = 2 ** -octave;
  const out = new Float32Array(side * side);
  for (let row = 0, to = 0; row < side; row++) {
    const v = corner[1] + (row + 0.5) * step;
    for (let column = 0; column < side; column++, to++) {
      const u = corner[0] + (column + 0.5) * step;
      const x = within((pose.ax * u - pose.ay * v + pose.x) * share - 0.5, 0, width - 1);
      const y = within((pose.ay * u + pose.ax * v + pose.y) * share - 0.5, 0, height - 1);
      const left = Math.min(Math.floor(x), Math.max(width - 2, 0));
      const top = Math.min(Math.floor(y), Math.max(height - 2, 0));
      const at = top * width + left;
      const below = at + (height > 1 ? width : 0);
      const next = width > 1 ? 1 : 0;
      const upper = values[at] + (x - left) * (values[at + next] - values[at]);
      const lower = values[below] + (x - left) * (values[below + next] - values[below]);
      out[to] = upper + (y - top) * (lower - upper);
    }
  }
  return { values: out, width: side, height: side };
}

// 2048 features of the whole face, and 5 * 288 of patches around its landmarks.
function cropFeatures(pyramid, pose) {
  const lattice = sampleLattice(pyramid, pose, [-32 / 24, -1], CROP_SIDE, 1 / CROP_UNIT);
  return cellFeatures(lattice).cells;
}

function patchFeatures(pyramid, pose, points) {
  const half = PATCH_SIDE / PATCH_UNIT / 2;
  const inside = toFrame(pose, points);
  const size = (PATCH_SIDE / CELL) ** 2 * CHANNELS;
  const out = new Float32Array((points.length / 2) * size);
  for (let k = 0; k < points.length; k += 2) {
    const corner = [inside[k] - half, inside[k + 1] - half];
    const lattice = sampleLattice(pyramid, pose, corner, PATCH_SIDE, 1 / PATCH_UNIT);
    out.set(cellFeatures(lattice).cells, (k / 2) * size);
  }
  return out;
}
