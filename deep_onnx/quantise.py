"""Smaller numbers in an ONNX model: int8 convolutions, or fp16 weights, judged on real pictures."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deep_onnx.card import Card
from deep_onnx.file import as_proto, finish, first_line, quiet, read, read_card
from deep_onnx.model import OnnxModel
from deep_onnx.session import Session
from pixelreg.arrays import Array, Pixels
from pixelreg.data.crops import Progress, read_all, read_photo
from pixelreg.data.layouts import scan
from pixelreg.data.layouts.reading import walk
from pixelreg.data.photos import Photo, Problem, first_reason
from pixelreg.errors import DataError, PixelregError, UnknownNameError, UsageError, need
from pixelreg.faces.align import crop
from pixelreg.faces.locate import Locator
from pixelreg.files import write_bytes
from pixelreg.fitting.recipe import choose_held_out

if TYPE_CHECKING:
    from onnx import ModelProto

JUDGED = 1 / 3  # share of the people whose pictures are kept apart
LEAST_PSNR = 38.0  # dB to the fp32 model
EQUAL = 100.0  # dB, for pictures without a difference
PERCENTILE = 99.999  # of the values of a tensor that int8 spans; what is beyond is clipped
CONVOLUTIONS = ("Conv", "ConvTranspose")
PURPOSE = "quantising"


@dataclass(frozen=True, eq=False)
class Calibration:
    """Crops as a model takes them.

    measured, judged : (N, S, S, 3) uint8, of different people.
    problems : pictures that could not be used, and why.
    """

    measured: Pixels
    judged: Pixels
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Quantised:
    """A model that was made smaller.

    psnr : dB to the fp32 model, over all pictures that were judged.
    worst : dB of the picture that differs most.
    """

    path: Path
    bytes: int
    bytes_before: int
    psnr: float
    worst: float
    judged: int


def card_to_quantise(model: Path) -> Card:
    """The card of a model that can be quantised."""
    card = read_card(model)
    need("onnx", "onnx", "train", PURPOSE)
    if not card.does.changes:
        raise UsageError(f"{model} changes no pictures, so there is nothing to judge it by")
    if "quantised" in card.notes:
        raise UsageError(f"{model} is quantised already; start from the fp32 model")
    return card


def quantise(
    model: Path,
    output: Path,
    to: str,
    pictures: Calibration,
    force: bool = False,
    trusted: bool = False,
) -> Quantised:
    """Write a model with smaller numbers, if it still makes the same pictures, or by force.

    ``"int8"`` takes values and weights of all convolutions but the first and the last ones;
    ``"fp16"`` all weights. ``trusted`` is as of `Session`.
    """
    if to not in KINDS:
        raise UnknownNameError("kind of numbers", to, KINDS)
    card = card_to_quantise(model)
    contents = read(model)
    fp32 = OnnxModel(card, Session(contents, "cpu", trusted=trusted))
    proto = KINDS[to].convert(as_proto(contents, PURPOSE), _feeds(fp32, pictures.measured))
    made = replace(finish(proto, card), name="the quantised model")
    smaller = OnnxModel(card, Session(made, "cpu", trusted=trusted))
    psnr, worst = _psnr(fp32, smaller, pictures)
    if psnr < LEAST_PSNR and not force:
        raise PixelregError(
            f"{output} was not written: as {to} it is {psnr:.1f} dB from the fp32 model, less "
            f"than {LEAST_PSNR:g}; --force writes it all the same"
        )
    note = {
        "to": to,
        "psnr_to_fp32": round(psnr, 2),
        "worst_psnr_to_fp32": round(worst, 2),
        "pictures_measured": len(pictures.measured) if KINDS[to].measures else 0,
        "pictures_judged": len(pictures.judged),
    }
    noted = replace(card, notes={**card.notes, "quantised": note})
    data = finish(as_proto(made, PURPOSE), noted).data
    write_bytes(output, data)
    return Quantised(output, len(data), len(contents.data), psnr, worst, len(pictures.judged))


def read_pictures(
    data: Path | Sequence[Path],
    card: Card,
    locator: Locator,
    count: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Read and crop pictures as the model's card says, ``count`` of them chosen by ``seed``.

    They are those of folders or of data sets of a known layout; of a data set, pictures of what
    the model starts from are taken where there are any.
    """
    folders = [data] if isinstance(data, Path) else data
    photos = [photo for folder in folders for photo in _photos(folder, card.source)]
    order = np.random.default_rng(seed).permutation(len(photos))
    crops: list[Pixels] = []
    people: list[str] = []
    problems: list[Problem] = []
    with closing(read_all((photos[k] for k in order), partial(_cut, card, locator))) as results:
        for photo, outcome in results:
            if isinstance(outcome, PixelregError):
                problems.append(Problem(photo.path, str(outcome)))
            else:
                crops.append(outcome)
                people.append(photo.person)
            if progress is not None:
                progress(len(crops), count)
            if len(crops) == count:
                break
    if len(set(people)) < 2:
        named = ", ".join(map(str, folders))
        raise DataError(
            f"{named} has {len(crops)} usable pictures of {len(set(people))} people; two people "
            f"are needed, to measure on and to judge by{first_reason(problems)}"
        )
    kept_apart = choose_held_out(people, JUDGED, seed)
    apart = np.array([person in kept_apart for person in people])
    stack = np.stack(crops)
    return Calibration(stack[~apart], stack[apart], tuple(problems))


