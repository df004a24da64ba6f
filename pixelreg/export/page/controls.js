// What is wished: expressions as buttons, strength, and sliders of what a model can mix.

const MOST_NAMED = 4; // parts of a mixture in a file's name, of which there is no end else

function makeControls(find, about, heard) {
  const strength = find("strength");
  const sliders = new Map();
  const buttons = new Map();
  let wish = {};

  function tell() {
    const percent = `${Math.round(100 * strength.value)} %`;
    find("strength-told").value = percent;
    strength.setAttribute("aria-valuetext", percent);
    for (const [name, button] of buttons) {
      button.setAttribute("aria-pressed", Object.keys(wish).length === 1 && wish[name] === 1);
    }
    for (const [name, { input, told }] of sliders) {
      input.value = wish[name] ?? 0;
      told.value = Number(input.value).toFixed(2);
    }
  }

  function wishFor(next) {
    wish = next;
    tell();
    heard.wish();
  }

  function setStrength(value) {
    strength.value = value;
    tell();
    heard.strength();
  }

  function addButton(name) {
    const button = document.createElement("button");
    const drawing = drawnFace(name);
    button.type = "button";
    if (drawing) button.append(drawing);
    button.append(name);
    button.addEventListener("click", () => {
      if (Number(strength.value) === 0) strength.value = 1;
      wishFor({ [name]: 1 });
      button.scrollIntoView({ block: "nearest", inline: "center" });
    });
    buttons.set(name, button);
    find("expressions").append(button);
  }

  function addSlider(to, { name, label, lowest, highest }) {
    const [row, title, told, input] = ["div", "label", "output", "input"]
      .map((tag) => document.createElement(tag));
    row.className = "slide";
    title.textContent = label;
    title.htmlFor = input.id = `slide-${name}`;
    Object.assign(input, { type: "range", min: lowest, max: highest, step: 0.01, value: 0 });
    input.addEventListener("input", () => {
      const next = { ...wish, [name]: Number(input.value) };
      if (next[name] === 0) delete next[name];
      wishFor(next);
    });
    row.append(title, told, input);
    sliders.set(name, { input, told });
    to.append(row);
  }

  about.targets.forEach(addButton);
  find("expressions").classList.toggle("few", about.targets.length < 4);
  for (const group of about.groups) {
    const part = document.createElement("details");
    const title = document.createElement("summary");
    part.open = group === about.groups[0];
    title.textContent = group.name;
    part.append(title);
    find("groups").append(part);
    for (const slider of group.sliders) addSlider(part, slider);
  }
  find("muscles").hidden = about.groups.length === 0;
  find("reset").addEventListener("click", () => wishFor({}));
  strength.addEventListener("input", () => setStrength(strength.value));
  wish = { [about.targets.includes("happy") ? "happy" : about.targets[0]]: 1 };
  tell();
  return {
    targets: about.targets,
    press: (number) => buttons.get(about.targets[number])?.click(),
    setStrength,
    get strength() { return Number(strength.value); },
    get wish() { return wish; },
    get name() {
      const names = Object.keys(wish);
      return names.length > MOST_NAMED ? "mixture" : names.join("-") || "unchanged";
    },
  };
}
