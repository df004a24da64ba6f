"""Whole files of every kind that pixelreg reads, made anew each time; nothing of them is stored."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

Seeds = dict[str, bytes]  # by the suffix of a file
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6" '
    b'exif:GPSLatitude="1,2N"><xmp:Thumbnails>a</xmp:Thumbnails><exif:GPSAltitude>3'
    b"</exif:GPSAltitude></rdf:Description></rdf:RDF></x:xmpmeta>          <?xpacket end='w'?>"
)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def pictures() -> Seeds:
    """Small pictures in every format and packing that is at hand, two of them moving."""
    from pixelreg.pictures import deep
    from pixelreg.pictures.kinds import learn

    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    more = [Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)) for _ in range(2)]
    sixteen = rng.integers(0, 2**16, (24, 20, 3)).astype(np.uint16)
    moving = {"save_all": True, "append_images": more}
    exif = Image.Exif()
    exif[274], exif[315] = 6, "somebody"
    made = {
        "jpg": _saved(rgb, "JPEG", exif=exif, comment=b"a comment", dpi=(72, 72)),
        "progressive.jpg": _saved(rgb.convert("CMYK"), "JPEG", progressive=True),
        "png": _saved(rgb.convert("RGBA"), "PNG", exif=exif),
        "palette.png": _saved(rgb.quantize(16), "PNG", transparency=3),
        "deep.png": deep.write_png(sixteen, deep.png_shell({})),
        "moving.png": _saved(rgb, "PNG", **moving),
        "gif": _saved(rgb, "GIF", **moving, duration=50),
        "bmp": _saved(rgb, "BMP"),
        "ppm": _saved(rgb, "PPM"),
        "raw.tif": _saved(rgb, "TIFF"),
        "lzw.tif": _saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "pages.tif": _saved(rgb, "TIFF", **moving, compression="tiff_deflate"),
        "deep.tif": deep.write_tiff(sixteen, {}, True),
        "float.tif": _saved(Image.fromarray(sixteen[..., 0] / np.float32(65535)), "TIFF"),
        "webp": _saved(rgb.convert("RGBA"), "WEBP", **moving, xmp=XMP),
        "lossless.webp": _saved(rgb, "WEBP", lossless=True),
        "avif": _saved(rgb, "AVIF", **moving),
        "jp2": _saved(rgb, "JPEG2000"),
        "ico": _saved(rgb, "ICO"),
        "tga": _saved(rgb, "TGA", compression="tga_rle"),
        "pcx": _saved(rgb, "PCX"),
        "dds": _saved(rgb, "DDS"),
        "sgi": _saved(rgb, "SGI"),
    }
    for suffix, format in (("heic", "HEIF"), ("jxl", "JXL")):
        try:
            learn(format, "")
            made[suffix] = _saved(rgb, format)
        except Exception:
            print(f"no {format} here: its files are left out")
    return made


def landmarks() -> Seeds:
    """Points in the forms of webmorph and ibug."""
    points = [(10 * k % 97, 7 * k % 89) for k in range(82)]
    tem = "82\n" + "".join(f"{x}\t{y}\n" for x, y in points) + "0\n"
    rows = "".join(f"{x}.5 {y}.25\n" for x, y in points[:68])
    return {
        "tem": tem.encode(),
        "pts": f"version: 1\nn_points: 68\n{{\n{rows}}}\n".encode(),
    }


def tables() -> Seeds:
    """A table of photos."""
    rows = "".join(f"{p},{e},{p}_{e}.png,1\n" for p in "ABCDE" for e in ("neutral", "happy"))
    plain = "person,expression,path,session\n" + rows
    return {
        "csv": plain.encode(),
        "tsv": plain.replace(",", "\t").encode("utf-16"),
        "quoted.csv": f"sep=;\n{plain.replace(',', ';')}".encode("utf-8-sig"),
    }


def cards() -> Seeds:
    """Descriptions of ONNX models."""
    from deep_onnx.card import Card
    from pixelreg.models.model import Frame

    card = Card(
        "stargan",
        targets={"happy": (1.0, 0.0), "sad": (0.0, 1.0)},
        condition=("happy", "sad"),
        condition_input="condition",
        placement="face",
        frame=Frame(),
        notes={"a": [1, {"b": None}]},
    )
    return {"json": card.to_json().encode()}


def models() -> Seeds:
    """A closed-form model of every kind, and one of small numbers."""
    from pixelreg.models import file as modelfile
    from pixelreg.models.model import Frame, Model
    from pixelreg.models.plans import AffinePlan, FactoredPlan, FlowPlan, KernelPlan, SparsePlan

    rng = np.random.default_rng(0)

    def some(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    field = (8, 8, 3)
    plans = {
        "affine": AffinePlan(some(*field), some(*field)),
        "kernel": KernelPlan(some(256, 4), some(*field, 4)),
        "sparse": SparsePlan(np.array([[0, 0], [0, 1]], np.int8), some(2, *field), some(*field)),
        "factored": FactoredPlan(some(2, 192), some(2, *field)),
        "flow": FlowPlan(some(8, 8, 2), some(*field), some(*field), np.ones(1, np.float32)),
    }
    made = {
        f"{name}.safetensors": modelfile.to_bytes(Model({"happy": plan}, frame=Frame()))
        for name, plan in plans.items()
    }
    small = Model({"happy": plans["affine"]}, frame=Frame())
    return {**made, "int8.safetensors": modelfile.to_bytes(small, "int8")}


def graphs() -> Seeds:
    """ONNX models: pictures in, pictures out, with constants that say how large."""
    from onnx import helper, numpy_helper

    from deep_onnx.card import KEY, Card

    def tensor(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.asarray(values), name)

    image = helper.make_tensor_value_info("image", 1, (1, 3, 16, 16))
    output = helper.make_tensor_value_info("output", 1, (1, 3, 16, 16))
    weights = np.random.default_rng(0).normal(0, 0.1, (3, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Tile", ["a", "repeats"], ["b"]),
        helper.make_node("Pad", ["b", "pads"], ["c"]),
        helper.make_node("Resize", ["c", "", "scales"], ["d"]),
        helper.make_node("ConstantOfShape", ["shape"], ["e"]),
        helper.make_node("Expand", ["e", "shape"], ["f"]),
        helper.make_node("Add", ["d", "f"], ["output"]),
    ]
    constants = [
        tensor("w", weights),
        tensor("repeats", [1, 1, 1, 1]),
        tensor("pads", [0] * 8),
        tensor("scales", np.ones(4, np.float32)),
        tensor("shape", [1, 3, 16, 16]),
    ]
    graph = helper.make_graph(nodes, "g", [image], [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    card = Card("x", targets={"happy": ()}, size=16)
    helper.set_model_props(model, {KEY: card.to_json()})
    return {"onnx": model.SerializeToString()}


def checkpoints() -> Seeds:
    """Weights of a small StarGAN as torch.save writes them, bare and among others."""
    import torch

    from deep_onnx.architectures.stargan import Generator

    torch.manual_seed(0)
    state = Generator(2, 4, 1).state_dict()
    made = {}
    for name, held in {"bare": state, "nested": {"epoch": 3, "model": {"G": state}}}.items():
        file = io.BytesIO()
        torch.save(held, file)
        made[f"{name}.pth"] = file.getvalue()
    return made


def meshes() -> Seeds:
    """A tetrahedron as OBJ and as PLY of text and of bytes."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], "<f4")
    faces = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]
    vertices = "".join(f"{x} {y} {z}\n" for x, y, z in corners)
    head = (
        "ply\nformat {} 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
        "property float z\nelement face 4\nproperty list uchar int vertex_indices\nend_header\n"
    )
    body = b"".join(b"\x03" + np.array(face, "<i4").tobytes() for face in faces)
    text = "".join(f"3 {a} {b} {c}\n" for a, b, c in faces)
    obj = "".join(f"v {x} {y} {z}\n" for x, y, z in corners)
    obj += "".join(f"f {a + 1}/1 {b + 1} {c + 1}//2\n" for a, b, c in faces)
    return {
        "obj": obj.encode(),
        "text.ply": (head.format("ascii") + vertices + text).encode(),
        "ply": head.format("binary_little_endian").encode() + corners.tobytes() + body,
    }


