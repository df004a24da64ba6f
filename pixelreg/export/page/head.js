// The 3D face: both halves of pixelreg/rig/head.py's, ready for use. Lengths are in cm, x to the
// right of the picture, y up, z towards the viewer; n vertices, t triangles.

/**
 * The mesh of the head that tables hold, made once.
 *
 * @returns {object}
 *   count         n
 *   rest          Float32Array(3 n)
 *   triangles     Int32Array(3 t)
 *   sources       Int32Array(n), the vertex that each takes its colour from
 *   seen, firm    Uint8Array(n); Float32Array(n), 1 on the face, less on the skirt around it
 *   lids          the vertices around the eye on the picture's left, and around the other
 *   lips, mouth   Int32Array, vertices of the lips' outer and inner borders
 *   innerLips     vertices of the upper inner lip, and those of the lower one that touch them
 *   anchors       Int32Array(a), the vertices that landmarks tell of
 *   shapes        by whole names, what a shape moves: {vertices: Int32Array, steps: Float32Array}
 *   levels        by whole names, the weight that neutral photographs seem to show
 */
function meshOf(tables) {
  if (tables.mesh) return tables.mesh;
  const { arrays, shapes: sizes, values } = tables, half = sizes.vertices[1];
  const twins = [], mirrored = Int32Array.from({ length: half }, (_, i) => i);
  for (let i = 0; i < half; i++) if (arrays.vertices[i] > 0) twins.push(i);
  twins.forEach((twin, i) => { mirrored[twin] = half + i; });
  const both = (part, Kind) => Kind.from([...part, ...twins.map((twin) => part[twin])]);
  const across = (part) => Int32Array.from([...part, ...Array.from(part, (i) => mirrored[i])]);
  const [middle, aside, , below, under] = arrays.mouth;
  const mesh = {
    half, twins, mirrored,
    count: half + twins.length,
    rest: restOf(arrays.vertices, half, twins, Math.fround(values.step)),
    triangles: trianglesOf(arrays.triangles, mirrored),
    sources: Int32Array.from([...arrays.sources, ...twins.map((i) => mirrored[arrays.sources[i]])]),
    seen: both(arrays.seen, Uint8Array),
    firm: both(arrays.firm, Float32Array).map((value) => value / 255),
    lids: [Int32Array.from(arrays.lid, (i) => mirrored[i]), Int32Array.from(arrays.lid)],
    lips: across(arrays.lips),
    mouth: across(arrays.mouth),
    innerLips: [across([middle, aside]), across([under, below])],
    anchors: anchorsOf(arrays.anchors, mirrored),
    shapes: {}, levels: {},
  };
  values.names.forEach((name, number) => addShape(mesh, tables, name, number));
  tables.mesh = mesh;
  return mesh;
}

/** The name of a shape without its side. */
function unsided(name) {
  return name.replace(/_[LR]$/, "");
}

function restOf(vertices, half, twins, step) {
  const rest = new Float32Array(3 * (half + twins.length));
  for (let axis = 0; axis < 3; axis++) {
    const sign = axis ? 1 : -1;
    for (let i = 0; i < half; i++) rest[3 * i + axis] = vertices[axis * half + i] * step;
    twins.forEach((twin, i) => { rest[3 * (half + i) + axis] = sign * rest[3 * twin + axis]; });
  }
  return rest;
}

function trianglesOf(packed, mirrored) {
  const count = packed.length / 3, triangles = new Int32Array(2 * packed.length);
  for (let t = 0, first = 0; t < count; t++) {
    first += packed[t];
    const corners = [first, first + packed[count + t], first + packed[2 * count + t]];
    triangles.set(corners, 3 * t);
    triangles.set(corners.map((i) => mirrored[i]).reverse(), 3 * (count + t));
  }
  return triangles;
}

function anchorsOf(packed, mirrored) {
  const anchors = new Int32Array(packed.length / 2);
  for (let i = 0; i < anchors.length; i++) {
    anchors[i] = packed[2 * i + 1] === 1 ? mirrored[packed[2 * i]] : packed[2 * i];
  }
  return anchors;
}

/** A shape, or its two sides, under whole names. */
function addShape(mesh, { arrays }, name, number) {
  const sides = name === "jaw" || name === "mouth" ? [name + "Left", name + "Right"]
    : name.endsWith("_") ? [name + "L", name + "R"] : [name];
  const size = 3 * mesh.half, scale = arrays.scales[number];
  const own = arrays.shapes.subarray(2 * number * size, (2 * number + 1) * size);
  const other = arrays.shapes.subarray((2 * number + 1) * size, (2 * number + 2) * size);
  sides.forEach((side, k) => {
    const there = sides.length === 1 ? own : k ? own : other;
    mesh.shapes[side] = sparseShape(mesh, k ? other : own, there, scale);
    mesh.levels[side] = arrays.levels[number];
  });
}

/** What moves, of int8 steps (3, half) of the head's own half and of the other one. */
function sparseShape({ half, twins }, here, there, scale) {
  const vertices = [], steps = [];
  const add = (part, from, to, sign) => {
    const x = part[from], y = part[half + from], z = part[2 * half + from];
    if (x === 0 && y === 0 && z === 0) return;
    vertices.push(to);
    steps.push(sign * x * scale, y * scale, z * scale);
  };
  for (let i = 0; i < half; i++) add(here, i, i, 1);
  twins.forEach((twin, i) => add(there, twin, half + i, -1));
  return { vertices: Int32Array.from(vertices), steps: Float32Array.from(steps) };
}

/** Add what a shape at a weight moves to (3 n) steps. */
function addMoved(steps, shape, weight) {
  const { vertices, steps: moves } = shape, share = Math.fround(weight);
  for (let i = 0, at = 0; i < vertices.length; i++, at += 3) {
    const to = 3 * vertices[i];
    steps[to] += share * moves[at];
    steps[to + 1] += share * moves[at + 1];
    steps[to + 2] += share * moves[at + 2];
  }
}

/** (2 a) where the mesh's anchors lie in a picture, of (82 x 2) landmarks. */
function anchorPlaces(tables, points) {
  const { mixing } = tables.arrays, count = mixing.length / POINT_COUNT;
  const places = new Float64Array(2 * count);
  for (let a = 0; a < count; a++) {
    for (let i = 0; i < POINT_COUNT; i++) {
      const share = mixing[a * POINT_COUNT + i] / 60;
      places[2 * a] += share * points[2 * i];
      places[2 * a + 1] += share * points[2 * i + 1];
    }
  }
  return places;
}
