// The way back: a change found at the model's size, carried to the photo at full resolution, as
// pixelreg/faces/paste.py does it. Pixels are looked up by Keys' cubic (pixelreg/pictures/warp.py),
// fields are made larger by the bicubic kernel of Pillow's resize.
//
//   photo       {width, height, data}: data is a Uint8ClampedArray, RGBA, as canvases have it.
//   similarity  {a, b, c, d} from crop to photo, x' = a x - b y + c, y' = b x + a y + d, in pixels
//               with centres at i + 0.5.
//   change      {width, height, colour, displacement, gain, layer, steepness, box}, at the crop's
//               pixels; all but the size may be left out:
//                 colour        Float32Array(3 n) on [0, 1], to be added
//                 displacement  Float32Array(2 n), crop pixels (x, y)
//                 gain          Float32Array(n)
//                 shade         Float32Array(n), the gain less 1, instead of it
//                 layer         Float32Array(4 n) on [0, 1], colour times cover, and cover
//                 steepness     of the look-up; PASTE_KEYS where it is left out
//                 box           [left, top, right, bottom], crop pixels beyond which it is nothing
//   window      {x, y, width, height, data}: a part of the photo, RGBA.

const PASTE_KEYS = -1.15;
const PASTE_FINER = 5; // odd, so that the crop's own pixel centres are among the finer ones
const PASTE_TAPS = 4;
const PASTE_DIRECT = 75; // what a look-up that makes no finer field costs, a pixel and channel

/**
 * Carry a crop's change to the photo that the crop was cut from.
 *
 * @param {object} [source]  `sourceOf` the photo around the window, where it is at hand.
 * @returns {{x, y, width, height, data}} The window that changes, with the change; beyond it the
 *   photo stays as it is. Its width or height is 0 where nothing changes.
 */
function pasteChange(photo, change, similarity, strength = 1, source = null) {
  const prepared = preparePaste(photo.width, photo.height, change, similarity);
  const patch = cutWindow(photo, prepared.x, prepared.y, prepared.width, prepared.height);
  pasteInto(patch, prepared, photo, strength, source);
  return patch;
}

/**
 * What of a paste does not depend on its strength.
 *
 * @param {number} width, height  of the photo.
 * @param {{displacement}} [known]  finer fields of an earlier paste of the same displacement,
 *   which are taken instead of made again: `prepared.fine`.
 */
function preparePaste(width, height, change, similarity, known = null) {
  const box = pasteBounds(width, height, change, similarity);
  const place = {
    x: box[0], y: box[1], width: Math.max(box[2] - box[0], 0), height: Math.max(box[3] - box[1], 0),
    similarity, columns: change.width, rows: change.height, whole: wholeScale(similarity),
  };
  const fine = {};
  const reader = (name, channels, field) =>
    field ? fieldReader(place, name, channels, field, fine, known) : null;
  return {
    ...place,
    fine,
    steepness: change.steepness ?? PASTE_KEYS,
    displacement: reader("displacement", 2, change.displacement),
    shade: reader("shade", 1, change.shade ?? (change.gain && lessOne(change.gain))),
    colour: reader("colour", 3, change.colour),
    layer: reader("layer", 4, change.layer),
    source: null,
  };
}

/** How many photo pixels a crop pixel covers, if whole ones, upright; else 0. */
function wholeScale({ a, b, c, d }) {
  const whole = Number.isInteger(a) && Number.isInteger(c) && Number.isInteger(d);
  return whole && b === 0 && a > 0 ? a : 0;
}

/** Gains less 1, as outside the crop there is 0 of everything. */
function lessOne(gain) {
  const less = new Float32Array(gain.length);
  for (let i = 0; i < gain.length; i++) less[i] = gain[i] - 1;
  return less;
}