def videos() -> Seeds:
    """Short films in several containers."""
    import av

    made = {}
    rng = np.random.default_rng(0)
    encoders = {"mp4": "mpeg4", "mkv": "mpeg4", "webm": "libvpx", "avi": "mpeg4"}
    for suffix, encoder in encoders.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x.{suffix}"
            with av.open(str(path), "w") as container:
                stream = container.add_stream(encoder, rate=10)
                stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
                for _ in range(4):
                    pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
                container.mux(stream.encode())
            made[suffix] = path.read_bytes()
    return made


def sums() -> Seeds:
    """Sums of pairs, as `pixelreg fit --sums` writes them."""
    from pixelreg.commands.main import main
    from pixelreg.data.synthetic import synthesise

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        synthesise(place / "faces", people=3, size=32, seed=1)
        words = ["--no-align", "--size", "16", "--expr", "happy", "--holdout", "0"]
        out = ["-o", place / "m.safetensors", "--sums", place / "s.sums"]
        code = main(list(map(str, ["fit", "--data", place / "faces", *words, *out])))
        assert code == 0
        return {"sums": (place / "s.sums").read_bytes()}


def texts() -> Seeds:
    """Any JSON, as `--meta` takes it."""
    values = {"targets": {"happy": []}, "size": 16, "value_range": [0, 1], "notes": {"a": [1]}}
    return {"json": json.dumps(values).encode()}


