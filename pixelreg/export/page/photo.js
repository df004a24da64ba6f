// Photos in: from a file, a drop, the clipboard or the camera to canvases that can be computed with.

const MOST_PIXELS = 64e6; // of a photo; phones' canvases hold no more, and some less
const DRAFT = 1280; // pixels of the longest side that are changed while a finger moves

// A canvas that shows a photo upright, at full size where the browser can, and what is to be told.
async function photoOf(blob) {
  const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  const by = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const whole = scaledCanvas(bitmap, by);
  bitmap.close();
  const smaller = `The photo is too large for this page: it is taken at ${whole.width}x${whole.height} pixels.`;
  return { whole, note: by < 1 ? smaller : "" };
}

function scaledCanvas(picture, by) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * by));
  canvas.height = Math.max(1, Math.round(picture.height * by));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The canvas that is shown: the photo itself, or a smaller one of a large photo.
function draftOf(whole) {
  const by = DRAFT / Math.max(whole.width, whole.height);
  return by < 1 ? scaledCanvas(whole, by) : whole;
}

function pixelsOf(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return { data, width, height };
}

// The first picture among files that were chosen, dropped or pasted, or null; and what is to be told.
function pictureIn(given) {
  const files = [...(given ?? [])];
  const file = files.find((each) => each.type.startsWith("image/")) ?? files[0] ?? null;
  return { file, note: files.length > 1 ? `Of ${files.length} files ${file.name} is shown.` : "" };
}
