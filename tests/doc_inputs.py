"""What the commands of the pages are run on: a pantry that makes each thing when it is asked for.

Faces are the composite photo that comes along and faces that ``pixelreg data synthesise`` draws.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cli_tools import ROOT
from PIL import Image

from pixelreg.api import translate
from pixelreg.commands.main import main
from pixelreg.data.synthetic import synthesise

FACE = ROOT / "examples" / "pictures" / "face.jpg"
SIDE = 176  # of the photos, in pixels
DRAWN = 192  # of drawn faces: detectors do not find all that are smaller
PEOPLE = 6
FRAMES = 5


class Pantry:
    """Makes what commands name, each once: ``fetch("in.jpg", folder)`` lays a copy into a folder.

    templates : a few photographs of the London set with their templates, where it is at hand.
    """

    def __init__(self, root: Path, templates: Path | None) -> None:
        self.root = root
        self.templates = templates

    def names_in(self, word: str) -> str | None:
        """The thing that a word of a command means, if the pantry has it."""
        name = word.removesuffix("/").removeprefix("./")
        return name if name in RECIPES else None

    def fetch(self, name: str, folder: Path) -> None:
        """Lay a copy of a thing into a folder."""
        made = self.get(name)
        inside = Path(name.removeprefix("with-templates/")).parent
        (folder / inside).mkdir(parents=True, exist_ok=True)
        for path in [made, *made.parent.glob(f"{made.stem}-parser.onnx")]:
            (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / inside / path.name)

    def get(self, name: str) -> Path:
        """The thing itself, made if it is asked for the first time; not to be changed."""
        path = self.root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            RECIPES[name](self, path)
        return path

    def run(self, *words: object) -> None:
        """Run a command; what it writes is a thing of the pantry."""
        assert main([str(word) for word in words]) == 0, words


def photo(side: int = SIDE) -> Image.Image:
    """The composite photo, made smaller."""
    with Image.open(FACE) as picture:
        return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def _photo(pantry: Pantry, path: Path) -> None:
    photo().save(path, quality=92)


def _other(pantry: Pantry, path: Path) -> None:
    """Surprised, the other way round and in less light: another face and another head of hair."""
    made = np.asarray(translate(photo(), "surprised"))
    Image.fromarray((made[:, ::-1] * 0.75).astype(np.uint8)).save(path, quality=92)


def _group(pantry: Pantry, path: Path) -> None:
    both = Image.new("RGB", (2 * SIDE, SIDE))
    both.paste(photo(), (0, 0))
    both.paste(photo(SIDE * 3 // 4), (SIDE * 9 // 8, SIDE // 8))
    both.save(path, quality=92)


def _photos(pantry: Pantry, path: Path) -> None:
    for name in ("one.jpg", "summer/two.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        photo(SIDE if name.endswith("jpg") else SIDE - 16).save(path / name)


def _gif(pantry: Pantry, path: Path) -> None:
    frames = [photo(side).resize((160, 160)) for side in (SIDE, SIDE - 20)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, loop=0)


def _clip(pantry: Pantry, path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for amount in np.linspace(0, 1, FRAMES):
            made = translate(photo(), {"jawOpen": float(amount) * 0.5})
            container.mux(stream.encode(av.VideoFrame.from_image(made)))
        container.mux(stream.encode(None))


def _drawn(seed: int) -> Callable[[Pantry, Path], None]:
    def make(pantry: Pantry, path: Path) -> None:
        synthesise(path, PEOPLE, ("neutral", "happy", "surprised"), size=DRAWN, seed=seed)

    return make


def _london(pantry: Pantry, path: Path) -> None:
    """Drawn people in the London set's layout."""
    sides = (("neutral_front", "03", "NES"), ("smiling_front", "08", "HAS"))
    for folder, _, _ in sides:
        (path / folder).mkdir(parents=True)
    people = sorted((pantry.get("KDEF") / "KDEF").iterdir())
    for number, person in enumerate(people, start=1):
        for folder, take, code in sides:
            drawn = person / f"{person.name}{code}.JPG"
            shutil.copy(drawn, path / folder / f"{number:03d}_{take}.jpg")


