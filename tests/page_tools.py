"""Runs the scripts of the exported page in node, with arrays in and arrays out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from pixelreg.export.tables import pack

PAGE = Path(str(files("pixelreg.export") / "page"))
NODE = which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="the page's scripts are run by node")

DRIVER = """
const fs = require("fs"), folder = process.argv[2];
const given = unpackTables(
  new Uint8Array(fs.readFileSync(folder + "/in.bin")),
  JSON.parse(fs.readFileSync(folder + "/in.json")),
);
const {arrays, shapes, values} = given;
const photoOf = (name) => ({
  width: shapes[name][1], height: shapes[name][0], data: new Uint8ClampedArray(arrays[name].buffer),
});
const NAMES = {
  Int8Array: "int8", Uint8Array: "uint8", Uint8ClampedArray: "uint8", Int32Array: "int32",
  Float32Array: "float32", Float64Array: "float64",
};
const made = (() => { BODY })();
const index = {arrays: [], values: {}}, parts = [];
let end = 0;
for (const [name, value] of Object.entries(made)) {
  if (!ArrayBuffer.isView(value)) { index.values[name] = value; continue; }
  index.arrays.push([name, NAMES[value.constructor.name], [value.length], end]);
  parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
  end += value.byteLength;
}
fs.writeFileSync(folder + "/out.bin", Buffer.concat(parts));
fs.writeFileSync(folder + "/out.json", JSON.stringify(index));
"""


def run_page(
    folder: Path,
    scripts: tuple[str, ...],
    body: str,
    arrays: Mapping[str, np.ndarray],
    values: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What ``body`` returns: typed arrays come back flat, all else as it is in JSON.

    scripts : stems of the page's scripts, in order.
    body : of a function that sees `arrays`, `shapes`, `values` and `photoOf(name)`.
    """
    texts = [(PAGE / f"{stem}.js").read_text(encoding="utf-8") for stem in ("tables", *scripts)]
    script = folder / "run.js"
    script.write_text("\n".join(['"use strict";', *texts, DRIVER.replace("BODY", body)]), "utf-8")
    packed = pack(arrays, values)
    (folder / "in.bin").write_bytes(packed.data)
    (folder / "in.json").write_text(json.dumps(packed.index), "utf-8")
    done = subprocess.run(
        [str(NODE), str(script), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    index = json.loads((folder / "out.json").read_text("utf-8"))
    data = (folder / "out.bin").read_bytes()
    found = dict(index["values"])
    for name, kind, (count,), start in index["arrays"]:
        found[name] = np.frombuffer(data, kind, count, start).copy()
    return found


def rgba(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as canvases hold it."""
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])


def put(pixels: np.ndarray, window: Mapping[str, Any]) -> np.ndarray:
    """The picture with a window of a page's put into it: x, y, width, height, data."""
    x, y, width, height = (int(window[k]) for k in ("x", "y", "width", "height"))
    made = pixels.copy()
    made[y : y + height, x : x + width] = window["data"].reshape(height, width, 4)[..., :3]
    return made


def off(made: np.ndarray, wanted: np.ndarray) -> tuple[int, float]:
    """The largest difference in grey levels, and the share of values that differ at all."""
    apart = np.abs(made.astype(int) - wanted.astype(int))
    return int(apart.max()), float((apart > 0).mean())
