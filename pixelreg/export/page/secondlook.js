// FaceMesh, the second look at a face's landmarks, as pixelreg/faces/facemesh.py and secondlook.py
// have it: for pages whose tables hold its weights. A plane of features is {side, depth, data}, the
// last a Float32Array(side side depth).

const MESH_SIDE = 192; // pixels of what the network looks at
const MESH_BODY = [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1]; // steps of the blocks
const MESH_HEAD = [2, 1, 1];
const MESH_MIDDLE = 0.45; // eye distances below the eyes, where the network looks
const MESH_AROUND = 1.5; // the side of what it looks at, in sides of the mesh
// Corners of the eye on the picture's left, and of the other: of the mesh, and of the 82; the chin.
const MESH_CORNERS = [[33, 133], [362, 263]], DENSE_CORNERS = [[1, 5], [22, 18]], DENSE_CHIN = 77;
// What FaceMesh counts at each of `FACE_PARTS`, where both agree.
const SECOND_SHARES = [0.5, 0.5, 0.5, 0.35, 0.15];
const SECOND_APART = 0.05; // eye distances between both at which it counts half of that
const SECOND_COVERED = 0.085; // eye distances between both from which a part seems to be covered

/**
 * The mean of what a first look found and of what FaceMesh finds; where they disagree, the first.
 *
 * @param {Float64Array} first  (82 x 2).
 * @returns {{points: Float64Array, doubt: number, covered: string | null}} and how far they
 *   disagree, in eye distances; and what of the face seems to be covered, eyes or mouth.
 */
function lookAgain(photo, first, tables) {
  const network = meshNetwork(tables), place = meshPlace(first);
  const picture = cropOf(photo, place, MESH_SIDE);
  const seen = poseToPicture(poseOfPlace(place), runMesh(network, picture));
  const second = mappedMesh(network, seen), unit = eyesApart(first);
  const sums = FACE_PARTS.map(({ first: start, end }) => {
    let sum = 0;
    for (let i = 2 * start; i < 2 * end; i += 2) {
      sum += Math.hypot(second[i] - first[i], second[i + 1] - first[i + 1]);
    }
    return sum / Math.max(unit, 1e-9);
  });
  const doubt = sums.reduce((sum, part) => sum + part, 0) / POINT_COUNT;
  const trust = 1 / (1 + (doubt / SECOND_APART) ** 4), points = Float64Array.from(first);
  FACE_PARTS.forEach(({ first: start, end }, part) => {
    for (let i = 2 * start; i < 2 * end; i++) {
      points[i] += SECOND_SHARES[part] * trust * (second[i] - first[i]);
    }
  });
  return { points, doubt, covered: coveredPart(sums) };
}

/** Finders guess at what they cannot see, and guess apart. */
function coveredPart(sums) {
  const [left, right, mouth, nose] = FACE_PARTS.map(({ first, end }, k) => sums[k] / (end - first));
  if ((left + right) / 2 > SECOND_COVERED) return "eyes";
  return Math.max(mouth, nose) > SECOND_COVERED ? "mouth" : null;
}

/** A similarity's way from crop to photo as a pose. */
function poseOfPlace({ a, b, c, d }) {
  return { x: c, y: d, ax: a, ay: b };
}

/** Where the network is to look, by (82 x 2) points: a turned nose leads the mesh. */
function meshPlace(points) {
  const pose = eyesPose(points, DENSE_CORNERS), local = poseToFrame(pose, points);
  const mean = ({ first, end }) => {
    let sum = 0;
    for (let i = first; i < end; i++) sum += local[2 * i] / (end - first);
    return sum;
  };
  const nose = mean(FACE_PARTS[3]), jaw = mean(FACE_PARTS[4]);
  const [x, y] = poseToPicture(pose, [0.37 * jaw - 1.27 * nose, MESH_MIDDLE], [0, 0]);
  const size = Math.max(1.65 + 0.6 * local[2 * DENSE_CHIN + 1], 1);
  const share = MESH_AROUND * size / MESH_SIDE, half = MESH_SIDE / 2;
  const a = pose.ax * share, b = pose.ay * share;
  return { a, b, c: x - (a - b) * half, d: y - (a + b) * half };
}

/** The face frame by the corners of both eyes. */
function eyesPose(points, corners) {
  const [left, right] = corners.map((pair) => [0, 1].map((k) =>
    (points[2 * pair[0] + k] + points[2 * pair[1] + k]) / 2));
  const ax = right[0] - left[0], ay = right[1] - left[1];
  return { x: (left[0] + right[0]) / 2, y: (left[1] + right[1]) / 2, ax, ay };
}

/** (82 x 2) points of (468 x 2) ones: a linear map in the mesh's own frame. */
function mappedMesh({ mean, down, up, offset }, mesh) {
  const pose = eyesPose(mesh, MESH_CORNERS);
  const differs = poseToFrame(pose, mesh).map((value, i) => value - mean[i]);
  const moved = applyMap({ rank: up.length / offset.length, down, up, offset }, differs);
  return poseToPicture(pose, moved);
}

