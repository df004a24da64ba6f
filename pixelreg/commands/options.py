"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce, wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from pixelreg.backends import BACKENDS, get_backend
from pixelreg.backends.providers import AUTO as AUTO_PROVIDER
from pixelreg.backends.providers import NAMES, asked
from pixelreg.commands.console import say, say_once, say_replaced
from pixelreg.errors import ModelFileError, PixelregError, UsageError
from pixelreg.faces.detect import AUTO, DETECTORS, asked_for, detector_class
from pixelreg.models import NAMED

if TYPE_CHECKING:
    from pixelreg.faces.dense import DenseFinder
    from pixelreg.faces.locate import Locator
    from pixelreg.translator import Translator


class Numbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Numbers separated by commas, a fixed count of them or any."""

    name = "numbers"

    def __init__(self, count: int | None = None) -> None:
        self.count = count

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,2,3", param, ctx)
        if self.count is not None and len(numbers) != self.count:
            self.fail(f"{value!r} has {len(numbers)} numbers; {self.count} are needed", param, ctx)
        return numbers


class Output(click.Path):  # type: ignore[type-arg,unused-ignore]
    """A file to be written: a wrong name, or a closed folder, is refused before the work."""

    def __init__(self, suffix: str, what: str) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.suffix, self.what = suffix, what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path: Any = super().convert(value, param, ctx)
        if path.suffix.lower() != self.suffix:
            raise UsageError(f"{self.what}'s name must end in {self.suffix}, not {path.name!r}")
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise PixelregError(f"cannot write {path}: the folder {folder} is not writable")
        if path.is_file():
            say_replaced(path)
        return Path(path)


class Model(click.Path):  # type: ignore[type-arg,unused-ignore]
    """The name of a model that comes with pixelreg, or a model file."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in NAMED else super().convert(value, param, ctx)


class ProviderText(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The name of a provider, perhaps with settings; see `pixelreg.backends.providers`."""

    name = "provider"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return "NAME[:SETTING=VALUE,...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        asked(value)  # a wrong name must not wait for the pictures
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in NAMES if name.startswith(incomplete)]


MODEL = Model()
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=True, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
MODEL_FILE = Output(".safetensors", "the model file")
SUMS_FILE = Output(".sums", "the file of sums")
ONNX_FILE = Output(".onnx", "the ONNX file")


def stacked(*decorators: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several decorators as one, the first on top."""
    return lambda function: reduce(lambda f, d: d(f), reversed(decorators), function)


def _views(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (view.strip() for view in (value or "").split(","))))


