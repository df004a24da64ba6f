// Numbers and places that are held steady over time, without lagging behind what moves, as
// pixelreg/faces/steady.py has them.

/**
 * A low-pass whose cutoff rises with speed (Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012).
 *
 * @param {number} cutoff  Hz at rest. slope: Hz for each unit a second of speed. speedCutoff: Hz,
 *   of the low-pass on the speed itself.
 * @returns {function} (values, seconds) => values, the first of which come back as they are.
 */
function oneEuro(cutoff, slope, speedCutoff) {
  let values = null, speeds = null;
  const share = (hertz, seconds) => {
    const turn = 2 * Math.PI * hertz * seconds;
    return turn / (1 + turn);
  };
  return (next, seconds) => {
    if (values === null || seconds <= 0) {
      values = values ?? Float64Array.from(next);
      speeds = speeds ?? new Float64Array(values.length);
      return values;
    }
    const slow = share(speedCutoff, seconds);
    const before = values;
    speeds = speeds.map((speed, k) => speed + slow * ((next[k] - before[k]) / seconds - speed));
    values = before.map((value, k) =>
      value + share(cutoff + slope * Math.abs(speeds[k]), seconds) * (next[k] - value));
    return values;
  };
}

/**
 * Similarities {a, b, c, d} of one face over time, their place, scale and roll each held steady.
 *
 * @param {number} centre  of the crop, both ways: what is held steady. eyes: between the eyes, in
 *   crop pixels, the unit of place.
 */
function steadyPlace(centre, eyes) {
  const filter = oneEuro(0.5, 100, 1.5);
  let unit = 0, roll = 0;
  return ({ a, b, c, d }, seconds) => {
    const scale = Math.hypot(a, b);
    const x = a * centre - b * centre + c, y = b * centre + a * centre + d;
    unit = unit || scale * eyes;
    // The roll goes on counting where the angle starts again.
    const turned = Math.atan2(b, a) - roll;
    roll += Math.atan2(Math.sin(turned), Math.cos(turned));
    const [u, v, size, angle] = filter([x / unit, y / unit, Math.log(scale), roll], seconds);
    const p = Math.exp(size) * Math.cos(angle), q = Math.exp(size) * Math.sin(angle);
    return { a: p, b: q, c: unit * u - (p - q) * centre, d: unit * v - (q + p) * centre };
  };
}

/**
 * Many points of one face over time: how the head moves and how the face moves in it, each held
 * steady by a filter of its own, so that neither makes the other lag.
 *
 * @param {Float64Array} weights  (k), how much each point says of where the head is.
 * @param {function} filter  of what moves in the head's frame, in eye distances.
 * @param {number[]} eyes  the numbers of two points whose distance is the unit.
 * @returns {function} (points (2 k), seconds) => (2 k)
 */
function steadyPoints(weights, filter, [left, right]) {
  const move = steadyPlace(0, 1);
  let first = null;
  return (points, seconds) => {
    if (first === null) {
      const unit = Math.hypot(points[2 * right] - points[2 * left],
        points[2 * right + 1] - points[2 * left + 1]);
      const middle = weightedMean(points, weights);
      first = points.map((value, i) => (value - middle[i % 2]) / unit);
    }
    const { x, y, ax, ay } = poseBetween(first, points, weights);
    const pose = { x, y, ax, ay }, inside = filter(poseToFrame(pose, points), seconds);
    const { a, b, c, d } = move({ a: ax, b: ay, c: x, d: y }, seconds);
    return poseToPicture({ x: c, y: d, ax: a, ay: b }, inside, new Float64Array(inside.length));
  };
}

function weightedMean(points, weights) {
  const mean = [0, 0];
  let total = 0;
  for (let i = 0; i < weights.length; i++) {
    mean[0] += weights[i] * points[2 * i];
    mean[1] += weights[i] * points[2 * i + 1];
    total += weights[i];
  }
  return mean.map((value) => value / total);
}