/** [left, top, right, bottom] of the photo's pixels that a crop, or its change's box, covers. */
function pasteBounds(width, height, change, similarity) {
  const { a, b, c, d } = similarity;
  let [left, top, right, bottom] = [0, 0, change.width, change.height];
  if (change.box) {
    const reach = wholeScale(similarity) === 1 ? 0 : 3; // of the kernels that spread fields
    left = Math.max(left, change.box[0] - reach);
    top = Math.max(top, change.box[1] - reach);
    right = Math.min(right, change.box[2] + reach);
    bottom = Math.min(bottom, change.box[3] + reach);
  }
  const xs = [], ys = [];
  for (const [x, y] of [[left, top], [right, top], [left, bottom], [right, bottom]]) {
    xs.push(a * x - b * y + c);
    ys.push(b * x + a * y + d);
  }
  return [
    Math.max(Math.floor(Math.min(...xs)), 0) | 0, // whole numbers, which engines count by faster
    Math.max(Math.floor(Math.min(...ys)), 0) | 0,
    Math.min(Math.ceil(Math.max(...xs)), width) | 0,
    Math.min(Math.ceil(Math.max(...ys)), height) | 0,
  ];
}

/** A copy of a part of the photo, which must lie inside. */
function cutWindow(photo, x, y, width, height) {
  const patch = { x, y, width, height, data: new Uint8ClampedArray(4 * width * height) };
  restoreWindow(patch, photo, x, y, width, height);
  return patch;
}

/** Give a rectangle of a window, in the photo's pixels, what the photo shows there. */
function restoreWindow(patch, photo, x, y, width, height) {
  for (let row = y; row < y + height; row++) {
    const from = 4 * (row * photo.width + x);
    const to = 4 * ((row - patch.y) * patch.width + x - patch.x);
    patch.data.set(photo.data.subarray(from, from + 4 * width), to);
  }
}

/**
 * Carry a change into a window.
 *
 * @param {{x, y, width, height, data}} patch  which holds all of `prepared`'s; what lies in that is
 *   written anew, what the change leaves alone as the photo has it, bit for bit.
 * @param {object} [source]  `sourceOf` the photo around the window, where it is at hand.
 */
function pasteInto(patch, prepared, photo, strength, source = null) {
  const { x, y, width, height } = prepared;
  if (strength === 0 || !width || !height) {
    restoreWindow(patch, photo, x, y, width, height);
    return;
  }
  const row = {};
  for (const [name, channels] of [["displacement", 2], ["shade", 1], ["colour", 3], ["layer", 4]]) {
    row[name] = prepared[name] && new Float32Array(channels * width);
  }
  if (!source && prepared.displacement && prepared.source?.photo !== photo) {
    prepared.source = sourceOf(photo, x, y, x + width, y + height); // of use at another strength
  }
  const from = prepared.displacement ? source ?? prepared.source : null;
  const share = Math.fround(strength);
  for (let line = 0; line < height; line++) {
    for (const name in row) if (row[name]) prepared[name](line, row[name]);
    const to = 4 * ((y + line - patch.y) * patch.width + x - patch.x);
    pasteRow(patch.data, to, prepared, photo, from, y + line, share, row);
  }
}

const SOURCE_MARGIN = 12; // pixels around a window that colours are mostly fetched from

/**
 * A part of a photo and what is around it, its border repeated, as numbers that are quick to read.
 *
 * @returns {{photo, left, top, width, height, data: Float32Array}} (height width 3) grey levels.
 */
function sourceOf(photo, left, top, right, bottom) {
  left = left - SOURCE_MARGIN | 0;
  top = top - SOURCE_MARGIN | 0;
  const width = right + SOURCE_MARGIN - left | 0, height = bottom + SOURCE_MARGIN - top | 0;
  const data = new Float32Array(3 * width * height), bytes = photo.data, last = photo.width - 1;
  for (let y = 0, to = 0; y < height; y++) {
    const start = Math.min(Math.max(top + y, 0), photo.height - 1) * photo.width;
    for (let x = left; x < left + width; x++, to += 3) {
      const at = 4 * (start + (x < 0 ? 0 : x > last ? last : x));
      data[to] = bytes[at];
      data[to + 1] = bytes[at + 1];
      data[to + 2] = bytes[at + 2];
    }
  }
  return { photo, left, top, width, height, data };
}

