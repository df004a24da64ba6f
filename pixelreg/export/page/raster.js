// Triangles to pixels: how far the nearest of them fetches each pixel's colour, and its shading, as
// pixelreg/rig/raster.py and the compiled loops beside it have it.

const RASTER_CRACK = 1e-3; // pixels by which spans reach over their edges: no seam stays open
const RASTER_FLAT = 1e-9; // twice the area of a triangle that is none
const RASTER_NEARER = 1e-3; // cm; of triangles no farther apart, that of the nearer middle shows

/**
 * What a change of a picture is drawn on.
 *
 * @returns {object}
 *   covered       Uint8Array(H W), 1 where anything is drawn
 *   nearest       Float32Array(H W), the depth of what covers a pixel
 *   middles       Float32Array(H W), three times the depth of its triangle's middle
 *   displacement  Float32Array(2 H W), pixels
 *   shade         Float32Array(H W), the gain less 1
 *   layer         Float32Array(4 H W), colour times cover, and cover
 *   box           [left, top, right, bottom], beyond which there is nothing
 */
function blankSheet(width, height) {
  return {
    width, height, box: [width, height, 0, 0], layered: [0, 0, 0, 0],
    covered: new Uint8Array(width * height),
    nearest: new Float32Array(width * height),
    middles: new Float32Array(width * height),
    displacement: new Float32Array(2 * width * height),
    shade: new Float32Array(width * height),
    layer: new Float32Array(4 * width * height),
  };
}

/** The sheet that all changes are drawn on, one after the other: blank, of this size. */
function sheetOf(tables, width, height) {
  const sheet = tables.sheet ?? blankSheet(width, height);
  if (width * height > sheet.covered.length) {
    Object.assign(sheet, blankSheet(width + 16, height + 16)); // faces come nearer bit by bit
  } else clearSheet(sheet);
  tables.sheet = Object.assign(sheet, { width, height, box: [width, height, 0, 0] });
  return sheet;
}

/** Take everything off a sheet. */
function clearSheet(sheet) {
  const { width } = sheet;
  const [left, top, right, bottom] = sheet.box;
  for (let row = top; row < bottom; row++) {
    const from = row * width + left, to = row * width + right;
    sheet.covered.fill(0, from, to);
    sheet.displacement.fill(0, 2 * from, 2 * to);
    sheet.shade.fill(0, from, to);
  }
  const [first, above, last, below] = sheet.layered;
  for (let row = above; row < below; row++) {
    sheet.layer.fill(0, 4 * (row * width + first), 4 * (row * width + last));
  }
  sheet.layered = [0, 0, 0, 0];
}

/**
 * Draw triangles on a sheet.
 *
 * @param {Float32Array} places, sources  (2 n), where vertices lie and where their colours come
 *   from. depth, gains: Float32Array(n), the larger the nearer; and the shading.
 * @param {Int32Array} corners  (3 t).
 * @param {Uint8Array} busy  (t), which of them to draw: 2 where wrinkles may lie.
 * @param {{map, rest, depth} | null} folds  a map of wrinkles, (3 n) where on the face vertices lie
 *   at rest, and the wrinkles' depth.
 */
function drawTriangles(sheet, places, sources, depth, gains, corners, busy, folds) {
  const rates = new Float64Array(19), ends = new Float64Array(6);
  for (let t = 0; t < busy.length; t++) {
    if (!busy[t]) continue;
    const a = corners[3 * t], b = corners[3 * t + 1], c = corners[3 * t + 2];
    const x0 = places[2 * a], y0 = places[2 * a + 1], x1 = places[2 * b], y1 = places[2 * b + 1];
    const x2 = places[2 * c], y2 = places[2 * c + 1];
    // Most triangles of a small face lie between the middles of pixels.
    const low = Math.min(x0, x1, x2), high = Math.max(x0, x1, x2);
    if (Math.floor(Math.max(y0, y1, y2) - 0.5) < Math.ceil(Math.min(y0, y1, y2) - 0.5)) continue;
    if (Math.floor(high - 0.5 + RASTER_CRACK) < Math.ceil(low - 0.5 - RASTER_CRACK)) continue;
    const area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0);
    if (Math.abs(area) < RASTER_FLAT) continue;
    const creased = folds !== null && busy[t] === 2;
    const ux = (y2 - y0) / area, uy = (x0 - x2) / area;
    const vx = (y0 - y1) / area, vy = (x1 - x0) / area;
    const rate = (k, p, q, r) => {
      const along = (q - p) * ux + (r - p) * vx, down = (q - p) * uy + (r - p) * vy;
      rates[k] = along;
      rates[k + 1] = down;
      rates[k + 2] = p - along * x0 - down * y0;
    };
    rate(0, depth[a], depth[b], depth[c]);
    rates[18] = Math.fround(Math.fround(depth[a] + depth[b]) + depth[c]);
    rate(3, sources[2 * a] - x0, sources[2 * b] - x1, sources[2 * c] - x2);
    rate(6, sources[2 * a + 1] - y0, sources[2 * b + 1] - y1, sources[2 * c + 1] - y2);
    rate(9, gains[a], gains[b], gains[c]);
    if (creased) {
      const { rest } = folds;
      rate(12, rest[3 * a], rest[3 * b], rest[3 * c]);
      rate(15, rest[3 * a + 1], rest[3 * b + 1], rest[3 * c + 1]);
    }
    ends[0] = x0, ends[1] = y0, ends[2] = x1, ends[3] = y1, ends[4] = x2, ends[5] = y2;
    fillTriangle(sheet, ends, area < 0, rates, creased ? folds : null);
  }
}

