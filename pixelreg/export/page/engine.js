// What the page asks of its Worker, and what a script of one's own may call: photos in, windows out.

// A model's engine from the text that the exporter packed; the exporter says what `makeModel` is.
async function openEngine({ text, index }) {
  const tables = unpackTables(await inflated(bytesOfText(text)), index);
  const weights = {};
  for (const name of DETECTOR_ARRAYS) weights[name] = tables.arrays[`detector/${name}`];
  const model = makeModel(tables);
  const look = (photo) => findFaces(photo, weights);
  const engine = {
    model,
    findFaces: (photo, isAll = false) => {
      const whole = model.wholeOf(photo, look);
      return whole ? [whole] : facesAtAnyRoll(photo, weights, isAll);
    },
    findUpright: (photo, isAll = false) => {
      const whole = model.wholeOf(photo, look);
      return whole ? [whole] : findFaces(photo, weights, isAll);
    },
    findTurned: (photo) => turnedFaces(photo, weights),
    faceFromEyes: (eyes) => ({ points: pointsFromEyes(eyes), score: 1, byHand: true }),
    prepare: model.prepare,
    change: model.change,
    follower: () => follower(weights, model),
    imitator: model.reader ? () => imitator(weights, model) : null,
  };
  return engine;
}

const DETECTOR_ARRAYS = [
  "templates", "template_bias", "rolls", "gate", "crop_stages", "patch_stages", "verifier",
];

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Five landmarks of which only the eyes are known: the others where they usually are.
function pointsFromEyes([x1, y1, x2, y2]) {
  const pose = { x: (x1 + x2) / 2, y: (y1 + y2) / 2, ax: x2 - x1, ay: y2 - y1 };
  return [x1, y1, x2, y2, ...Array.from(poseToPicture(pose, FIVE_MEAN)).slice(4)];
}

// The calls that a page makes, each from plain values to plain values. The photo in use is held
// twice: as it is, and small enough to be changed while a finger moves.
function makeService(engine) {
  const held = { whole: null, draft: null, faces: [], prepared: new Map(), follow: null, imitate: null };

  const preparedFace = (number, isDraft) => {
    const key = `${number} ${isDraft}`;
    if (!held.prepared.has(key)) {
      const photo = isDraft ? held.draft : held.whole;
      const face = scaledFace(held.faces[number], photo.width / held.whole.width);
      held.prepared.set(key, engine.prepare(photo, face));
    }
    return held.prepared.get(key);
  };

  return {
    about: () => ({ kind: engine.model.kind, targets: engine.model.targets, groups: engine.model.groups,
      canImitate: engine.imitator !== null }),
    take({ whole, draft }) {
      Object.assign(held, { whole, draft: draft ?? whole, prepared: new Map() });
      held.faces = engine.findUpright(whole);
      return held.faces;
    },
    // Where no upright face is sure, one that is turned further: that takes a while.
    turned() {
      if (held.faces.some(({ score }) => score >= TURNED_SURE)) return held.faces;
      const turned = engine.findTurned(held.whole);
      held.faces = turned.length ? turned : held.faces;
      return held.faces;
    },
    every: ({ photo }) => engine.findUpright(photo, true),
    // Faces besides those that are known: they come last, as numbers stand for them.
    add({ faces }) {
      const known = held.faces.map(({ points }) => poseOfFace(points));
      const isNew = ({ points }) =>
        !known.some((pose) => isDouble(poseOfFace(points), pose, APART, Infinity));
      held.faces.push(...faces.filter(isNew));
      return held.faces;
    },
    eyes({ eyes }) {
      held.faces = [engine.faceFromEyes(eyes)];
      held.prepared.clear();
      return held.faces;
    },
    // The windows of the faces that can be changed, and why others cannot.
    change({ numbers, wish, strength, isWhole }) {
      const windows = [];
      const notes = [];
      for (const number of numbers) {
        try {
          windows.push(engine.change(preparedFace(number, !isWhole), wish, strength));
        } catch (error) {
          notes.push(error.message);
        }
      }
      return { windows, notes };
    },
    frame({ photo, time, wish, strength }) {
      held.follow = held.follow ?? engine.follower();
      return { ...held.follow(photo, time, wish, strength), photo };
    },
    // A frame of a film, which the photo's faces imitate.
    imitate({ photo, time, strength, numbers }) {
      held.imitate = held.imitate ?? engine.imitator();
      const prepared = numbers.map((k) => preparedFace(k, true));
      return { ...held.imitate(photo, time, prepared, strength), photo };
    },
    stop() {
      held.follow = null;
      held.imitate = null;
    },
  };
}

const scaledFace = (face, by) =>
  by === 1 ? face : { ...face, points: face.points.map((value) => value * by) };

// In a Worker: answer messages {id, call, value} by {id, value} or {id, error}.
function answerMessages(scope) {
  let service = null;
  scope.onmessage = async ({ data: { id, call, value } }) => {
    try {
      if (call === "open") service = makeService(await openEngine(value));
      const made = call === "open" ? service.about() : await service[call](value);
      scope.postMessage({ id, value: made }, buffersOf(made));
    } catch (error) {
      scope.postMessage({ id, error: error.message });
    }
  };
}

// Buffers that are handed over instead of copied: a window's pixels, and a frame's.
function buffersOf(made) {
  const pictures = [...(made?.windows ?? []), made?.window, made?.photo];
  return pictures.filter((each) => each?.data?.buffer).map((each) => each.data.buffer);
}
