// Small drawings of expressions for the buttons: a circle, eyes, brows and a mouth.

const DRAWN = {
  neutral: ["M9 16h6", "M7.5 8h3M13.5 8h3", 10.5],
  happy: ["M7.5 14q4.5 5 9 0z", "M7.5 8q1.5-1 3 0M13.5 8q1.5-1 3 0", 10.5],
  sad: ["M8.5 17q3.5-3.4 7 0", "M7.2 8.8l3.2-1.6M16.8 8.8l-3.2-1.6", 11],
  surprised: ["M10.2 16.2a1.8 2.1 0 1 0 3.6 0a1.8 2.1 0 1 0-3.6 0", "M7 6.6q1.7-1.4 3.4 0M13.6 6.6q1.7-1.4 3.4 0", 10],
  angry: ["M8.5 17q3.5-2.4 7 0", "M7 7.2l3.6 1.8M17 7.2l-3.6 1.8", 11],
  afraid: ["M8 16.6q1-2.2 2.2-.6t2 0 2 0 1.8.6", "M7 8.4l3-2M17 8.4l-3-2", 10.8],
  disgusted: ["M8 16.6q2-2.6 4-1.2t4-.6", "M7.2 8.2l3.2 .8M16.8 8.2l-3.2 .8", 11],
  contemptuous: ["M8.5 16h4.5q2.2 0 3-2.2", "M7.5 8.4h3M13.5 7.6q1.5-1.2 3-.4", 10.8],
};

// An SVG of an expression, or null for one that is not known.
function drawnFace(name) {
  if (!Object.hasOwn(DRAWN, name)) return null;
  const [mouth, brows, eyes] = DRAWN[name];
  const paths = ["M12 2.5a9.5 9.5 0 1 0 .01 0", mouth, brows, `M9 ${eyes}v.4M15 ${eyes}v.4`];
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  for (const path of paths) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    line.setAttribute("d", path);
    picture.append(line);
  }
  return picture;
}
