"""Small, exact, fast image-to-image regression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelreg.api import load, translate
    from pixelreg.errors import PixelregError
    from pixelreg.translator import Translator

__version__ = "0.1.0"
__all__ = ["PixelregError", "Translator", "__version__", "load", "translate"]

_HOMES = {
    "load": "pixelreg.api",
    "translate": "pixelreg.api",
    "PixelregError": "pixelreg.errors",
    "Translator": "pixelreg.translator",
}


def __getattr__(name: str) -> Any:
    # Names are imported when first used, so that `import pixelreg` costs nothing.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
