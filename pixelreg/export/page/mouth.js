// What no skin covers: cracks take the motion of the skin around them, an open mouth shows its
// inside. The rest of pixelreg/rig/motion.py.

const MOUTH_THIN = 0.05; // cm, half of what an open mouth measures at least
const MOUTH_SEAM = 3; // pixels around a crack from which it takes its motion
const MOUTH_BARED = 0.15; // of an open jaw, from which more of the lower teeth shows
const MOUTH_PARTS = 0.08; // cm that closed lips part until all that lies behind them shows
const CRACK_COUNT = 25; // covered pixels of the 49 around a crack

/** Draw what lies between the lips; whether the sheet has a layer then. */
function drawMouth(tables, sitter, sheet, places, steps, weights) {
  const mesh = meshOf(tables), hole = holeOf(mesh, sheet, places);
  if (!hole) return false;
  const { left, top, width, height, data } = hole, unit = pixelsACm(sitter);
  const side = 2 * roundEven(MOUTH_THIN * unit) + 1;
  const opened = side < 3 ? data : openedPlane(hole, side);
  const wide = { ...hole, data: data.map((value, i) => value & opened[i]) };
  const thin = data.map((value, i) => value & (1 - opened[i]));
  const box = [left, top, left + width, top + height];
  sewPixels(sheet, box, thin);
  for (let y = 0; y < height; y++) {
    const from = (top + y) * sheet.width + left;
    sheet.covered.fill(1, from, from + width);
  }
  growBox(sheet, box);
  if (!wide.data.some((value) => value > 0)) return false;
  sheet.layered = box;
  fillMouth(tables, sitter, sheet, wide, weights, partingOf(mesh, sitter, steps));
  return true;
}

function growBox(sheet, [left, top, right, bottom]) {
  const { box } = sheet;
  sheet.box = [
    Math.min(box[0], left), Math.min(box[1], top),
    Math.max(box[2], right), Math.max(box[3], bottom),
  ];
}

/** What no skin covers between the lips, a plane of 0 and 1, and where it lies; or null. */
function holeOf(mesh, sheet, places) {
  let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
  for (const vertex of mesh.lips) {
    left = Math.min(left, places[2 * vertex]);
    right = Math.max(right, places[2 * vertex]);
    top = Math.min(top, places[2 * vertex + 1]);
    bottom = Math.max(bottom, places[2 * vertex + 1]);
  }
  left = Math.max(Math.trunc(left), 0) | 0;
  top = Math.max(Math.trunc(top), 0) | 0;
  right = Math.min(Math.trunc(right) + 1, sheet.width) | 0;
  bottom = Math.min(Math.trunc(bottom) + 1, sheet.height) | 0;
  if (left >= right || top >= bottom) return null;
  const width = right - left, height = bottom - top, data = new Uint8Array(width * height);
  let any = false;
  for (let y = 0, to = 0; y < height; y++) {
    for (let p = (top + y) * sheet.width + left, x = 0; x < width; x++, p++, to++) {
      if (sheet.covered[p]) continue;
      data[to] = 1;
      any = true;
    }
  }
  return any ? { left, top, width, height, data } : null;
}

/** Pixels that a centimetre of the face measures. */
function pixelsACm({ slopes }) {
  const [a, b, c, d] = meanOf(slopes, 4, slopes.length / 4);
  return Math.sqrt(Math.abs(a * d - b * c));
}

/** How much of the mouth's inside shows, 0 to 1: none while closed lips have not parted. */
function partingOf(mesh, sitter, steps) {
  if (sitter.mouth) return 1;
  const [upper, lower] = mesh.innerLips;
  let most = -Infinity;
  for (let i = 0; i < upper.length; i++) {
    most = Math.max(most, steps[3 * upper[i] + 1] - steps[3 * lower[i] + 1]);
  }
  return Math.min(Math.max(most / MOUTH_PARTS, 0), 1);
}

/** Lay the mouth's inside over what is open. */
function fillMouth(tables, sitter, sheet, hole, weights, parting) {
  const { left, top, width, height } = hole, unit = pixelsACm(sitter) / 23;
  const full = { width, height, data: hole.data.map((value) => 255 * value) };
  const soft = gaussianBlur(full, 0.7 * unit).data, wide = gaussianBlur(full, 4 * unit).data;
  const jawOpen = weights.jawOpen ?? 0, jaw = [0, 1].map((k) => jawOpen * tables.arrays.jaw[k]);
  const further = jawOpen - (sitter.shown.jawOpen ?? 0);
  // Who shows teeth already gets no others beside them, but lower ones that a jaw bares.
  const rows = !sitter.mouth ? [1, 0] : further > MOUTH_BARED ? [1] : [];
  const onHead = headPlaceOf(meshOf(tables), sitter), own = ownTeeth(sitter, hole);
  const colour = new Float64Array(3);
  for (let y = 0, i = 0; y < height; y++) {
    let p = (top + y) * sheet.width + left;
    for (let x = 0; x < width; x++, i++, p++) {
      if (soft[i] === 0) continue;
      const [u, v] = onHead(left + x + 0.5, top + y + 0.5);
      mouthInside(tables, u, v, sitter.palette, jaw, rows, colour);
      const rim = Math.min(Math.max(2 * wide[i] / 255 - 0.55, 0), 1);
      const cover = soft[i] / 255 * parting;
      for (let k = 0; k < 3; k++) {
        // Lips shade what lies behind them.
        let made = Math.min(Math.max(colour[k] * (0.62 + 0.38 * rim) / 255, 0), 1);
        if (own) made += own[i] * (sitter.picture.data[4 * p + k] / 255 - made);
        sheet.layer[4 * p + k] = made * cover;
      }
      sheet.layer[4 * p + 3] = cover;
    }
  }
}

