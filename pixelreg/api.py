"""The two calls that most people need: `load` and `translate`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, cast, overload

from PIL.Image import Image

from pixelreg.errors import UsageError
from pixelreg.models import BUNDLED, DEFAULT, NAMED
from pixelreg.models import file as modelfile
from pixelreg.pictures.image import Opened
from pixelreg.pictures.stacks import Kept
from pixelreg.translator import PlanTranslator, Target, Translator

LOADERS = {".safetensors": "pixelreg.api:load_plans", ".onnx": "deep_onnx.translator:load"}
LOCAL_MODEL = "pixelreg.safetensors"


def load(path: str | Path | None = None, **options: Any) -> Translator:
    """Load a model file as a `Translator`.

    Parameters
    ----------
    path : the model file, or the name of a model that comes with pixelreg: ``"rig"``, which None
        takes too, ``"flow"`` (neutral to happy) or ``"rr"`` (Pixel-RR, seven expressions).
    options : passed on to the loader: ``locator``; ``backend`` for closed-form models and the rig;
        ``threads`` for all but the rig; ``finder`` (of landmarks) for the rig; ``provider`` and
        ``meta`` for ONNX models.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or not a model.
    UsageError
        If its suffix is none that pixelreg knows.
    """
    named = NAMED.get(str(path or DEFAULT), "")
    if ":" in named:
        return _loaded(named, **options)
    file = BUNDLED / named if named else Path(str(path))
    try:
        home = LOADERS[file.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{file} is no model file: its name must end in {' or '.join(LOADERS)}, or be one of "
            f"those that come with pixelreg: {', '.join(NAMED)}"
        ) from None
    return _loaded(home, file, **options)


@overload
def translate(
    image: Opened, target: Target, model: str | Path | None = None, strength: float = 1.0
) -> Image: ...
@overload
def translate(
    image: Kept, target: Target, model: str | Path | None = None, strength: float = 1.0
) -> Kept: ...


def translate(
    image: Any, target: Target, model: str | Path | None = None, strength: float = 1.0
) -> Any:
    """Change ``image`` to ``target`` with a model file, or with the rig that comes with pixelreg.

    Parameters
    ----------
    image : a path, encoded bytes, an open binary file, a PIL image, or an array (H, W[, C]) uint8,
        uint16 or float in [0, 1]; several as an array (N, H, W, C); or a tensor of PyTorch,
        channels first.
    target : the expression, such as ``"happy"``; numbers for models that take them.
    model : the model file, or the name of one that comes with pixelreg; see `load`.
    strength : s in x + s (y - x); 0 gives the input bit for bit.

    Returns
    -------
    The same kind of thing and the same size; a path or an open file gives a PIL image, whose
    ``info`` holds the colour profile and the metadata.
    """
    return load(model).translate(image, target, strength)


def load_rig(threads: int | None = None, **options: Any) -> Translator:
    """The rig of expression shapes; see `pixelreg.rig.translator.RigTranslator`."""
    from pixelreg.rig.translator import RigTranslator

    return RigTranslator(**options)


def load_plans(path: Path, **options: Any) -> Translator:
    """Load a closed-form model; see `load`."""
    return PlanTranslator(modelfile.load(path), name=str(path), **options)


def bundled_model() -> Path:
    """The bundled flow model: neutral to happy, from the London set (CC BY 4.0)."""
    return BUNDLED / NAMED["flow"]


def default_model() -> str | Path:
    """``./pixelreg.safetensors`` where there is one, else the rig."""
    local = Path(LOCAL_MODEL)
    return local if local.is_file() else DEFAULT


def _loaded(home: str, *given: Any, **options: Any) -> Translator:
    module, _, attribute = home.partition(":")
    return cast(Translator, getattr(import_module(module), attribute)(*given, **options))