def _photos(data: Path, source: str) -> list[Photo]:
    try:
        photos = scan(data).photos
    except DataError:
        if not data.is_dir():
            raise
        found = list(walk(data).pictures)
        if not found:
            raise DataError(f"no picture in {data}") from None
        return [Photo(file, "", file) for file in found]
    shown = [photo for photo in photos if photo.expression == source]
    return shown or list(photos)


def _cut(card: Card, locator: Locator, photo: Photo) -> Pixels:
    pixels = read_photo(photo)
    place = locator.placements(pixels, card.frame, card.size, photo.path)[0]
    return crop(pixels, place.similarity, card.size)


def _conditions(card: Card, count: int) -> list[tuple[float, ...]]:
    """One target a picture, all in turn."""
    vectors = list(card.targets.values())
    return [vectors[k % len(vectors)] for k in range(count)]


def _feeds(model: OnnxModel, crops: Pixels) -> list[dict[str, Array]]:
    """What goes into the graph, one picture at a time."""
    conditions = _conditions(model.card, len(crops))
    return [
        model.inputs(condition, picture[None])[0]
        for picture, condition in zip(crops, conditions, strict=True)
    ]


def _psnr(fp32: OnnxModel, smaller: OnnxModel, pictures: Calibration) -> tuple[float, float]:
    """dB over all judged pictures, and of the worst one; values on [0, 1]."""
    errors = []
    conditions = _conditions(fp32.card, len(pictures.judged))
    for picture, condition in zip(pictures.judged, conditions, strict=True):
        made = [np.clip(p.predict(condition, picture[None]), 0, 1) for p in (fp32, smaller)]
        errors.append(float(np.square(made[0].astype(np.float64) - made[1]).mean()))
    return _decibel(float(np.mean(errors))), _decibel(max(errors))


def _decibel(error: float) -> float:
    return min(EQUAL, -10 * math.log10(error)) if error > 0 else EQUAL


