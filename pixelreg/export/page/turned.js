// Heads at any roll: pixelreg/faces/turned.py. The detector knows upright ones, so the picture is
// turned until it finds some.

const TURNS = [45, -45, 90, -90, 135, -135, 180]; // degrees to the left
const TURNED_LOOK = 640; // longest side in pixels
// Seven more looks have seven times as many chances of taking something else for a face.
const TURNED_SURE = 0.9;

// The faces of a photo: upright ones, or where none of these is sure, those at any roll.
function facesAtAnyRoll(photo, weights, isAll = false) {
  const upright = findFaces(photo, weights, isAll);
  if (upright.some(({ score }) => score >= TURNED_SURE)) return upright;
  const turned = turnedFaces(photo, weights, isAll);
  return turned.length ? turned : upright;
}

// The faces of a photo that are not upright, and sure, largest first.
function turnedFaces(photo, weights, isAll = false) {
  const times = Math.max(1, Math.ceil(Math.max(photo.width, photo.height) / TURNED_LOOK));
  const small = times > 1 ? reducePicture(photo, times, 4) : photo;
  const found = [];
  for (const degrees of TURNS) {
    const turned = turnedPicture(small, degrees);
    for (const { points, score } of findFaces(turned, weights, isAll)) {
      const back = turnedBack(points, degrees, turned, small);
      found.push({ points: back.map((value) => value * times), score });
    }
  }
  const inside = found.filter((face) => hasEyesInside(face, photo));
  return surest(inside).filter(({ score }) => score >= TURNED_SURE)
    .sort((one, other) => eyeDistance(other) - eyeDistance(one));
}

// Of the same head seen at two turns, the surer one.
function surest(faces) {
  const kept = [];
  for (const face of [...faces].sort((one, other) => other.score - one.score)) {
    const isKnown = kept.some((other) => {
      const [x, y] = [0, 1].map((k) => eyesMiddle(face, k) - eyesMiddle(other, k));
      return Math.hypot(x, y) < APART * Math.max(eyeDistance(face), eyeDistance(other));
    });
    if (!isKnown) kept.push(face);
  }
  return kept;
}

const eyesMiddle = ({ points }, k) => (points[k] + points[k + 2]) / 2;

// Points of a picture that was turned to the left about its middle, in the original.
function turnedBack(points, degrees, turned, { width, height }) {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const out = [];
  for (let k = 0; k < points.length; k += 2) {
    const [x, y] = [points[k] - turned.width / 2, points[k + 1] - turned.height / 2];
    out.push(x * cos - y * sin + width / 2, x * sin + y * cos + height / 2);
  }
  return out;
}

// A picture turned to the left as Pillow turns it, as large as it needs to be, black outside.
function turnedPicture(picture, degrees) {
  const { width, height } = picture;
  const upright = degrees % 90 === 0;
  const angle = (-degrees * Math.PI) / 180;
  const round = (value) => (upright ? Math.round(value) : Math.round(value * 1e15) / 1e15);
  const [a, b] = [round(Math.cos(angle)), round(Math.sin(angle))];
  const [d, e] = [-b, a];
  const c = a * (-width / 2) + b * (-height / 2) + width / 2;
  const f = d * (-width / 2) + e * (-height / 2) + height / 2;
  const corners = [[0, 0], [width, 0], [width, height], [0, height]];
  const xs = corners.map(([x, y]) => a * x + b * y + c);
  const ys = corners.map(([x, y]) => d * x + e * y + f);
  const wide = Math.ceil(Math.max(...xs)) - Math.floor(Math.min(...xs));
  const high = Math.ceil(Math.max(...ys)) - Math.floor(Math.min(...ys));
  const [x0, y0] = [-(wide - width) / 2, -(high - height) / 2];
  const matrix = [a, b, a * x0 + b * y0 + c, d, e, d * x0 + e * y0 + f];
  return bilinearPicture(picture, matrix, wide, high);
}

// Pillow's bilinear transform, cut off to whole levels.
function bilinearPicture({ data, width, height }, [a, b, c, d, e, f], wide, high) {
  const out = new Uint8ClampedArray(4 * wide * high);
  for (let row = 0, to = 0; row < high; row++) {
    for (let column = 0; column < wide; column++, to += 4) {
      const x = a * (column + 0.5) + b * (row + 0.5) + c;
      const y = d * (column + 0.5) + e * (row + 0.5) + f;
      out[to + 3] = 255;
      if (x < 0 || y < 0 || x >= width || y >= height) continue;
      const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
      const [u, v] = [x - 0.5 - left, y - 0.5 - top];
      const first = 4 * within(left, 0, width - 1);
      const second = 4 * within(left + 1, 0, width - 1);
      const upper = 4 * width * within(top, 0, height - 1);
      const lower = 4 * width * within(top + 1, 0, height - 1);
      for (let k = 0; k < 3; k++) {
        const p = data[upper + first + k];
        const q = data[lower + first + k];
        const above = p + (data[upper + second + k] - p) * u;
        const below = q + (data[lower + second + k] - q) * u;
        out[to + k] = Math.floor(above + (below - above) * v);
      }
    }
  }
  return { data: out, width: wide, height: high };
}
