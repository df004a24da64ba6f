"""How sure shares are, and how far raters agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from pixelreg.errors import InvalidArrayError

Z = 1.959963984540054  # of 95 %


def wilson(chosen: int, asked: int, z: float = Z) -> tuple[float, float]:
    """Wilson's interval (1927) of a share; (0, 1) where nobody was asked.

    (p + z^2/2n -+ z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)
    """
    if not 0 <= chosen <= asked:
        raise InvalidArrayError(f"{chosen} of {asked} is no share")
    if asked == 0:
        return 0.0, 1.0
    share, part = chosen / asked, z * z / asked
    middle = share + part / 2
    reach = float(np.sqrt(part * (share * (1 - share) + part / 4)))
    return max(0.0, (middle - reach) / (1 + part)), min(1.0, (middle + reach) / (1 + part))


def fleiss_kappa(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Fleiss' kappa (1971): agreement beyond chance where every unit has as many answers.

    units : each one's answers. None where numbers of answers differ, or one answer is all there is.
    """
    lengths = {len(unit) for unit in units}
    if len(lengths) != 1 or min(lengths) < 2:
        return None
    count = lengths.pop()
    names = sorted({answer for unit in units for answer in unit}, key=repr)
    table = np.array([[list(unit).count(name) for name in names] for unit in units], float)
    shares = table.sum(axis=0) / table.sum()
    by_chance = float((shares**2).sum())
    seen = float((((table**2).sum(axis=1) - count) / (count * (count - 1))).mean())
    return None if by_chance == 1 else (seen - by_chance) / (1 - by_chance)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Krippendorff's alpha for names: 1 - observed over expected disagreement.

    units : each one's answers, as many as there are; those with fewer than two say nothing of
        agreement and are left out. None where all that is left is one answer, or nothing.
    """
    pairs: Counter[tuple[Hashable, Hashable]] = Counter()
    for unit in units:
        if len(unit) > 1:
            counts = Counter(unit)
            for one, ones in counts.items():
                for other, others in counts.items():
                    ways = ones * (others - (one == other))
                    pairs[one, other] += ways / (len(unit) - 1)  # type: ignore[assignment]
    totals: Counter[Hashable] = Counter()
    for (one, _), weight in pairs.items():
        totals[one] += weight
    whole = sum(totals.values())
    expected = sum(
        a * b for one, a in totals.items() for other, b in totals.items() if one != other
    )
    if not expected:
        return None
    observed = sum(weight for (one, other), weight in pairs.items() if one != other)
    return 1 - (whole - 1) * observed / expected
