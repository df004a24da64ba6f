"""One picture of ``pixelreg apply``: its bytes in, the changed picture's bytes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pixelreg.commands.keeping import Keeping
from pixelreg.errors import PixelregError
from pixelreg.faces.prepared import Looked, Prepared, PreparedFaces
from pixelreg.pictures.image import content_of, encode, format_of, read_bytes
from pixelreg.pictures.moving import Moving, encode_moving, fits, read_moving
from pixelreg.pictures.writing import Picture
from pixelreg.translator import Target, Translator

if TYPE_CHECKING:
    from pixelreg.faces.dense import DenseFinder


class Made(NamedTuple):
    """A changed picture's file, and what has to be said of it."""

    content: bytes
    notes: tuple[str, ...]


class Begun(NamedTuple):
    """A picture file whose faces are found.

    looked : what a network is to change; None for a file of several pictures.
    finish : from the picture, ready for any strength, to the file's bytes.
    """

    looked: Looked | None
    finish: Callable[[Prepared | None], Made]


@dataclass(frozen=True)
class Changing:
    """What is done to every picture.

    strengths : one, or several for a strip.
    """

    translator: Translator
    target: Target
    strengths: tuple[float, ...]
    keeping: Keeping

    def read(self, path: Path) -> Picture:
        """A picture file's first picture, with what is to be kept of it."""
        return self._read(content_of(path), str(path))

    def file(self, path: Path, output: Path) -> Made:
        """A picture file changed, in the format that the output's name says."""
        return self.encoded(content_of(path), str(path), path, format_of(output))

    def encoded(
        self, content: bytes, name: str, path: Path | None = None, format: str | None = None
    ) -> Made:
        """An encoded picture changed.

        name : what it is called in errors.
        path : its file, beside which landmarks may lie.
        format : what to write; None for its own.
        """
        moving = self._moving(content, name, format)
        if moving is not None:
            return self._all(*moving, path)
        picture = self._read(content, name)
        return self._made(self.translator.prepare(picture, self.target, path), format)

    def begun(self, path: Path, output: Path) -> Begun:
        """`file` up to what a network does, which does more at once: see `changed`."""
        content, format = content_of(path), format_of(output)
        moving = self._moving(content, str(path), format)
        if moving is not None:
            return Begun(None, lambda _: self._all(*moving, path))
        picture = self._read(content, str(path))
        looked = self.translator.look(picture, self.target, path)
        return Begun(looked, lambda prepared: self._made(prepared, format))

    def changed(self, begun: Sequence[Begun]) -> list[Callable[[], Made]]:
        """What makes the file of each, once the crops of all are changed by runs in common."""
        looked = [each.looked for each in begun if each.looked is not None]
        try:
            every = self.translator.finished(looked, self.target)
        except PixelregError:  # perhaps of one alone: each then fails or not by itself
            return [lambda each=each: self._alone(each) for each in begun]  # type: ignore[misc]
        ready = iter(every)
        made = [None if each.looked is None else next(ready) for each in begun]
        return [partial(each.finish, one) for each, one in zip(begun, made, strict=True)]

    def _alone(self, begun: Begun) -> Made:
        if begun.looked is None:
            return begun.finish(None)
        return begun.finish(self.translator.finished([begun.looked], self.target)[0])

    def _moving(self, content: bytes, name: str, format: str | None) -> tuple[Moving, str] | None:
        """All pictures of a file that holds several, and the format that takes them."""
        moving = read_moving(content, name, self.keeping.background)
        if moving is None or len(self.strengths) > 1:
            return None
        chosen = format or moving.pictures[0].format or ""
        return (moving, chosen) if fits(moving, chosen) else None

    def _made(self, prepared: Prepared | None, format: str | None) -> Made:
        assert prepared is not None
        told = *self._as_crop(prepared), *self._covered(prepared), *prepared.notes
        return Made(encode(self.shown(prepared), format), (*prepared.picture.notes, *told))

    def _as_crop(self, prepared: Prepared) -> tuple[str, ...]:
        """What has to be said where a picture's size alone makes it a crop of a face."""
        size = self.translator.size
        if not self.translator.taken_as_crop(prepared):
            return ()
        return (
            f"it is {size}x{size}, the model's own size, and was taken as a face crop; "
            "say where the face is with --box or --eyes if it is not one",
        )

    @cached_property
    def _finder(self) -> DenseFinder:
        from pixelreg.faces.dense import DenseFinder  # a crop does without

        return DenseFinder()

    def _covered(self, prepared: Prepared) -> tuple[str, ...]:
        """What has to be said of faces that are found, but not seen whole; the rig leaves them."""
        if not self.translator.takes_crops or not isinstance(prepared, PreparedFaces):
            return ()
        found = [place.face for place, _ in prepared.parts if place.face is not None]
        looked = [(f, self._finder.find(prepared.picture.pixels, f)) for f in found if f.score < 1]
        return tuple(
            f"the {dense.covered} of the face at {round(x)},{round(y)} cannot be seen well enough "
            "(covered, or cut off?), so what was made of it may look wrong"
            for (x, y), dense in ((f.eyes.mean(axis=0), dense) for f, dense in looked)
            if dense.covered is not None
        )

    def shown(self, prepared: Prepared) -> Picture:
        """The picture at one strength, or a strip of several."""
        if len(self.strengths) == 1:
            return prepared.at(self.strengths[0])
        from pixelreg.pictures.sheet import strength_strip

        picture = prepared.picture
        strip = strength_strip(lambda strength: prepared.at(strength).pixels, self.strengths)
        return Picture(strip, format=picture.format, edited=any(self.strengths), mark=picture.mark)

    def _read(self, content: bytes, name: str) -> Picture:
        return self.keeping.kept(read_bytes(content, name, self.keeping.background))

    def _all(self, moving: Moving, format: str, path: Path | None) -> Made:
        """All pictures of a file changed."""

        def change(picture: Picture) -> Picture:
            return self.shown(self.translator.prepare(picture, self.target, path))

        kept = replace(moving, pictures=tuple(map(self.keeping.kept, moving.pictures)))
        made = kept.changed(change)
        return Made(encode_moving(made, format), made.told)
