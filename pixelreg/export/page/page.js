// The page: what its buttons and keys do.

const FILM_SECONDS = 3.2; // there and back

async function startPage(source, model, example, server) {
  const find = (id) => document.getElementById(id);
  const say = (text) => { find("status").textContent = text; };
  const ask = startEngine(source);
  const held = {
    file: null, whole: null, draft: null, faces: [], chosen: new Set([0]), name: "face", opened: 0,
  };
  const live = { camera: null, isOpening: false, recorder: null, frame: null, isImitated: false };
  const stage = makeStage(find, { eyes: moveEyes, face: chooseFace });
  const about = await ask("open", model);
  const controls = makeControls(find, about, { wish: refresh, strength: refresh });
  const wished = () => ({ wish: controls.wish, strength: controls.strength });
  const isChanged = () => held.faces.length > 0 && Object.keys(controls.wish).length > 0;

  const chosen = () => [...held.chosen].filter((k) => k < held.faces.length);

  async function windows(isWhole) {
    if (!isChanged()) return [];
    const asked = { numbers: chosen(), ...wished(), isWhole };
    const { windows: made, notes } = await ask("change", asked);
    const advice = held.faces.length > 1 ? "" : " Move the marks onto the eyes.";
    if (notes.length) say(sentence(notes[0]) + advice);
    return made;
  }

  const redraw = newestOnly(async () => {
    const { draft } = held;
    const started = performance.now();
    try {
      const made = await windows(false);
      if (draft === held.draft && !live.camera) stage.show(draft, made);
    } catch (error) {
      say(sentence(error.message));
    }
    document.documentElement.dataset.took = (performance.now() - started).toFixed(1);
  });

  function refresh() {
    return live.camera ? null : redraw();
  }

  // Take a photo into use: a file's bytes, or a canvas.
  async function open(given, name, isExample = false, note = "") {
    closeCamera();
    const number = ++held.opened;
    find("wait").hidden = false;
    try {
      const read = given instanceof Blob ? await photoOf(given).catch(() => ({})) : { whole: given };
      const { whole } = read;
      if (number !== held.opened) return; // another, which took less time to read
      if (!whole) return say("This file is no picture that the browser can read.");
      const file = given instanceof Blob ? given : null;
      Object.assign(held, { file, whole, draft: draftOf(whole), name, chosen: new Set([0]) });
      find("credit").textContent = "";
      await findFacesIn(whole);
      if (whole !== held.whole) return; // another was opened meanwhile
      say([note, read.note, told(held.faces)].filter(Boolean).join(" "));
      mark(held.faces.length === 0);
      stage.ring(facesOnDraft(), held.chosen);
      await redraw();
      if (held.faces.length && !isExample) findOthers(whole);
    } catch (error) {
      say(sentence(error.message));
    } finally {
      if (number === held.opened) find("wait").hidden = true;
    }
  }

  // The whole search takes seconds: a Worker of its own looks, and hands go on meanwhile.
  async function findOthers(whole) {
    if (!ask.isAside) return;
    const other = startEngine(source);
    await other("open", model);
    const photo = pixelsOf(whole);
    const faces = await other("every", { photo }, [photo.data.buffer]);
    other.stop();
    if (whole !== held.whole || held.faces[0]?.byHand || held.faces[0]?.isWhole) return;
    held.faces = await ask("add", { faces });
    if (live.camera) return;
    if (held.faces.length > 1) say(told(held.faces));
    stage.ring(facesOnDraft(), held.chosen);
  }

  async function findFacesIn(whole) {
    stage.show(held.draft, []);
    const photo = pixelsOf(whole);
    const small = held.draft === whole ? null : pixelsOf(held.draft);
    const buffers = [photo, small].filter(Boolean).map((each) => each.data.buffer);
    held.faces = await ask("take", { whole: photo, draft: small }, buffers);
    if (!held.faces.length) say("Looking for heads that are not upright.");
    held.faces = await ask("turned");
  }

  const scale = () => held.draft.width / held.whole.width;
  const facesOnDraft = () => held.faces.map((face) => scaledFace(face, scale()));

  function told(faces) {
    if (!faces.length) return "No face was found: drag the two marks onto the eyes.";
    return faces.length > 1 ? `${faces.length} faces: tap those that are to change.` : "";
  }

  function mark(on) {
    const { width, height } = held.draft;
    const first = facesOnDraft()[[...held.chosen][0] ?? 0];
    const eyes = first?.points.slice(0, 4) ?? [0.36 * width, 0.4 * height, 0.64 * width, 0.4 * height];
    stage.mark(on ? eyes : null);
    find("eyes").setAttribute("aria-pressed", on);
  }

  const placeEyes = newestOnly(async () => {
    const by = 1 / scale();
    held.faces = await ask("eyes", { eyes: stage.eyes.map((value) => value * by) });
    held.chosen = new Set([0]);
    stage.ring([], held.chosen);
    say("");
    await redraw();
  });

  function moveEyes() {
    placeEyes();
  }

  function chooseFace(k) {
    if (held.chosen.has(k)) held.chosen.delete(k); else held.chosen.add(k);
    stage.ring(facesOnDraft(), held.chosen);
    refresh();
  }

  // The picture as it would be kept: of the camera what is seen, of a photo all of it.
  async function kept(type) {
    if (live.camera) return encoded(stage.canvas, [], type); // what is seen
    return encoded(held.whole, await windows(true), type);
  }

  const isMirror = () => live.camera !== null && !live.isImitated;

  const fileName = (ending) => `${isMirror() ? "camera" : held.name}-${controls.name}.${ending}`;

  async function save() {
    const type = find("format").value;
    try {
      say(await (type in ENDINGS ? saveHere(type) : saveServed()));
    } catch (error) {
      say(sentence(error.message));
    }
  }

  async function saveHere(type, why = "") {
    const name = fileName(ENDINGS[type]);
    download(await kept(type), name);
    return `Saved as ${name}${why}.`;
  }

  // From the photo's own file, by the server; where that cannot be, by the page.
  async function saveServed() {
    const { file } = held;
    try {
      const why = whyNotServed();
      if (why) throw new Error(why);
      say("The server is changing the photo.");
      const asked = { targets: about.targets, ...wished() };
      const name = fileName(endingOf(file));
      const { blob, notes } = await server(file, asked);
      download(blob, name);
      return `Saved as ${[`${name} by this server's pixelreg`, ...notes].join("; ")}.`;
    } catch (error) {
      if (file !== held.file) throw error; // another photo was opened meanwhile
      const type = file?.type === "image/jpeg" ? file.type : "image/png";
      return saveHere(type, ` by this page, not by its server: ${error.message}`);
    }
  }

  // Why the server cannot make what is shown, or null.
  function whyNotServed() {
    if (live.camera || !held.file) return "the camera's picture is no file";
    if (!isChanged()) return "nothing is changed";
    if (held.faces[0].byHand) return "that looks for eyes by itself";
    return chosen().join() === "0" ? null : "that changes the largest face";
  }

  async function copy() {
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": kept("image/png") })]);
      say("Copied: paste it where you want it.");
    } catch {
      say("This browser does not let the page copy pictures; save it instead.");
    }
  }

  async function share() {
    const blob = await kept("image/jpeg");
    const file = new File([blob], fileName("jpg"), { type: blob.type });
    await navigator.share({ files: [file] }).catch(() => say("It was not shared."));
  }

  // A film: of the camera until it is stopped, of a photo from as it was to as it is, and back.
  async function film() {
    if (filmKind() === null) return say("This browser cannot write films; save pictures instead.");
    if (live.recorder) return live.camera ? endFilm() : null;
    live.recorder = recorderOf(stage.canvas);
    setPressed("film", true, live.camera ? "Stop" : "Film");
    say(live.camera ? "Filming: press Stop to end." : "Filming.");
    if (!live.camera) {
      await playThrough();
      await endFilm();
    }
  }

  async function playThrough() {
    const wanted = controls.strength;
    const start = performance.now();
    for (let share = 0; share < 1; share = (performance.now() - start) / (1000 * FILM_SECONDS)) {
      controls.setStrength(wanted * smoothly(share));
      await redraw();
      await new Promise(requestAnimationFrame);
    }
    controls.setStrength(wanted);
    await redraw();
  }

  async function endFilm() {
    const { blob, ending } = await live.recorder.stop();
    live.recorder = null;
    setPressed("film", false, "Film");
    download(blob, fileName(ending));
    say(`Saved as ${fileName(ending)}.`);
  }

  function setPressed(id, on, text) {
    find(id).setAttribute("aria-pressed", on);
    find(id).querySelector("span").textContent = text;
  }

  async function camera() {
    if (live.isOpening) return; // a second one could never be switched off
    if (live.camera) {
      closeCamera();
      return stage.show(held.draft, []), redraw();
    }
    mark(false);
    stage.ring([], held.chosen);
    find("credit").textContent = "";
    live.isOpening = true;
    try {
      live.camera = await openCamera(ask, askedOfFrames, seen);
      setPressed("camera", true, "Stop");
      find("take").hidden = false;
      find("imitate").hidden = !about.canImitate;
      find("eyes").disabled = true;
      say("You are in the mirror.");
    } catch (error) {
      say(error.message);
    } finally {
      live.isOpening = false;
    }
  }

  const askedOfFrames = () => (live.isImitated
    ? ["imitate", { numbers: chosen(), strength: controls.strength }] : ["frame", wished()]);

  function seen(photo, { face, window, windows: ofPhoto }) {
    const frame = new ImageData(photo.data, photo.width, photo.height);
    live.frame = frame;
    if (live.isImitated) showInset(frame);
    if (!live.isImitated) stage.show(frame, window ? [window] : []);
    else if (ofPhoto) stage.show(held.draft, ofPhoto);
    const inMirror = live.isImitated ? "The photo does what you do." : "You are in the mirror.";
    const says = face ? inMirror : "No face is seen yet.";
    if (!live.recorder && find("status").textContent !== says) say(says);
    const { dataset } = document.documentElement;
    dataset.frames = Number(dataset.frames ?? 0) + 1;
  }

  function showInset(frame) {
    const inset = find("inset");
    Object.assign(inset, { width: frame.width, height: frame.height });
    inset.getContext("2d").putImageData(frame, 0, 0);
  }

  // The camera's face moves the photo's, or is moved itself.
  function imitate(on = !live.isImitated) {
    live.isImitated = on;
    find("imitate").setAttribute("aria-pressed", on);
    find("inset").hidden = !on;
    if (on) stage.show(held.draft, []);
  }

  function closeCamera() {
    if (!live.camera) return;
    if (live.recorder) endFilm();
    live.camera.stop();
    live.camera = null;
    setPressed("camera", false, "Camera");
    find("take").hidden = true;
    find("imitate").hidden = true;
    imitate(false);
    find("eyes").disabled = false;
    say("");
  }

  // The frame that is seen becomes the photo.
  function take() {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: live.frame.width, height: live.frame.height });
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(live.frame, 0, 0);
    return open(canvas, "camera");
  }

  const openFile = ({ file, note }) => file && open(file, stemOf(file.name), false, note);
  const acts = {
    o: () => find("file").click(),
    v: camera,
    e: () => mark(stage.eyes === null),
    s: save,
    c: copy,
    f: film,
  };
  listen(find, { controls, stage, acts, openFile, camera, take, imitate, save, copy, film, share, mark });
  find("share").hidden = !canShareFiles();
  if (server !== null) find("format").prepend(new Option("As it is", "served", true, true));
  await open(blobOf(example.text), "face", true);
  find("credit").textContent = example.credit;
  document.documentElement.dataset.ready = "yes";
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

const stemOf = (name) => name.replace(/\.[^.]*$/, "") || "face";

const smoothly = (share) => (1 - Math.cos(2 * Math.PI * share)) / 2;

const blobOf = (text) => new Blob([bytesOfText(text)], { type: "image/jpeg" });

function canShareFiles() {
  const file = new File([""], "face.jpg", { type: "image/jpeg" });
  return matchMedia("(pointer: coarse)").matches && Boolean(navigator.canShare?.({ files: [file] }));
}
