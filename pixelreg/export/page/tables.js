// Tables that come with a page: one run of bytes, and an index that says what lies where, as
// pixelreg/export/tables.py packs them.
//
//   index   {arrays: [[name, type, [shape], where it begins], ...], values: {...}}
//   tables  {arrays: {name: typed array}, shapes: {name: [...]}, values: {...}}

const TABLE_TYPES = {
  int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array,
  float32: Float32Array, float64: Float64Array, float16: Uint16Array,
};

/**
 * The tables in `bytes`, a Uint8Array, little-endian; numbers of 16 bits become Float32Arrays.
 *
 * @returns {{arrays, shapes, values}}
 */
function unpackTables(bytes, index) {
  const tables = { arrays: {}, shapes: {}, values: index.values };
  for (const [name, type, shape, start] of index.arrays) {
    const count = shape.reduce((product, side) => product * side, 1);
    const Kind = TABLE_TYPES[type];
    const data = new Kind(bytes.slice(start, start + count * Kind.BYTES_PER_ELEMENT).buffer);
    tables.arrays[name] = type === "float16" ? wideHalves(data) : data;
    tables.shapes[name] = shape;
  }
  return tables;
}

/** float16, given as Uint16Array, as Float32Array. */
function wideHalves(halves) {
  const wide = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i], power = (half >> 10) & 31, rest = half & 1023;
    const sign = half & 0x8000 ? -1 : 1;
    wide[i] = power === 31 ? (rest ? NaN : sign * Infinity)
      : sign * (power ? (1 + rest / 1024) * 2 ** (power - 15) : rest * 2 ** -24);
  }
  return wide;
}

/** Bytes of base64 text, as pages hold them. */
function bytesOfText(text) {
  const plain = atob(text), bytes = new Uint8Array(plain.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = plain.charCodeAt(i);
  return bytes;
}
