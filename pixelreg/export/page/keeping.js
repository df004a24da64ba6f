// Pictures and films out: saved, copied, shared.

const QUALITY = 0.95; // of JPEG
const ENDINGS = { "image/png": "png", "image/jpeg": "jpg" };

// The photo at its full size with windows laid in, as a file's bytes.
function encoded(whole, windows, type) {
  const canvas = scaledCanvas(whole, 1);
  const context = canvas.getContext("2d");
  for (const { x, y, width, height, data } of windows) {
    if (width && height) context.putImageData(new ImageData(data, width, height), x, y);
  }
  if (type === "image/jpeg") {
    context.globalCompositeOperation = "destination-over"; // JPEG knows no transparency
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  return new Promise((resolve, reject) => {
    const done = (blob) => blob ? resolve(blob) : reject(new Error("the picture is too large to be saved here"));
    canvas.toBlob(done, type, QUALITY);
  });
}

// How a file's name ends, which what a server makes of it keeps.
const endingOf = (file) => /\.(\w+)$/.exec(file.name ?? "")?.[1] ?? ENDINGS[file.type] ?? "png";

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// The kinds of film that this browser can write, the most widely played one first.
function filmKind() {
  const kinds = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
  const can = typeof MediaRecorder === "function" && "captureStream" in HTMLCanvasElement.prototype;
  return can ? kinds.find((kind) => MediaRecorder.isTypeSupported(kind)) ?? null : null;
}

// Records a canvas; `stop()` gives a promise of {blob, ending}.
function recorderOf(canvas) {
  const kind = filmKind();
  const parts = [];
  const stream = canvas.captureStream(30);
  const recorder = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: 6e6 });
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.start(500);
  return {
    stop: () => new Promise((resolve) => {
      recorder.addEventListener("stop", () => {
        stream.getTracks().forEach((track) => track.stop());
        const type = kind.split(";")[0];
        resolve({ blob: new Blob(parts, { type }), ending: type.split("/")[1] });
      });
      recorder.stop();
    }),
  };
}
