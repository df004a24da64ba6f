"""Talk on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pixelreg.data.crops import Progress
    from pixelreg.data.pairs import Pairing
    from pixelreg.data.photos import Listing, Problem


QUIET = "pixelreg.quiet"  # in click's context, which all commands of a call share


def is_quiet() -> bool:
    """Whether the person asked for errors alone."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def _be_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        context.meta[QUIET] = True


quiet = click.option(
    "--quiet",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_be_quiet,
    help="Say nothing but errors.",
)


def say(message: str) -> None:
    """Tell the person at the terminal something that is not a result."""
    if not is_quiet():
        click.echo(message, err=True)


def give(result: str) -> None:
    """Print a result."""
    click.echo(result)


def give_json(result: Any) -> None:
    """Print a result for a machine."""
    click.echo(json.dumps(result, indent=2))


def report(facts: Any, as_json: bool, text: str, *notes: str) -> None:
    """Print a result: its facts for a machine; or text for people, and notes on stderr."""
    if as_json:
        give_json(facts)
        return
    if text:
        give(text)
    for note in notes:
        say(note)


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A progress bar on a terminal, nothing elsewhere: yields a function of (done, total)."""
    if is_quiet() or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield update


def show_found(listing: Listing, pairings: dict[str, Pairing]) -> None:
    """Say what a folder holds: people, pairs, and everything that is left out."""
    say(f"{listing.root}: layout {listing.layout}, {len(listing.people)} people")
    for name, pairing in pairings.items():
        line = f"  {name}: {len(pairing.pairs)} pairs"
        if pairing.unpaired:
            line += f", {len(pairing.unpaired)} pictures without a partner"
        say(line)
    for reason, count in listing.skipped:
        say(f"  {count} left out: {reason}")
    for problem in listing.problems[:5]:
        say(f"  warning: {problem.path.name}: {problem.reason}")
    if len(listing.problems) > 5:
        say(f"  warning: {len(listing.problems) - 5} more; see: pixelreg data list")


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Pictures that were left out and why, a line each."""
    return [f"problem      {problem.path}: {problem.reason}" for problem in problems]


def problem_facts(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """`problem_lines` for a machine."""
    return [{"path": str(problem.path), "reason": problem.reason} for problem in problems]


def report_problems(problems: Sequence[Problem]) -> None:
    """Say which pairs could not be used."""
    for problem in problems:
        say(f"  warning: pair left out: {problem.reason}")
