// The inside of a mouth that opens: dark, with upper teeth that stay and lower ones that follow, as
// pixelreg/rig/teeth.py draws it.

const TEETH_BOX = { left: -3.2, top: -2, width: 6.4, height: 4.8 }; // of the sprites, cm, y up
const TEETH_LEVEL = 200; // of a sprite's byte for a brightness of 1
const TEETH_LOWERED = 0.12; // cm that teeth sit lower than the 3D face's
// Colours as shares of the skin's brightness; those of teeth of the brightness of a white eye.
const TOOTH = [1.275, 1.25, 1.175], GUM = [0.9975, 0.589, 0.551], DARK = [0.2, 0.09, 0.08];
const LOWER_SHARE = 0.85; // lower teeth lie deeper and are darker

/** The sprites as pictures, upper and lower: tooth, gum and cover. */
function teethOf(tables) {
  if (!tables.sprites) {
    const [count, height, width] = tables.shapes.teeth, size = width * height;
    tables.sprites = Array.from({ length: count }, (_, part) => {
      const data = new Uint8ClampedArray(4 * size);
      for (let i = 0; i < 3 * size; i++) {
        data[4 * Math.floor(i / 3) + i % 3] = tables.arrays.teeth[3 * size * part + i];
      }
      return { width, height, data };
    });
  }
  return tables.sprites;
}

/**
 * The mouth's inside at one place of the face.
 *
 * @param {number} x, y  cm on the head at rest, y up, less where this person's teeth are.
 * @param {{tooth, skin, tint}} palette
 * @param {number[]} jaw  (x, y) cm, how far the jaw has taken the lower teeth.
 * @param {number[]} rows  which teeth are drawn, in order: 1 the lower ones, 0 the upper ones.
 * @param {Float64Array} made  (3), grey levels, written to.
 */
function mouthInside(tables, x, y, palette, jaw, rows, made) {
  const sprites = teethOf(tables), drawn = MOUTH_DRAWN;
  made.set(DARK);
  for (const part of rows) {
    readSprite(sprites[part], x - (part ? jaw[0] : 0), y - (part ? jaw[1] : 0), drawn);
    const share = part ? LOWER_SHARE : 1, left = 1 - Math.min(drawn[2], 1);
    for (let k = 0; k < 3; k++) {
      const tooth = TOOTH[k] * (palette.tooth / palette.skin) * (0.7 + 0.3 * palette.tint[k]);
      made[k] = made[k] * left + drawn[0] * tooth * share + drawn[1] * GUM[k];
    }
  }
  for (let k = 0; k < 3; k++) made[k] *= palette.skin;
}

const MOUTH_DRAWN = new Float64Array(3);

function readSprite(sprite, x, y, drawn) {
  const { left, top, width, height } = TEETH_BOX;
  const u = (x - left) / width * sprite.width - 0.5;
  const v = (top - y) / height * sprite.height - 0.5;
  if (!(u > -1 && v > -1 && u < sprite.width && v < sprite.height)) {
    drawn.fill(0);
    return;
  }
  fetchCubic(sprite, u, v, PASTE_KEYS, drawn);
  for (let k = 0; k < 3; k++) drawn[k] = Math.min(Math.max(drawn[k] / TEETH_LEVEL, 0), 1.3);
}
