// A face followed from frame to frame: pixelreg/video/follow.py.

const LOOK_AGAIN = 0.25; // seconds between two looks while there is no face
const FADE = 0.2; // seconds in which the change comes and goes with a face
const SURE = 0.5; // score from which landmarks that were moved on are believed
const REACH = 2.2; // eye distances around a face's landmarks that the cascade sees

// A face's landmarks in this picture, started from where they were; null where there is none.
function movedFace(weights, photo, face) {
  const apart = eyeDistance(face);
  const reach = REACH * apart;
  const xs = face.points.filter((_, k) => k % 2 === 0);
  const ys = face.points.filter((_, k) => k % 2 === 1);
  const factor = Math.max(1, Math.floor(apart / PATCH_UNIT));
  const left = Math.max(Math.floor(Math.min(...xs) - reach), 0);
  const top = Math.max(Math.floor(Math.min(...ys) - reach), 0);
  const width = Math.floor((Math.min(Math.floor(Math.max(...xs) + reach), photo.width) - left) / factor);
  const height = Math.floor((Math.min(Math.floor(Math.max(...ys) + reach), photo.height) - top) / factor);
  if (!(width >= 16 && height >= 16)) return null;
  const plane = shrunkLuma(photo, left, top, width, height, factor);
  const corner = (value, k) => (value - (k % 2 ? top : left)) / factor;
  const found = alignFace(weights, pyramidOf(plane, OCTAVES), poseOfFace(face.points.map(corner)));
  const points = found.points.map((value, k) => value * factor + (k % 2 ? top : left));
  const moved = { points, score: found.score };
  return found.score >= SURE && hasEyesInside(moved, photo) ? moved : null;
}

// Luminance of a part of a photo, means over factor x factor pixels.
function shrunkLuma({ data, width: wide }, left, top, width, height, factor) {
  const luma = new Float32Array(width * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to++) {
      let sum = 0;
      for (let v = 0; v < factor; v++) {
        let at = 4 * ((top + y * factor + v) * wide + left + x * factor);
        for (let u = 0; u < factor; u++, at += 4) {
          sum += (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 32768) >> 16;
        }
      }
      luma[to] = sum / (factor * factor);
    }
  }
  return { data: luma, width, height };
}

// The largest face of a film, frame by frame: `face` is null where there is none, `isNew` where it was
// not there before, `seconds` the time since the frame before, `presence` how much of a change it gets.
function tracker(weights) {
  let face = null;
  let before = null;
  let looked = -Infinity;
  let presence = 0;
  return (photo, time) => {
    const seconds = before === null ? FADE : Math.max(time - before, 1e-3);
    before = time;
    const moved = face && movedFace(weights, photo, face);
    const isLook = !moved && time - looked >= LOOK_AGAIN;
    if (isLook) looked = time;
    face = isLook ? findFaces(photo, weights)[0] ?? null : moved;
    const isNew = isLook && face !== null;
    presence = isNew ? 0 : within(presence + (face ? seconds : -seconds) / FADE, 0, 1);
    return { face, isNew, seconds, presence };
  };
}

// A film's face changed. Each call takes a frame, the time in seconds and what is wished, and gives
// {face, window}; null for what is not there.
function follower(weights, model) {
  const track = tracker(weights);
  let move = null;
  return (photo, time, wish, strength) => {
    const { face, isNew, seconds, presence } = track(photo, time);
    if (isNew) move = model.follow();
    const window = face ? move(photo, face, seconds, wish, strength * presence) : null;
    return { face, window };
  };
}

// A photo's faces that do what a film's face does. Each call takes a frame, the time, and what
// `prepare` gave for the photo's faces, and gives {face, windows}: those of the photo.
function imitator(weights, model) {
  const track = tracker(weights);
  let read = null;
  return (frame, time, prepared, strength) => {
    const { face, isNew, seconds } = track(frame, time);
    if (isNew) read = model.reader();
    const goal = face && read(frame, face, seconds);
    return { face, windows: goal && prepared.map((each) => model.show(each, goal, strength)) };
  };
}
