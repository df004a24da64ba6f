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
    const { points, doubt } = lookForLandmarks(photo, face.points, tables);
    const reason = whyUnfit(photo, points, doubt, tables);
    if (reason) throw new RangeError(`this face is left alone: ${reason}`);
    return prepareFace(photo, points, tables);
  }

  return {
    kind: "rig",
    targets,
    groups: sliderGroups(targets, bareNames(tables)),
    wholeOf: () => null,
    prepare,
    change: (prepared, wish, strength) => changeFace(prepared, goalOf(wish), strength),
    follow() {
      const state = startFollowing(tables);
      return (frame, face, seconds, wish, strength) =>
        followFace(state, frame, face, seconds, goalOf(wish), strength);
    },
  };
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
