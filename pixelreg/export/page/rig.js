// A 3D face's expression shapes on photos, as pixelreg/rig has them: any expression, on any face.
//
//   const tables = unpackTables(bytes, index);              once
//   const points = findLandmarks(photo, face, tables);      Float64Array(82 x 2), once a face
//   const prepared = prepareFace(photo, points, tables);    once a face
//   const goal = weightsOf({ happy: 0.6, browInnerUp: 0.4 }, tables);
//   const window = changeFace(prepared, goal, 1);           {x, y, width, height, data}, RGBA
//
// and for the camera, with `state = startFollowing(tables)` for every face,
//
//   const window = followFace(state, frame, face, seconds, goal, strength);
//
// Photos and frames are {width, height, data}, RGBA; a window is the part of a photo that changes,
// with the change: beyond it the photo stays as it is. Scripts this one needs, in order: tables,
// paste, looks, landmarks, algebra, filters, head, spline, sitter, shown, wrinkles, teeth, raster,
// motion, mouth, expressions; for the camera steady and following.

const LARGEST_FACE = 240; // pixels between the eyes above which a face is drawn smaller
// Eye distances around the middle of the eyes that the head and its skirt cover.
const WINDOW_REACH = [-2, -1.95, 2, 2.9];
const SMALLEST_EYES = 8; // pixels between the eyes below which there is no face to speak of
const MOST_INSIDE = 0.5, MOST_MISFIT = 0.35; // of landmarks; cm that they may lie off a face's
const MOST_TURNED = 30; // degrees as `turnOf` tells them; about 45 really
const BLANK = 2; // grey levels of spread below which there is nothing to see

/**
 * Fit the head to a face: what all changes of it have in common.
 *
 * @param {Float64Array} points  (82 x 2), the face's landmarks.
 * @returns {object} for `changeFace`; `prepared.sitter.shown` are the weights that the face shows.
 */
function prepareFace(photo, points, tables) {
  const place = facePlace(photo, points), { left, top, times } = place;
  const picture = smallPart(photo, place);
  if (!picture) throw new RangeError("the face lies outside the picture");
  const here = points.map((value, i) => (value - (i % 2 ? top : left)) / times);
  const sitter = fitSitter(tables, picture, here, shownWeights(tables, here));
  const source = sourceOf(photo, left, top, place.right, place.bottom);
  return { photo, tables, sitter, source, similarity: { a: times, b: 0, c: left, d: top } };
}

/**
 * A face with another expression.
 *
 * @param {{given, letGo, look}} goal  see `weightsOf`.
 * @param {number} strength  how far to go towards it: 0 changes nothing, 2 goes twice as far.
 * @returns {{x, y, width, height, data}} the window that changes, a copy of its own.
 */
function changeFace(prepared, goal, strength) {
  const { tables, sitter } = prepared;
  if (strength === 0) return { x: 0, y: 0, width: 0, height: 0, data: new Uint8ClampedArray(0) };
  return changeWeights(prepared, goalWeights(goal, sitter.shown, strength), goal.look);
}

/** A face that shows shapes at these weights, by whole names. */
function changeWeights({ photo, tables, sitter, source, similarity }, weights, look) {
  const change = drawChange(tables, sitter, weights, look);
  return pasteChange(photo, change, similarity, 1, source);
}

/**
 * Why a face cannot be changed, or null.
 *
 * @param {number} doubt  as `surelyFound` tells it; covered: too, for a face that was not given.
 */
function whyUnfit(photo, points, doubt, tables, covered = null) {
  let inside = 0;
  for (let i = 0; i < points.length; i += 2) {
    const x = points[i], y = points[i + 1];
    if (x > 0 && y > 0 && x < photo.width && y < photo.height) inside += 1;
  }
  if (!(inside > MOST_INSIDE * POINT_COUNT)) return "most of it lies outside the picture";
  if (eyesApart(points) < SMALLEST_EYES) return "it is too small";
  try {
    if (fitWeights(tables, points).misfit > MOST_MISFIT) return "its landmarks are not a face's";
    if (turnOf(tables, points) > MOST_TURNED) return "it is turned too far to the side";
  } catch {
    return "its landmarks are not a face's";
  }
  if (covered) return `its ${covered} cannot be seen well enough: covered, or cut off?`;
  if (doubt > mostDoubt(tables)) return "its landmarks are not found with certainty";
  return isBlank(photo, points) ? "there is nothing but one colour" : null;
}

/** Pixels between the pupils of (82 x 2) landmarks. */
function eyesApart(points) {
  const [left, right] = PUPILS.map((i) => 2 * i);
  return Math.hypot(points[right] - points[left], points[right + 1] - points[left + 1]);
}

/** What is around a face: {left, top, right, bottom, times}, whole multiples of `times` apart. */
function facePlace(photo, points) {
  const [left, right] = PUPILS.map((i) => 2 * i);
  const eyes = [points[left], points[left + 1], points[right], points[right + 1]];
  const times = Math.max(1, Math.ceil(eyesApart(points) / LARGEST_FACE)) | 0;
  return { ...windowAround(photo, eyes, times), times };
}

function windowAround({ width, height }, [lx, ly, rx, ry], times) {
  const ax = rx - lx, ay = ry - ly, mx = (lx + rx) / 2, my = (ly + ry) / 2, xs = [], ys = [];
  for (const x of [WINDOW_REACH[0], WINDOW_REACH[2]]) {
    for (const y of [WINDOW_REACH[1], WINDOW_REACH[3]]) {
      xs.push(mx + x * ax - y * ay);
      ys.push(my + x * ay + y * ax);
    }
  }
  const clip = (value, most) => Math.min(Math.max(value, 0), most);
  const left = clip(Math.floor(Math.min(...xs)), width);
  const top = clip(Math.floor(Math.min(...ys)), height);
  const right = clip(Math.ceil(Math.max(...xs)), width);
  const bottom = clip(Math.ceil(Math.max(...ys)), height);
  const whole = (low, high) => high - Math.max(high - low, 0) % times | 0;
  return { left: left | 0, top: top | 0, right: whole(left, right), bottom: whole(top, bottom) };
}

/** A part of a photo, smaller by a whole number; null where so little of it is left. */
function smallPart(photo, { left, top, right, bottom, times }, least = 1) {
  if (Math.min(right - left, bottom - top) < least * times) return null;
  const part = cutWindow(photo, left, top, right - left, bottom - top);
  return times > 1 ? reducePicture(part, times, 4) : part;
}

/** Whether a picture shows one colour alone where a face should be. */
function isBlank(photo, points) {
  const low = [Infinity, Infinity], high = [-Infinity, -Infinity];
  points.forEach((value, i) => {
    low[i % 2] = Math.min(low[i % 2], value);
    high[i % 2] = Math.max(high[i % 2], value);
  });
  const [left, top] = low.map((value) => Math.trunc(Math.max(value, 0)));
  const right = Math.min(Math.trunc(high[0]) + 1, photo.width);
  const bottom = Math.min(Math.trunc(high[1]) + 1, photo.height);
  const count = Math.max((right - left) * (bottom - top), 1);
  return [0, 1, 2].every((k) => {
    let sum = 0, squares = 0;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const value = photo.data[4 * (y * photo.width + x) + k];
        sum += value;
        squares += value * value;
      }
    }
    return Math.sqrt(Math.max(squares / count - (sum / count) ** 2, 0)) < BLANK;
  });
}
