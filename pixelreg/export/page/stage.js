// The picture on the page: two canvases, the divider between them, and marks on the eyes.

const STEP = 1; // pixels of the picture that an arrow key moves a mark
const LARGEST_SHOWN = 2.5; // times that a small picture is enlarged

function makeStage(find, heard) {
  const stage = find("stage"), view = find("view"), divider = find("divider");
  const after = find("after"), before = find("before");
  const marks = [find("mark-left"), find("mark-right")];
  let size = { width: 1, height: 1 };
  let share = 0;
  let eyes = null;

  function fit() {
    const by = Math.min(stage.clientWidth / size.width, stage.clientHeight / size.height,
      LARGEST_SHOWN);
    view.style.width = `${Math.floor(size.width * by)}px`;
    view.style.height = `${Math.floor(size.height * by)}px`;
  }

  // Show a canvas or ImageData as it is, and with the windows that change.
  function show(base, windows) {
    if (base.width !== after.width || base.height !== after.height) resize(base);
    for (const canvas of [before, after]) draw(canvas.getContext("2d"), base);
    for (const window of windows) {
      const { x, y, width, height, data } = window;
      if (width && height) {
        after.getContext("2d").putImageData(new ImageData(data, width, height), x, y);
      }
    }
  }

  function draw(context, base) {
    if (base instanceof ImageData) context.putImageData(base, 0, 0); else context.drawImage(base, 0, 0);
  }

  function resize({ width, height }) {
    size = { width, height };
    for (const canvas of [before, after]) Object.assign(canvas, size);
    fit();
  }

  // How much of the picture, from the left, is shown as it was: 0 to 1.
  function divide(value) {
    share = within(value, 0, 1);
    before.style.clipPath = `inset(0 ${100 - 100 * share}% 0 0)`;
    find("line").style.left = `${100 * share}%`;
    divider.style.left = `clamp(22px, ${100 * share}%, 100% - 22px)`;
    divider.setAttribute("aria-valuenow", Math.round(100 * share));
    divider.setAttribute("aria-valuetext", `${Math.round(100 * share)} % before`);
  }

  const shareAt = (event) => {
    const box = view.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };

  divider.addEventListener("pointerdown", (event) => {
    divider.setPointerCapture(event.pointerId);
    divide(shareAt(event)[0]);
  });
  divider.addEventListener("pointermove", (event) => {
    if (divider.hasPointerCapture(event.pointerId)) divide(shareAt(event)[0]);
  });
  divider.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 }[event.key];
    if (by !== undefined) {
      divide(share + by);
      event.preventDefault();
    }
  });

  // Marks on both eyes, [x1, y1, x2, y2] in pixels of the picture; none for null.
  function mark(places) {
    eyes = places;
    marks.forEach((each, k) => {
      each.hidden = places === null;
      if (places === null) return;
      const [x, y] = [places[2 * k], places[2 * k + 1]];
      each.style.left = `${(100 * x) / size.width}%`;
      each.style.top = `${(100 * y) / size.height}%`;
      const side = k ? "right" : "left";
      each.setAttribute("aria-label", `Eye on the ${side}, at ${Math.round(x)}, ${Math.round(y)}`);
    });
  }

  function moveMark(k, x, y) {
    const moved = [...eyes];
    moved[2 * k] = within(x, 0, size.width);
    moved[2 * k + 1] = within(y, 0, size.height);
    mark(moved);
    heard.eyes(moved);
  }

  marks.forEach((each, k) => {
    each.addEventListener("pointerdown", (event) => each.setPointerCapture(event.pointerId));
    each.addEventListener("pointermove", (event) => {
      if (!each.hasPointerCapture(event.pointerId)) return;
      const [x, y] = shareAt(event);
      moveMark(k, x * size.width, y * size.height);
    });
    each.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!way) return;
      const by = STEP * (event.shiftKey ? 10 : 1);
      moveMark(k, eyes[2 * k] + by * way[0], eyes[2 * k + 1] + by * way[1]);
      event.preventDefault();
      event.stopPropagation();
    });
  });

  // A ring around every face where there are several; `chosen` are the numbers of those to change.
  function ring(faces, chosen) {
    const rings = faces.length < 2 ? [] : faces.map((face, k) => ringOf(face, k, chosen.has(k)));
    find("rings").replaceChildren(...rings);
  }

  function ringOf({ points }, k, isChosen) {
    const ring = document.createElement("button");
    const [x, y] = [(points[0] + points[2]) / 2, (points[1] + points[3]) / 2];
    const apart = Math.hypot(points[2] - points[0], points[3] - points[1]);
    const [left, top, side] = [x - 1.6 * apart, y - 1.1 * apart, 3.2 * apart];
    Object.assign(ring, { type: "button", className: "ring" });
    ring.style.left = `${(100 * left) / size.width}%`;
    ring.style.top = `${(100 * top) / size.height}%`;
    ring.style.width = `${(100 * side) / size.width}%`;
    ring.style.height = `${(100 * side) / size.height}%`;
    ring.setAttribute("aria-label", `Change face ${k + 1}`);
    ring.setAttribute("aria-pressed", isChosen);
    ring.addEventListener("click", () => heard.face(k));
    return ring;
  }

  new ResizeObserver(fit).observe(stage);
  divide(0);
  return {
    show, divide, mark, ring, canvas: after,
    hold: (on) => {
      before.style.clipPath = on ? "none" : `inset(0 ${100 - 100 * share}% 0 0)`;
    },
    get eyes() { return eyes; },
  };
}
