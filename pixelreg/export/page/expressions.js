// Expressions, single muscles and action units as weights of the head's shapes, by the same names
// as pixelreg/rig/expressions.py has, and the goals of pixelreg/rig/translator.py.

const MOST_SHARE = 3, MOST_WEIGHT = 2.5; // of a name, and of a shape: more would tear the skin

/**
 * What slides ask of any face.
 *
 * @param {object} slides  {name: share}: expressions or synonyms of them, shapes (bare or of one
 *   side), action units; expressions let go of what a face shows, muscles leave the rest.
 * @returns {{given: object, letGo: number, look: {wrinkles, shading}}}
 */
function weightsOf(slides, tables) {
  const given = {};
  let letGo = 0, wrinkles = 1, shading = 1;
  for (const [name, share] of Object.entries(slides)) {
    if (!(Math.abs(share) <= MOST_SHARE)) {
      throw new RangeError(`${name} must be a number from -${MOST_SHARE} to ${MOST_SHARE}`);
    }
    for (const [shape, weight] of Object.entries(namedWeights(name, tables))) {
      given[shape] = (given[shape] ?? 0) + share * weight;
    }
    const whole = expressionOf(name, tables);
    if (whole) {
      letGo += Math.abs(share);
      wrinkles += Math.abs(share) * (whole.wrinkles - 1);
      shading += Math.abs(share) * (whole.shading - 1);
    }
  }
  const look = { wrinkles: Math.max(wrinkles, 0), shading: Math.max(shading, 0) };
  return { given, letGo: Math.min(letGo, 1), look };
}

/** The weights `strength` of the way from what a face shows, none more than skin bears. */
function goalWeights(goal, shown, strength) {
  const target = { ...goal.given }, weights = {};
  for (const name in shown) if (!(name in target)) target[name] = shown[name] * (1 - goal.letGo);
  for (const name in { ...shown, ...target }) {
    const from = shown[name] ?? 0;
    const weight = from + strength * ((target[name] ?? 0) - from);
    weights[name] = Math.min(Math.max(weight, -MOST_WEIGHT), MOST_WEIGHT);
  }
  return weights;
}

/** The whole names of the shapes that a name stands for, each with its weight. */
function namedWeights(name, tables) {
  const { shapes } = meshOf(tables), unit = /^au0*(\d+)([lr]?)$/i.exec(name);
  if (unit) return unitWeights(name, unit, tables);
  const known = expressionOf(name, tables);
  if (known) return spreadSides(known.weights, shapes);
  const all = [...Object.keys(shapes), ...bareNames(tables)];
  const found = all.find((shape) => shape.toLowerCase() === name.toLowerCase());
  if (!found) throw new RangeError(`there is no expression, muscle or action unit ${name}`);
  return spreadSides({ [found]: 1 }, shapes);
}

function unitWeights(name, [, number, letter], tables) {
  const units = tables.values.actionUnits, { shapes } = meshOf(tables);
  const unit = `AU${number}`, side = letter.toUpperCase();
  if (units[unit + side]) return spreadSides(units[unit + side], shapes);
  const own = Object.entries(spreadSides(units[unit] ?? {}, shapes))
    .filter(([shape]) => shape.endsWith(`_${side}`));
  if (!own.length) throw new RangeError(`there is no action unit ${name}`);
  return Object.fromEntries(own);
}

/** Weights of bare names given to both sides. */
function spreadSides(weights, shapes) {
  const whole = {};
  for (const [name, weight] of Object.entries(weights)) {
    for (const shape of [name, `${name}_L`, `${name}_R`]) {
      if (shape in shapes) whole[shape] = (whole[shape] ?? 0) + weight;
    }
  }
  return whole;
}

/** The names of shapes without their sides, each once. */
function bareNames(tables) {
  return [...new Set(Object.keys(meshOf(tables).shapes).map(unsided))];
}

/** The expression of a name or a synonym of it, or null. */
function expressionOf(name, tables) {
  const { expressions, synonyms } = tables.values;
  const word = name.toLowerCase().normalize("NFC").replace(/[\s_-]+/g, "-").replace(/^-+|-+$/g, "");
  const bare = word.replace(/^\d+[-.]+/, "");
  const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);
  const known = own(synonyms, word) ?? own(synonyms, bare) ?? bare;
  return own(expressions, known) ?? null;
}
