// Grey pictures made smaller or larger as Pillow does it: integers of 22 bits, rounded at every pass.

const BITS = 22;

// A grey plane whose longest side is at most `longest`, and the factor back to the original.
function shrunkTo(plane, longest) {
  const factor = Math.max(plane.width, plane.height) / longest;
  if (factor <= 1) return { plane, factor: 1 };
  const width = Math.max(1, roundEven(plane.width / factor));
  const height = Math.max(1, roundEven(plane.height / factor));
  const small = resizedRoughly(plane, width, height);
  const back = Math.max(plane.width, plane.height) / Math.max(width, height);
  return { plane: small, factor: back };
}

// Pillow's `reducing_gap` of 2: whole blocks are averaged first where much is to go.
function resizedRoughly(plane, width, height) {
  const across = Math.max(1, Math.floor(plane.width / width / 2));
  const down = Math.max(1, Math.floor(plane.height / height / 2));
  if (across === 1 && down === 1) return resizedPlane(plane, width, height);
  const box = [plane.width / across, plane.height / down];
  return resizedPlane(reducedPlane(plane, across, down), width, height, box);
}

// Means of blocks, by Pillow's cut-off reciprocal.
function reducedPlane(plane, across, down) {
  const width = Math.ceil(plane.width / across);
  const height = Math.ceil(plane.height / down);
  const data = new Uint8Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    const last = Math.min(plane.height, (y + 1) * down);
    for (let x = 0; x < width; x++, to++) {
      const end = Math.min(plane.width, (x + 1) * across);
      let sum = 0;
      for (let v = y * down; v < last; v++) {
        for (let u = x * across; u < end; u++) sum += plane.data[v * plane.width + u];
      }
      const count = (last - y * down) * (end - x * across);
      data[to] = ((sum + (count >> 1)) * Math.floor(2 ** 24 / count)) / 2 ** 24;
    }
  }
  return { data, width, height };
}

// A plane resized by an antialiased triangle. `box`: how much of it is taken, from its corner on.
function resizedPlane(plane, width, height, box = [plane.width, plane.height]) {
  const isWide = width === plane.width && box[0] === plane.width;
  const isHigh = height === plane.height && box[1] === plane.height;
  const across = isWide ? plane : resizedAcross(plane, tapsOf(plane.width, box[0], width));
  return isHigh ? across : resizedDown(across, tapsOf(plane.height, box[1], height));
}

// Of every new pixel: the first of the old ones, and their shares in whole numbers.
function tapsOf(length, box, count) {
  const scale = box / count;
  const reach = Math.max(1, scale);
  return Array.from({ length: count }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const last = Math.min(length, Math.floor(centre + reach + 0.5));
    const shares = [];
    for (let k = first; k < last; k++) {
      shares.push(Math.max(0, 1 - Math.abs((k - centre + 0.5) / reach)));
    }
    const total = shares.reduce((sum, share) => sum + share, 0);
    return { first, shares: Int32Array.from(shares, (s) => Math.floor((s / total) * 2 ** BITS + 0.5)) };
  });
}

function resizedAcross({ data, width, height }, taps) {
  const out = new Uint8Array(taps.length * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < taps.length; x++) {
      const { first, shares } = taps[x];
      let sum = 1 << (BITS - 1);
      for (let k = 0; k < shares.length; k++) sum += shares[k] * data[y * width + first + k];
      out[y * taps.length + x] = within(sum >> BITS, 0, 255);
    }
  }
  return { data: out, width: taps.length, height };
}

function resizedDown({ data, width }, taps) {
  const out = new Uint8Array(width * taps.length);
  const sums = new Int32Array(width);
  taps.forEach(({ first, shares }, y) => {
    sums.fill(1 << (BITS - 1));
    for (let k = 0; k < shares.length; k++) {
      const from = (first + k) * width;
      const share = shares[k];
      for (let x = 0; x < width; x++) sums[x] += share * data[from + x];
    }
    for (let x = 0; x < width; x++) out[y * width + x] = within(sums[x] >> BITS, 0, 255);
  });
  return { data: out, width, height: taps.length };
}
