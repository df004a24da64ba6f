// Wrinkles that expressions fold into skin, drawn by formula: pixelreg/rig/wrinkles.py. Lengths are
// in cm on the head at rest; curves are of one half and mirrored.

const WRINKLES_LEFT = -7, WRINKLES_TOP = 11, WRINKLES_FINE = 14; // map pixels a cm
const WRINKLES_WIDTH = 196, WRINKLES_HEIGHT = 238; // map pixels
const WRINKLES_MOST = 1.2; // a wrinkle at this drive deepens no further

/** The map of every wrinkle of the half with x > 0, Float32Array(238 x 196), made once. */
function wrinkleMaps(tables) {
  if (!tables.wrinkles) {
    tables.wrinkles = {};
    for (const [name, { lines }] of Object.entries(tables.values.wrinkles)) {
      const map = new Float32Array(WRINKLES_WIDTH * WRINKLES_HEIGHT);
      for (const line of lines) drawWrinkle(map, line);
      tables.wrinkles[name] = map;
    }
  }
  return tables.wrinkles;
}

/** Add one curve, a groove and the ridge beside it, to a map. */
function drawWrinkle(map, { start, towards, end, width, strength }) {
  const count = 60, curve = [], deep = [];
  for (let i = 0; i < count; i++) {
    const t = i / (count - 1);
    curve.push([0, 1].map((k) =>
      (1 - t) ** 2 * start[k] + 2 * t * (1 - t) * towards[k] + t * t * end[k]));
    // A line that crosses the middle is whole there; others fade out at both ends.
    deep.push(start[0] === 0 ? Math.cos(t * Math.PI / 2)
      : Math.sin(Math.PI * (t * 0.92 + 0.04)) ** 0.7);
  }
  const tangents = curve.map((_, i) => {
    const before = curve[Math.max(i - 1, 0)], after = curve[Math.min(i + 1, count - 1)];
    const share = i > 0 && i < count - 1 ? 0.5 : 1;
    return [share * (after[0] - before[0]), share * (after[1] - before[1])];
  });
  const xs = curve.map((point) => point[0]), ys = curve.map((point) => point[1]);
  const reach = 5 * width, column = (x) => Math.trunc((x - WRINKLES_LEFT) * WRINKLES_FINE);
  const row = (y) => Math.trunc((WRINKLES_TOP - y) * WRINKLES_FINE);
  const left = Math.max(column(Math.min(...xs) - reach), 0);
  const right = Math.min(column(Math.max(...xs) + reach) + 1, WRINKLES_WIDTH);
  const top = Math.max(row(Math.max(...ys) + reach), 0);
  const bottom = Math.min(row(Math.min(...ys) - reach) + 1, WRINKLES_HEIGHT);
  for (let j = top; j < bottom; j++) {
    const y = WRINKLES_TOP - (j + 0.5) / WRINKLES_FINE;
    for (let i = left; i < right; i++) {
      const x = WRINKLES_LEFT + (i + 0.5) / WRINKLES_FINE;
      const { nearest, far } = besideCurve(curve, tangents, x, y);
      const groove = -Math.exp(-(far * far) / (2 * width * width));
      const off = (far - 1.9 * width) / (1.3 * width);
      const ridge = 0.55 * Math.exp(-off * off / 2);
      map[j * WRINKLES_WIDTH + i] += strength * deep[nearest] * (groove + ridge);
    }
  }
}

/** The nearest of a curve's points, and how far aside of it a place lies, with its side's sign. */
function besideCurve(curve, tangents, x, y) {
  let nearest = 0, least = Infinity;
  for (let i = 0; i < curve.length; i++) {
    const dx = x - curve[i][0], dy = y - curve[i][1], square = dx * dx + dy * dy;
    if (square < least) {
      nearest = i;
      least = square;
    }
  }
  const dx = x - curve[nearest][0], dy = y - curve[nearest][1];
  const side = Math.sign(dy * tangents[nearest][0] - dx * tangents[nearest][1]);
  return { nearest, far: Math.sqrt(least) * side };
}

/**
 * What wrinkles add to the logarithm of the skin's brightness, a map; null for nothing.
 *
 * @param {object} newly  by whole names, how much more of each shape there is than the face shows.
 */
function foldedWrinkles(tables, newly) {
  const maps = wrinkleMaps(tables);
  let total = null;
  for (const [name, { drive }] of Object.entries(tables.values.wrinkles)) {
    for (const side of ["_L", "_R"]) {
      let driven = 0;
      for (const shape in drive) {
        driven += drive[shape] * ((newly[shape] ?? 0) + (newly[shape + side] ?? 0));
      }
      if (!(driven > 0)) continue;
      total = total ?? new Float32Array(WRINKLES_WIDTH * WRINKLES_HEIGHT);
      addWrinkle(total, maps[name], Math.min(driven, WRINKLES_MOST), side === "_R");
    }
  }
  return total;
}

function addWrinkle(total, map, share, turned) {
  for (let at = 0; at < total.length; at += WRINKLES_WIDTH) {
    for (let i = 0; i < WRINKLES_WIDTH; i++) {
      total[at + i] += share * map[at + (turned ? WRINKLES_WIDTH - 1 - i : i)];
    }
  }
}

/** Bilinear value of a map at a place of the face at rest, 0 outside. */
function wrinkleAt(total, x, y) {
  const across = (x - WRINKLES_LEFT) * WRINKLES_FINE - 0.5;
  const down = (WRINKLES_TOP - y) * WRINKLES_FINE - 0.5;
  const left = Math.floor(across) | 0, top = Math.floor(down) | 0;
  if (!(left >= 0 && top >= 0 && left < WRINKLES_WIDTH - 1 && top < WRINKLES_HEIGHT - 1)) return 0;
  const u = across - left, v = down - top, at = top * WRINKLES_WIDTH + left;
  const above = total[at] + u * (total[at + 1] - total[at]), next = at + WRINKLES_WIDTH;
  const below = total[next] + u * (total[next + 1] - total[next]);
  return above + v * (below - above);
}

/** Uint8Array(n), which vertices at rest lie where any wrinkle is drawn. */
function wrinkledVertices(tables, rest) {
  const anywhere = new Float32Array(WRINKLES_WIDTH * WRINKLES_HEIGHT);
  for (const map of Object.values(wrinkleMaps(tables))) {
    const plain = map.map(Math.abs);
    addWrinkle(anywhere, plain, 1, false);
    addWrinkle(anywhere, plain, 1, true);
  }
  const found = new Uint8Array(rest.length / 3);
  for (let i = 0; i < found.length; i++) {
    found[i] = wrinkleAt(anywhere, rest[3 * i], rest[3 * i + 1]) > 1e-3 ? 1 : 0;
  }
  return found;
}
