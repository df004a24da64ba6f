// Only in a page that a server gives out: what the server makes of a photo's own file.

// Asks the server, which knows the page's model by that name, for {blob, notes} of a file and of
// what is wished; the error says why not.
const served = (model) => async (file, { wish, strength, targets }) => {
  const words = new URLSearchParams({ model, strength });
  const shares = Object.entries(wish);
  const [name, share] = shares[0];
  if (shares.length === 1 && share === 1 && targets.includes(name)) words.set("expression", name);
  else shares.forEach((each) => words.append("slides", each.join("=")));
  const headers = { "Content-Type": "application/octet-stream" };
  const answer = await fetch(`/api/apply?${words}`, { method: "POST", body: file, headers })
    .catch(() => { throw new Error("that does not answer"); });
  if (!answer.ok) throw new Error(await refusalOf(answer));
  const faces = Number(answer.headers.get("Pixelreg-Faces"));
  const notes = JSON.parse(answer.headers.get("Pixelreg-Notes"));
  return { blob: await answer.blob(), notes: faces > 1 ? [`${faces} faces`, ...notes] : notes };
};

async function refusalOf(answer) {
  const told = await answer.json().catch(() => null);
  return told?.error ?? `that answers ${answer.status}`;
}
