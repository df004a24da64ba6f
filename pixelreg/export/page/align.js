// From a photo to the model's crop: pixelreg/faces/align.py, bit by bit.
//
// A photo is {data, width, height} with four bytes a pixel, as ImageData has. Coordinates are (x, y)
// in pixels with pixel centres at i + 0.5. A similarity {a, b, c, d} goes from crop to photo:
// x' = a x - b y + c, y' = b x + a y + d.

const WHOLE = 1e-6; // a scale this little under a whole number is one
const UNMOVED = Object.freeze({ a: 1, b: 0, c: 0, d: 0 });

const within = (value, low, high) => Math.min(Math.max(value, low), high);

// The quotient of two complex numbers, rounded as NumPy rounds it.
function quotient([re, im], [byRe, byIm]) {
  if (Math.abs(byRe) >= Math.abs(byIm)) {
    const ratio = byIm / byRe;
    const scale = 1 / (byRe + byIm * ratio);
    return [(re + im * ratio) * scale, (im - re * ratio) * scale];
  }
  const ratio = byRe / byIm;
  const scale = 1 / (byIm + byRe * ratio);
  return [(re * ratio + im) * scale, (im * ratio - re) * scale];
}

// The similarity that takes a crop's eyes, [x1, y1, x2, y2] as fractions of `size`, to a photo's.
function similarityFromEyes(eyes, frame, size) {
  const [x1, y1, x2, y2] = eyes;
  const there = frame.map((share) => share * size);
  if (!eyes.every(Number.isFinite) || Math.hypot(x2 - x1, y2 - y1) < 1) {
    throw new RangeError("the two eyes must be at different places");
  }
  const [a, b] = quotient([x2 - x1, y2 - y1], [there[2] - there[0], there[3] - there[1]]);
  return { a, b, c: x1 - (a * there[0] - b * there[1]), d: y1 - (a * there[1] + b * there[0]) };
}

// The one that takes a crop to a photo's largest centre square.
function similarityFromSquare(width, height, size) {
  const side = Math.min(width, height);
  return { a: side / size, b: 0, c: (width - side) / 2, d: (height - side) / 2 };
}

const scaleOf = ({ a, b }) => Math.hypot(a, b);

const toPhoto = ({ a, b, c, d }, x, y) => [a * x - b * y + c, b * x + a * y + d];

// Left, top, right and bottom of a crop in its photo.
function boundsOf(similarity, size) {
  const corners = [[0, 0], [size, 0], [0, size], [size, size]];
  const places = corners.map(([x, y]) => toPhoto(similarity, x, y));
  const xs = places.map((place) => place[0]);
  const ys = places.map((place) => place[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function isUnmoved({ a, b, c, d }, photo, size) {
  const still = a === 1 && b === 0 && c === 0 && d === 0;
  return still && photo.width === size && photo.height === size;
}

// The crop of a photo, (size, size, 3) bytes: averaged where it shrinks, bicubic where it grows.
function cropOf(photo, similarity, size) {
  if (isUnmoved(similarity, photo, size)) return coloursOf(photo);
  const factor = Math.max(1, Math.floor(scaleOf(similarity) + WHOLE));
  const [x0, y0, x1, y1] = boundsOf(similarity, size);
  const margin = 3 * factor;
  const left = Math.floor(x0) - margin;
  const top = Math.floor(y0) - margin;
  const right = Math.ceil(x1) + margin;
  const bottom = Math.ceil(y1) + margin;
  if (left >= photo.width || top >= photo.height || right <= 0 || bottom <= 0) {
    throw new RangeError("the face lies outside the picture");
  }
  const small = averaged(photo, left, top, right, bottom, factor);
  const { a, b, c, d } = similarity;
  const place = { a: a / factor, b: b / factor, c: (c - left) / factor, d: (d - top) / factor };
  return lookedUp(small, place, size);
}

function coloursOf({ data, width, height }) {
  const out = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < out.length; from += 4, to += 3) {
    out[to] = data[from];
    out[to + 1] = data[from + 1];
    out[to + 2] = data[from + 2];
  }
  return out;
}

// Means over factor x factor pixels of a part of a photo whose border is repeated, as Pillow's
// `reduce` rounds them: by a reciprocal of 24 bits that is cut off, not rounded.
function averaged({ data, width, height }, left, top, right, bottom, factor) {
  const columns = Math.ceil((right - left) / factor);
  const rows = Math.ceil((bottom - top) / factor);
  const out = new Uint8Array(columns * rows * 3);
  const starts = new Int32Array(right - left);
  for (let x = left; x < right; x++) starts[x - left] = 4 * within(x, 0, width - 1);
  for (let row = 0, to = 0; row < rows; row++) {
    const first = top + row * factor;
    const last = Math.min(bottom, first + factor);
    for (let column = 0; column < columns; column++, to += 3) {
      const from = column * factor;
      const end = Math.min(right - left, from + factor);
      let red = 0, green = 0, blue = 0;
      for (let y = first; y < last; y++) {
        const line = 4 * width * within(y, 0, height - 1);
        for (let x = from; x < end; x++) {
          const at = line + starts[x];
          red += data[at];
          green += data[at + 1];
          blue += data[at + 2];
        }
      }
      const count = (last - first) * (end - from);
      const share = Math.floor(2 ** 24 / count);
      const half = count >> 1;
      out[to] = ((red + half) * share) / 2 ** 24;
      out[to + 1] = ((green + half) * share) / 2 ** 24;
      out[to + 2] = ((blue + half) * share) / 2 ** 24;
    }
  }
  return { data: out, width: columns, height: rows };
}

// Pillow's bicubic (a = -1) of three-byte pixels at a crop's, cut off to whole levels, not rounded.
function lookedUp({ data, width, height }, { a, b, c, d }, size) {
  const out = new Uint8Array(size * size * 3);
  const xs = [0, 0, 0, 0];
  const lines = [0, 0, 0, 0];
  const sums = [0, 0, 0, 0];
  for (let row = 0, to = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const x = a * (column + 0.5) + -b * (row + 0.5) + c - 0.5;
      const y = b * (column + 0.5) + a * (row + 0.5) + d - 0.5;
      const left = Math.floor(x);
      const top = Math.floor(y);
      for (let k = 0; k < 4; k++) {
        xs[k] = 3 * within(left + k - 1, 0, width - 1);
        lines[k] = 3 * width * within(top + k - 1, 0, height - 1);
      }
      for (let channel = 0; channel < 3; channel++, to++) {
        for (let k = 0; k < 4; k++) {
          const line = lines[k] + channel;
          const [p, q, r, s] = [data[line + xs[0]], data[line + xs[1]], data[line + xs[2]],
            data[line + xs[3]]];
          sums[k] = pillowCubic(p, q, r, s, x - left);
        }
        out[to] = within(pillowCubic(sums[0], sums[1], sums[2], sums[3], y - top), 0, 255);
      }
    }
  }
  return out;
}

function pillowCubic(p, q, r, s, share) {
  const square = 2 * (p - q) + r - s;
  return q + share * (r - p + share * (square + share * (q - p - r + s)));
}
