// From weights to pixels: where each is fetched from, how it is shaded, what the mouth shows, as
// pixelreg/rig/motion.py has it.

const SKIN_STEEPNESS = -0.5; // of the look-up: skin is as sharp as before
const SHADE = 1.15; // exponent of the ratio of shadings
const SHADE_DARKEST = 0.6, SHADE_BRIGHTEST = 1.4;
const SHADE_LEAST = 0.25; // of the skin's brightness; below this, ratios mean nothing
const EYES_BEHIND = -5; // cm, where eyeballs lie
const WRINKLES_DEPTH = 0.14;
const FOLD_SIDE = 0.8; // cm around hidden skin
const CALM = 0.1, CALM_GAIN = 0.004; // pixels and a share of the brightness that are no change

/** What of a mesh expressions are drawn by, made once: see `drawTriangles`. */
function rigOf(tables) {
  if (tables.rig) return tables.rig;
  const mesh = meshOf(tables), corners = Array.from(mesh.triangles);
  let start = mesh.count;
  for (const lid of mesh.lids) {
    const count = lid.length, middle = start + 2 * count;
    for (let i = 0; i < count; i++) {
      const here = start + i, next = start + (i + 1) % count;
      corners.push(here, next, here + count, next, next + count, here + count);
      corners.push(here + count, next + count, middle);
    }
    start = middle + 1;
  }
  const count = corners.length / 3, wrinkled = wrinkledVertices(tables, mesh.rest);
  tables.rig = {
    corners: Int32Array.from(corners), size: start,
    folding: foldingTriangles(mesh, count),
    creased: touchedTriangles(mesh.triangles, wrinkled, count),
  };
  return tables.rig;
}

/** Uint8Array(count), the triangles of which a corner is marked; those of the eyes are not. */
function touchedTriangles(triangles, marked, count) {
  const touched = new Uint8Array(count);
  for (let i = 0; i < triangles.length; i++) {
    if (marked[triangles[i]]) touched[Math.floor(i / 3)] = 1;
  }
  return touched;
}

/** The triangles near hidden skin and around the mouth: they lie before or behind others. */
function foldingTriangles({ rest, sources, triangles, count }, size) {
  const cellOf = (i, axis) => Math.floor((rest[3 * i + axis] + 20) / FOLD_SIDE);
  const near = new Set(), marked = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    if (sources[i] === i) continue;
    for (const across of [-1, 0, 1]) {
      for (const down of [-1, 0, 1]) near.add(1000 * (cellOf(i, 0) + across) + cellOf(i, 1) + down);
    }
  }
  for (let i = 0; i < count; i++) {
    const x = rest[3 * i], y = rest[3 * i + 1], mouth = Math.abs(x) < 4 && y > -6.5 && y < -1;
    marked[i] = mouth || near.has(1000 * cellOf(i, 0) + cellOf(i, 1)) ? 1 : 0;
  }
  return touchedTriangles(triangles, marked, size);
}

/**
 * What a sitter's picture becomes when its face shows shapes at weights.
 *
 * @param {{wrinkles, shading}} look  how deep and how strong they are, against what is usual.
 * @returns {object} the change, for `preparePaste`, until the next one is drawn: all are drawn on
 *   one sheet.
 */
function drawChange(tables, sitter, weights, look) {
  const mesh = meshOf(tables), rig = rigOf(tables), { width, height } = sitter.picture;
  const sheet = sheetOf(tables, width, height);
  const steps = stepsOf(mesh, sitter, weights);
  const { places, sources, depth } = placesOf(mesh, rig, sitter, steps);
  const gains = gainsOf(mesh, rig, sitter, steps, look.shading);
  const busy = busyTriangles(rig, places, sources, gains);
  const map = foldedWrinkles(tables, newlyOf(sitter, weights));
  const folds = map && { map, rest: mesh.rest, depth: WRINKLES_DEPTH * look.wrinkles };
  drawTriangles(sheet, places, sources, depth, gains, rig.corners, busy, folds);
  const layered = sheet.box[0] < sheet.box[2]
    && drawMouth(tables, sitter, sheet, places, steps, weights);
  sewCracks(sheet);
  return {
    width, height, displacement: sheet.displacement, shade: sheet.shade, box: sheet.box,
    layer: layered ? sheet.layer : null, steepness: SKIN_STEEPNESS,
  };
}

/** Float32Array(3 n) cm from the face as it is shown; eyes move as far as they are open. */
function stepsOf(mesh, sitter, weights) {
  const steps = new Float32Array(3 * mesh.count);
  for (const name in { ...weights, ...sitter.shown }) {
    let more = (weights[name] ?? 0) - (sitter.shown[name] ?? 0);
    if (name.startsWith("eye")) more *= sitter.eyes[name.endsWith("_L") ? 1 : 0];
    if (more) addMoved(steps, mesh.shapes[name], more);
  }
  return steps;
}

