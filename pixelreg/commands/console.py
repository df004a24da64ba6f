"""Talk on stderr, results on stdout."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pixelreg.data.crops import Progress
    from pixelreg.data.pairs import Pairing
    from pixelreg.data.photos import Listing, Problem


SHOWN = 3  # files that a line names
REASONS = 6  # lines on files that were left out
_FILES = re.compile(r"\S+\.\w{2,5}\b")
# In click's context, which all commands of a call share.
QUIET, TOLD, LATER = "pixelreg.quiet", "pixelreg.told", "pixelreg.later"


# Control characters but the tab and the end of a line, and those that turn the reading direction:
# a terminal obeys them, wherever they come from.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text with what a terminal would obey escaped, so that it is seen instead."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
    _say_kept()
    if not is_quiet():
        click.echo(printable(message), err=True)


def _say_kept() -> None:
    context = click.get_current_context(silent=True)
    for message in [] if context is None else context.meta.pop(LATER, []):
        say(message)


def say_once(message: str) -> None:
    """`say`, but once a command: what every model that it loads would tell again."""
    context = click.get_current_context(silent=True)
    told: set[str] = set() if context is None else context.meta.setdefault(TOLD, set())
    if message not in told:
        told.add(message)
        say(message)


def say_replaced(path: Path) -> None:
    """Tell that a file is there already: nothing is written over without a word.

    It is said before whatever is told next, so not at all where an option is refused.
    """
    message = f"{path} is there already, and will be replaced"
    context = click.get_current_context()
    if message not in context.meta.setdefault(TOLD, set()):
        context.meta[TOLD].add(message)
        context.meta.setdefault(LATER, []).append(message)


def give(result: str) -> None:
    """Print a result."""
    _say_kept()
    click.echo(printable(result))


def give_json(result: Any) -> None:
    """Print a result for a machine."""
    _say_kept()
    click.echo(json.dumps(result, indent=2).replace("\x7f", "\\u007f"))


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
    _say_kept()
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
    for part in listing.parts or (listing,):
        say(f"{part.root}: layout {part.layout}, {len(part.people)} people")
    for name, pairing in pairings.items():
        line = f"  {name}: {len(pairing.pairs)} pairs"
        if pairing.unpaired:
            line += f", {len(pairing.unpaired)} pictures without a partner"
        say(line)
    for reason, count in listing.skipped:
        say(f"  {count} left out: {reason}")
    for line in summed_up(listing.problems):
        say(f"  warning: {line}")


def summed_up(problems: Sequence[Problem], of: str = "") -> list[str]:
    """A line for each thing that is wrong: how many files, ``of`` how many, what, and which.

    Advice is left out, as it may be another command's.
    """
    alike: dict[str, list[Problem]] = {}
    for problem in problems:
        alike.setdefault(_FILES.sub("FILE", _reason(problem)), []).append(problem)
    lines = [f"{len(same)}{of} left out: {_told(same)}" for same in alike.values()]
    more = len(lines) - REASONS
    return [*lines[:REASONS], f"and {more} more reasons"] if more > 0 else lines


def _told(problems: Sequence[Problem]) -> str:
    reason, names = _reason(problems[0]), [problem.path.name for problem in problems]
    if any(name in reason for name in names[:1]):
        return reason if len(names) == 1 else f"{reason}, and {len(names) - 1} more like it"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{reason} ({', '.join(names[:SHOWN])}{more})"


def _reason(problem: Problem) -> str:
    """What is wrong with a file; what reads a picture begins with its path, and ends in advice."""
    reason = problem.reason.partition("; ")[0]
    about, colon, rest = reason.partition(": ")
    return rest if colon and re.search(r"\.\w{2,5}$", about) else reason


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Pictures that were left out and why, a line each."""
    return [f"problem      {problem.path}: {problem.reason}" for problem in problems]


def problem_facts(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """`problem_lines` for a machine."""
    return [{"path": str(problem.path), "reason": problem.reason} for problem in problems]


def report_problems(problems: Sequence[Problem], total: int, what: str = "pairs") -> None:
    """Say in a line for each reason which of so many pairs could not be used, and what helps."""
    for line in summed_up(problems, f" of {total} {what}"):
        say(f"  warning: {line}")
    from pixelreg.data.photos import NO_FACE

    if any(NO_FACE in problem.reason for problem in problems):
        say("  (pictures that are face crops already are taken as they are with --no-align)")
