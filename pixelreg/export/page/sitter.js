// The head fitted to one face, as pixelreg/rig/sitter.py fits it: what every expression of it has
// in common. A picture is {width, height, data}, RGBA; places are in its pixels.

const UPPER_LIP = [41, 42, 43, 44, 45], LOWER_LIP = [46, 47, 48, 49, 50]; // inner, left to right
const MOUTH_CORNERS = [34, 40];
const LIPS_PARTED = 0.045; // eye distances between lips that are apart
const SPLINE_CLOSE = 1e-3, SPLINE_SOFT = 20; // smoothing of where things are, and how far they go
const WHITES = 0.85; // quantile of an eye's brightness that is its white

/**
 * Fit the mesh to a face.
 *
 * @param {Float64Array} points  (82 x 2), its landmarks.
 * @param {object} shown  the weights that it shows already.
 * @param {{light, palette}} [lit]  how it is lit, where that is known.
 * @returns {object}
 *   picture, shown
 *   base      Float32Array(3 n) cm, the mesh with the weights shown
 *   places    Float32Array(2 n), where the vertices lie
 *   slopes    Float32Array(2 x 2 n), pixels that a cm moves, y up
 *   normals   Float32Array(3 n) of `base`
 *   light     Float64Array(9), spherical harmonics of the luminance
 *   eyes      how open the eyes are against the mesh's, the picture's left one first
 *   mouth     [[x, y], ...], the border of the inside of an open mouth, or null
 *   palette   {tooth, skin, tint}: luminances, and the skin's colour over its luminance
 */
function fitSitter(tables, picture, points, shown, lit = null) {
  const mesh = meshOf(tables), targets = anchorPlaces(tables, points);
  const base = Float32Array.from(mesh.rest);
  for (const name in shown) if (shown[name]) addMoved(base, mesh.shapes[name], shown[name]);
  const flat = new Float32Array(2 * mesh.count);
  for (let i = 0; i < mesh.count; i++) {
    flat[2 * i] = base[3 * i];
    flat[2 * i + 1] = -base[3 * i + 1];
  }
  const knots = new Float64Array(2 * mesh.anchors.length);
  mesh.anchors.forEach((vertex, a) => knots.set(flat.subarray(2 * vertex, 2 * vertex + 2), 2 * a));
  const { places, soft, slopes } = splineFields(
    splineThrough(knots, targets, SPLINE_CLOSE), splineThrough(knots, targets, SPLINE_SOFT), flat,
  );
  const normals = vertexNormals(base, mesh.triangles);
  const { light, palette } = lit ?? lightOf(mesh, picture, places, normals);
  const eyes = mesh.lids.map((lid) => openness(lid, places, soft));
  return {
    picture, shown, base, places, slopes, normals, light, eyes, mouth: openMouth(points), palette,
  };
}

/** The inner border of the lips, if they are apart. */
function openMouth(points) {
  const at = (i) => [points[2 * i], points[2 * i + 1]];
  const between = (i, j) => Math.hypot(at(i)[0] - at(j)[0], at(i)[1] - at(j)[1]);
  const gap = [1, 2, 3].reduce((sum, k) => sum + between(UPPER_LIP[k], LOWER_LIP[k]), 0) / 3;
  if (gap < LIPS_PARTED * between(...PUPILS)) return null;
  const [left, right] = MOUTH_CORNERS;
  return [left, ...UPPER_LIP, right, ...LOWER_LIP.slice().reverse()].map(at);
}

/** Float32Array(3 n) unit normals of (3 n) vertices, every triangle counted by its area. */
function vertexNormals(vertices, triangles) {
  const total = new Float64Array(vertices.length);
  for (let t = 0; t < triangles.length; t += 3) {
    const a = 3 * triangles[t], b = 3 * triangles[t + 1], c = 3 * triangles[t + 2];
    const ux = vertices[b] - vertices[a], uy = vertices[b + 1] - vertices[a + 1];
    const uz = vertices[b + 2] - vertices[a + 2], vx = vertices[c] - vertices[a];
    const vy = vertices[c + 1] - vertices[a + 1], vz = vertices[c + 2] - vertices[a + 2];
    const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
    total[a] += x, total[a + 1] += y, total[a + 2] += z;
    total[b] += x, total[b + 1] += y, total[b + 2] += z;
    total[c] += x, total[c + 1] += y, total[c + 2] += z;
  }
  const normals = new Float32Array(vertices.length);
  for (let i = 0; i < normals.length; i += 3) {
    const x = total[i], y = total[i + 1], z = total[i + 2];
    const share = 1 / Math.max(Math.sqrt(x * x + y * y + z * z), 1e-12);
    normals[i] = x * share;
    normals[i + 1] = y * share;
    normals[i + 2] = z * share;
  }
  return normals;
}

/** What a light, nine harmonics, makes of a normal: not normalised (Ramamoorthi 2001). */
function shadingOf(light, x, y, z) {
  return light[0] + light[1] * x + light[2] * y + light[3] * z + light[4] * x * y
    + light[5] * x * z + light[6] * y * z + light[7] * (x * x - y * y)
    + light[8] * (3 * z * z - 1);
}

