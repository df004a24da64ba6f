// Grey pictures at octaves and the gradients in them, as pixelreg/faces/cascade.py has them. The
// face frame has its origin midway between the eyes and the eye distance as its unit; a pose
// {x, y, ax, ay} puts it into a picture: where the origin lies, and the step from eye to eye.

const CELL = 4; // pixels of a cell's side
const CELL_CHANNELS = 8;
const CELL_FLAT = 0.02; // mean gradient below which a neighbourhood counts as flat
const FIVE_MEAN = [-0.5, 0, 0.5, 0, 0, 0.56, -0.4, 1.1, 0.4, 1.1];

/** (2 k) points of the face frame in pixels of the picture. */
function poseToPicture(pose, points, out = new Float64Array(points.length)) {
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i], y = points[i + 1];
    out[i] = pose.ax * x - pose.ay * y + pose.x;
    out[i + 1] = pose.ay * x + pose.ax * y + pose.y;
  }
  return out;
}

/** (2 k) pixels of the picture as points of the face frame. */
function poseToFrame(pose, points, out = new Float64Array(points.length)) {
  const square = pose.ax * pose.ax + pose.ay * pose.ay;
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i] - pose.x, y = points[i + 1] - pose.y;
    out[i] = (pose.ax * x + pose.ay * y) / square;
    out[i + 1] = (pose.ax * y - pose.ay * x) / square;
  }
  return out;
}

/** The pose that puts (2 k) points `from` onto (2 k) points `to` best, each counted by a weight. */
function poseBetween(from, to, weights) {
  let total = 0, fx = 0, fy = 0, tx = 0, ty = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i];
    total += w;
    fx += w * from[2 * i];
    fy += w * from[2 * i + 1];
    tx += w * to[2 * i];
    ty += w * to[2 * i + 1];
  }
  fx /= total, fy /= total, tx /= total, ty /= total;
  let square = 0, ax = 0, ay = 0;
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i], x = from[2 * i] - fx, y = from[2 * i + 1] - fy;
    const u = to[2 * i] - tx, v = to[2 * i + 1] - ty;
    square += w * (x * x + y * y);
    ax += w * (x * u + y * v);
    ay += w * (x * v - y * u);
  }
  ax /= square, ay /= square;
  return { x: tx - (ax * fx - ay * fy), y: ty - (ay * fx + ax * fy), ax, ay };
}

/** The pose of a face by five points, or by its eyes where the others are not known. */
function poseOfFace(points) {
  const known = points.length >= 10 && points.every((value) => Number.isFinite(value));
  if (known) return poseBetween(FIVE_MEAN, points, new Float64Array(5).fill(1));
  const [lx, ly, rx, ry] = points;
  return { x: (lx + rx) / 2, y: (ly + ry) / 2, ax: rx - lx, ay: ry - ly };
}

/** A part of a photo in grey, {width, height, data: Uint8Array}, as Pillow converts it. */
function greyPart(photo, left, top, right, bottom) {
  const width = right - left, height = bottom - top, bytes = photo.data;
  const data = new Uint8Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    let from = 4 * ((top + y) * photo.width + left);
    for (let x = 0; x < width; x++, from += 4, to++) {
      const red = bytes[from], green = bytes[from + 1], blue = bytes[from + 2];
      data[to] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
  }
  return { width, height, data };
}

/** Means of blocks of `times` x `times` pixels of a picture of `channels`, as Pillow's reduce. */
function reducePicture(picture, times, channels = 1) {
  const width = Math.ceil(picture.width / times), height = Math.ceil(picture.height / times);
  const bytes = picture.data, data = new bytes.constructor(width * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    const bottom = Math.min((y + 1) * times, picture.height);
    for (let x = 0; x < width; x++, to += channels) {
      const right = Math.min((x + 1) * times, picture.width);
      const count = (bottom - y * times) * (right - x * times);
      const share = Math.floor(16777216 / count), half = count >> 1;
      for (let k = 0; k < channels; k++) {
        let sum = half;
        for (let v = y * times; v < bottom; v++) {
          let from = (v * picture.width + x * times) * channels + k;
          for (let u = x * times; u < right; u++, from += channels) sum += bytes[from];
        }
        data[to + k] = Math.floor(sum * share / 16777216);
      }
    }
  }
  return { width, height, data };
}

/** A grey picture on [0, 1] and its halves, at most `count` in all: [{width, height, data}]. */
function pyramidOf(grey, count) {
  const first = new Float32Array(grey.data.length);
  for (let i = 0; i < first.length; i++) first[i] = grey.data[i] / 255;
  const levels = [{ width: grey.width, height: grey.height, data: first }];
  while (levels.length < count) {
    const { width, height, data } = levels[levels.length - 1];
    if (Math.min(width, height) < 16) break;
    const half = { width: width >> 1, height: height >> 1 };
    half.data = new Float32Array(half.width * half.height);
    for (let y = 0, to = 0; y < half.height; y++) {
      for (let x = 0, at = 2 * y * width; x < half.width; x++, at += 2, to++) {
        half.data[to] = 0.25 * (data[at] + data[at + width] + data[at + 1] + data[at + width + 1]);
      }
    }
    levels.push(half);
  }
  return levels;
}

