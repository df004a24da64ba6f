// Who listens to what: buttons, files that are dropped or pasted, and keys.

function listen(find, { controls, stage, acts, openFile, mark, imitate, ...clicks }) {
  for (const [id, act] of Object.entries(clicks)) find(id).addEventListener("click", act);
  find("imitate").addEventListener("click", () => imitate());
  find("eyes").addEventListener("click", () => mark(stage.eyes === null));
  find("file").addEventListener("change", (event) => {
    openFile(pictureIn(event.target.files));
    event.target.value = ""; // the same file can be chosen again
  });
  find("about-open").addEventListener("click", () => find("about").showModal());
  find("about-close").addEventListener("click", () => find("about").close());
  listenToDrops(openFile);
  listenToHolds(find("compare"), stage);
  listenToKeys(find, controls, stage, acts);
}

function listenToDrops(openFile) {
  let depth = 0;
  const over = (by) => {
    depth = Math.max(0, depth + by);
    document.body.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(-depth);
    openFile(pictureIn(event.dataTransfer?.files));
  });
  addEventListener("paste", (event) => openFile(pictureIn(event.clipboardData?.files)));
}

// The picture as it was for as long as a button is held.
function listenToHolds(button, stage) {
  const isKey = (event) => event.key === " " || event.key === "Enter";
  button.addEventListener("pointerdown", () => stage.hold(true));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  for (const end of ["pointerup", "pointercancel", "pointerleave", "blur"]) {
    button.addEventListener(end, () => stage.hold(false));
  }
  button.addEventListener("keydown", (event) => isKey(event) && stage.hold(true));
  button.addEventListener("keyup", (event) => isKey(event) && stage.hold(false));
}

function listenToKeys(find, controls, stage, acts) {
  const isBusy = ({ target, ctrlKey, metaKey, altKey }) =>
    ctrlKey || metaKey || altKey || find("about").open || !find("keys").checked
    || target.matches?.("input:not([type=file]), select, [role=slider], summary");
  addEventListener("keydown", (event) => {
    if (isBusy(event)) return;
    const act = acts[event.key.toLowerCase()];
    const turn = { ArrowLeft: -0.05, ArrowRight: 0.05 }[event.key];
    const onButton = event.target.matches?.("button");
    if (turn) controls.setStrength(within(controls.strength + turn, 0, 1.5));
    else if (event.key === " " && !onButton) stage.hold(true);
    else if (/^[1-9]$/.test(event.key)) controls.press(Number(event.key) - 1);
    else if (act && !event.repeat) act();
    else return;
    event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (event.key === " " && !event.target.matches?.("button")) stage.hold(false);
  });
}
