"""Architectures by name, as strings, so that nothing is imported to list them."""

from __future__ import annotations

# name -> "module:class"; empty until the first architecture lands.
ARCHITECTURES: dict[str, str] = {}
