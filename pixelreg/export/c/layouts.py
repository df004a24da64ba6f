"""How an export in C is divided into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Template

from pixelreg.export.c.source import Source
from pixelreg.export.c.text import filled

CMAKE = ("all", "clean", "help", "install", "package", "test")  # targets of its own

Files = Mapping[str, tuple[str, str]]  # path in the output -> what it is for, its text


@dataclass(frozen=True)
class Layout:
    """One way.

    files : from the source to the files.
    readme : the page's name.
    folder : whether -o is a folder for all of them; else it is their name.
    endings : of -o.
    taken : names that mean something else there.
    """

    files: Callable[[Source], Files]
    readme: str
    folder: bool = False
    endings: tuple[str, ...] = ("",)
    taken: tuple[str, ...] = ()


def _two(made: Source) -> Files:
    return {
        f"{made.name}.h": ("include this", made.header),
        f"{made.name}.c": ("compile this", _body(made)),
    }


def _header(made: Source) -> Files:
    text = filled("single.h", {**made.words, "header": made.header, "body": _body(made, False)})
    what = f"include this; in ONE C file, define {made.name.upper()}_IMPLEMENTATION before"
    return {f"{made.name}.h": (what, text + "\n")}


def _arduino(made: Source) -> Files:
    files = {f"src/{path}": what for path, what in _two(made).items()}
    return {
        "library.properties": (
            "tells the Arduino IDE of the library",
            _own("library.properties", made),
        ),
        **files,
        f"examples/{made.name}/{made.name}.ino": (
            "a sketch that runs it",
            _own("sketch.ino", made),
        ),
    }


def _cmake(made: Source) -> Files:
    return {
        "CMakeLists.txt": ("a library and its test", _own("CMakeLists.txt", made)),
        **_two(made),
        f"{made.name}_test.c": (
            "the test: both ways of calling agree, and strength 0 changes nothing",
            _own("test.c", made),
        ),
    }


def _own(template: str, made: Source) -> str:
    return filled(template, made.words) + "\n"


def _body(made: Source, alone: bool = True) -> str:
    include = f'#include "{made.name}.h"' if alone else ""
    return Template(made.body).substitute(include=include)


LAYOUTS: Mapping[str, Layout] = {
    "files": Layout(_two, "{name}.README.md", endings=("", ".h", ".c")),
    "header": Layout(_header, "{name}.README.md", endings=("", ".h")),
    "arduino": Layout(_arduino, "README.md", folder=True),
    "cmake": Layout(_cmake, "README.md", folder=True, taken=CMAKE),
}