/** The (468 x 2) points in pixels of a picture, (192 192 3) bytes. */
function runMesh(network, picture) {
  let plane = firstPlane(network.first, picture);
  network.body.forEach((block, k) => { plane = runBlock(block, plane, MESH_BODY[k]); });
  network.head.forEach((block, k) => { plane = runBlock(block, plane, MESH_HEAD[k]); });
  const narrow = runProduct(network.narrow, plane);
  return Float64Array.from(runProduct(network.last, {
    side: 1, depth: network.last.weight.length / network.last.offset.length,
    data: runBlock(network.block, narrow, 1).data,
  }).data);
}

/** The network's layers, unpacked when first asked for. */
function meshNetwork(tables) {
  if (tables.network) return tables.network;
  const { arrays } = tables;
  const real = (name) => {
    const packed = arrays[`facemesh.${name}`], step = arrays[`facemesh.${name}.step`];
    if (!step) return packed;
    return Float32Array.from(packed, (value, i) => value * step[i % step.length]);
  };
  const read = (name, parts) => Object.fromEntries(parts.map((n) => [n, real(`${name}.${n}`)]));
  const block = (name) => read(name, ["deep", "wide", "offset", "slope"]);
  const product = (name) => read(name, ["weight", "offset", "slope"]);
  tables.network = {
    first: product("first"),
    body: MESH_BODY.map((_, k) => block(`body${String(k).padStart(2, "0")}`)),
    head: MESH_HEAD.map((_, k) => block(`mesh${k}`)),
    narrow: product("mesh.narrow"), block: block("mesh.block"), last: product("mesh.last"),
    ...read("map", ["mean", "down", "up", "offset"]),
  };
  return tables.network;
}

/** The first layer: 3 x 3 pixels at every other place, zeros below and on the right. */
function firstPlane(layer, picture) {
  const side = MESH_SIDE / 2, data = new Float32Array(27 * side * side);
  for (let y = 0, to = 0; y < side; y++) {
    for (let x = 0; x < side; x++, to += 27) {
      for (let r = 0; r < 3 && 2 * y + r < MESH_SIDE; r++) {
        const from = 3 * ((2 * y + r) * MESH_SIDE + 2 * x), count = x === side - 1 ? 6 : 9;
        for (let k = 0; k < count; k++) data[to + 9 * r + k] = picture[from + k] / 255;
      }
    }
  }
  return runProduct(layer, { side, depth: 27, data });
}

/** One residual block: a depthwise 3 x 3 convolution, then one over channels. */
function runBlock({ deep, wide, offset, slope }, plane, step) {
  const seen = depthwise(plane, deep, step);
  const made = runProduct({ weight: wide, offset, slope: [] }, seen);
  const kept = step > 1 ? largestOfFour(plane) : plane, { depth } = made;
  for (let i = 0, at = 0; at < made.data.length; at += depth, i += kept.depth) {
    for (let k = 0; k < kept.depth; k++) made.data[at + k] += kept.data[i + k];
  }
  return rectified(made, slope);
}

/** A product over channels, and PReLU where there are slopes. */
function runProduct({ weight, offset, slope }, { side, depth, data }) {
  const width = offset.length, out = new Float32Array(side * side * width);
  const sums = new Float64Array(width);
  for (let at = 0, to = 0; to < out.length; at += depth, to += width) {
    for (let k = 0; k < width; k++) sums[k] = offset[k];
    for (let i = 0, w = 0; i < depth; i++, w += width) {
      const value = data[at + i];
      if (value === 0) continue;
      for (let k = 0; k < width; k++) sums[k] += value * weight[w + k];
    }
    for (let k = 0; k < width; k++) out[to + k] = sums[k];
  }
  return rectified({ side, depth: width, data: out }, slope);
}

/** max(x, 0) + slope min(x, 0), in place. */
function rectified(plane, slope) {
  const { data, depth } = plane;
  if (!slope.length) return plane;
  for (let at = 0; at < data.length; at += depth) {
    for (let k = 0; k < depth; k++) if (data[at + k] < 0) data[at + k] *= slope[k];
  }
  return plane;
}

/** A 3 x 3 convolution of each channel; zeros around, of step 2 below and right only. */
function depthwise({ side, depth, data }, weight, step) {
  const before = step === 1 ? 1 : 0, half = side / step;
  const out = new Float32Array(half * half * depth);
  for (let y = 0, to = 0; y < half; y++) {
    for (let x = 0; x < half; x++, to += depth) {
      for (let r = 0; r < 3; r++) {
        const row = y * step + r - before;
        if (row < 0 || row >= side) continue;
        for (let c = 0; c < 3; c++) {
          const column = x * step + c - before;
          if (column < 0 || column >= side) continue;
          const from = (row * side + column) * depth, w = (3 * r + c) * depth;
          for (let k = 0; k < depth; k++) out[to + k] += data[from + k] * weight[w + k];
        }
      }
    }
  }
  return { side: half, depth, data: out };
}

/** The largest of every 2 x 2 places. */
function largestOfFour({ side, depth, data }) {
  const half = side / 2, line = side * depth, out = new Float32Array(half * half * depth);
  for (let y = 0, to = 0; y < half; y++) {
    for (let x = 0; x < half; x++) {
      const from = 2 * (y * line + x * depth);
      for (let p = from; p < from + depth; p++, to++) {
        const above = Math.max(data[p], data[p + depth]);
        out[to] = Math.max(above, data[p + line], data[p + line + depth]);
      }
    }
  }
  return { side: half, depth, data: out };
}
