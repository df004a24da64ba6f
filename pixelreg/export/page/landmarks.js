// 82 landmarks of a face by a cascade of ridge regressions, as pixelreg/faces/densecascade.py has
// them: stages that look at the whole face, then stages that look at patches around the points.
// Points are (x, y) in pixels, (82, 2) one after the other, pixel centres at i + 0.5.

const POINT_COUNT = 82;
// first point, one after the last, cells of a patch's side; the right eye has the left one's maps
const FACE_PARTS = [
  { kind: "eye", first: 0, end: 17, cells: 3, flip: 1 },
  { kind: "eye", first: 17, end: 34, cells: 3, flip: -1 },
  { kind: "mouth", first: 34, end: 56, cells: 3, flip: 1 },
  { kind: "nose", first: 56, end: 73, cells: 3, flip: 1 },
  { kind: "jaw", first: 73, end: 82, cells: 4, flip: 1 },
];
// Pixels an eye distance of the patches of each stage.
const PATCH_UNITS = {
  eye: [28, 36, 48], mouth: [24, 32, 44], nose: [24, 32, 40], jaw: [16, 20, 24],
};
const CROP_UNIT = 24, CROP_COLUMNS = 64, CROP_ROWS = 72; // the whole face
const CROP_MIDDLE = [0, 0.75];
const LARGEST_UNIT = 64; // pixels an eye distance that are looked at
const AROUND_FACE = 3; // eye distances around the face that are cut out
const FACE_MIDDLE = 0.6;
const PUPILS = [0, 17];

/** How much each point says of the pose: what moves with expressions says less. */
function steadyWeights() {
  const weights = new Float64Array(POINT_COUNT).fill(1);
  weights.fill(0.4, 9, 17).fill(0.4, 26, 34); // brows
  return weights.fill(0.3, 34, 56).fill(0.15, 73, 82); // mouth, jaw
}

/**
 * The landmarks of a face: by the cascade, and by a second look where the tables hold one.
 *
 * @param {{width, height, data}} photo  RGBA.
 * @param {{points}} face  (x, y) of the eyes on the picture's left and right, nose tip, mouth's
 *   corners on the picture's left and right, in turn; the eyes alone do.
 * @param {object} tables  `unpackTables` of what the page came with.
 * @returns {Float64Array} (82 x 2)
 */
function findLandmarks(photo, face, tables) {
  return surelyFound(photo, face.points, tables).points;
}

/** `findLandmarks`, and how far two looks disagree, in eye distances: see `mostDoubt`. */
function surelyFound(photo, five, tables) {
  const first = lookForLandmarks(photo, five, tables);
  return hasSecondLook(tables) ? lookAgain(photo, first.points, tables) : first;
}

/** Whether tables hold what a second look takes, see secondlook.js. */
function hasSecondLook(tables) {
  return "facemesh.first.weight" in tables.arrays;
}

/** The doubt above which landmarks are not to be used: the cascade's own, or of two finders. */
function mostDoubt(tables) {
  return hasSecondLook(tables) ? 0.14 : 0.05;
}

/**
 * The landmarks of a face, and how far two looks at it disagree, in eye distances.
 *
 * @param {boolean} twice  whether to look in a mirror too, which costs as much again.
 * @returns {{points: Float64Array, doubt: number}}
 */
function lookForLandmarks(photo, five, tables, twice = true) {
  const cascade = cascadeOf(tables), pose = poseOfFace(five);
  const { levels, left, top, times } = cutOutFace(photo, pose);
  const start = {
    x: (pose.x - left) / times, y: (pose.y - top) / times, ax: pose.ax / times, ay: pose.ay / times,
  };
  const points = runCascade(cascade, levels, start);
  let doubt = 0;
  if (twice) {
    const width = levels[0].width;
    const turned = { x: width - start.x, y: start.y, ax: start.ax, ay: -start.ay };
    const other = runCascade(cascade, mirroredPyramid(levels), turned);
    for (let i = 0; i < POINT_COUNT; i++) {
      const j = cascade.mirror[i], x = width - other[2 * j], y = other[2 * j + 1];
      doubt += Math.hypot(x - points[2 * i], y - points[2 * i + 1]);
      points[2 * i] = (points[2 * i] + x) / 2;
      points[2 * i + 1] = (points[2 * i + 1] + y) / 2;
    }
    doubt /= POINT_COUNT * Math.hypot(start.ax, start.ay);
  }
  for (let i = 0; i < POINT_COUNT; i++) {
    points[2 * i] = points[2 * i] * times + left;
    points[2 * i + 1] = points[2 * i + 1] * times + top;
  }
  return { points, doubt };
}

/** The picture around a face in grey, not larger than needed; photo = times x cut + (left, top). */
function cutOutFace(photo, pose) {
  const unit = Math.hypot(pose.ax, pose.ay), reach = AROUND_FACE * unit;
  const x = pose.x - pose.ay * FACE_MIDDLE, y = pose.y + pose.ax * FACE_MIDDLE;
  const clip = (value, low, high) => Math.min(Math.max(value, low), high) | 0;
  const left = clip(Math.floor(x - reach), 0, photo.width - 1);
  const top = clip(Math.floor(y - reach), 0, photo.height - 1);
  const right = clip(Math.ceil(x + reach), left + 1, photo.width);
  const bottom = clip(Math.ceil(y + reach), top + 1, photo.height);
  const times = Math.max(1, Math.floor(unit / LARGEST_UNIT + 0.5)) | 0;
  const grey = greyPart(photo, left, top, right, bottom);
  return { levels: pyramidOf(times > 1 ? reducePicture(grey, times) : grey, 5), left, top, times };
}