def _to_int8(model: ModelProto, feeds: Sequence[Mapping[str, Array]]) -> ModelProto:
    """Static quantisation between Q and DQ nodes, ranges by percentile."""
    import onnx

    chosen = inner_convolutions(model)
    if not chosen:
        raise UsageError(
            "this model has no convolution between its first and last ones; --to fp16 is left"
        )
    ort = need("onnxruntime.quantization", "onnxruntime", "deep", PURPOSE)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        before.write_bytes(model.SerializeToString())
        try:
            with quiet():
                ort.quantize_static(
                    before,
                    after,
                    _reader(feeds, ort.CalibrationDataReader),
                    op_types_to_quantize=["Conv"],
                    nodes_to_quantize=chosen,
                    per_channel=True,
                    # On x86 kernels for unsigned values are half again as fast as for signed ones.
                    activation_type=ort.QuantType.QUInt8,
                    weight_type=ort.QuantType.QInt8,
                    calibrate_method=ort.CalibrationMethod.Percentile,
                    extra_options={
                        "CalibPercentile": PERCENTILE,
                        "CalibTensorRangeSymmetric": False,
                        # By its name for another method, but for all: forget a picture's values
                        # before the next one.
                        "CalibStridedMinMax": 1,
                    },
                )
        except Exception as error:  # onnxruntime's errors share no class
            raise PixelregError(f"onnxruntime cannot quantise: {first_line(error)}") from error
        made = onnx.load_model_from_string(after.read_bytes())
    used = {node.domain for node in made.graph.node}
    kept = [opset for opset in made.opset_import if opset.domain in used]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    return made


def _reader(feeds: Sequence[Mapping[str, Array]], base: Any) -> Any:
    class Reader(base):  # type: ignore[misc,unused-ignore]
        """Gives some of the pictures, one by one."""

        def __init__(self) -> None:
            self.set_range(0, len(feeds))

        def __len__(self) -> int:
            return len(feeds)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(feeds[start_index:end_index])

        def get_next(self) -> Mapping[str, Array] | None:
            return next(self.left, None)

    return Reader()


def inner_convolutions(model: ModelProto) -> list[str]:
    """Names of the convolutions, not transposed, that lie between two other convolutions.

    The first one sees the picture and the last ones make it: their rounding would be seen.
    Transposed ones have no int8 kernel on processors. Nodes without a name get one.
    """
    nodes = model.graph.node
    after: set[str] = set()  # tensors that a convolution leads to
    before: set[str] = set()  # tensors that lead to a convolution
    inner = {k for k, node in enumerate(nodes) if node.op_type in CONVOLUTIONS}
    for k, node in enumerate(nodes):
        reached = not after.isdisjoint(node.input)
        if k in inner or reached:
            after.update(node.output)
        if not reached:
            inner.discard(k)
    for k, node in reversed(list(enumerate(nodes))):
        leads = not before.isdisjoint(node.output)
        if node.op_type in CONVOLUTIONS or leads:
            before.update(node.input)
        if not leads:
            inner.discard(k)
    for k in inner:
        nodes[k].name = nodes[k].name or f"convolution_{k}"
    return [nodes[k].name for k in sorted(inner) if nodes[k].op_type == "Conv"]


def _to_fp16(model: ModelProto, feeds: Sequence[Mapping[str, Array]]) -> ModelProto:
    """Weights and values as half floats; inputs and outputs stay as they are."""
    float16 = need("onnxruntime.transformers.float16", "onnxruntime", "deep", PURPOSE)
    try:
        with quiet():
            made: ModelProto = float16.convert_float_to_float16(model, keep_io_types=True)
    except Exception as error:  # the converter raises what it likes
        raise PixelregError(f"the model cannot be converted: {first_line(error)}") from error
    _sort(made)
    return made


def _sort(model: ModelProto) -> None:
    """Put nodes after what they take: the converter appends its casts of the inputs."""
    left = list(model.graph.node)
    waiting = {name for node in left for name in node.output}
    order = []
    while left:
        ready = [node for node in left if waiting.isdisjoint(node.input)]
        if not ready:
            raise PixelregError("the converted graph runs in a circle")
        order += ready
        waiting.difference_update(name for node in ready for name in node.output)
        left = [node for node in left if not waiting.isdisjoint(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(order)


class Kind(NamedTuple):
    """A kind of smaller numbers: how a model gets them, and whether pictures are measured first."""

    convert: Callable[[ModelProto, Sequence[Mapping[str, Array]]], ModelProto]
    measures: bool


KINDS = {"int8": Kind(_to_int8, True), "fp16": Kind(_to_fp16, False)}
