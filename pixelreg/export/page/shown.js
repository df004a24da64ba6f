// The expression that a face shows already: weights of shapes from its landmarks, as
// pixelreg/rig/shown.py finds them. Weights are objects, by the shapes' whole names.

const SHOWN_ROUNDS = 4;
const SHOWN_NOISE = 0.12; // cm, of landmarks and of what the shapes cannot show
const SHOWN_BUILD = 1; // deviations of people's modes
const SHOWN_MUSCLE = 0.5; // usual size of a weight
const SHOWN_FLAT = 1e-3; // of a face's one extent to the other, below which it is a line
const SHOWN_LEAST = 0.1; // weight that any neutral face may seem to show

/**
 * The weights that (82 x 2) landmarks show; what neutral faces show as much of is no expression,
 * twice as much is one.
 */
function shownWeights(tables, points) {
  return unusualOf(tables, fitWeights(tables, points).read);
}

/** What of weights is an expression. */
function unusualOf(tables, read) {
  const { levels } = meshOf(tables), found = {};
  for (const [name, weight] of Object.entries(read)) {
    const usual = Math.max(levels[name] ?? 0, SHOWN_LEAST);
    const share = Math.min(Math.max(weight / usual - 1, 0), 1);
    if (share) found[name] = weight * share;
  }
  return found;
}

/** The whole names of the shapes that are read from landmarks. */
function readNames(tables) {
  return Object.keys(meshOf(tables).shapes).filter((n) => tables.values.read.includes(unsided(n)));
}

/**
 * The weights that fit (82 x 2) landmarks best, those above 0.
 *
 * @returns {{read: object, misfit: number}} And how far the landmarks lie from the nearest face
 *   there can be, cm in the mean.
 */
function fitWeights(tables, points) {
  const model = shownModel(tables), { modes, rest, count, people, names, prior } = model;
  const targets = headPlaces(tables, points), size = modes.length / (3 * count);
  let values = new Float64Array(size), pose = null;
  const flat = new Float64Array(size * 2 * count);
  for (let round = 0; round < SHOWN_ROUNDS; round++) {
    pose = headPose(solidOf(model, values), targets, count);
    flatten(flat, modes, pose, count);
    const goal = goalOf(rest, targets, pose, count), width = 2 * count;
    const system = new Float64Array(size * size), right = new Float64Array(size);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = i === j ? prior[i] : 0;
        for (let k = 0; k < width; k++) sum += flat[i * width + k] * flat[j * width + k];
        system[i * size + j] = sum;
        system[j * size + i] = sum;
      }
      for (let k = 0; k < width; k++) right[i] += flat[i * width + k] * goal[k];
    }
    values = solveBounded(system, right, values, people);
  }
  const read = {};
  names.forEach((name, i) => { if (values[people + i] > 0) read[name] = values[people + i]; });
  const misfit = misfitOf(solidOf(model, values), targets, pose, count);
  return { read, misfit: Number.isFinite(misfit) ? misfit : Infinity };
}

/** About how many degrees a head is turned to either side, of (82 x 2) landmarks; too few. */
function turnOf(tables, points) {
  const { plain, count } = shownModel(tables);
  const { axes: [a, b, c, d, e, f] } = headPose(plain, headPlaces(tables, points), count);
  return Math.atan2(Math.abs(b * f - c * e), a * e - b * d) * 180 / Math.PI;
}

/** What landmarks are fitted by: the anchors at rest, and how people and shapes move them. */
function shownModel(tables) {
  if (tables.shownModel) return tables.shownModel;
  const mesh = meshOf(tables), { arrays } = tables, names = readNames(tables);
  const count = mesh.anchors.length, people = arrays.people.length / (3 * count);
  const plain = new Float64Array(3 * count), rest = new Float64Array(3 * count);
  const modes = new Float64Array(3 * count * (people + names.length));
  modes.set(Float64Array.from(arrays.people, (value) => value / 100));
  for (let a = 0; a < count; a++) {
    for (let axis = 0; axis < 3; axis++) {
      plain[3 * a + axis] = mesh.rest[3 * mesh.anchors[a] + axis];
      rest[3 * a + axis] = plain[3 * a + axis] + (axis < 2 ? arrays.usual[2 * a + axis] / 100 : 0);
    }
  }
  names.forEach((name, i) => {
    const steps = new Float64Array(3 * mesh.count);
    addMoved(steps, mesh.shapes[name], 1);
    mesh.anchors.forEach((vertex, a) => {
      modes.set(steps.subarray(3 * vertex, 3 * vertex + 3), 3 * (count * (people + i) + a));
    });
  });
  const prior = new Float64Array(people + names.length).fill(SHOWN_NOISE ** 2 / SHOWN_MUSCLE ** 2);
  prior.fill(SHOWN_NOISE ** 2 / SHOWN_BUILD ** 2, 0, people);
  tables.shownModel = { names, count, people, plain, rest, modes, prior };
  return tables.shownModel;
}

