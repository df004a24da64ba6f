// The face detector that comes with pixelreg: pixelreg/faces/bundled.py.
//
// `weights` are the detector's arrays by name. A face is {points: [x, y] of the left and right eye,
// the nose and the mouth's corners, score}, in pixels of the photo.

const WINDOW_UNIT = 16;
const WINDOW_CELLS = [11, 10];
const WINDOW_LONG = WINDOW_CELLS[1] * CELL_CHANNELS;
const PASSES = [640, 1280]; // of the longest side, of which the first that finds a face is the last
const EVERY = [...PASSES, 2560]; // of those for every face of a group
const LEVEL_STEP = 2 ** -0.25;
const PADDING = 16;
const CANDIDATES = 60;
const LARGEST_ENLARGEMENT = 2;
const APART = 1; // eye distances between two faces' eyes
const SMALL = 24;
const SMALL_SCORE = 0.9;
const LEAST_SCORE = 0.5;
// A search at all sizes has as many chances of error: beside a sure face, others need this score.
const AMONG_OTHERS = 0.75;
const GLANCE = 160;
const FINER_GLANCE = 4;
const OCTAVES = 6;
const FACE_SIDE = 64;
const FACE_UNIT = 24;
const FACE_CENTRE = [0, 1 / 3];
const PATCH_SIDE = 24;
const PATCH_UNIT = 40;

// The faces of a photo, largest first: all of them, or, which is quicker, where the largest is enough:
// at a glance those whose eyes are far apart, and only where there are none those of a finer search.
function findFaces(photo, weights, isAll = false) {
  const grey = greyPart(photo, 0, 0, photo.width, photo.height);
  const glanced = isAll ? [] : glancedFaces(photo, weights, grey);
  return glanced.length ? glanced : searchedFaces(photo, weights, grey, isAll);
}

function glancedFaces(photo, weights, grey) {
  const longest = Math.max(photo.width, photo.height);
  const times = Math.max(1, roundEven(longest / (FINER_GLANCE * GLANCE))); // whole, which is quick
  const plane = times > 1 ? reducePicture(grey, times) : grey;
  const small = shrunkTo(plane, GLANCE);
  const poses = searchPoses(weights, small.plane, 0, GLANCE);
  const scaled = poses.map((pose) => scaledPose(pose, small.factor));
  return keptFaces(photo, verifiedFaces(weights, pyramidOf(plane, OCTAVES), scaled, times));
}

// The faces of one pass after the other, or of the first that finds any.
function searchedFaces(photo, weights, grey, isAll) {
  const passes = isAll ? EVERY : PASSES;
  const large = shrunkTo(grey, passes.at(-1));
  const pyramid = pyramidOf(large.plane, OCTAVES);
  const found = [];
  let searched = 0;
  for (const pass of passes) {
    if (searched >= Math.max(photo.width, photo.height)) break;
    const small = shrunkTo(grey, pass);
    const least = searched / Math.max(small.plane.width, small.plane.height);
    const poses = searchPoses(weights, small.plane, least, pass);
    const scaled = poses.map((pose) => scaledPose(pose, small.factor / large.factor));
    found.push(...verifiedFaces(weights, pyramid, scaled, large.factor));
    searched = pass;
    if (!isAll && keptFaces(photo, found).length) break;
  }
  const kept = keptFaces(photo, apartFaces(found));
  const isSurer = isAll && kept.some(({ score }) => score >= SMALL_SCORE);
  return isSurer ? kept.filter(({ score }) => score >= AMONG_OTHERS) : kept;
}

// Of faces that several passes found, the surer ones.
function apartFaces(faces) {
  const poses = faces.map(({ points }) => poseOfFace(points));
  return distinctPoses(poses, faces.map(({ score }) => score), 0, APART).map((k) => faces[k]);
}

// The faces that are to be believed, largest first.
function keptFaces(photo, faces) {
  return faces.filter((face) => isSure(face) && hasEyesInside(face, photo))
    .sort((one, other) => eyeDistance(other) - eyeDistance(one));
}

const eyeDistance = ({ points }) => Math.hypot(points[2] - points[0], points[3] - points[1]);

const isSure = (face) => eyeDistance(face) >= SMALL || face.score >= SMALL_SCORE;

function hasEyesInside({ points }, { width, height }) {
  const inside = (x, y) => x >= 0 && y >= 0 && x <= width && y <= height;
  return inside(points[0], points[1]) && inside(points[2], points[3]);
}

const poseUnit = ({ ax, ay }) => Math.hypot(ax, ay);

const scaledPose = ({ x, y, ax, ay }, by) => ({ x: x * by, y: y * by, ax: ax * by, ay: ay * by });