/** How much of each pixel of a hole is a person's own teeth: what was open shows what it did. */
function ownTeeth(sitter, { left, top, width, height }) {
  if (!sitter.mouth) return null;
  const border = sitter.mouth.map(([x, y]) => [x - left - 0.5, y - top - 0.5]);
  const soft = gaussianBlur(filledPolygon(width, height, border), pixelsACm(sitter) / 23);
  return Float32Array.from(soft.data, (value) => Math.min(Math.max(2 * value / 255 - 1, 0), 1));
}

/** From pixels of the mouth to cm on the head at rest, y up, by the mouth's slopes. */
function headPlaceOf(mesh, sitter) {
  const [middle, at, slopes] = [[0, 0], [0, 0], [0, 0, 0, 0]], count = mesh.mouth.length;
  for (const vertex of mesh.mouth) {
    for (let k = 0; k < 4; k++) slopes[k] += sitter.slopes[4 * vertex + k] / count;
    for (let k = 0; k < 2; k++) {
      middle[k] += sitter.base[3 * vertex + k] / count;
      at[k] += sitter.places[2 * vertex + k] / count;
    }
  }
  const [a, b, c, d] = slopes, size = a * d - b * c;
  return (x, y) => {
    const u = x - at[0], v = y - at[1];
    return [
      middle[0] + (d * u - b * v) / size, middle[1] - (a * v - c * u) / size + TEETH_LOWERED,
    ];
  };
}

/** Give pixels that no skin covers, but most of those around them, the motion around them. */
function sewCracks(sheet) {
  const { width, height, covered, box } = sheet;
  const [left, top, right, bottom] = box, columns = right - left, rows = bottom - top;
  if (columns <= 0 || rows <= 0) return;
  // How many pixels of a box around every pixel are covered; the picture's border repeats.
  const side = 2 * MOUTH_SEAM + 1, lines = new Uint8Array(side * columns);
  const sums = new Uint8Array(columns), cracks = new Uint8Array(columns * rows);
  let found = 0;
  for (let y = top - MOUTH_SEAM; y < bottom + MOUTH_SEAM; y++) {
    const slot = (y - top + side) % side * columns;
    const clipped = Math.min(Math.max(y, 0), height - 1) * width;
    countLine(covered, clipped, width, left, columns, sums, lines, slot);
    const row = y - MOUTH_SEAM;
    if (row < top) continue;
    const from = row * width + left, to = (row - top) * columns;
    for (let x = 0; x < columns; x++) {
      if (covered[from + x] === 1 || sums[x] < CRACK_COUNT) continue;
      cracks[to + x] = 1;
      found += 1;
    }
  }
  if (found) sewPixels(sheet, box, cracks, true);
}

/** Let one row's numbers of covered pixels, left and right of each, take the place of another's. */
function countLine(covered, start, width, left, columns, sums, lines, slot) {
  const last = width - 1;
  let sum = 0;
  for (let x = left - MOUTH_SEAM; x < left + MOUTH_SEAM; x++) {
    sum += covered[start + Math.min(Math.max(x, 0), last)];
  }
  for (let x = 0; x < columns; x++) {
    const enter = left + x + MOUTH_SEAM, leave = left + x - MOUTH_SEAM;
    sum += covered[start + (enter > last ? last : enter)];
    sums[x] += sum - lines[slot + x];
    lines[slot + x] = sum;
    sum -= covered[start + (leave < 0 ? 0 : leave)];
  }
}

/**
 * Give cracks the motion and the shading of what is around them.
 *
 * @param {number[]} box  [left, top, right, bottom] in which they lie.
 * @param {Uint8Array} cracks  1 for every pixel of the box that is one.
 * @param {boolean} beyond  whether pixels beyond the box count as skin around them.
 */
function sewPixels(sheet, [left, top, right, bottom], cracks, beyond = false) {
  const { width, height, displacement, shade } = sheet, columns = right - left;
  const low = beyond ? [0, 0] : [left, top], high = beyond ? [width, height] : [right, bottom];
  const isCrack = (x, y) => x >= left && x < right && y >= top && y < bottom
    && cracks[(y - top) * columns + x - left] === 1;
  for (let i = 0; i < cracks.length; i++) {
    if (!cracks[i]) continue;
    const x = left + i % columns, y = top + Math.floor(i / columns);
    const first = Math.max(x - MOUTH_SEAM, low[0]), last = Math.min(x + MOUTH_SEAM, high[0] - 1);
    const above = Math.max(y - MOUTH_SEAM, low[1]), below = Math.min(y + MOUTH_SEAM, high[1] - 1);
    let across = 0, down = 0, more = 0, count = 0;
    for (let v = above; v <= below; v++) {
      for (let u = first; u <= last; u++) {
        if (isCrack(u, v)) continue;
        const p = v * width + u;
        across += displacement[2 * p];
        down += displacement[2 * p + 1];
        more += shade[p];
        count += 1;
      }
    }
    const p = y * width + x;
    displacement[2 * p] = count ? across / count : 0;
    displacement[2 * p + 1] = count ? down / count : 0;
    shade[p] = count ? Math.max(more / count, -0.5) : -0.5;
  }
}