def _with_templates(pantry: Pantry, path: Path) -> None:
    """People of the real set, with the landmarks that drawn ones lack."""
    assert pantry.templates is not None
    for file in sorted(pantry.templates.glob("*_front/00[1-5]_0?.*")):
        target = path / file.relative_to(pantry.templates)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


def _sums(pantry: Pantry, path: Path) -> None:
    options = ("--model", "rr", "--sums", path, "-o", path.with_suffix(".safetensors"))
    pantry.run("fit", "--data", pantry.get("part2"), *options)


def _fitted(*options: object) -> Callable[[Pantry, Path], None]:
    def make(pantry: Pantry, path: Path) -> None:
        pantry.run("fit", "--data", pantry.get("KDEF"), *options, "-o", path)

    return make


def _trained(data: str, *options: object) -> Callable[[Pantry, Path], None]:
    def make(pantry: Pantry, path: Path) -> None:
        where = ("--data", pantry.get(data), "--steps", 2, "-o", path)
        pantry.run("train", *options, *where)

    return make


def _checkpoint(pantry: Pantry, path: Path) -> None:
    import official_networks
    import torch

    torch.save(official_networks.stargan(3), path)


def _portraits(pantry: Pantry, path: Path) -> None:
    from portrait_tools import drawn_portrait, write_portraits

    people = {f"p{k}": f"p{k}" for k in range(PEOPLE)}
    write_portraits(path, people, lambda k: drawn_portrait(k, 128))


def _mask(pantry: Pantry, path: Path) -> None:
    """A mask of all parts, as somebody paints it."""
    from portrait_tools import drawn_portrait

    from deep_onnx.portrait.labels import write_mask

    write_mask(path, drawn_portrait(0, SIDE)[1])


def _posed(pantry: Pantry, path: Path) -> None:
    pantry.run("data", "pose", pantry.get("photos"), "--size", 128, "-o", path)


def _marks(pantry: Pantry, path: Path) -> None:
    pantry.run("landmarks", pantry.get("photo.jpg"), "-o", path.parent)


WITH_TEMPLATES = "with-templates/london"
SMALL_NET = ("--size", 32, "--width", 4)
RECIPES: dict[str, Callable[[Pantry, Path], None]] = {
    **dict.fromkeys(("in.jpg", "holiday.jpg", "photo.jpg", "me.jpg"), _photo),
    "other.jpg": _other,
    "group.jpg": _group,
    "photos": _photos,
    "in.gif": _gif,
    "clip.mp4": _clip,
    "KDEF": _drawn(5),
    "RaFD": _drawn(5),
    "other-faces": _drawn(6),
    "part1": _drawn(7),
    "part2": _drawn(8),
    "faces": _drawn(9),
    "london": _london,
    "set": _posed,
    "marks/photo.tem": _marks,
    "part2.sums": _sums,
    "happy.safetensors": _fitted("--expr", "happy", "--model", "rr"),
    "a.safetensors": _fitted("--expr", "happy", "--model", "rr", "--size", 64),
    "b.safetensors": _fitted("--expr", "happy", "--model", "kr", "--size", 32),
    "rr.safetensors": _fitted("--model", "rr", "--size", 32),
    "smile.onnx": _trained("KDEF", "pix2pix", "--expr", "happy", *SMALL_NET),
    "dcgan.onnx": _trained("KDEF", "dcgan", *SMALL_NET),
    "ocnn.onnx": _trained("KDEF", "ocnn", "--expr", "happy", *SMALL_NET),
    "portrait.onnx": _trained("portraits", "portrait", "--size", 64, "--width", 4),
    "200000-G.ckpt": _checkpoint,
    "portraits": _portraits,
    **dict.fromkeys(("mask.png", "painted.png"), _mask),
    WITH_TEMPLATES: _with_templates,
}