// The best windows of a sweep over all positions and sizes, as poses.
function searchPoses(weights, plane, least, finest) {
  const found = [];
  for (const { plane: level, factor } of searchLevels(plane, finest)) {
    if (1 / factor <= least + 1e-6) break;
    found.push(...windowsOf(weights, level, factor));
  }
  found.sort((one, other) => other.score - one.score);
  const best = found.slice(0, 10 * CANDIDATES);
  return distinctPoses(best.map(({ pose }) => pose), best.map(({ score }) => score), -Infinity,
    0.35, 2).slice(0, CANDIDATES).map((k) => best[k].pose);
}

// Copies of a plane from large to small, each with the factor back to the original.
// Small ones are enlarged towards `finest` pixels.
function* searchLevels(plane, finest) {
  const longest = Math.max(plane.width, plane.height);
  const start = Math.min(LARGEST_ENLARGEMENT, Math.max(1, finest / longest));
  const levels = [];
  for (let scale = start; Math.min(plane.width, plane.height) * scale >= 2 * WINDOW_UNIT;
    scale = start * LEVEL_STEP ** levels.length) {
    const width = roundEven(plane.width * scale);
    const height = roundEven(plane.height * scale);
    const source = levels.length > 4 ? levels.at(-4) : plane;
    levels.push(resizedPlane(source, width, height));
    yield { plane: levels.at(-1), factor: plane.width / width };
  }
}

function windowsOf(weights, level, factor) {
  const map = mapOf(level);
  const [rows, columns] = [map.rows - WINDOW_CELLS[0] + 1, map.columns - WINDOW_CELLS[1] + 1];
  if (rows < 1 || columns < 1) return [];
  const { scores, best } = windowScores(weights, map, rows, columns);
  const found = [];
  for (const at of peaksOf(scores, rows, columns, weights.gate[0])) {
    const row = Math.floor(at / columns);
    const roll = (weights.rolls[best[at]] * Math.PI) / 180;
    const pose = {
      x: ((at % columns) * CELL - PADDING + 1.25 * WINDOW_UNIT) * factor,
      y: (row * CELL - PADDING + WINDOW_UNIT) * factor,
      ax: WINDOW_UNIT * factor * Math.cos(roll),
      ay: WINDOW_UNIT * factor * Math.sin(roll),
    };
    found.push({ pose, score: scores[at] });
  }
  return found;
}

// Features of a level whose border is repeated, so that windows reach over it.
function mapOf({ data, width, height }) {
  const columns = Math.floor((width + 2 * PADDING) / CELL);
  const rows = Math.floor((height + 2 * PADDING) / CELL);
  const [wide, high] = [columns * CELL, rows * CELL];
  const grey = new Float32Array(wide * high);
  for (let y = 0, to = 0; y < high; y++) {
    const from = width * within(y - PADDING, 0, height - 1);
    for (let x = -PADDING; x < wide - PADDING; x++, to++) {
      grey[to] = data[from + within(x, 0, width - 1)] / 255;
    }
  }
  const cells = new Float32Array(rows * columns * CELL_CHANNELS);
  cellFeatures(grey, wide, high, cells, 0);
  return { cells, columns, rows };
}

// Of every window: the best template's score, and which that is.
function windowScores(weights, { cells, columns: wide }, rows, columns) {
  const { templates, template_bias: bias } = weights;
  const scores = new Float32Array(rows * columns).fill(-Infinity);
  const best = new Uint8Array(rows * columns);
  const size = WINDOW_CELLS[0] * WINDOW_LONG;
  for (let at = 0; at < scores.length; at++) {
    const corner = CELL_CHANNELS * (Math.floor(at / columns) * wide + (at % columns));
    for (let kind = 0; kind < bias.length; kind++) {
      const score = windowScore(cells, corner, CELL_CHANNELS * wide, templates, kind * size);
      if (Math.fround(score + bias[kind]) > scores[at]) {
        scores[at] = score + bias[kind];
        best[at] = kind;
      }
    }
  }
  return { scores, best };
}

function windowScore(cells, corner, line, templates, start) {
  let even = 0, odd = 0;
  for (let row = 0, k = start; row < WINDOW_CELLS[0]; row++) {
    const first = corner + row * line;
    for (let at = first; at < first + WINDOW_LONG; at += 2, k += 2) {
      even += cells[at] * templates[k];
      odd += cells[at + 1] * templates[k + 1];
    }
  }
  return even + odd;
}

// Local maxima of a score map that reach `least`.
function peaksOf(scores, rows, columns, least) {
  const found = [];
  for (let at = 0; at < scores.length; at++) {
    if (scores[at] >= least && isPeak(scores, rows, columns, at)) found.push(at);
  }
  return found;
}

function isPeak(scores, rows, columns, at) {
  const row = Math.floor(at / columns);
  const column = at % columns;
  for (let y = Math.max(row - 1, 0); y <= Math.min(row + 1, rows - 1); y++) {
    for (let x = Math.max(column - 1, 0); x <= Math.min(column + 1, columns - 1); x++) {
      if (scores[y * columns + x] > scores[at]) return false;
    }
  }
  return true;
}

