// Thin-plate splines in the plane, as pixelreg/rig/spline.py has them:
// f(p) = sum_i w_i U(|p - k_i|) + A (1, p), with U(r) = r^2 log r.

const SPLINE_NEAREST = 1e-12; // cm^2; keeps the logarithm finite

/**
 * The spline that takes knots near values, both (2 k).
 *
 * @param {number} smoothing  what is added to the diagonal of U; 0 goes through the values.
 * @returns {{knots, bend: Float64Array, affine: Float64Array}} w, (2 k), and A, (3 x 2).
 */
function splineThrough(knots, values, smoothing) {
  const count = knots.length / 2, n = count + 3;
  const system = new Float64Array(n * n), right = new Float64Array(2 * n);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      const x = knots[2 * i] - knots[2 * j], y = knots[2 * i + 1] - knots[2 * j + 1];
      const square = x * x + y * y + SPLINE_NEAREST;
      const bent = 0.5 * square * Math.log(square);
      system[i * n + j] = bent + (i === j ? smoothing : 0);
    }
    const row = [1, knots[2 * i], knots[2 * i + 1]];
    for (let k = 0; k < 3; k++) {
      system[i * n + count + k] = row[k];
      system[(count + k) * n + i] = row[k];
    }
  }
  right.set(values);
  solveSystem(system, right, n, 2);
  return { knots, bend: right.slice(0, 2 * count), affine: right.slice(2 * count) };
}

/**
 * Where a close and a soft spline through the same knots take points, and the soft one's slopes.
 *
 * @param {Float32Array} points  (2 n).
 * @returns {{places, soft, slopes}} Float32Arrays (2 n), (2 n) and (4 n): of each point the slopes
 *   of f's x along x and y, then of its y.
 */
function splineFields(close, soft, points) {
  const count = points.length / 2, { knots } = close, k = knots.length / 2;
  const places = new Float32Array(2 * count), softly = new Float32Array(2 * count);
  const slopes = new Float32Array(4 * count), a = close.affine, b = soft.affine;
  const w = close.bend, v = soft.bend;
  for (let i = 0; i < count; i++) {
    const x = points[2 * i], y = points[2 * i + 1];
    let cx = a[0] + a[2] * x + a[4] * y, cy = a[1] + a[3] * x + a[5] * y;
    let sx = b[0] + b[2] * x + b[4] * y, sy = b[1] + b[3] * x + b[5] * y;
    let xx = b[2], xy = b[4], yx = b[3], yy = b[5];
    for (let j = 0; j < 2 * k; j += 2) {
      const dx = x - knots[j], dy = y - knots[j + 1];
      const square = dx * dx + dy * dy + SPLINE_NEAREST, log = Math.log(square);
      const bent = 0.5 * square * log, rate = log + 1;
      cx += bent * w[j];
      cy += bent * w[j + 1];
      sx += bent * v[j];
      sy += bent * v[j + 1];
      xx += rate * dx * v[j];
      xy += rate * dy * v[j];
      yx += rate * dx * v[j + 1];
      yy += rate * dy * v[j + 1];
    }
    places[2 * i] = cx;
    places[2 * i + 1] = cy;
    softly[2 * i] = sx;
    softly[2 * i + 1] = sy;
    slopes[4 * i] = xx;
    slopes[4 * i + 1] = xy;
    slopes[4 * i + 2] = yx;
    slopes[4 * i + 3] = yy;
  }
  return { places, soft: softly, slopes };
}
