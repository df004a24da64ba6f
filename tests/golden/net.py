"""The golden net: every command's results as bytes, to hold a change of the house against.

    python tests/golden/net.py run ../old results-old --inputs inputs
    python tests/golden/net.py run .      results-new --inputs inputs
    python tests/golden/net.py compare results-old results-new

Numbers depend on the machine and its BLAS, so results are compared between two checkouts
on one machine and never committed. The inputs are made once, by the checkout that is named first,
from the London set beside this one and from drawn faces.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
LONDON = HERE.parent / "shared" / "data" / "london"
PEOPLE = 14
TINY = {
    "dense-ae": "--expr happy --size 32 --width 8 --latent 4",
    "cae": "--expr happy --size 64 --width 4 --batch 2",
    "cvae": "--expr happy --size 64 --width 4 --batch 2",
    "pix2pix": "--expr happy --size 32 --width 4",
    "cyclegan": "--expr happy --size 32 --width 4 --blocks 1",
    "stargan": "--size 32 --width 4 --blocks 1 --batch 2",
    "ganimation": "--size 32 --width 4 --blocks 1 --batch 2",
    "ocnn": "--size 32 --width 4 --blocks 1 --batch 2 --components 2",
    "dcgan": "--size 16 --width 4 --latent 8 --batch 4",
}
HELP = (
    *("", "fit", "merge", "apply", "compare", "evaluate", "generate", "portrait", "quantise"),
    *("export-torch", "blendshape", "info", "data", "demo", "train"),
    *(f"data {name}" for name in ("list", "masks", "sketch", "synthesise", "download")),
    *(f"train {name}" for name in (*TINY, "portrait")),
    *(f"portrait {name}" for name in ("edit", "mask", "swap", "style", "synthesise")),
)
TIMES = re.compile(
    r"\d+(\.\d+)? (s|ms|min|seconds?|minutes?|steps/s|pictures/s)\b|\"warm_up_ms\": [\d.]+"
)


def commands() -> dict[str, list[str]]:
    """Name -> one command line after another; IN is the folder of inputs."""
    fits = {
        "rr": "--model rr --lambda 0.4",
        "rr-identity-int8": "--model rr --prior identity --dtype int8",
        "kr": "--model kr --sigma 1 --dtype float16",
        "kr-cv": "--model kr --cv",
        "rr-cv": "--model rr --cv",
        "mr": "--model mr",
        "lsrf": "--model lsrf",
        "full": "--model full",
        "flow": "--model flow",
        "flow-cv": "--model flow --cv",
        "paper": "--model rr --preset paper --dtype float16",
        "yunet-free": "--model rr --detector bundled --backend numpy --sums s.sums",
        "kr-sums": "--model kr --backend numba --sums s.sums",
    }
    jobs = {
        f"fit-{name}": [
            f"fit --data IN/london --expr happy {how} -o m.safetensors --json"
            + ("" if name == "paper" else " --size 64")
        ]
        for name, how in fits.items()
    }
    jobs["fit-drawn"] = [
        "fit --data IN/drawn --no-align --size 48 --model rr -o m.safetensors",
        "info m.safetensors",
        "info m.safetensors --json",
        "evaluate --data IN/drawn --no-align --model m.safetensors",
        "evaluate --data IN/drawn --no-align --model m.safetensors --json",
        "compare IN/photo.jpg IN/drawn.jpg --models m.safetensors -o sheet.html --no-align",
        "compare IN/photo.jpg IN/drawn.jpg --models m.safetensors -o sheet.png",
        "apply IN/drawn.jpg --no-align --expr sad --model m.safetensors -o sad.png",
    ]
    drawn = "fit --data IN/drawn --no-align --size 32 -o m.safetensors"
    jobs["fit-drawn-cv"] = [f"{drawn} --cv --model mr"]
    jobs["merge"] = [
        "fit --data IN/london --expr happy --size 32 --model rr --sums a.sums -o a.safetensors",
        "fit --data IN/drawn --expr happy --size 32 --model rr --sums a2.sums -o a2.safetensors",
        "fit --data IN/drawn --expr happy --size 32 --model kr --sums b.sums -o b.safetensors",
        "merge a.sums a2.sums --sums c.sums -o c.safetensors",
        "merge a.sums --lambda 1 --prior identity -o d.safetensors --json",
        "merge b.sums --model rr --dtype int8 -o e.safetensors",
    ]
    jobs["cluster"] = [f"{drawn} --expr happy --model kr --cluster local"]
    jobs["lists"] = ["data list IN/london", "data list IN/london --json", "data list IN/drawn"]
    jobs["apply"] = [
        "apply IN/photo.jpg --expr happy -o a.jpg",
        "apply IN/photo.jpg --expr happy --strength 0.7 --backend numba -o b.png",
        "apply IN/photo.jpg --expr happy --strength 0,0.5,1,1.5 -o strip.png",
        "apply IN/photo.jpg --expr happy --animate smile.gif --debug-crop crop.png",
        "apply IN/london/neutral_front --expr happy -o folder/",
        "apply IN/tall.png --expr happy --face all --detector bundled -o tall.png",
        "apply IN/grey16.png --expr happy -o grey.png",
        "apply IN/composite.jpg --expr happy --backend numpy -o c.webp",
    ]
    jobs["video"] = ["apply IN/clip.mp4 --expr happy -o clip.mkv"]
    jobs["refusals"] = [
        "apply IN/photo.jpg --expr sad",
        "apply IN/nothing.jpg --expr happy",
        "fit --data IN/nothing",
        "info IN/photo.jpg",
        "fit --data IN/london --lambda -1",
        "apply IN/noise.png --expr happy",
    ]
    jobs["blendshape"] = [
        "blendshape IN/london --size 64 --components 2 -o f.safetensors --picture f.png --json",
        "blendshape IN/london --of landmarks --components 2 -o l.safetensors --picture l.png",
        "blendshape IN/drawn --size 64 --no-align --components 2 -o d.safetensors --on-face "
        "--picture d.png",
    ]
    jobs["sketch"] = ["data sketch IN/london sketches --size 64"]
    jobs["portrait"] = [
        "data masks IN/london portraits --size 64 --sheet sheet.png",
        "train portrait --data portraits --size 64 --width 4 --batch 2 --steps 2 --device cpu "
        "--threads 1 -o portrait.onnx",
        "portrait mask IN/photo.jpg -o mask.png --overlay seen.png",
        "portrait edit IN/photo.jpg --mask mask.png -o edit.png",
        "portrait swap IN/photo.jpg --component mouth --from IN/composite.jpg -o swap.png",
        "portrait style IN/photo.jpg --component hair --from IN/composite.jpg -o style.png",
        "portrait mask IN/photo.jpg --crop -o crop.png",
        "portrait synthesise --mask crop.png --count 2 -o synth.png",
    ]
    for name, how in TINY.items():
        jobs[f"train-{name}"] = [
            f"train {name} --data IN/drawn --no-align --device cpu --threads 1 --steps 3 {how} "
            "--validate-every 3 -o m.onnx",
            *(
                []
                if name == "dcgan"
                else ["apply IN/photo.jpg --expr happy --model m.onnx -o out.png"]
            ),
            "info m.onnx --json",
        ]
    jobs["train-dcgan"].append("generate --model m.onnx --count 4 -o new.png")
    jobs["train-pix2pix"] += [
        "quantise m.onnx --to int8 --data IN/drawn --no-align --force -o int8.onnx --json"
    ]
    jobs["synthesise"] = ["data synthesise drawn --people 2 --size 64 --seed 3"]
    jobs["demo"] = ["demo --people 8 --size 48 -o demo"]
    jobs["help"] = [f"{name} --help" for name in HELP]
    return jobs


def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout), "COLUMNS": "100", "PYTHONHASHSEED": "0"}


def make_inputs(checkout: Path, folder: Path) -> None:
    """London people, drawn people, photographs of several kinds and a clip."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    for side in ("neutral_front", "smiling_front"):
        (folder / "london" / side).mkdir(parents=True)
        for file in sorted((LONDON / side).iterdir()):
            if file.name[:3] in {f"{number:03d}" for number in range(1, PEOPLE + 20)}:
                shutil.copy(file, folder / "london" / side / file.name)
    shutil.copy(LONDON / "london_info.csv", folder / "london")
    run = [sys.executable, str(checkout / "cli.py"), "data", "synthesise", str(folder / "drawn")]
    subprocess.run([*run, "--people", "8", "--size", "64"], env=environment(checkout), check=True)
    first = Image.open(sorted((LONDON / "neutral_front").glob("*.jpg"))[-1]).convert("RGB")
    first.resize((700, 700)).save(folder / "photo.jpg", quality=92)
    second = Image.open(sorted((LONDON / "neutral_front").glob("*.jpg"))[-2]).convert("RGB")
    both = Image.new("RGB", (500, 900), "grey")
    both.paste(first.resize((400, 400)), (50, 20))
    both.paste(second.resize((400, 400)), (60, 450))
    both.save(folder / "tall.png")
    grey = np.asarray(first.resize((500, 500)).convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(folder / "grey16.png")
    Image.open(LONDON.parent / "composite" / "f_multi.jpg").save(folder / "composite.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.open(sorted((folder / "drawn").rglob("*NES.JPG"))[0]).save(folder / "drawn.jpg")
    import av

    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 480, 480, "yuv420p"
        for step in range(12):
            frame = first.resize((520, 520)).crop((step, 2 * step, step + 480, 2 * step + 480))
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def run_job(checkout: Path, inputs: Path, folder: Path, lines: list[str]) -> None:
    folder.mkdir(parents=True)
    for number, line in enumerate(lines):
        words = [str(inputs) + w[2:] if w.startswith("IN/") else w for w in line.split()]
        done = subprocess.run(
            [sys.executable, str(checkout / "cli.py"), *words],
            cwd=folder, env=environment(checkout), capture_output=True, text=True, check=False,
        )  # fmt: skip
        shown = f"$ {line}\nexit {done.returncode}\n{done.stdout}\n--- stderr\n{done.stderr}\n"
        shown = TIMES.sub("TIME", shown.replace(str(inputs), "IN").replace(str(folder), "OUT"))
        (folder / f"said-{number}.txt").write_text(shown.replace(str(checkout), "HOUSE"))


def content(file: Path) -> bytes:
    """A file's bytes; of a video its frames' and its streams', of a report all but times."""
    if file.suffix in (".mkv", ".mp4"):
        import av

        with av.open(str(file)) as container:
            return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(video=0))
    if file.name in ("last.safetensors", "best.safetensors"):
        return b""  # they hold times; their networks' bytes are in the ONNX files
    if file.name == "losses.csv":
        return b"\n".join(line.rpartition(b",")[0] for line in file.read_bytes().splitlines())
    if file.name == "report.json":
        facts = json.loads(file.read_text())
        return json.dumps({k: v for k, v in facts.items() if "second" not in k}).encode()
    return file.read_bytes()


def run(checkout: Path, results: Path, inputs: Path, only: str) -> None:
    if not inputs.is_dir():
        make_inputs(checkout, inputs)
    jobs = {name: lines for name, lines in commands().items() if re.search(only, name)}
    for name in jobs:
        shutil.rmtree(results / name, ignore_errors=True)
    with ThreadPoolExecutor(2) as pool:
        work = {
            name: pool.submit(run_job, checkout, inputs, results / name, lines)
            for name, lines in jobs.items()
        }
        for name, job in work.items():
            job.result()
            print(name, flush=True)


def compare(old: Path, new: Path, only: str) -> int:
    files = [(root, file) for root in (old, new) for file in root.rglob("*") if file.is_file()]
    names = sorted({file.relative_to(root).as_posix() for root, file in files})
    names = [name for name in names if re.search(only, name.partition("/")[0])]
    other = 0
    for name in names:
        digests = [
            hashlib.sha256(content(root / name)).hexdigest() if (root / name).is_file() else None
            for root in (old, new)
        ]
        if digests[0] != digests[1]:
            other += 1
            print("differs:" if all(digests) else "only in one:", name)
    print(f"{len(names)} files compared, {other} differ")
    return 1 if other else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Run and compare; see the top of this file.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("run")
    one.add_argument("checkout", type=Path)
    one.add_argument("results", type=Path)
    one.add_argument("--inputs", type=Path, required=True)
    two = verbs.add_parser("compare")
    two.add_argument("old", type=Path)
    two.add_argument("new", type=Path)
    for verb in (one, two):
        verb.add_argument("--only", default="", help="regular expression on the jobs' names")
    asked = parser.parse_args()
    if asked.verb == "compare":
        return compare(asked.old, asked.new, asked.only)
    run(asked.checkout.resolve(), asked.results.resolve(), asked.inputs.resolve(), asked.only)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