/**
 * One row of a window: look colours up where the displacement leads, by Keys' cubic, shade them,
 * add to them, lay over them.
 *
 * @param {Uint8ClampedArray} out  RGBA, written to from `to` on.
 * @param {object | null} source  `sourceOf` the photo; null where nothing moves.
 */
function pasteRow(out, to, prepared, photo, source, y, strength, row) {
  // Whole numbers are told to be: places in arrays are found twice as fast by them.
  const { x: first, width, similarity, steepness } = prepared, bytes = photo.data;
  const { displacement, shade, colour, layer } = row, data = source !== null ? source.data : null;
  const left = source !== null ? source.left | 0 : 0, top = source !== null ? source.top | 0 : 0;
  const line = source !== null ? 3 * source.width | 0 : 0;
  const columns = source !== null ? (source.width | 0) - 4 : 0;
  const rows = source !== null ? (source.height | 0) - 4 : 0;
  const a = Math.fround(similarity.a), b = Math.fround(similarity.b);
  const far = steepness, near = steepness + 2, nearer = steepness + 3;
  for (let i = 0, from = 4 * (y * photo.width + first); i < width; i++, from += 4, to += 4) {
    const across = displacement !== null ? Math.fround(strength * displacement[2 * i]) : 0;
    const down = displacement !== null ? Math.fround(strength * displacement[2 * i + 1]) : 0;
    const more = shade !== null ? shade[i] : 0, cover = layer !== null ? layer[4 * i + 3] : 0;
    let addRed = 0, addGreen = 0, addBlue = 0;
    if (colour !== null) {
      addRed = strength * colour[3 * i];
      addGreen = strength * colour[3 * i + 1];
      addBlue = strength * colour[3 * i + 2];
    }
    const moved = across !== 0 || down !== 0;
    out[to + 3] = bytes[from + 3];
    if (!moved && more === 0 && cover === 0 && addRed === 0 && addGreen === 0 && addBlue === 0) {
      out[to] = bytes[from];
      out[to + 1] = bytes[from + 1];
      out[to + 2] = bytes[from + 2];
      continue;
    }
    let red = 0, green = 0, blue = 0;
    if (moved) {
      // Rounded to float32 where NumPy rounds: the places, on which colours depend steeply.
      let right = Math.fround(a * across), below = Math.fround(a * down);
      if (b !== 0) {
        right = Math.fround(right - Math.fround(b * down));
        below = Math.fround(Math.fround(b * across) + below);
      }
      const u = Math.fround(first + i + right), v = Math.fround(y + below);
      const column = Math.floor(u) | 0, above = Math.floor(v) | 0;
      const x = column - left - 1 | 0, z = above - top - 1 | 0;
      if (x < 0 || z < 0 || x > columns || z > rows) {
        fetchCubic(photo, u, v, steepness, FETCHED);
        red = FETCHED[0];
        green = FETCHED[1];
        blue = FETCHED[2];
      } else {
        const f = u - column, g = v - above, f2 = f * f, f3 = f2 * f, g2 = g * g, g3 = g2 * g;
        const a0 = far * (f3 - 2 * f2 + f), a1 = near * f3 - nearer * f2 + 1;
        const a3 = far * (f2 - f3), a2 = 1 - a0 - a1 - a3;
        const b0 = far * (g3 - 2 * g2 + g), b1 = near * g3 - nearer * g2 + 1;
        const b3 = far * (g2 - g3), b2 = 1 - b0 - b1 - b3;
        for (let k = 0, p = 3 * x + Math.imul(line, z) | 0; k < 4; k++, p = p + line | 0) {
          const share = k < 2 ? (k === 0 ? b0 : b1) : (k === 2 ? b2 : b3);
          red += share * (a0 * data[p] + a1 * data[p + 3] + a2 * data[p + 6] + a3 * data[p + 9]);
          green += share
            * (a0 * data[p + 1] + a1 * data[p + 4] + a2 * data[p + 7] + a3 * data[p + 10]);
          blue += share
            * (a0 * data[p + 2] + a1 * data[p + 5] + a2 * data[p + 8] + a3 * data[p + 11]);
        }
      }
    } else {
      red = bytes[from];
      green = bytes[from + 1];
      blue = bytes[from + 2];
    }
    red += red * more + 255 * addRed;
    green += green * more + 255 * addGreen;
    blue += blue * more + 255 * addBlue;
    if (cover !== 0) {
      red = red * (1 - cover) + 255 * layer[4 * i];
      green = green * (1 - cover) + 255 * layer[4 * i + 1];
      blue = blue * (1 - cover) + 255 * layer[4 * i + 2];
    }
    out[to] = red; // a clamped array rounds halves to the even, as NumPy does
    out[to + 1] = green;
    out[to + 2] = blue;
  }
}

