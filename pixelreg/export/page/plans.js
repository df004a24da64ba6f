// What a plan does to a crop: pixelreg/models/plans.py, in numbers of 64 bits between arrays of 32.
//
// A plan is {kind, size, masked, and its arrays by name}; a change is what paste.js takes.

const CHANGES = { affine: affineChange, kernel: kernelChange, flow: flowChange };

// Of the face's ellipse, as fractions of the crop: pixelreg/faces/paste.py.
const RADII = [0.42, 0.5];
const FEATHER = 0.12;

// The change of a crop, (S, S, 3) bytes; that of a face is kept inside the face.
function changeOf(plan, crop, isFace) {
  const change = CHANGES[plan.kind](plan, crop);
  if (isFace && !plan.masked) maskColour(change.colour, faceMask(plan.size));
  return { width: plan.size, height: plan.size, ...change };
}

function affineChange({ weight, bias }, crop) {
  const colour = new Float32Array(crop.length);
  for (let i = 0; i < crop.length; i++) {
    const value = Math.fround(crop[i] / 255);
    colour[i] = weight[i] * value + bias[i] - value;
  }
  return { colour };
}

function kernelChange({ table, coefficients }, crop) {
  const rank = table.length / 256;
  const colour = new Float32Array(crop.length);
  for (let i = 0; i < crop.length; i++) {
    let sum = 0;
    for (let r = 0, f = crop[i] * rank, c = i * rank; r < rank; r++) {
      sum += table[f + r] * coefficients[c + r];
    }
    colour[i] = sum - Math.fround(crop[i] / 255);
  }
  return { colour };
}

function flowChange({ size, displacement, weight, bias, blur }, crop) {
  const moved = fetchLinear(crop, displacement, size);
  const low = blurred(moved, size, blurWeights(blur[0]));
  const colour = new Float32Array(low.length);
  for (let i = 0; i < low.length; i++) colour[i] = weight[i] * low[i] + bias[i];
  return { colour, displacement };
}

// A crop on [0, 1], every pixel fetched bilinearly from where it comes from.
function fetchLinear(crop, displacement, size) {
  const out = new Float32Array(crop.length);
  for (let i = 0; i < size * size; i++) {
    const x = Math.fround((i % size) + displacement[2 * i]);
    const y = Math.fround(Math.floor(i / size) + displacement[2 * i + 1]);
    const left = Math.floor(x);
    const top = Math.floor(y);
    const [u, v] = [x - left, y - top];
    const first = 3 * within(left, 0, size - 1);
    const second = 3 * within(left + 1, 0, size - 1);
    const upper = 3 * size * within(top, 0, size - 1);
    const lower = 3 * size * within(top + 1, 0, size - 1);
    for (let c = 0; c < 3; c++) {
      const above = (1 - u) * crop[upper + first + c] + u * crop[upper + second + c];
      const below = (1 - u) * crop[lower + first + c] + u * crop[lower + second + c];
      out[3 * i + c] = ((1 - v) * above + v * below) / 255;
    }
  }
  return out;
}

// A Gaussian's weights, at most three sigma to both sides; a single 1 for almost none.
function blurWeights(sigma) {
  const reach = roundEven(3 * sigma);
  if (reach < 1) return [1];
  const offsets = Array.from({ length: 2 * reach + 1 }, (_, k) => k - reach);
  const weights = offsets.map((k) => Math.exp(-(k * k) / (2 * sigma * sigma)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => Math.fround(weight / total));
}

// (S, S, 3) floats under a Gaussian, their border repeated: down, then across.
function blurred(values, size, weights) {
  const reach = weights.length >> 1;
  const row = 3 * size;
  const out = new Float32Array(values.length);
  const line = new Float64Array(row + 6 * reach);
  for (let y = 0; y < size; y++) {
    line.fill(0);
    for (let k = 0; k < weights.length; k++) {
      const from = row * within(y + k - reach, 0, size - 1);
      const weight = weights[k];
      for (let x = 0; x < row; x++) line[3 * reach + x] += weight * values[from + x];
    }
    for (let x = 0; x < 3 * reach; x++) {
      line[x] = line[3 * reach + (x % 3)];
      line[line.length - 1 - x] = line[3 * reach + row - 1 - (x % 3)];
    }
    for (let x = 0; x < row; x++) {
      let sum = 0;
      for (let k = 0, at = x; k < weights.length; k++, at += 3) sum += weights[k] * line[at];
      out[y * row + x] = sum;
    }
  }
  return out;
}

// An ellipse that is 1 inside and falls smoothly to 0 at its border, (S, S).
function faceMask(size) {
  const mask = new Float32Array(size * size);
  for (let i = 0; i < mask.length; i++) {
    const x = (((i % size) + 0.5) / size - 0.5) / RADII[0];
    const y = ((Math.floor(i / size) + 0.5) / size - 0.5) / RADII[1];
    const inside = within(((1 - Math.hypot(x, y)) * Math.min(...RADII)) / FEATHER, 0, 1);
    mask[i] = inside * inside * (3 - 2 * inside);
  }
  return mask;
}

function maskColour(colour, mask) {
  for (let i = 0; i < colour.length; i++) colour[i] *= mask[Math.floor(i / 3)];
}
