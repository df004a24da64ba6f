"""The papers' tables measured on one's own pictures: a file a table, and a page that shows them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixelreg.bench.setting import Setting
    from pixelreg.bench.table import Table

TABLES = {
    "sizes": "pixelreg.bench.sizes:measure",
    "latency": "pixelreg.bench.latency:measure",
    "quality": "pixelreg.bench.quality:measure",
    "expressions": "pixelreg.bench.expressions:measure",
    "few": "pixelreg.bench.few:measure",
    "sigma": "pixelreg.bench.sigma:measure",
    "outside": "pixelreg.bench.outside:measure",
    "ocnn": "pixelreg.bench.ocnn:measure",
    "sketch": "pixelreg.bench.sketch:measure",
    "portrait": "pixelreg.bench.portrait:measure",
}
# All models that were asked for take part: one that is unknown is told before the work.
OF_MODELS = ("sizes", "latency", "quality", "few", "outside")
TRAINED = ("ocnn", "sketch", "portrait")  # they train networks, and need PyTorch


def table_of(name: str) -> Callable[[Setting], Table]:
    """What measures the table of a name."""
    from pixelreg.errors import UnknownNameError

    if name not in TABLES:
        raise UnknownNameError("table", name, TABLES)
    module, _, attribute = TABLES[name].partition(":")
    return getattr(import_module(module), attribute)
