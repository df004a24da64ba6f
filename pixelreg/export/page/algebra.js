// Small dense linear algebra in float64: matrices are Float64Arrays, row by row.

/**
 * Solve S x = r in place of r for one or more right sides, by elimination with pivots.
 *
 * @param {Float64Array} system  (n n), written over.
 * @param {Float64Array} right  (n sides), becomes x.
 */
function solveSystem(system, right, n, sides = 1) {
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) {
      if (Math.abs(system[i * n + k]) > Math.abs(system[pivot * n + k])) pivot = i;
    }
    if (!(Math.abs(system[pivot * n + k]) > 0)) throw new Error("the points lie on a line");
    if (pivot !== k) {
      swapRows(system, n, k, pivot);
      swapRows(right, sides, k, pivot);
    }
    for (let i = k + 1; i < n; i++) {
      const share = system[i * n + k] / system[k * n + k];
      if (share === 0) continue;
      for (let j = k + 1; j < n; j++) system[i * n + j] -= share * system[k * n + j];
      for (let j = 0; j < sides; j++) right[i * sides + j] -= share * right[k * sides + j];
    }
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let j = 0; j < sides; j++) {
      let sum = right[i * sides + j];
      for (let k = i + 1; k < n; k++) sum -= system[i * n + k] * right[k * sides + j];
      right[i * sides + j] = sum / system[i * n + i];
    }
  }
  return right;
}

function swapRows(matrix, width, a, b) {
  for (let j = 0; j < width; j++) {
    const kept = matrix[a * width + j];
    matrix[a * width + j] = matrix[b * width + j];
    matrix[b * width + j] = kept;
  }
}

/**
 * The least of v'Sv/2 - r'v with v >= 0 where it is not free, by block principal pivoting
 * (Judice and Pires 1994; pixelreg/rig/shown.py).
 *
 * @param {Float64Array} system  (n n), symmetric, positive definite.
 * @param {Float64Array} right, start  (n); what of `start` is above 0 is begun with.
 * @param {number} free  how many of the first numbers may have any sign.
 */
function solveBounded(system, right, start, free) {
  const n = right.length, used = new Uint8Array(n);
  for (let i = 0; i < n; i++) used[i] = i < free || start[i] > 0 ? 1 : 0;
  let fewest = n + 1, patience = 3;
  const values = new Float64Array(n);
  for (let round = 0; round < 100; round++) {
    solveUsed(system, right, used, values);
    let wrong = [];
    for (let i = free; i < n; i++) {
      if (used[i] ? values[i] < 0 : pullOn(system, right, values, i) > 1e-9) wrong.push(i);
    }
    if (!wrong.length) break;
    if (wrong.length < fewest) {
      fewest = wrong.length;
      patience = 3;
    } else if (patience) patience -= 1;
    else wrong = wrong.slice(-1);
    for (const i of wrong) used[i] = 1 - used[i];
  }
  for (let i = free; i < n; i++) values[i] = Math.max(values[i], 0);
  return values;
}

/** Solve for the numbers that are used, the others being 0, by Cholesky's factors. */
function solveUsed(system, right, used, values) {
  const which = [], n = right.length;
  for (let i = 0; i < n; i++) if (used[i]) which.push(i);
  const m = which.length, factor = new Float64Array(m * m), sums = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = system[which[i] * n + which[j]];
      for (let k = 0; k < j; k++) sum -= factor[i * m + k] * factor[j * m + k];
      factor[i * m + j] = i === j ? Math.sqrt(sum) : sum / factor[j * m + j];
    }
  }
  for (let i = 0; i < m; i++) {
    let sum = right[which[i]];
    for (let k = 0; k < i; k++) sum -= factor[i * m + k] * sums[k];
    sums[i] = sum / factor[i * m + i];
  }
  values.fill(0);
  for (let i = m - 1; i >= 0; i--) {
    let sum = sums[i];
    for (let k = i + 1; k < m; k++) sum -= factor[k * m + i] * sums[k];
    sums[i] = sum / factor[i * m + i];
    values[which[i]] = sums[i];
  }
}

function pullOn(system, right, values, i) {
  let pull = right[i];
  for (let j = 0; j < values.length; j++) pull -= system[i * values.length + j] * values[j];
  return pull;
}

/** The value below which a share of numbers lies, between two of them as NumPy takes it. */
function quantileOf(numbers, share) {
  const sorted = Float64Array.from(numbers).sort(), place = share * (sorted.length - 1);
  const low = Math.floor(place), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}