const FETCHED = new Float64Array(3);

/**
 * The grey levels of one place of a picture, by Keys' cubic; its border repeats.
 *
 * @param {{width, height, data}} photo  RGBA.
 * @param {number} x, y  indices of pixels, which may lie between them.
 * @param {Float64Array} found  (3), written to.
 */
function fetchCubic({ width, height, data }, x, y, steepness, found) {
  const left = Math.floor(x) | 0, top = Math.floor(y) | 0, across = FETCH_ACROSS;
  for (let i = 0; i < 4; i++) across[i] = keysWeight(Math.abs(x - left + 1 - i), steepness);
  let red = 0, green = 0, blue = 0;
  for (let j = 0; j < 4; j++) {
    const start = Math.min(Math.max(top - 1 + j, 0), height - 1) * width;
    const down = keysWeight(Math.abs(y - top + 1 - j), steepness);
    for (let i = 0; i < 4; i++) {
      const at = 4 * (start + Math.min(Math.max(left - 1 + i, 0), width - 1));
      const share = down * across[i];
      red += share * data[at];
      green += share * data[at + 1];
      blue += share * data[at + 2];
    }
  }
  found[0] = red;
  found[1] = green;
  found[2] = blue;
}

const FETCH_ACROSS = new Float64Array(4);