/** Write what varies over one triangle to the pixels in which it is the nearest. */
function fillTriangle(sheet, ends, turned, rates, folds) {
  const { width, height, box } = sheet;
  const x0 = ends[0], y0 = ends[1], x1 = ends[2], y1 = ends[3], x2 = ends[4], y2 = ends[5];
  const top = Math.max(Math.ceil(Math.min(y0, y1, y2) - 0.5), 0) | 0;
  const bottom = Math.min(Math.floor(Math.max(y0, y1, y2) - 0.5), height - 1) | 0;
  const slope0 = (x1 - x0) / (y1 - y0), slope1 = (x2 - x1) / (y2 - y1);
  const slope2 = (x0 - x2) / (y0 - y2);
  const right0 = y1 > y0 !== turned, right1 = y2 > y1 !== turned, right2 = y0 > y2 !== turned;
  for (let row = top; row <= bottom; row++) {
    const at = row + 0.5;
    let left = -1, right = width;
    if (y1 !== y0) {
      const cut = x0 + slope0 * (at - y0);
      if (right0) right = Math.min(right, cut); else left = Math.max(left, cut);
    }
    if (y2 !== y1) {
      const cut = x1 + slope1 * (at - y1);
      if (right1) right = Math.min(right, cut); else left = Math.max(left, cut);
    }
    if (y0 !== y2) {
      const cut = x2 + slope2 * (at - y2);
      if (right2) right = Math.min(right, cut); else left = Math.max(left, cut);
    }
    const first = Math.max(Math.ceil(left - 0.5 - RASTER_CRACK), 0) | 0;
    const last = Math.min(Math.floor(right - 0.5 + RASTER_CRACK), width - 1) | 0;
    if (first > last) continue;
    if (first < box[0]) box[0] = first;
    if (last >= box[2]) box[2] = last + 1;
    if (row < box[1]) box[1] = row;
    if (row >= box[3]) box[3] = row + 1;
    fillRow(sheet, row, first, last, rates, folds);
  }
}

function fillRow(sheet, row, first, last, rates, folds) {
  const { covered, nearest, middles, displacement, shade } = sheet;
  const y = row + 0.5, middle = rates[18];
  const z = rates[2] + rates[1] * y, across = rates[5] + rates[4] * y;
  const down = rates[8] + rates[7] * y, gain = rates[11] + rates[10] * y;
  for (let column = first, p = row * sheet.width + first; column <= last; column++, p++) {
    const x = column + 0.5, height = z + rates[0] * x;
    if (covered[p] === 1) {
      const above = height - nearest[p];
      if (above < -RASTER_NEARER || (above <= RASTER_NEARER && middle < middles[p])) continue;
    }
    covered[p] = 1;
    nearest[p] = height;
    middles[p] = middle;
    displacement[2 * p] = across + rates[3] * x;
    displacement[2 * p + 1] = down + rates[6] * x;
    let bright = gain + rates[9] * x;
    if (folds !== null) {
      const u = rates[14] + rates[13] * y + rates[12] * x;
      const v = rates[17] + rates[16] * y + rates[15] * x;
      const fold = wrinkleAt(folds.map, u, v);
      if (fold !== 0) bright *= Math.exp(folds.depth * fold);
    }
    shade[p] = bright - 1;
  }
}