/** The cascade's maps, unpacked when first asked for. */
function cascadeOf(tables) {
  if (tables.cascade) return tables.cascade;
  const { arrays, shapes, values } = tables;
  const read = (name) => {
    const rank = shapes[`${name}.step`][0], packed = arrays[`${name}.images`];
    const step = arrays[`${name}.step`], places = arrays[`${name}.shapes`];
    const down = new Float32Array(packed.length + places.length);
    for (let i = 0; i < packed.length; i++) down[i] = packed[i] * step[i % rank];
    down.set(places, packed.length);
    return { rank, down, up: arrays[`${name}.up`], offset: arrays[`${name}.offset`] };
  };
  const crops = [], patches = [];
  for (let k = 0; k < values.cropStages; k++) crops.push(read(`crop${k}`));
  for (let k = 0; k < values.patchStages; k++) {
    patches.push(Object.fromEntries(Object.keys(PATCH_UNITS).map((n) => [n, read(`${n}${k}`)])));
  }
  tables.cascade = {
    crops, patches, mean: Float64Array.from(arrays.mean), mirror: arrays.mirror,
    steady: steadyWeights(),
  };
  return tables.cascade;
}

/** (82 x 2) points in pixels, from a starting pose. */
function runCascade(cascade, levels, pose) {
  const { mean, steady } = cascade;
  let local = mean, points = null;
  const move = (steps) => {
    const moved = local.map((value, i) => value + steps[i]);
    points = poseToPicture(pose, moved);
    pose = poseBetween(mean, points, steady);
    local = poseToFrame(pose, points);
  };
  for (const map of cascade.crops) move(applyMap(map, cropFeatures(levels, pose)));
  cascade.patches.forEach((maps, stage) => {
    const steps = new Float64Array(2 * POINT_COUNT);
    for (const part of FACE_PARTS) {
      const found = applyMap(maps[part.kind], partFeatures(levels, pose, local, part, stage));
      for (let i = 0; i < found.length; i += 2) {
        steps[2 * part.first + i] = part.flip * found[i];
        steps[2 * part.first + i + 1] = found[i + 1];
      }
    }
    move(steps);
  });
  return points;
}

/** A linear map of low rank of features. */
function applyMap({ rank, down, up, offset }, features) {
  const between = new Float64Array(rank);
  for (let i = 0, at = 0; i < features.length; i++, at += rank) {
    const value = features[i];
    for (let k = 0; k < rank; k++) between[k] += value * down[at + k];
  }
  const made = Float64Array.from(offset);
  for (let k = 0, at = 0; k < rank; k++) {
    for (let i = 0; i < made.length; i++, at++) made[i] += between[k] * up[at];
  }
  return made;
}

/** Features of the whole face in a pose. */
function cropFeatures(levels, pose) {
  const grey = new Float32Array(CROP_COLUMNS * CROP_ROWS);
  const [x, y] = poseToPicture(pose, CROP_MIDDLE);
  const ux = pose.ax / CROP_UNIT, uy = pose.ay / CROP_UNIT;
  const octave = octaveOf(levels, Math.hypot(pose.ax, pose.ay) / CROP_UNIT);
  sampleLattice(levels, octave, x, y, ux, uy, -uy, ux, CROP_COLUMNS, CROP_ROWS, grey);
  const features = new Float32Array(grey.length / (CELL * CELL) * CELL_CHANNELS);
  cellFeatures(grey, CROP_COLUMNS, CROP_ROWS, features, 0);
  return features;
}

/**
 * Features of a part: patches around its points, and where these lie to each other.
 *
 * @param {Float64Array} local  (82 x 2) of the face frame.
 */
function partFeatures(levels, pose, local, part, stage) {
  const { first, end, cells, flip } = part, unit = PATCH_UNITS[part.kind][stage];
  const side = CELL * cells, length = cells * cells * CELL_CHANNELS, count = end - first;
  const grey = new Float32Array(side * side);
  const features = new Float32Array(count * (length + 2));
  const octave = octaveOf(levels, Math.hypot(pose.ax, pose.ay) / unit);
  const ux = pose.ax / unit, uy = pose.ay / unit, at = poseToPicture(pose, local);
  let mx = 0, my = 0;
  for (let i = first; i < end; i++) {
    const x = at[2 * i], y = at[2 * i + 1];
    sampleLattice(levels, octave, x, y, flip * ux, flip * uy, -uy, ux, side, side, grey);
    cellFeatures(grey, side, side, features, (i - first) * length);
    mx += flip * local[2 * i] / count;
    my += local[2 * i + 1] / count;
  }
  for (let i = 0; i < count; i++) {
    features[count * length + 2 * i] = flip * local[2 * (first + i)] - mx;
    features[count * length + 2 * i + 1] = local[2 * (first + i) + 1] - my;
  }
  return features;
}