/** Keys' kernel at a distance of 0 to 2 pixels. */
function keysWeight(d, a) {
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// Fields at the photo's pixels. A reader (line, out) writes one row of a window.

function fieldReader(place, name, channels, field, fine, known) {
  if (place.whole === 1) return exactReader(place, channels, field);
  if (place.whole > 1) return wholeReader(place, channels, field);
  const side = PASTE_FINER * PASTE_FINER * place.columns * place.rows * (PASTE_TAPS + 1);
  if (!(known && known[name]) && place.width * place.height * PASTE_DIRECT < side) {
    return turnedReader(place, channels, field, directRow);
  }
  fine[name] = (known && known[name])
    || finerField(field, place.columns, place.rows, channels, PASTE_FINER);
  return turnedReader(place, channels, fine[name], bilinearRow);
}

/** The field's own rows, for a crop whose pixels are the photo's. */
function exactReader({ x, y, width, columns, similarity }, channels, field) {
  const left = x - similarity.c, top = y - similarity.d;
  return (line, out) => {
    const from = ((top + line) * columns + left) * channels;
    out.set(field.subarray(from, from + width * channels));
  };
}

/** Pillow's bicubic resize by a whole number, a row at a time. */
function wholeReader(place, channels, field) {
  const { columns, rows, whole, similarity, x, y, width, height } = place;
  const across = resizeTaps(columns, whole, x - similarity.c, width);
  const down = resizeTaps(rows, whole, y - similarity.d, height);
  const length = columns * channels;
  const line = new Float32Array(length);
  return (number, out) => {
    sumRows(line, 0, field, length, down, number);
    spreadRow(out, 0, line, 0, width, channels, across);
  };
}

/** Reads a field, or a finer one, along the rows of a window that may be turned against it. */
function turnedReader({ x, y, width, columns, rows, similarity }, channels, field, read) {
  const { a, b, c, d } = similarity, square = a * a + b * b;
  const taps = read === directRow
    ? [resizeTaps(columns, PASTE_FINER, 0, columns * PASTE_FINER),
       resizeTaps(rows, PASTE_FINER, 0, rows * PASTE_FINER)]
    : null;
  const scale = PASTE_FINER / square;
  return (line, out) => {
    const px = x + 0.5 - c, py = y + line + 0.5 - d;
    const start = { u: scale * (a * px + b * py), v: scale * (a * py - b * px) };
    const step = { u: scale * a, v: -scale * b };
    read(out, field, width, channels, columns * PASTE_FINER, rows * PASTE_FINER, start, step, taps);
  };
}

/** Bilinear look-up of a finer field along a line, 0 outside. */
function bilinearRow(out, fine, width, channels, columns, rows, start, step) {
  const { u: firstU, v: firstV } = start, { u: stepU, v: stepV } = step;
  const lastColumn = columns - 1 | 0, lastRow = rows - 1 | 0, line = columns * channels | 0;
  for (let i = 0, to = 0; i < width; i++, to += channels) {
    const u = firstU + i * stepU, v = firstV + i * stepV;
    if (u < 0 || v < 0 || u >= columns || v >= rows) {
      for (let k = 0; k < channels; k++) out[to + k] = 0;
      continue;
    }
    const left = Math.floor(u - 0.5) | 0, top = Math.floor(v - 0.5) | 0;
    const f = u - 0.5 - left, g = v - 0.5 - top;
    const x0 = Math.imul(left < 0 ? 0 : left, channels);
    const x1 = Math.imul(left < lastColumn ? left + 1 : lastColumn, channels);
    const y0 = Math.imul(top < 0 ? 0 : top, line);
    const y1 = Math.imul(top < lastRow ? top + 1 : lastRow, line);
    const p = y0 + x0 | 0, q = y0 + x1 | 0, r = y1 + x0 | 0, s = y1 + x1 | 0;
    const w1 = f * (1 - g), w2 = (1 - f) * g, w3 = f * g, w0 = 1 - w1 - w2 - w3;
    out[to] = w0 * fine[p] + w1 * fine[q] + w2 * fine[r] + w3 * fine[s];
    for (let k = 1; k < channels; k++) {
      out[to + k] = w0 * fine[p + k] + w1 * fine[q + k] + w2 * fine[r + k] + w3 * fine[s + k];
    }
  }
}

const DIRECT_ACROSS = new Float64Array(PASTE_TAPS + 1);
const DIRECT_DOWN = new Float64Array(PASTE_TAPS + 1);

/** What `bilinearRow` reads of the finer field, without it: for windows smaller than that. */
function directRow(out, field, width, channels, columns, rows, start, step, [across, down]) {
  const length = columns / PASTE_FINER * channels;
  const lastColumn = columns / PASTE_FINER - 1, lastRow = rows / PASTE_FINER - 1;
  for (let i = 0, to = 0; i < width; i++, to += channels) {
    const u = start.u + i * step.u, v = start.v + i * step.v;
    for (let k = 0; k < channels; k++) out[to + k] = 0;
    if (u < 0 || v < 0 || u >= columns || v >= rows) continue;
    const left = betweenTaps(DIRECT_ACROSS, across, u - 0.5, columns);
    const top = betweenTaps(DIRECT_DOWN, down, v - 0.5, rows);
    for (let j = 0; j <= PASTE_TAPS; j++) {
      const share = DIRECT_DOWN[j];
      if (share === 0) continue;
      const row = Math.min(top + j, lastRow) * length;
      for (let l = 0; l <= PASTE_TAPS; l++) {
        const at = row + Math.min(left + l, lastColumn) * channels, both = share * DIRECT_ACROSS[l];
        for (let k = 0; k < channels; k++) out[to + k] += both * field[at + k];
      }
    }
  }
}

/** Weights of the five crop pixels from the one returned on, between two places of a finer row. */
function betweenTaps(out, taps, place, count) {
  const floor = Math.floor(place), f = place - floor;
  const here = Math.max(floor, 0), next = Math.min(floor + 1, count - 1);
  const first = taps.first[here], shift = taps.first[next] - first;
  for (let k = 0; k < PASTE_TAPS; k++) out[k] = (1 - f) * taps.weights[PASTE_TAPS * here + k];
  out[PASTE_TAPS] = 0;
  for (let k = 0; k < PASTE_TAPS; k++) out[k + shift] += f * taps.weights[PASTE_TAPS * next + k];
  return first;
}

/** A field made finer, (times rows, times columns, channels), by Pillow's bicubic resize. */
function finerField(field, columns, rows, channels, times) {
  const across = resizeTaps(columns, times, 0, times * columns);
  const down = resizeTaps(rows, times, 0, times * rows);
  const length = times * columns * channels;
  const wide = new Float32Array(rows * length);
  for (let y = 0; y < rows; y++) {
    spreadRow(wide, y * length, field, y * columns * channels, times * columns, channels, across);
  }
  const fine = new Float32Array(times * rows * length);
  for (let y = 0; y < times * rows; y++) sumRows(fine, y * length, wide, length, down, y);
  return fine;
}

/**
 * For `count` places from `start` of a row of `size` pixels made `times` finer, the first of the
 * four pixels that each is made of, and their weights: Pillow's bicubic, cut off at the border.
 */
function resizeTaps(size, times, start, count) {
  const first = new Int32Array(count), weights = new Float64Array(PASTE_TAPS * count);
  for (let i = 0; i < count; i++) {
    const centre = (start + i + 0.5) / times;
    const low = Math.max(Math.floor(centre - 1.5), 0);
    const high = Math.min(Math.floor(centre + 2.5), size);
    first[i] = Math.max(Math.min(low, size - PASTE_TAPS), 0);
    let total = 0;
    for (let j = low; j < high; j++) {
      const weight = bicubicWeight(Math.abs(j - centre + 0.5));
      weights[PASTE_TAPS * i + j - first[i]] = weight;
      total += weight;
    }
    for (let k = 0; k < PASTE_TAPS; k++) weights[PASTE_TAPS * i + k] /= total;
  }
  return { first, weights, size };
}

function bicubicWeight(d) {
  if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
  return d < 2 ? ((2.5 - 0.5 * d) * d - 4) * d + 2 : 0;
}

/** One finer row as the sum of four rows of `length` numbers. */
function sumRows(out, to, field, length, { first, weights, size }, number) {
  const last = size - 1, start = first[number], w = PASTE_TAPS * number;
  const w0 = weights[w], w1 = weights[w + 1], w2 = weights[w + 2], w3 = weights[w + 3];
  const p = start * length, q = Math.min(start + 1, last) * length;
  const r = Math.min(start + 2, last) * length, s = Math.min(start + 3, last) * length;
  for (let i = 0; i < length; i++) {
    out[to + i] = w0 * field[p + i] + w1 * field[q + i] + w2 * field[r + i] + w3 * field[s + i];
  }
}

/** One row made finer. */
function spreadRow(out, to, line, from, count, channels, { first, weights, size }) {
  for (let i = 0, w = 0; i < count; i++, w += PASTE_TAPS) {
    const w0 = weights[w], w1 = weights[w + 1], w2 = weights[w + 2], w3 = weights[w + 3];
    const start = first[i], last = size - 1;
    const p = from + start * channels, q = from + Math.min(start + 1, last) * channels;
    const r = from + Math.min(start + 2, last) * channels;
    const s = from + Math.min(start + 3, last) * channels;
    for (let k = 0; k < channels; k++, to++) {
      out[to] = w0 * line[p + k] + w1 * line[q + k] + w2 * line[r + k] + w3 * line[s + k];
    }
  }
}