MARK = "a fingerprint"  # of checkpoints, which are refused where another one is asked for


def pairs_to_fit() -> Any:
    """What an unfinished fit has read of six pairs of files that are not there."""
    from pixelreg.data.pairs import Pair
    from pixelreg.data.photos import Photo
    from pixelreg.fitting.tally import Part, Tally
    from pixelreg.models.sums import PixelSums

    def photo(person: str, expression: str) -> Photo:
        return Photo(person, expression, f"{person}-{expression}.png")

    pairs = tuple(Pair(p, "", photo(p, "neutral"), photo(p, "happy")) for p in "ABCDEF")
    return Tally([Part("happy", False, pairs[:4]), Part("happy", True, pairs[4:])], PixelSums, 8)


def fits() -> Seeds:
    """The checkpoint of a fit, with a picture that could not be used."""
    from pixelreg.data.crops import Crops
    from pixelreg.fitting.checkpoint import Checkpoint
    from pixelreg.fitting.tally import Step

    tally = pairs_to_fit()
    crops = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8, 3), np.uint8)
    tally.add(0, Step(4, ((2, "it is damaged"),), Crops(*crops)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.ckpt"
        Checkpoint(path, MARK).save(tally)
        return {"ckpt": path.read_bytes()}


def small_training() -> Any:
    """As much of an algorithm as a checkpoint knows of it: a network, an optimiser, a memory."""
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    network(torch.ones(1, 3, 4, 4)).square().sum().backward()
    optimiser.step()
    return SimpleNamespace(
        networks={"maker": network},
        optimisers={"maker": optimiser},
        device=torch.device("cpu"),
        state=lambda: {"memory": torch.zeros(2)},
        load_state=lambda held: held["memory"].shape,
    )


def trainings() -> Seeds:
    """The checkpoint of a training."""
    from deep_onnx.training import checkpoint

    losses = {"train": np.array([[1.0, 0.5]]), "validation": np.array([[1.0, 0.25]])}
    names = {"train": ["l1"], "validation": ["l1"]}
    progress = checkpoint.Progress(1, 0.5, False, 0.25, 1, losses, names)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.safetensors"
        checkpoint.save(path, small_training(), progress, MARK)
        return {"safetensors": path.read_bytes()}


def blendshapes() -> Seeds:
    """Components of a tetrahedron's movements."""
    from pixelreg.shapes import file
    from pixelreg.shapes.components import Blendshapes

    mean = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 1, 3]], np.int32)
    ranges = np.array([0.5], np.float32)
    made = Blendshapes(mean, mean[None], ranges, ("c0",), faces=faces, expressions={"e": (1.0,)})
    return {"safetensors": file.to_bytes(made)}


def answers() -> Seeds:
    """A study's key, which is read as a rater's answers too."""
    from pixelreg.study.build import FORMAT

    study = {"format": FORMAT, "study": "s", "models": ["a", "b"], "questions": ["quality"]}
    study |= {"trials": [{"photo": "p.png", "order": ["b", "a"]}] * 2, "rater": "r"}
    study |= {"answers": [None, {"trial": 1, "choice": 0, "question": "quality"}]}
    return {"json": json.dumps(study).encode()}


def units() -> Seeds:
    """Action units as OpenFace measures them."""
    from deep_onnx.architectures.action_units import NUMBERS

    head = ", ".join(["path", "confidence", "success", *(f"AU{n:02d}_r" for n in NUMBERS)])
    rows = [f"{p}.png, 0.9, 1, " + ", ".join(["1.25"] * len(NUMBERS)) for p in "AB"]
    return {"csv": "\n".join([head, *rows]).encode()}


def requests() -> Seeds:
    """What a browser sends to a server: fields and a picture, as a form."""
    rng = np.random.default_rng(0)
    picture = _saved(Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)), "PNG")
    parts = b""
    for name, value in (("expression", b"happy"), ("strength", b"0.5"), ("image", picture)):
        more = b'; filename="a.png"\r\nContent-Type: image/png' if name == "image" else b""
        head = b'--x\r\nContent-Disposition: form-data; name="%s"' % name.encode()
        parts += head + more + b"\r\n\r\n" + value + b"\r\n"
    return {"form": parts + b"--x--\r\n"}


CORPORA: dict[str, Callable[[], Seeds]] = {
    "pictures": pictures,
    "landmarks": landmarks,
    "tables": tables,
    "cards": cards,
    "descriptions": texts,
    "models": models,
    "sums": sums,
    "onnx": graphs,
    "checkpoints": checkpoints,
    "meshes": meshes,
    "videos": videos,
    "fits": fits,
    "trainings": trainings,
    "blendshapes": blendshapes,
    "answers": answers,
    "units": units,
    "requests": requests,
}
