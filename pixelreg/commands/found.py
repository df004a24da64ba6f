"""What a folder of pictures holds, told on stderr."""

from __future__ import annotations

from collections.abc import Sequence

from pixelreg.commands.console import say
from pixelreg.data.pairs import Pairing
from pixelreg.data.photos import Listing, Problem


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


def report_problems(problems: Sequence[Problem]) -> None:
    """Say which pairs could not be used."""
    for problem in problems:
        say(f"  warning: pair left out: {problem.reason}")
