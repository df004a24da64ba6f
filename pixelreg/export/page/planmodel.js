// A file of plans as a page's model: its targets' names, and what they do to a face.
//
// Every kind of model has `targets`, their names, `groups` of sliders, and
//   wholeOf(photo, find)               the face of a photo that is taken as it is, or null; `find`
//                                      looks for faces, and without it the size decides
//   prepare(photo, face)               what of a face does not depend on what is wished
//   change(prepared, wish, strength)   the window of the photo that changes, {x, y, width, ...}
//   follow()                           one face of a film: see follower.js
// where a wish is {name: share}; plans take one name, at share 1.

function planModel(tables) {
  const { frame, size, targets } = tables.values.model;
  const plans = new Map();

  function planOf(name) {
    const number = targets.findIndex((target) => target.name === name);
    if (number < 0) throw new RangeError(`this model has no expression ${name}`);
    if (!plans.has(name)) plans.set(name, decodedPlan(tables, targets[number], number));
    return plans.get(name);
  }

  function wholeOf(photo, find = () => []) {
    const { width, height } = photo;
    const isOwn = width === size && height === size;
    if (frame && !(isOwn && showsCrop(find(photo), frame, size))) return null;
    const { a, c, d } = similarityFromSquare(width, height, 1);
    const eyes = (frame ?? USUAL_FRAME).map((share, k) => a * share + (k % 2 ? d : c));
    return { points: pointsFromEyes(eyes), score: 1, isWhole: true };
  }

  function prepare(photo, face, place = null) {
    const similarity = place ?? (face.isWhole
      ? similarityFromSquare(photo.width, photo.height, size)
      : similarityFromEyes(face.points.slice(0, 4), frame ?? USUAL_FRAME, size));
    const crop = cropOf(photo, similarity, size);
    return { photo, similarity, crop, isFace: !face.isWhole, pastes: new Map() };
  }

  function pasteOf({ photo, similarity, crop, isFace, pastes }, name) {
    if (!pastes.has(name)) {
      const plan = planOf(name);
      const change = changeOf(plan, crop, isFace);
      const paste = preparePaste(photo.width, photo.height, change, similarity, plan.known);
      // What moves is the same for every face of a plan: its finer field is made but once.
      if (paste.fine.displacement) plan.known = { displacement: paste.fine.displacement };
      pastes.set(name, paste);
    }
    return pastes.get(name);
  }

  function change(prepared, wish, strength) {
    const paste = pasteOf(prepared, Object.keys(wish)[0]);
    const window = cutWindow(prepared.photo, paste.x, paste.y, paste.width, paste.height);
    pasteInto(window, paste, prepared.photo, strength);
    return window;
  }

  function follow() {
    const eyes = frame ?? USUAL_FRAME;
    const steady = steadyPlace(size / 2, size * (eyes[2] - eyes[0]));
    return (photo, face, seconds, wish, strength) => {
      const place = similarityFromEyes(face.points.slice(0, 4), eyes, size);
      return change(prepare(photo, face, steady(place, seconds)), wish, strength);
    };
  }

  const names = targets.map((target) => target.name);
  return { kind: "plans", size, targets: names, groups: [], wholeOf, prepare, change, follow };
}

const USUAL_FRAME = [0.36, 0.39, 0.64, 0.39];
const OF_A_CROP = 0.08; // of a picture's side; so far from the frame's, eyes are still those of a crop
const LEAST_SEEN = 12; // pixels between two eyes, below which a picture is too small to tell

// Whether eyes that are seen in a square picture are where a crop has them.
function showsCrop(faces, frame, size) {
  const sure = faces.find((face) => face.score >= TURNED_SURE && eyeDistance(face) >= LEAST_SEEN);
  return !sure || frame.every((share, k) => Math.abs(sure.points[k] / size - share) < OF_A_CROP);
}

// The plan that a target's codes stand for: `Coded.plan` of pixelreg/export/coding.py.
function decodedPlan(tables, target, number) {
  const { size } = tables.values.model;
  const spans = tables.arrays[`plan/${number}/spans`];
  const fields = {};
  for (const [name, { scale, zero }] of Object.entries(target.fields)) {
    const key = `plan/${number}/${name}`;
    const values = decodedField(tables.arrays[key], scale, zero);
    fields[name] = { values, shape: tables.shapes[key] };
  }
  const inside = insideOf(spans, size);
  const plan = PLANS[target.kind](fields, inside, size, target.delta);
  return { kind: target.kind, size, masked: target.masked, ...plan };
}

// scale (code - zero), where both have one number for all or one for each of the last axis.
function decodedField(codes, scale, zero) {
  const values = new Float64Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    values[i] = scale[i % scale.length] * (codes[i] - zero[i % zero.length]);
  }
  return values;
}

// Whether each pixel lies between the columns that a target changes in its row.
function insideOf(spans, size) {
  return Uint8Array.from({ length: size * size }, (_, i) => {
    const row = 2 * Math.floor(i / size);
    return i % size >= spans[row] && i % size < spans[row + 1] ? 1 : 0;
  });
}

const PLANS = {
  affine({ weight, bias }, inside, size, delta) {
    const slope = atFullSize(weight, inside, size);
    for (let i = 0; i < slope.length; i++) slope[i] += delta || !inside[Math.floor(i / 3)] ? 1 : 0;
    return { weight: slope, bias: atFullSize(bias, inside, size) };
  },
  kernel({ table, coefficients }, inside, size, delta) {
    const rank = table.shape[1];
    const shares = new Float32Array(size * size * 3 * (rank + 1));
    for (let i = 0, to = 0; i < size * size * 3; i++) {
      const here = inside[Math.floor(i / 3)];
      for (let r = 0; r < rank; r++) shares[to++] = here * coefficients.values[i * rank + r];
      shares[to++] = delta || !here ? 1 : 0; // of the grey level itself
    }
    const features = new Float32Array(256 * (rank + 1));
    for (let level = 0, to = 0; level < 256; level++) {
      for (let r = 0; r < rank; r++) features[to++] = table.values[level * rank + r];
      features[to++] = level / 255;
    }
    return { table: features, coefficients: shares };
  },
  flow({ displacement, weight, bias, blur }, inside, size) {
    return {
      displacement: atFullSize(displacement, inside, size),
      weight: atFullSize(weight, inside, size),
      bias: atFullSize(bias, inside, size),
      blur: blur.values,
    };
  },
};

// A field at every pixel, bilinear between its numbers where it is smaller, 0 outside.
function atFullSize({ values, shape }, inside, size) {
  const count = shape[2];
  const detail = size / shape[0];
  const out = new Float32Array(size * size * count);
  const place = (x) => (2 * x + 1 - detail) / (2 * detail);
  for (let i = 0; i < size * size; i++) {
    if (!inside[i]) continue;
    const [x, y] = [Math.fround(place(i % size)), Math.fround(place(Math.floor(i / size)))];
    const [left, top] = [Math.floor(x), Math.floor(y)];
    const [u, v] = [x - left, y - top];
    for (let k = 0; k < count; k++) {
      const at = (column, row) => {
        const start = within(row, 0, shape[0] - 1) * shape[1] + within(column, 0, shape[1] - 1);
        return values[start * count + k];
      };
      const above = (1 - u) * at(left, top) + u * at(left + 1, top);
      const below = (1 - u) * at(left, top + 1) + u * at(left + 1, top + 1);
      out[i * count + k] = (1 - v) * above + v * below;
    }
  }
  return out;
}