data = click.option(
    "--data",
    required=True,
    multiple=True,
    type=FOLDER,
    help="Folder (or CSV table) of pictures; repeated, several sets are pooled.",
)
layout = stacked(
    click.option("--layout", default="auto", show_default=True, help="How the folder is laid out."),
    click.option(
        "--views",
        callback=_views,
        metavar="CODES",
        help="Sides to take of sets that show several, by the set's codes (KDEF: S,FL,HL,HR,FR; "
        "RaFD: 090,000,045,135,180; London: 1 to 5), or all. [default: the front]",
    ),
)
source = click.option(
    "--from", "source", help="Expression to start from. [default: the layout's, mostly neutral]"
)
expressions = click.option(
    "--expr", "expressions", multiple=True, help="Expression; may be repeated. [default: all]"
)
trust = click.option(
    "--trust", is_flag=True, help="Run an ONNX model without limits of time and memory."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def integer(name: str, low: int, high: int, default: int, help: str) -> Callable[[Any], Any]:
    """A whole number from ``low`` to ``high``."""
    kind = click.IntRange(low, high)
    return click.option(name, type=kind, default=default, show_default=True, help=help)


def output(kind: click.Path, default: str, help: str) -> Callable[[Any], Any]:
    """-o, the file or folder to write."""
    return click.option("-o", "--output", type=kind, default=default, show_default=True, help=help)


def provider(what: str) -> Callable[[Any], Any]:
    """--provider, what onnxruntime runs a model with."""
    return click.option(
        "--provider",
        type=ProviderText(),
        default=AUTO_PROVIDER,
        show_default=True,
        help=f"{what}: {', '.join(NAMES)}; auto takes CUDA where there is one. Settings of CUDA: "
        "device, tf32, search, memory, graphs, as in cuda:device=1,tf32=on.",
    )


_computing_options = stacked(
    click.option(
        "--backend",
        type=click.Choice(["auto", *BACKENDS]),
        default="auto",
        show_default=True,
        help="What computes: numpy, numba (extra fast) or cupy (extra gpu); auto goes by the work.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads that numba or onnxruntime may use. [default: one a core]",
    ),
    click.option("--verbose", is_flag=True, help="Say which backend was chosen."),
)
_running_options = stacked(
    _computing_options,
    provider("What runs an ONNX model"),
    click.option(
        "--meta", type=FILE, help="JSON file that describes an ONNX model of another origin."
    ),
    trust,
)
_locator_options = stacked(
    click.option(
        "--detector",
        default="auto",
        show_default=True,
        help=f"Face detector: auto, {', '.join(DETECTORS)}, or the file of a YuNet model.",
    ),
    click.option(
        "--no-align", is_flag=True, help="Take pictures as crops already: no face is looked for."
    ),
)
_landmark_options = stacked(
    click.option(
        "--landmarks",
        default="auto",
        show_default=True,
        help="What finds the 82 landmarks: auto, cascade, facemesh, or their .tem or .pts FILE.",
    ),
)
_face_options = stacked(
    click.option(
        "--face", "which", default="largest", show_default=True, help="largest, all, or 1, 2, …"
    ),
    click.option(
        "--eyes", type=Numbers(4), help="x1,y1,x2,y2 of the pupils, in pixels, the left one first."
    ),
    click.option("--box", type=Numbers(4), help="x,y,width,height of the face, in pixels."),
)


@dataclass(frozen=True)
class Computing:
    """What the plans and sums of a command are computed with; see `get_backend`."""

    backend: str = "auto"
    threads: int | None = None
    verbose: bool = False

    def __post_init__(self) -> None:
        get_backend(self.backend)  # one that is missing must not wait for the pictures

    def show(self, chosen: str) -> None:
        """Tell the name of the backend that was chosen, if that is wanted."""
        if self.verbose:
            say(f"backend: {chosen}")


@dataclass(frozen=True)
class Running(Computing):
    """What a model that was loaded from a file is run with: ``meta`` describes an ONNX model."""

    provider: str = "auto"
    meta: Path | None = None
    trust: bool = False

    def load(
        self, file: str | Path, locator: Locator, finding: Finding | None = None
    ) -> Translator:
        """Load a model by its file or name; ``finding`` is for those that take landmarks."""
        from pixelreg.api import load

        chosen: dict[str, Any]
        rig = takes_landmarks(file)
        if finding is not None:
            finding.check(file)
        if Path(file).suffix.lower() == ".onnx":
            if self.backend != "auto":
                raise UsageError("--backend is for closed-form models; an ONNX model: --provider")
            chosen = {"provider": self.provider, "meta": self.meta, "say": say_once}
            chosen |= {"trusted": True} if self.trust else {}
        else:
            if self.provider != "auto" or self.meta is not None:
                raise UsageError("--provider and --meta are for ONNX models")
            if self.trust:
                raise UsageError("--trust is for ONNX models; others have no limits to lift")
            chosen = {"backend": self.backend}
        if rig and self.threads is not None:
            raise UsageError("--threads is for other models: the rig draws in one thread")
        if rig and finding is not None:
            chosen["finder"] = finding.finder
        return load(file, locator=locator, threads=self.threads, **chosen)


def takes_landmarks(file: str | Path) -> bool:
    """Whether a model, by its file or name, looks for dense landmarks."""
    return ":" in NAMED.get(str(file), "")


def _locator(
    detector: str, no_align: bool, which: str = "largest", eyes: Any = None, box: Any = None
) -> Locator:
    from pixelreg.faces.locate import Locator

    if no_align and (eyes or box):
        raise UsageError("--no-align looks for no face: leave out --eyes and --box")
    if eyes and box:
        raise UsageError("--eyes and --box both say where the face is: give one of them")
    name, file = asked_for(detector)
    if name != AUTO:
        detector_class(name)  # an unknown one must not wait until a face is looked for
    if file is not None and not file.is_file():
        raise ModelFileError(f"{file}: there is no such file")
    return Locator(name, file, which, eyes, box, not no_align, say=say)


@dataclass(frozen=True)
class Finding:
    """How dense landmarks are found: a method, or the file of landmarks that was given."""

    method: str
    file: Path | None = None

    @cached_property
    def finder(self) -> DenseFinder:
        """What finds them."""
        from pixelreg.faces.dense import DenseFace, DenseFinder, read_dense

        if self.file is None:
            return DenseFinder(self.method)
        points = read_dense(self.file)
        given = None if points is None else DenseFace(points, 0.0, self.file.name)
        return DenseFinder(given=given)

    def check(self, *models: str | Path) -> None:
        """Refuse landmarks that are asked for and that none of the models takes."""
        asked = self.file is not None or self.method != AUTO
        if asked and not any(map(takes_landmarks, models)):
            raise UsageError(f"--landmarks is for the rig; {models[0]} takes no dense landmarks")

    def placed(self, locator: Locator, alone: bool = True) -> Locator:
        """The locator that looks at the face of the file, where one was given.

        alone : whether there is one photo only.
        """
        if self.file is None:
            return locator
        if not alone:
            raise UsageError("--landmarks FILE tells of one photo only")
        if locator.eyes or locator.box or not locator.align:
            raise UsageError("--landmarks FILE says where the face is: leave out other options")
        from pixelreg.faces.landmarks import read_landmarks

        eyes = read_landmarks(self.file).eyes.ravel().tolist()
        return replace(locator, eyes=tuple(eyes))


def _finding(landmarks: str) -> Finding:
    file = Path(landmarks) if landmarks.lower().endswith((".tem", ".pts")) else None
    made = Finding(AUTO if file else landmarks, file)
    if landmarks != AUTO:
        made.finder  # noqa: B018  a wrong name or file must not wait for the pictures
    return made


def given_as(name: str, make: Callable[..., Any], *options: Any) -> Callable[[Any], Any]:
    """Options that a command gets as one thing, ``name``: what ``make`` makes of their values."""
    taken = signature(make).parameters

    def decorated(function: Any) -> Any:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            own = {key: kwargs.pop(key) for key in taken if key in kwargs}
            return function(*args, **{name: make(**own)}, **kwargs)

        return stacked(*options)(wrapped)

    return decorated


computing = given_as("computing", Computing, _computing_options)
running = given_as("running", Running, _running_options)
locating = given_as("locator", _locator, _locator_options)
locating_faces = given_as("locator", _locator, _locator_options, _face_options)
finding = given_as("finding", _finding, _landmark_options)
