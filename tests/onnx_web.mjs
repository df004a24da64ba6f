// Runs exported models in onnxruntime-web, on one thread.
// Words: the folder with node_modules; the pictures; then, as JSON, {size, strength, target, models}.
// On stdout: the bytes of every model's `output`, one after the other.
import { readFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";

const [folder, pictures, asked] = process.argv.slice(2);
const { size, strength, target, models } = JSON.parse(asked);
const ort = createRequire(`${folder}/`)("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const pixels = new Uint8Array(readFileSync(pictures));
const inputs = {
  image: new ort.Tensor("uint8", pixels, [pixels.length / (size * size * 3), size, size, 3]),
  strength: new ort.Tensor("float32", [strength], []),
  target: new ort.Tensor("int64", [BigInt(target)], []),
};
for (const model of models) {
  const session = await ort.InferenceSession.create(readFileSync(model));
  const { data } = (await session.run(inputs)).output;
  for (let at = 0; at < data.length; ) at += writeSync(1, data, at);
}
