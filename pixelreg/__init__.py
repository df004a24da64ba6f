"""Small, exact, fast image-to-image regression.

Change the expression of a face, with the bundled model or one of your own::

    import pixelreg

    smiling = pixelreg.translate("holiday.jpg", "happy")    # a PIL image
    model = pixelreg.load("happy.safetensors")              # or .onnx; None is the bundled one
    model.targets                                           # ('happy',)
    model.translate(array, "happy", strength=0.7)           # the same kind of thing comes back
    model.translate_batch(arrays, "happy")

Pictures are paths, encoded bytes, PIL images, arrays (H, W, 3) or (N, H, W, 3) uint8 or float in
[0, 1], or tensors of PyTorch (3, H, W) or (N, 3, H, W).

Learn from pairs of pictures, in scikit-learn's manner::

    from pixelreg.regression import PixelRidge, PixelKernelRidge, MaskedRidge, FullRidge, FlowRidge

    PixelRidge(alpha=0.4).fit(X, T).predict(X)              # (n_samples, n_pixels)

or from a folder, at the command line: ``pixelreg fit --data faces/``, ``pixelreg apply in.jpg``;
see ``pixelreg --help``. Every failure that is told on purpose is a `PixelregError`: one line that
says what was wrong, where, and what to do.

What is worth importing:

- `load`, `translate`, `Translator`, `PixelregError`: here.
- `pixelreg.regression`: the estimators.
- `pixelreg.data.layouts.scan`, `pixelreg.data.pairs.pair`: folders of photographs, and their pairs.
- `pixelreg.models.file`: model files, ``load`` and ``save``.
- `pixelreg.evaluation.metrics`: PSNR, SSIM, MAE.
- `deep_onnx`: deep models, trained in PyTorch and run by onnxruntime.
"""

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
_ROOMS = ("regression",)


def __getattr__(name: str) -> Any:
    """A public name of another module, or a room such as ``pixelreg.regression``."""
    # Names are imported when first used, so that `import pixelreg` costs nothing.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"pixelreg.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
