// Pillow's filters on planes of bytes, {width, height, data: Uint8Array}: what the rig looks at
// light by, and softens the mouth's inside with. Borders repeat.

/** Gaussian blur by three box blurs (Gwosdek et al. 2011), as Pillow's. */
function gaussianBlur(plane, sigma) {
  return sigma > 0 ? boxBlur(plane, boxRadius(sigma, 3), 3) : plane;
}

/** The radius of boxes, so many of which come to a Gaussian, rounded to float32 where Pillow does. */
function boxRadius(sigma, passes) {
  const f = Math.fround, square = f(f(f(sigma) * f(sigma)) / passes);
  const length = f(Math.sqrt(12 * square + 1)), whole = Math.floor((length - 1) / 2);
  const rest = f((2 * whole + 1) * f(whole * (whole + 1) - f(3 * square)));
  return f(whole + f(rest / f(6 * f(square - (whole + 1) * (whole + 1)))));
}

/** Means over boxes whose radius need not be whole, so many times along rows, then columns. */
function boxBlur({ width, height, data }, radius, passes) {
  const now = Uint8Array.from(data), longest = Math.max(width, height);
  const line = new Uint8Array(longest), out = new Uint8Array(longest);
  const blur = (start, step, count) => {
    for (let i = 0; i < count; i++) line[i] = now[start + i * step];
    for (let k = 0; k < passes; k++) {
      blurLine(line, out, count, radius);
      line.set(out.subarray(0, count));
    }
    for (let i = 0; i < count; i++) now[start + i * step] = line[i];
  };
  for (let y = 0; y < height; y++) blur(y * width, 1, width);
  for (let x = 0; x < width; x++) blur(x, width, height);
  return { width, height, data: now };
}

/** One pass, in the 24 bits behind the point that Pillow counts in. */
function blurLine(line, out, count, radius) {
  const whole = Math.floor(radius), last = count - 1;
  const share = Math.floor(Math.fround(16777216 / Math.fround(radius * 2 + 1)));
  const edge = Math.floor((16777216 - (whole * 2 + 1) * share) / 2);
  let sum = 0;
  for (let i = -whole - 1; i < whole; i++) sum += line[Math.min(Math.max(i, 0), last)];
  for (let x = 0; x < count; x++) {
    const before = line[Math.max(x - whole - 1, 0)], after = line[Math.min(x + whole + 1, last)];
    sum += line[Math.min(x + whole, last)] - before;
    out[x] = (sum * share + (before + after) * edge + 8388608) / 16777216;
  }
}

/** A plane of 0 and 1 without what is thinner than `side` pixels, an odd number; beyond it is 0. */
function openedPlane(plane, side) {
  const reach = side >> 1, all = side * side;
  const { width, height } = plane;
  const eroded = { width, height, data: new Uint8Array(width * height) };
  const inner = boxCounts(plane, reach);
  for (let i = 0; i < inner.length; i++) eroded.data[i] = inner[i] === all ? 1 : 0;
  const outer = boxCounts(eroded, reach);
  return outer.map((count) => (count > 0 ? 1 : 0));
}

/** How many of the pixels within `reach` of each are 1, (height width); beyond the plane is 0. */
function boxCounts({ width, height, data }, reach) {
  const rows = new Int32Array(width * height), counts = new Int32Array(width * height);
  for (let y = 0; y < height; y++) {
    let sum = 0;
    const start = y * width;
    for (let x = 0; x < Math.min(reach, width); x++) sum += data[start + x];
    for (let x = 0; x < width; x++) {
      if (x + reach < width) sum += data[start + x + reach];
      if (x - reach > 0) sum -= data[start + x - reach - 1];
      rows[start + x] = sum;
    }
  }
  const sums = new Int32Array(width);
  for (let y = -reach; y < height; y++) {
    const enter = (y + reach) * width, leave = (y - reach - 1) * width;
    for (let x = 0; x < width; x++) {
      if (y + reach < height) sums[x] += rows[enter + x];
      if (leave >= 0) sums[x] -= rows[leave + x];
      if (y >= 0) counts[y * width + x] = sums[x];
    }
  }
  return counts;
}

/**
 * A polygon filled with 255 on a plane of zeros, as Pillow fills whole corners: every pixel that
 * its rows cross, border included.
 *
 * @param {number[][]} corners  (x, y), the fraction of which is cut off.
 */
function filledPolygon(width, height, corners) {
  const data = new Uint8Array(width * height);
  const whole = corners.map(([x, y]) => [Math.trunc(x), Math.trunc(y)]);
  const edges = whole.map((corner, i) => [corner, whole[(i + 1) % whole.length]]);
  const fill = (y, from, to) => {
    if (y < 0 || y >= height) return;
    for (let x = Math.max(from, 0); x <= Math.min(to, width - 1); x++) data[y * width + x] = 255;
  };
  const ys = whole.map((corner) => corner[1]), bottom = Math.min(Math.max(...ys), height);
  for (const [[x0, y0], [x1, y1]] of edges) {
    if (y0 === y1) fill(y0, Math.min(x0, x1), Math.max(x0, x1));
  }
  for (let y = Math.max(Math.min(...ys), 0); y <= bottom; y++) {
    const cuts = [];
    for (const [[x0, y0], [x1, y1]] of edges) {
      if (y0 === y1 || y < Math.min(y0, y1) || y > Math.max(y0, y1)) continue;
      const cut = Math.fround((y - y0) * Math.fround((x1 - x0) / (y1 - y0)) + x0);
      cuts.push(cut);
      if (y === Math.max(y0, y1) && y < bottom) cuts.push(cut);
    }
    cuts.sort((a, b) => a - b);
    for (let i = 1, from = -Infinity; i < cuts.length; i += 2) {
      const end = Math.ceil(cuts[i] - 0.5);
      if (end < from) continue;
      fill(y, Math.max(Math.floor(cuts[i - 1] + 0.5), from), end);
      from = end + 1;
    }
  }
  return { width, height, data };
}