// Numbers of the poses that score `least` and are no weaker double of another, best first.
function distinctPoses(poses, scores, least, nearer, similar = Infinity) {
  const order = poses.map((_, k) => k).sort((one, other) => scores[other] - scores[one]);
  const kept = [];
  for (const k of order) {
    if (scores[k] < least) break;
    if (!kept.some((other) => isDouble(poses[k], poses[other], nearer, similar))) kept.push(k);
  }
  return kept;
}

function isDouble(one, other, nearer, similar) {
  const large = Math.max(poseUnit(one), poseUnit(other));
  const small = Math.min(poseUnit(one), poseUnit(other));
  const apart = Math.hypot(one.x - other.x, one.y - other.y);
  return apart < nearer * (large > similar * small ? small : large);
}

// The faces at poses of a pyramid, in pixels of the photo, which is `factor` times larger.
function verifiedFaces(weights, pyramid, poses, factor) {
  const found = poses.map((pose) => alignFace(weights, pyramid, pose));
  const shapes = found.map(({ points }) => poseOfFace(points));
  const scores = found.map(({ score }) => score);
  return distinctPoses(shapes, scores, LEAST_SCORE, APART).map((k) => {
    // A start that was far off can leave the cascade short of its goal: go on from there.
    const further = alignFace(weights, pyramid, shapes[k]);
    const { points, score } = further.score >= scores[k] ? further : found[k];
    return { points: points.map((value) => value * factor), score };
  });
}

// Landmarks and score of the face that starts from a pose.
function alignFace(weights, pyramid, start) {
  let points = poseToPicture(start, FIVE_MEAN);
  for (let k = 0; k < countOf(weights.crop_stages, 2049); k++) {
    const pose = poseOfFace(points);
    const features = faceFeatures(pyramid, pose);
    points = movedOn(weights.crop_stages, k, features, pose, FIVE_MEAN);
  }
  for (let k = 0; k < countOf(weights.patch_stages, 1441); k++) {
    const pose = poseOfFace(points);
    const features = patchFeatures(pyramid, pose, points);
    points = movedOn(weights.patch_stages, k, features, pose, poseToFrame(pose, points));
  }
  return { points: Array.from(points), score: verify(weights, pyramid, points) };
}

const countOf = (stages, features) => stages.length / (10 * features);

// One ridge regression of the cascade; the last of its rows is the intercept.
function movedOn(stages, number, features, pose, start) {
  const first = 10 * number * (features.length + 1);
  const steps = Float64Array.from(start, (value, k) => value + stages[first + 10 * features.length + k]);
  for (let i = 0; i < features.length; i++) {
    const row = first + 10 * i;
    const value = features[i];
    for (let k = 0; k < 10; k++) steps[k] += value * stages[row + k];
  }
  return poseToPicture(pose, steps);
}

// The score of an aligned face, 0 to 1.
function verify({ verifier }, pyramid, points) {
  const pose = poseOfFace(points);
  const whole = faceFeatures(pyramid, pose);
  const local = patchFeatures(pyramid, pose, points);
  let margin = verifier[whole.length + local.length];
  for (let i = 0; i < whole.length; i++) margin += whole[i] * verifier[i];
  for (let i = 0; i < local.length; i++) margin += local[i] * verifier[whole.length + i];
  return 1 / (1 + Math.exp(-margin));
}

// 2048 features of the whole face, and 5 x 288 of patches around its landmarks.
function faceFeatures(pyramid, pose) {
  const features = new Float32Array((FACE_SIDE / CELL) ** 2 * CELL_CHANNELS);
  const [x, y] = poseToPicture(pose, FACE_CENTRE);
  addFeatures(pyramid, pose, x, y, FACE_SIDE, FACE_UNIT, features, 0);
  return features;
}

function patchFeatures(pyramid, pose, points) {
  const length = (PATCH_SIDE / CELL) ** 2 * CELL_CHANNELS;
  const features = new Float32Array((points.length / 2) * length);
  for (let k = 0; k < points.length / 2; k++) {
    const [x, y] = [points[2 * k], points[2 * k + 1]];
    addFeatures(pyramid, pose, x, y, PATCH_SIDE, PATCH_UNIT, features, k * length);
  }
  return features;
}

// Features of a square of side x side samples around (x, y), `perUnit` of them an eye distance.
function addFeatures(pyramid, pose, x, y, side, perUnit, features, to) {
  const grey = new Float32Array(side * side);
  const [ux, uy] = [pose.ax / perUnit, pose.ay / perUnit];
  const octave = octaveOf(pyramid, poseUnit(pose) / perUnit);
  sampleLattice(pyramid, octave, x, y, ux, uy, -uy, ux, side, side, grey);
  cellFeatures(grey, side, side, features, to);
}