/** (2 a) anchors in the picture, y up. */
function headPlaces(tables, points) {
  return anchorPlaces(tables, points).map((value, i) => (i % 2 ? -value : value));
}

/** (3 a) anchors of somebody with these numbers of all modes. */
function solidOf({ rest, modes }, values) {
  const solid = Float64Array.from(rest);
  for (let m = 0, at = 0; m < values.length; m++, at += solid.length) {
    if (values[m] === 0) continue;
    for (let i = 0; i < solid.length; i++) solid[i] += values[m] * modes[at + i];
  }
  return solid;
}

/**
 * The scaled orthographic pose from (3 a) solid points to (2 a) flat ones.
 *
 * @returns {{axes: number[], shift: number[], unit: number}} Two rows of three, of one length and
 *   at right angles; (x, y); and that length, pixels a cm.
 */
function headPose(solid, targets, count) {
  const middle = meanOf(solid, 3, count), centre = meanOf(targets, 2, count);
  const system = new Float64Array(9), free = new Float64Array(6);
  for (let a = 0; a < count; a++) {
    for (let i = 0; i < 3; i++) {
      const here = solid[3 * a + i] - middle[i];
      for (let j = 0; j < 3; j++) system[3 * i + j] += here * (solid[3 * a + j] - middle[j]);
      for (let j = 0; j < 2; j++) free[2 * i + j] += here * (targets[2 * a + j] - centre[j]);
    }
  }
  solveSystem(system, free, 3, 2);
  const [a, d, b, e, c, f] = free; // rows (a, b, c) and (d, e, f)
  // The nearest rows at right angles, by the square root of the 2 x 2 products of the rows.
  const p = a * a + b * b + c * c, q = a * d + b * e + c * f, r = d * d + e * e + f * f;
  const root = Math.sqrt(Math.max(p * r - q * q, 0)), sum = Math.sqrt(p + r + 2 * root);
  const apart = Math.sqrt(Math.max(p + r - 2 * root, 0)); // of both lengths, whose sum is `sum`
  if (!(sum - apart > SHOWN_FLAT * (sum + apart))) throw new Error("the points lie on a line");
  const unit = sum / 2, scale = unit * sum / ((p + root) * (r + root) - q * q);
  const s = (r + root) * scale, t = -q * scale, u = (p + root) * scale;
  const axes = [
    s * a + t * d, s * b + t * e, s * c + t * f, t * a + u * d, t * b + u * e, t * c + u * f,
  ];
  const place = (row) =>
    axes[row] * middle[0] + axes[row + 1] * middle[1] + axes[row + 2] * middle[2];
  const shift = [centre[0] - place(0), centre[1] - place(3)];
  return { axes, shift, unit };
}

function meanOf(points, width, count) {
  const mean = new Float64Array(width);
  for (let i = 0; i < width * count; i++) mean[i % width] += points[i] / count;
  return mean;
}

/** Modes (m, a, 3) as a pose shows them, (m, 2 a) cm. */
function flatten(flat, modes, { axes, unit }, count) {
  const [a, b, c, d, e, f] = axes.map((value) => value / unit);
  for (let i = 0, at = 0; i < flat.length; i += 2, at += 3) {
    const x = modes[at], y = modes[at + 1], z = modes[at + 2];
    flat[i] = a * x + b * y + c * z;
    flat[i + 1] = d * x + e * y + f * z;
  }
}

/** (2 a) cm that anchors lie from where a pose has those at rest. */
function goalOf(solid, targets, { axes, shift, unit }, count) {
  const goal = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    for (let row = 0; row < 2; row++) {
      let place = shift[row];
      for (let k = 0; k < 3; k++) place += axes[3 * row + k] * solid[3 * i + k];
      goal[2 * i + row] = (targets[2 * i + row] - place) / unit;
    }
  }
  return goal;
}

function misfitOf(solid, targets, pose, count) {
  const left = goalOf(solid, targets, pose, count);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.hypot(left[2 * i], left[2 * i + 1]);
  return sum / count;
}
