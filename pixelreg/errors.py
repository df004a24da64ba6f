"""The errors that pixelreg raises on purpose: each message says what, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any


class PixelregError(Exception):
    """A failure with one clear line for the user; ``exit_code`` is what a command ends with."""

    exit_code = 1


class UsageError(PixelregError):
    """The request itself cannot be met as it was put: a wrong option, name or path."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that is not in its table; the message lists the names that are.

    kind : what the name stands for, such as ``"expression"``.
    known : the names that are.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches

        names = list(known)
        self.known = tuple(names)
        near = get_close_matches(name, names, 1)
        hint = f" (perhaps {near[0]!r} is meant)" if near else ""
        super().__init__(
            f"unknown {kind} {name!r}; choose one of: {', '.join(names) or 'none'}{hint}"
        )


class InvalidArrayError(UsageError, ValueError):
    """An array of the wrong shape, type or range, or with values that are not finite."""


class ImageError(PixelregError):
    """A picture that cannot be read or written."""


class DataError(PixelregError):
    """A folder of training pictures that cannot be used."""


class UnknownTemplateError(DataError):
    """A landmark file of a number of points that stands for no template we know."""


class ModelFileError(PixelregError):
    """A model file that is damaged, of another version, or not one of ours."""


class FaceError(PixelregError):
    """No face, or not the face that was asked for, in a picture."""


# Extras that bring an onnxruntime -> the same with the one for a GPU.
GPU_TWINS = {"deep": "gpu", "train": "train-gpu", "all": "all-gpu"}


class MissingExtraError(PixelregError):
    """An optional package is needed and absent.

    package : the package that could not be imported.
    extra : the extra of pixelreg that brings it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed; "
            f"install it with: python -m pip install 'pixelreg[{_suited(extra)}]'"
        )


def _suited(extra: str) -> str:
    """The extra, or its twin where a plain onnxruntime would spoil the one for a GPU."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("onnxruntime-gpu")
    except PackageNotFoundError:
        return extra
    return GPU_TWINS.get(extra, extra)


def need(module: str, package: str, extra: str, purpose: str) -> Any:
    """An optional module by its name, or a `MissingExtraError` about its package."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package, extra, purpose) from error
