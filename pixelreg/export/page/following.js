// One face of a film on the rig: followed closely, changed steadily, as pixelreg/rig/moving.py has
// it. What of the face's own expression lasts is let go of, or kept, as in a photo; what passes,
// such as a blink or a word, goes on as it is.

const TURN_FADES = 6; // degrees over the last of which the change fades out
const SMALLEST_WINDOW = 16; // pixels
// Hz at rest, Hz for every eye distance or whole weight a second, and Hz for the speed itself.
const POINT_FILTER = [1, 30, 5], WEIGHT_FILTER = [0.7, 5, 5];
const MOST_ADDED = 1; // weight to which what lasts and what passes add up
const LASTING = 1; // seconds in which an expression becomes one that lasts
const RELIT = 0.25; // seconds between two looks at the light
const LIGHT_LASTS = 0.5; // seconds in which a new light comes
// The five landmarks of a detector as means of dense ones.
const FIVE_OF_DENSE = [[0], [17], [60, 61, 62], [34], [40]];

/** What is kept of one face from frame to frame. */
function startFollowing(tables) {
  return {
    tables,
    names: readNames(tables),
    hold: steadyPoints(steadyWeights(), oneEuro(...POINT_FILTER), PUPILS),
    holdWeights: oneEuro(...WEIGHT_FILTER),
    lasting: null,
    light: { now: null, goal: null, since: 0 },
    points: null,
  };
}

/**
 * A face in the next frame of a film, changed.
 *
 * @param {object} state  `startFollowing`'s, one for every face.
 * @param {{width, height, data}} frame  RGBA.
 * @param {{points} | null} face  five landmarks of it in this frame, as `findLandmarks` takes them;
 *   null goes on from where the last frame had them.
 * @param {number} seconds  since the frame before.
 * @param {{given, letGo, look}} goal  see `weightsOf`.
 * @returns {{x, y, width, height, data} | null} the window that changes; null where no face is, or
 *   none that can be changed. `state.points` are the landmarks then: null where there is no face.
 */
function followFace(state, frame, face, seconds, goal, strength) {
  const { tables } = state, five = face?.points ?? (state.points && fiveOf(state.points));
  state.points = null;
  if (!five) return null;
  const eyes = [five[0], five[1], five[2], five[3]];
  const apart = Math.hypot(five[2] - five[0], five[3] - five[1]);
  const times = Math.max(1, Math.ceil(apart / LARGEST_FACE)) | 0;
  const place = { ...windowAround(frame, eyes, times), times }, { left, top } = place;
  if (Math.min(place.right - left, place.bottom - top) < SMALLEST_WINDOW * times) return null;
  const part = cutWindow(frame, left, top, place.right - left, place.bottom - top);
  const corner = (value, i) => value - (i % 2 ? top : left);
  const found = lookForLandmarks(part, Array.from(five, corner), tables, false).points;
  const points = state.hold(found.map((value, i) => value + (i % 2 ? top : left)), seconds);
  const here = points.map((value, i) => corner(value, i) / times);
  const { read, misfit } = fitWeights(tables, here);
  if (!face && misfit > MOST_MISFIT) return null;
  state.points = points;
  const shown = shownOverTime(state, read, seconds), turned = MOST_TURNED - turnOf(tables, here);
  const share = strength * Math.min(Math.max(turned / TURN_FADES, 0), 1);
  if (share === 0) return null;
  const picture = times > 1 ? reducePicture(part, times, 4) : part;
  const weights = livelyWeights(state, shown, goal, share, seconds);
  const sitter = litSitter(state, picture, here, shown, seconds);
  const change = drawChange(tables, sitter, weights, goal.look);
  return pasteChange(frame, change, { a: times, b: 0, c: left, d: top }, 1);
}

/** The five landmarks of a detector, of (82 x 2) dense ones. */
function fiveOf(points) {
  return FIVE_OF_DENSE.flatMap((which) => [0, 1].map((k) =>
    which.reduce((sum, i) => sum + points[2 * i + k], 0) / which.length));
}

/** The weights that steady points show, held steady themselves. */
function shownOverTime(state, read, seconds) {
  const now = unusualOf(state.tables, read), shown = {};
  const steady = state.holdWeights(state.names.map((name) => now[name] ?? 0), seconds);
  state.names.forEach((name, i) => { if (steady[i] > 0) shown[name] = steady[i]; });
  return shown;
}

/** What lasts of an expression is changed, what passes stays upon it. */
function livelyWeights(state, shown, goal, strength, seconds) {
  const calm = calmWeights(state, shown, seconds), weights = goalWeights(goal, calm, strength);
  for (const name of Object.keys(weights)) {
    const usual = calm[name] ?? 0, lively = (shown[name] ?? 0) - usual;
    if (name.startsWith("eye")) { // shut eyes stay shut
      const blink = Math.min(shown[`eyeBlink${name.slice(-2)}`] ?? 0, 1);
      weights[name] = usual + (1 - blink) * (weights[name] - usual);
    }
    const most = Math.max(MOST_ADDED, weights[name], shown[name] ?? 0);
    weights[name] = Math.min(weights[name] + lively, most);
  }
  return { ...shown, ...weights };
}

/** As much of each weight as has been there for a while and is there now. */
function calmWeights(state, shown, seconds) {
  const lasting = state.lasting ?? { ...shown }, share = Math.min(seconds / LASTING, 1);
  state.lasting = lasting;
  const calm = {};
  for (const name in { ...shown, ...lasting }) {
    const before = lasting[name] ?? 0;
    lasting[name] = before + share * ((shown[name] ?? 0) - before);
    const both = Math.min(lasting[name], shown[name] ?? 0);
    if (both > 0 && !name.startsWith("eyeBlink")) calm[name] = both;
  }
  return calm;
}

/** The head on the face, in a light that is looked at now and then, and changed slowly. */
function litSitter(state, picture, points, shown, seconds) {
  const { light } = state;
  light.since += seconds;
  const look = light.now === null || light.since >= RELIT;
  const known = look ? null : litOf(light.now);
  const sitter = fitSitter(state.tables, picture, points, shown, known);
  if (look) {
    light.since = 0;
    const { tooth, skin, tint } = sitter.palette;
    light.goal = [...sitter.light, tooth, skin, ...tint];
  }
  const before = light.now ?? light.goal, share = Math.min(seconds / LIGHT_LASTS, 1);
  light.now = before.map((value, i) => value + share * (light.goal[i] - value));
  return { ...sitter, ...litOf(light.now) };
}

function litOf(numbers) {
  const [tooth, skin, ...tint] = numbers.slice(9);
  return { light: Float64Array.from(numbers.slice(0, 9)), palette: { tooth, skin, tint } };
}
