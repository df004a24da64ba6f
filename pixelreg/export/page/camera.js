// The camera as a mirror: every frame goes to the engine, and comes back with the face changed.

const CAMERA = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
const CAMERA_SAYS = {
  NotAllowedError: "The camera may not be used here: allow it in the browser's settings.",
  NotFoundError: "There is no camera here.",
  NotReadableError: "Something else is using the camera.",
};

// Opens the camera and calls `shown(frame, answer)` for every frame; gives {stop}. `wished()` says
// [what the engine is asked to do with a frame, what it needs besides].
async function openCamera(ask, wished, shown) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(CAMERA_SAYS.NotFoundError);
  const stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA, audio: false })
    .catch((error) => { throw new Error(CAMERA_SAYS[error.name] ?? `The camera does not open: ${error.message}`); });
  const film = document.createElement("video");
  Object.assign(film, { srcObject: stream, muted: true, playsInline: true });
  await film.play();
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let isOpen = true;

  function grab() {
    canvas.width = film.videoWidth;
    canvas.height = film.videoHeight;
    context.setTransform(-1, 0, 0, 1, canvas.width, 0); // as a mirror shows it
    context.drawImage(film, 0, 0);
    return pixelsOf(canvas);
  }

  async function next() {
    if (!isOpen) return;
    if (film.videoWidth) {
      const photo = grab();
      const [call, more] = wished();
      const asked = { photo, time: performance.now() / 1000, ...more };
      const answer = await ask(call, asked, [photo.data.buffer])
        .catch(() => null); // a frame that cannot be computed is passed over
      if (isOpen && answer) shown(answer.photo, answer);
    }
    requestAnimationFrame(next);
  }
  next();
  return {
    stop() {
      isOpen = false;
      stream.getTracks().forEach((track) => track.stop());
      ask("stop");
    },
  };
}
