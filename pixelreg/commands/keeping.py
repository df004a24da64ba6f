"""Options for what becomes of a picture besides its pixels, and of files that are there already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixelreg.commands.console import say_replaced
from pixelreg.commands.options import given_as
from pixelreg.errors import UsageError

if TYPE_CHECKING:
    from pixelreg.pictures.about import About
    from pixelreg.pictures.writing import Picture

Colour = tuple[int, int, int]


class ColourName(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A colour: a name of HTML's, or #rrggbb."""

    name = "colour"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Colour:
        from PIL import ImageColor

        if isinstance(value, tuple):
            return value
        try:
            red, green, blue = ImageColor.getrgb(str(value))[:3]
        except ValueError:
            self.fail(f"{value!r} is no colour such as white or #ffeedd", param, ctx)
        return red, green, blue


@dataclass(frozen=True)
class Keeping:
    """What is kept of pictures.

    background : what shows through where a picture is transparent.
    strip_metadata, strip_gps : what is told of pictures is left out: all, or where they were taken.
    no_mark : changed pictures do not say that they are.
    in_place : pictures may be written over.
    no_overwrite : what is there already stays.
    """

    background: Colour = (255, 255, 255)
    strip_metadata: bool = False
    strip_gps: bool = False
    no_mark: bool = False
    in_place: bool = False
    no_overwrite: bool = False

    def __post_init__(self) -> None:
        if self.in_place and self.no_overwrite:
            raise UsageError("--in-place writes over pictures, --no-overwrite never: give one")

    def kept(self, picture: Picture) -> Picture:
        """A picture that was read, with what is to be kept of it."""
        return replace(picture, about=self._about(picture.about), mark=not self.no_mark)

    def _about(self, about: About) -> About:
        if self.strip_metadata:
            return about.bare()
        return about.without_place() if self.strip_gps else about

    def guard(self, *outputs: Path | None) -> None:
        """Refuse to write over a file that is to stay; say that another is written over."""
        for path in outputs:
            if path is None:
                continue
            if self.no_overwrite and path.exists():
                raise UsageError(f"{path} exists; leave out --no-overwrite, or name another file")
            if self.replaces(path):
                say_replaced(path)

    def replaces(self, output: Path) -> bool:
        """Whether writing a file replaces one without that having been asked for."""
        return not self.in_place and output.is_file()

    def refuse_in_place(self, source: Path, output: Path) -> None:
        """Refuse to write over the source, unless that was asked for."""
        if not self.in_place and output.exists() and output.samefile(source):
            raise UsageError(
                f"{source} would be written over; add --in-place if it should, or name another "
                "file with -o"
            )


keeping = given_as(
    "keeping",
    Keeping,
    click.option(
        "--background",
        type=ColourName(),
        default="white",
        show_default=True,
        help="What shows through a transparent picture where the format has no transparency.",
    ),
    click.option(
        "--strip-metadata",
        is_flag=True,
        help="Leave out EXIF, XMP, IPTC and comments. [default: they are kept]",
    ),
    click.option("--strip-gps", is_flag=True, help="Leave out where the picture was taken."),
    click.option(
        "--no-mark",
        is_flag=True,
        help="Leave out of XMP that the picture was changed, and by what.",
    ),
    click.option("--in-place", is_flag=True, help="Write over the pictures themselves."),
    click.option("--no-overwrite", is_flag=True, help="Leave files alone that are there already."),
)
