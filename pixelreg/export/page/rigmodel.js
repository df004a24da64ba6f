// The rig as a page's model (see planmodel.js): any expression, mixtures of them, single muscles.

// Parts of the face, by how the names of shapes begin.
const MUSCLE_GROUPS = [
  ["Brows", /^brow/], ["Eyes", /^eye/], ["Nose and cheeks", /^(nose|cheek)/],
  ["Mouth", /^mouth/], ["Jaw", /^jaw/],
];

function rigModel(tables) {
  const targets = Object.keys(tables.values.expressions);
  const goals = new Map();

  function goalOf(wish) {
    const key = JSON.stringify(wish);
    if (!goals.has(key)) {
      goals.clear(); // a slider's way is long, and only its end is asked for again
      goals.set(key, weightsOf(wish, tables));
    }
    return goals.get(key);
  }

  function prepare(photo, face) {
    const { points, doubt, covered } = surelyFound(photo, face.points, tables);
    // Who says where a face is may be believed.
    const reason = whyUnfit(photo, points, doubt, tables, face.byHand ? null : covered);
    if (reason) throw new RangeError(`this face is left alone: ${reason}`);
    return prepareFace(photo, points, tables);
  }

  // What a film's face shows, less what it shows at rest, held steady: a goal for other faces.
  function reader() {
    const steady = oneEuro(...WEIGHT_FILTER);
    const names = readNames(tables);
    const rest = {};
    return (frame, face, seconds) => {
      const { points } = lookForLandmarks(frame, face.points, tables, false);
      const { read } = fitWeights(tables, points);
      const given = {};
      steady(names.map((name) => read[name] ?? 0), seconds).forEach((weight, k) => {
        rest[names[k]] = levelAtRest(rest[names[k]], weight, seconds);
        given[names[k]] = Math.max(weight - rest[names[k]], 0);
      });
      return { given, letGo: 1, look: { wrinkles: 1, shading: 1 } };
    };
  }

  return {
    kind: "rig",
    targets,
    groups: sliderGroups(targets, bareNames(tables)),
    wholeOf: () => null,
    prepare,
    change: (prepared, wish, strength) => changeFace(prepared, goalOf(wish), strength),
    reader,
    show: changeFace,
    follow() {
      const state = startFollowing(tables);
      return (frame, face, seconds, wish, strength) =>
        followFace(state, frame, face, seconds, goalOf(wish), strength);
    },
  };
}

// What a face shows at rest is the least that it showed lately, and not much.
const MOST_AT_REST = 0.2;
const REST_LASTS = 20; // seconds

function levelAtRest(before, weight, seconds) {
  const later = (before ?? weight) + (seconds / REST_LASTS) * (weight - (before ?? weight));
  return Math.min(weight, later, MOST_AT_REST);
}

function sliderGroups(targets, shapes) {
  const slider = (name) => ({ name, label: inWords(name), lowest: 0, highest: 1 });
  const mixed = targets.filter((name) => name !== "neutral").map(slider);
  const groups = MUSCLE_GROUPS.map(([name, pattern]) =>
    ({ name, sliders: shapes.filter((shape) => pattern.test(shape)).map(slider) }));
  return [{ name: "Mix", sliders: mixed }, ...groups];
}

// mouthSmile -> smile, browInnerUp -> inner up: the group says of which part.
function inWords(name) {
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).split(" ");
  return words.length > 1 && words[0] !== "cheek" && words[0] !== "nose"
    ? words.slice(1).join(" ") : words.join(" ");
}
