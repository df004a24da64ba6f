"""Portraits edited by masks, and given other portraits' looks: the trained framework on photos.

One network does everything; what differs is where the shape and the look of each component come
from (Conditional GAN based Mask Guided Portrait Editing, §4.4):

============== ====================== ======================= ===============
               shape                  look                    figures
============== ====================== ======================= ===============
edit           a mask                 the photo's own         4.8, 4.9, 4.10
swap           another's component    another's component     4.8, 4.9
style          the photo's own        another's component     4.11, 4.13, 4.14
synthesise     one mask               many portraits'         4.7
============== ====================== ======================= ===============
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from deep_onnx.file import OnnxFile, open_file
from deep_onnx.model import OnnxModel
from deep_onnx.portrait.editing import (
    centres_of,
    cut_mask,
    fading,
    photo_mask,
    swapped,
    tidied,
    uncovered,
)
from deep_onnx.portrait.labels import COMPONENTS, read_mask
from deep_onnx.portrait.running import (
    NAMES,
    Parser,
    PortraitNetwork,
    Seen,
    is_portrait,
    open_parser,
    parser_beside,
)
from deep_onnx.translator import OnnxTranslator
from pixelreg.arrays import Array, Floats, Pixels
from pixelreg.errors import (
    ImageError,
    InvalidArrayError,
    ModelFileError,
    UnknownNameError,
    UsageError,
)
from pixelreg.faces.align import UNMOVED, crop
from pixelreg.faces.locate import Locator, Placement
from pixelreg.faces.prepared import Changer, Prepared, PreparedFaces
from pixelreg.models.plans import Change
from pixelreg.pictures.image import ImageLike, Picture, read
from pixelreg.pictures.stored import as_bytes
from pixelreg.translator import Target

MaskLike: TypeAlias = "Array | Path | str | None"
PLAIN = 224  # grey of the background where none is given


@dataclass(frozen=True, eq=False)
class PortraitTarget:
    """What to make of a portrait.

    mask : the shape to take, (H, W) labels or the file of a mask: of the photo's size, or a square
        one of the crop. None keeps the photo's own.
    shapes : component -> the portrait whose shape it takes.
    looks : component -> the portrait whose look it takes.
    own_mask : the photo's own mask; None asks the parser.
    whole : give the whole portrait back, not only what is asked to change.
    """

    mask: MaskLike = None
    shapes: Mapping[str, ImageLike | Seen] = field(default_factory=dict)
    looks: Mapping[str, ImageLike | Seen] = field(default_factory=dict)
    own_mask: MaskLike = None
    whole: bool = False


def open_portrait(path: Path, **options: Any) -> PortraitTranslator:
    """Load a portrait model and its parser; see `PortraitTranslator.of`."""
    file = open_file(path)
    if not is_portrait(file):
        raise ModelFileError(f"{path} is no portrait model, but a {file.card.architecture}")
    return PortraitTranslator.of(file, **options)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class PortraitTranslator(OnnxTranslator):
    """A portrait model on photos.

    parser : makes the masks of photos; without one they must be given.
    """

    parser: Parser | None = None

    @classmethod
    def of(
        cls,
        file: OnnxFile,
        *,
        locator: Locator | None = None,
        parser: Path | None = None,
        **options: Any,
    ) -> OnnxTranslator:
        """The translator of a portrait model; one that refuses all photos for others' models.

        parser : the parser's file; None takes the one beside the model, where there is one.
        """
        locator = locator or Locator()
        if not is_portrait(file):
            return OnnxTranslator.of(file, locator=locator, **options)
        card, name = file.card, file.contents.name
        model = OnnxModel.of(file, **options)
        place = parser or parser_beside(Path(name))
        found = open_parser(place, **options) if parser or place.is_file() else None
        if found is not None and found.model.card.size != card.size:
            raise ModelFileError(
                f"{place} parses {found.model.card.size} pixels, but {name} takes {card.size}: "
                "they were not trained together"
            )
        return cls(model, locator, found)

    @property
    def network(self) -> PortraitNetwork:
        """What makes portraits."""
        return PortraitNetwork(self.model)

    @property
    def targets(self) -> tuple[str, ...]:
        """None: what to make is said by masks and portraits."""
        return ()

    def canonical(self, target: str) -> str:
        """Raise UsageError: there are no names."""
        raise UsageError(f"{self.name} makes portraits from masks; use: pixelreg portrait")

    def translate(self, image: Any, target: Any, strength: float = 1.0) -> Any:
        """Change a portrait; see `Translator.translate`.

        target : a mask, (H, W) labels or the path of a palette PNG, whose shape it takes (edit);
            another portrait, whose look all its components take; a mapping from components to
            portraits, whose looks these take (style); or a `PortraitTarget`.
        strength : s in x + s (y - x).
        """
        return super().translate(image, cast(Target, target), strength)

    @property
    def together(self) -> int:
        """Each portrait takes masks and parts of its own."""
        return 1

    def prepare(self, picture: Picture, target: Any, path: Path | None = None) -> Prepared:
        """Find the faces and their changes once; see `Translator.prepare`."""
        wish, parts = self._wish(target), []
        for placement in self.place(picture.pixels, path):
            own = self._cut(picture.pixels, placement, wish.own_mask)
            shape = self._shape(picture.pixels, placement, wish.mask)
            parts.append((placement, self._change(own, shape, wish)))
        return PreparedFaces(picture, tuple(parts))

    def changer(self, target: Any) -> Changer:
        """What a target does to crops; see `Translator.changer`."""
        if isinstance(target, str):
            self.canonical(target)
        wish = self._wish(target)
        whole = Placement(UNMOVED)

        def change(crop: Any) -> Change:
            pixels = crop if crop.dtype == np.uint8 else as_bytes(crop)
            own = self._cut(pixels, whole, wish.own_mask)
            return self._change(own, self._shape(pixels, whole, wish.mask), wish)

        return Changer(change, self.size, masked=True)

    def run(self, target: Any, crops: Pixels) -> Pixels:
        """Change crops (N, S, S, 3) uint8; they come back as the network makes them, whole."""
        wish, whole = self._wish(target), Placement(UNMOVED)
        made = []
        for each in crops:
            own = self._cut(each, whole, wish.own_mask)
            asked, looks = self._asked(own, self._shape(each, whole, wish.mask), wish)
            made.append(_quantised(self.network.portraits([asked], [looks])[0]))
        return np.stack(made)

    def seen(self, image: ImageLike, mask: MaskLike = None) -> Seen:
        """A photo's largest face as the network takes it; without a mask the parser makes one."""
        pixels, placement = self._largest(image)
        return self._cut(pixels, placement, mask)

    def mask(self, image: ImageLike) -> Pixels:
        """The mask of a photo's largest face, (H, W) uint8 labels, as the parser finds it."""
        pixels, placement = self._largest(image)
        shares = self._parser().shares(crop(pixels, placement.similarity, self.size)[None])[0]
        size = pixels.shape[0], pixels.shape[1]
        return tidied(photo_mask(shares, placement.similarity, size))

    def synthesise(
        self,
        mask: Array | Path | str,
        count: int = 8,
        seed: int = 0,
        portraits: Sequence[Seen] = (),
        background: Seen | None = None,
    ) -> Pixels:
        """Different portraits of one shape (Fig. 4.7).

        mask : the shape, square (H, H) labels or the file of a mask.
        portraits : whose looks they take, drawn at random; without any, looks are invented: drawn
            from a normal distribution like that of the learning portraits' embeddings.
        background : the portrait whose background they take; None for plain grey.

        Returns: (count, S, S, 3) uint8; the first ones do not depend on the count.
        """
        labels = mask if isinstance(mask, np.ndarray) else read_mask(Path(mask))
        shape = cut_mask(labels, UNMOVED, self.size, (self.size, self.size))
        plain = np.full((self.size, self.size, 3), PLAIN, np.uint8)
        image = plain if background is None else uncovered(background.image, background.mask, shape)
        own = Seen(image, shape, centres_of(shape, "it is the one that was given"))
        generator = np.random.default_rng(seed)
        if not portraits:
            noise = generator.standard_normal((count, self.network.noises), np.float32)
            invented = [(own,) * len(NAMES)] * count  # only their number counts
            return _quantised(self.network.portraits([own] * count, invented, noise))
        drawn: list[int] = []
        while len(drawn) < count:  # everybody once before anybody twice
            drawn += generator.permutation(len(portraits)).tolist()
        looks = [(portraits[k],) * len(NAMES) for k in drawn[:count]]
        return _quantised(self.network.portraits([own] * count, looks))

    def describe(self) -> dict[str, Any]:
        """What the model is, what runs it, and where it comes from, ready for JSON."""
        card = self.card
        return {
            "name": self.name,
            "model": card.architecture,
            "task": card.task,
            "target_kind": card.target_kind,
            "components": list(NAMES),
            "size": card.size,
            "frame": None if card.frame is None else asdict(card.frame),
            "parser": None if self.parser is None else self.parser.model.name,
            "parameters": card.parameters or self.session.contents.parameters,
            "opset": self.session.contents.opsets.get("", 0),
            "providers": list(self.session.providers),
            **asdict(card.provenance),
            "notes": dict(card.notes),
        }

    def _largest(self, image: ImageLike) -> tuple[Pixels, Placement]:
        """A photo, and where its largest face is."""
        path = Path(image) if isinstance(image, (str, Path)) else None
        pixels = read(image).pixels
        return pixels, self.place(pixels, path)[0]

    def _wish(self, target: Any) -> PortraitTarget:
        """A target of any kind, its masks read and its names known."""
        if isinstance(target, PortraitTarget):
            wish = target
        elif isinstance(target, Mapping):
            wish = PortraitTarget(looks=target)
        elif _is_mask(target):
            wish = PortraitTarget(mask=target)
        else:
            wish = PortraitTarget(looks=dict.fromkeys(NAMES, target), whole=True)
        for name in (*wish.shapes, *wish.looks):
            if name not in NAMES:
                raise UnknownNameError("component", name, NAMES)
        return replace(wish, mask=_labels(wish.mask), own_mask=_labels(wish.own_mask))

    def _cut(self, pixels: Pixels, placement: Placement, mask: MaskLike) -> Seen:
        """A face as the network takes it; without a mask, the parser makes one."""
        image = crop(pixels, placement.similarity, self.size)
        labels = self._shape(pixels, placement, mask)
        if labels is not None:
            return Seen(image, labels, centres_of(labels, "it is the one that was given"))
        labels = tidied(self._parser().masks(image[None])[0])
        what = "it is the parser's; paint what is missing, and give it as the photo's own"
        # The crop was aligned by the eyes, so even where small ones are overlooked they are there.
        return Seen(image, labels, centres_of(labels, what, self.frame))

    def _shape(self, pixels: Pixels, placement: Placement, mask: MaskLike) -> Pixels | None:
        """A mask of the crop, if there is one."""
        labels = _labels(mask)
        if labels is None:
            return None
        return cut_mask(labels, placement.similarity, self.size, (pixels.shape[0], pixels.shape[1]))

    def _parser(self) -> Parser:
        if self.parser is None:
            raise UsageError(
                f"masks of photos need the parser {parser_beside(Path(self.name)).name} beside "
                f"{self.name}; without it, give every mask"
            )
        return self.parser

    def _change(self, own: Seen, shape: Pixels | None, wish: PortraitTarget) -> Change:
        """What is done to a portrait, where it is asked for.

        Where the shape changes, the made portrait takes the photo's place. Where only the look
        does, the difference is added that it makes to the portrait's own look as the network makes
        it: so what the network cannot do is left to the photo.
        """
        target, looks = self._asked(own, shape, wish)
        photo = own.image / np.float32(255)
        if wish.whole:
            made = self.network.portraits([target], [looks])[0]
            everywhere = np.ones(own.mask.shape, bool)
            return _difference(made, photo, fading(everywhere))
        mine = (own,) * len(NAMES)
        made, again = self.network.portraits([target, own], [looks, mine])
        shaped = fading(target.mask != own.mask)
        labels = [label for name in wish.looks for label in COMPONENTS[name]]
        styled = fading(np.isin(target.mask, labels)) * (1.0 - shaped)
        replaced, added = _difference(made, photo, shaped), _difference(made, again, styled)
        return Change(replaced.colour + added.colour)

    def _asked(
        self, own: Seen, shape: Pixels | None, wish: PortraitTarget
    ) -> tuple[Seen, tuple[Seen, ...]]:
        """The shape with its background, and the five components' portraits."""
        known: dict[int, Seen] = {}

        def other(portrait: ImageLike | Seen) -> Seen:
            if isinstance(portrait, Seen):
                return portrait
            if id(portrait) not in known:
                known[id(portrait)] = self.seen(portrait)
            return known[id(portrait)]

        mask = own.mask if shape is None else shape
        for name, portrait in wish.shapes.items():
            mask = swapped(mask, other(portrait).mask, name)
        looks = tuple(other(wish.looks[name]) if name in wish.looks else own for name in NAMES)
        image = uncovered(own.image, own.mask, mask)
        known_eyes = self.frame if shape is None else None
        centres = centres_of(mask, "it is the one to be made", known_eyes)
        return Seen(image, mask, centres), looks


def _difference(made: Floats, before: Array, weights: Floats) -> Change:
    """From one picture (S, S, 3) to another, weighed by (S, S)."""
    return Change((made - before.astype(np.float32)) * weights[..., None])


def _quantised(made: Floats) -> Pixels:
    return np.rint(made * np.float32(255)).astype(np.uint8)


def _is_mask(target: Any) -> bool:
    """Whether a target is a mask, and no portrait."""
    if isinstance(target, np.ndarray):
        if target.ndim == 2 and target.dtype.kind not in "iu":
            raise InvalidArrayError(f"a mask holds whole numbers, not {target.dtype}")
        return target.ndim == 2
    if not isinstance(target, (str, Path)):
        return False
    try:
        read_mask(Path(target))
    except ImageError:
        return False
    return True


def _labels(mask: MaskLike) -> Array | None:
    """A mask, its file read."""
    return read_mask(Path(mask)) if isinstance(mask, (str, Path)) else mask