/** The pyramid of the picture in a mirror. */
function mirroredPyramid(levels) {
  return levels.map(({ width, height, data }) => {
    const turned = new Float32Array(data.length);
    for (let y = 0; y < height; y++) {
      turned.set(data.subarray(y * width, (y + 1) * width).slice().reverse(), y * width);
    }
    return { width, height, data: turned };
  });
}

/** The octave of samples that lie `step` pixels apart. */
function octaveOf(levels, step) {
  return Math.min(Math.max(roundEven(Math.log2(Math.max(step, 1e-6))), 0), levels.length - 1);
}

/** The nearest whole number, of two the even one. */
function roundEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Bilinear samples of a lattice in a picture; its border repeats.
 *
 * @param {number} x, y  of the lattice's middle, in pixels of the first level.
 * @param {number} ux, uy, vx, vy  steps to the next column and to the next row.
 * @param {Float32Array} out  (rows columns), written to.
 */
function sampleLattice(levels, octave, x, y, ux, uy, vx, vy, columns, rows, out) {
  const { width, height, data } = levels[octave], share = 2 ** -octave;
  const right = width - 1, bottom = height - 1;
  for (let j = 0, to = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++, to++) {
      const a = i - (columns - 1) / 2, b = j - (rows - 1) / 2;
      const u = Math.min(Math.max((x + a * ux + b * vx) * share - 0.5, 0), right);
      const v = Math.min(Math.max((y + a * uy + b * vy) * share - 0.5, 0), bottom);
      const left = Math.max(Math.min(Math.floor(u), right - 1), 0) | 0;
      const top = Math.max(Math.min(Math.floor(v), bottom - 1), 0) | 0;
      const p = top * width + left, q = p + (top < bottom ? width : 0), one = left < right ? 1 : 0;
      const f = u - left, g = v - top;
      const above = data[p] + f * (data[p + one] - data[p]);
      const below = data[q] + f * (data[q + one] - data[q]);
      out[to] = above + g * (below - above);
    }
  }
}

/**
 * Locally normalised histograms of gradient orientation on cells of 4 x 4 pixels.
 *
 * @param {Float32Array} grey  (height width) on [0, 1], both multiples of 4; it is written over.
 * @param {Float32Array} out  written to from `to` on: (height / 4) (width / 4) 8 features.
 */
function cellFeatures(grey, width, height, out, to) {
  for (let i = 0; i < width * height; i++) grey[i] = Math.sqrt(grey[i]);
  const columns = width / CELL, rows = height / CELL, half = Math.SQRT1_2;
  const energy = new Float64Array(columns * rows), sums = new Float64Array(CELL_CHANNELS);
  for (let cell = 0, at = to; cell < columns * rows; cell++, at += CELL_CHANNELS) {
    const left = CELL * (cell % columns), top = CELL * Math.floor(cell / columns);
    sums.fill(0);
    for (let y = top; y < top + CELL; y++) {
      const above = Math.max(y - 1, 0) * width, below = Math.min(y + 1, height - 1) * width;
      for (let x = left; x < left + CELL; x++) {
        const before = Math.max(x - 1, 0), after = Math.min(x + 1, width - 1);
        const right = grey[y * width + after] - grey[y * width + before];
        const down = grey[below + x] - grey[above + x];
        addSigned(sums, 0, right);
        addSigned(sums, 1, (right + down) * half);
        addSigned(sums, 2, down);
        addSigned(sums, 3, (down - right) * half);
      }
    }
    for (let k = 0; k < CELL_CHANNELS; k++) {
      out[at + k] = sums[k] / (CELL * CELL);
      energy[cell] += out[at + k];
    }
  }
  for (let y = 0, at = to; y < rows; y++) {
    for (let x = 0; x < columns; x++, at += CELL_CHANNELS) {
      let total = 0;
      for (let j = -1; j <= 1; j++) {
        const row = Math.min(Math.max(y + j, 0), rows - 1) * columns;
        for (let i = -1; i <= 1; i++) {
          total += energy[row + Math.min(Math.max(x + i, 0), columns - 1)];
        }
      }
      const level = total / 9 + CELL_FLAT;
      for (let k = 0; k < CELL_CHANNELS; k++) out[at + k] = Math.sqrt(out[at + k] / level);
    }
  }
}

function addSigned(sums, channel, slope) {
  if (slope > 0) sums[channel] += slope;
  else sums[channel + 4] -= slope;
}