/** How much more of each shape there is to be than the face shows. */
function newlyOf(sitter, weights) {
  const newly = {};
  for (const name in { ...weights, ...sitter.shown }) {
    newly[name] = (weights[name] ?? 0) - Math.max(sitter.shown[name] ?? 0, 0);
  }
  return newly;
}

/** Float32Array: the ratio of the skin's shading after and before, 1 on the skirt and the eyes. */
function gainsOf(mesh, rig, sitter, steps, shading) {
  const gains = new Float32Array(rig.size).fill(1), moved = new Float32Array(steps.length);
  for (let i = 0; i < moved.length; i++) moved[i] = sitter.base[i] + steps[i];
  const after = vertexNormals(moved, mesh.triangles), before = sitter.normals;
  const { light } = sitter, least = SHADE_LEAST * sitter.palette.skin;
  for (let i = 0, at = 0; i < mesh.count; i++, at += 3) {
    const [x, y, z] = [after[at], after[at + 1], after[at + 2]];
    if (x === before[at] && y === before[at + 1] && z === before[at + 2]) continue;
    const old = Math.max(shadingOf(light, before[at], before[at + 1], before[at + 2]), least);
    const ratio = Math.max(shadingOf(light, x, y, z), least) / old;
    const clipped = Math.min(Math.max(ratio, SHADE_DARKEST), SHADE_BRIGHTEST);
    gains[i] = Math.pow(clipped, SHADE * shading * mesh.firm[i]);
  }
  return gains;
}

/**
 * Places, sources and depths of the skin and of the eyeballs, which stay where they are; the
 * outermost ring of an eyeball follows its lids outwards only.
 */
function placesOf(mesh, rig, sitter, steps) {
  const { count } = mesh, { slopes, base } = sitter, before = sitter.places;
  const places = new Float32Array(2 * rig.size), sources = new Float32Array(2 * rig.size);
  const depth = new Float32Array(rig.size).fill(EYES_BEHIND);
  for (let i = 0; i < count; i++) {
    const x = steps[3 * i], y = -steps[3 * i + 1];
    places[2 * i] = before[2 * i] + slopes[4 * i] * x + slopes[4 * i + 1] * y;
    places[2 * i + 1] = before[2 * i + 1] + slopes[4 * i + 2] * x + slopes[4 * i + 3] * y;
    sources[2 * i] = before[2 * mesh.sources[i]];
    sources[2 * i + 1] = before[2 * mesh.sources[i] + 1];
    depth[i] = base[3 * i + 2] + steps[3 * i + 2];
  }
  let start = count;
  for (const lid of mesh.lids) {
    placeEye(places, sources, before, lid, start);
    start += 2 * lid.length + 1;
  }
  return { places, sources, depth };
}

function placeEye(places, sources, before, lid, start) {
  const count = lid.length, middle = start + 2 * count;
  let mx = 0, my = 0;
  for (const vertex of lid) {
    mx += before[2 * vertex] / count;
    my += before[2 * vertex + 1] / count;
  }
  const put = (to, x, y, fromX, fromY) => {
    places[2 * to] = x;
    places[2 * to + 1] = y;
    sources[2 * to] = fromX;
    sources[2 * to + 1] = fromY;
  };
  for (let i = 0; i < count; i++) {
    const x = before[2 * lid[i]], y = before[2 * lid[i] + 1];
    const length = Math.hypot(x - mx, y - my) + 1e-9;
    const ox = (x - mx) / length, oy = (y - my) / length;
    const along = (places[2 * lid[i]] - x) * ox + (places[2 * lid[i] + 1] - y) * oy;
    const out = Math.max(along, 0), rx = (x + mx) / 2, ry = (y + my) / 2;
    put(start + i, x + out * ox, y + out * oy, x, y);
    put(start + count + i, rx, ry, rx, ry);
  }
  put(middle, mx, my, mx, my);
}

/** Uint8Array(t): 0 for triangles that nothing happens to, 2 for those with wrinkles, else 1. */
function busyTriangles({ corners, folding, creased, size }, places, sources, gains) {
  const lively = new Uint8Array(size), busy = new Uint8Array(folding.length);
  for (let i = 0; i < size; i++) {
    const x = Math.abs(places[2 * i] - sources[2 * i]);
    const y = Math.abs(places[2 * i + 1] - sources[2 * i + 1]);
    if (!(Math.max(x, y) < CALM && Math.abs(gains[i] - 1) < CALM_GAIN)) lively[i] = 1;
  }
  for (let t = 0; t < busy.length; t++) {
    const any = lively[corners[3 * t]] | lively[corners[3 * t + 1]] | lively[corners[3 * t + 2]];
    if (any || folding[t]) busy[t] = creased[t] ? 2 : 1;
  }
  return busy;
}