/** How open an eye is against the mesh's: the height of its loop of lids. */
function openness(lid, places, soft) {
  const height = (at) => {
    let low = Infinity, high = -Infinity;
    for (const vertex of lid) {
      low = Math.min(low, at[2 * vertex + 1]);
      high = Math.max(high, at[2 * vertex + 1]);
    }
    return high - low;
  };
  return Math.min(Math.max(height(places) / Math.max(height(soft), 1e-6), 0.5), 1.5);
}

/** Spherical-harmonic light of the skin that is seen, robustly, and the palette. */
function lightOf(mesh, picture, places, normals) {
  const { width, height, data } = picture, grey = greyPart(picture, 0, 0, width, height);
  const times = Math.max(1, Math.floor(width / 256)), sigma = width / 256 / times;
  // What is made smaller first is smoothed more quickly.
  const smooth = gaussianBlur(times > 1 ? reducePicture(grey, times) : grey, sigma);
  const seen = [], basis = [], tints = [[], [], []];
  for (let i = 0; i < mesh.count; i++) {
    if (!isBareSkin(mesh, normals, i)) continue;
    const x = Math.min(Math.max(Math.trunc(places[2 * i]), 0), width - 1);
    const y = Math.min(Math.max(Math.trunc(places[2 * i + 1]), 0), height - 1);
    seen.push(smooth.data[Math.floor(y / times) * smooth.width + Math.floor(x / times)]);
    for (let k = 0; k < 3; k++) tints[k].push(data[4 * (y * width + x) + k]);
    const [u, v, w] = normals.subarray(3 * i, 3 * i + 3);
    basis.push([1, u, v, w, u * v, u * w, v * w, u * u - v * v, 3 * w * w - 1]);
  }
  const light = lightThrough(basis, seen), level = Math.max(quantileOf(seen, 0.5), 1);
  const eyes = mesh.lids.map((lid) => eyeWhite(lid, grey, places));
  const whites = Math.max(...eyes);
  const tooth = Math.min(Math.max(whites, 0.9 * level), 2.5 * level);
  const tint = tints.map((channel) => quantileOf(channel, 0.5) / level);
  return { light, palette: { tooth, skin: level, tint } };
}

/** Whether a vertex is of skin that is seen, away from eyes and brows. */
function isBareSkin({ rest, seen }, normals, i) {
  const x = rest[3 * i], y = rest[3 * i + 1];
  return seen[i] > 0 && Math.abs(x) < 6.5 && y > -9 && y < 6 && normals[3 * i + 2] > 0.2
    && !(y > 0.2 && y < 4.6);
}

/** The nine numbers that fit brightnesses best, those far off counting less and less. */
function lightThrough(basis, seen) {
  const count = seen.length, weights = new Float64Array(count).fill(1);
  const ridge = [0, 0.02, 0.02, 0.02, 0.3, 0.3, 0.3, 0.3, 0.3].map((value) => 1e-2 * count * value);
  const light = new Float64Array(9), rest = new Float64Array(count);
  for (let round = 0; round < 5; round++) {
    const system = new Float64Array(81);
    light.fill(0);
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < 9; k++) {
        const share = weights[i] * basis[i][k];
        light[k] += share * seen[i];
        for (let j = 0; j < 9; j++) system[9 * k + j] += share * basis[i][j];
      }
    }
    for (let k = 0; k < 9; k++) system[10 * k] += ridge[k];
    solveSystem(system, light, 9);
    for (let i = 0; i < count; i++) {
      rest[i] = seen[i];
      for (let k = 0; k < 9; k++) rest[i] -= light[k] * basis[i][k];
    }
    const usual = 1.5 * quantileOf(rest.map(Math.abs), 0.5) + 1;
    for (let i = 0; i < count; i++) weights[i] = 1 / (1 + (rest[i] / usual) ** 2);
  }
  return light;
}

/** The brightness of the white of an eye, which that of teeth follows; 0 where none is seen. */
function eyeWhite(lid, { width, height, data }, places) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  for (const vertex of lid) {
    for (let k = 0; k < 2; k++) {
      low[k] = Math.min(low[k], places[2 * vertex + k]);
      high[k] = Math.max(high[k], places[2 * vertex + k]);
    }
  }
  const [wide, tall] = [high[0] - low[0], high[1] - low[1]];
  const left = Math.max(Math.trunc(low[0] + 0.1 * wide), 0);
  const top = Math.max(Math.trunc(low[1] + 0.25 * tall), 0);
  const right = Math.min(Math.trunc(high[0] - 0.1 * wide) + 1, width);
  const bottom = Math.min(Math.trunc(high[1] - 0.15 * tall) + 1, height);
  const part = [];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) part.push(data[y * width + x]);
  }
  return part.length ? quantileOf(part, WHITES) : 0;
}
