"""Talk on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pixelreg.data.crops import Progress


def say(message: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    click.echo(message, err=True)


def give(result: str) -> None:
    """Print a result."""
    click.echo(result)


def give_json(result: Any) -> None:
    """Print a result for a machine."""
    click.echo(json.dumps(result, indent=2))


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress bar on a terminal, nothing elsewhere: yields a function of (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield update
