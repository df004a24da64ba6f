"""The oldest versions that pixelreg says it runs with, for pip to install.

    python -m benchmarks.minima deep serve video > oldest.txt
    python -m venv oldest && oldest/bin/pip install -c oldest.txt '.[deep,serve,video]' pytest
    oldest/bin/python -m pytest tests/test_ridge.py

What is named are extras; without one, what pixelreg always needs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def oldest(extras: Sequence[str]) -> Iterator[str]:
    """A constraint for every package of pixelreg and of some extras that has a lower bound."""
    text = PROJECT.read_text(encoding="utf-8")
    for name in ("dependencies", *extras):
        found = re.search(rf"^{re.escape(name)} = \[(.*?)\]\s*(?:#.*)?$", text, re.M | re.S)
        if found is None:
            raise SystemExit(f"{PROJECT.name} has no {name}")
        for package, version in re.findall(r'"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)', found[1]):
            yield f"{package}=={version}"


def main() -> None:
    """Run from the command line."""
    print("\n".join(dict.fromkeys(oldest(sys.argv[1:]))))


if __name__ == "__main__":
    main()
