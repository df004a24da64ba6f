"""Pairs within a person and splits by person."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelreg.data.layouts import scan
from pixelreg.data.pairs import grouped_folds, grouped_holdout, pair, targets
from pixelreg.data.photos import Listing, Photo
from pixelreg.errors import DataError, UnknownNameError, UsageError


def listing(*photos: Photo) -> Listing:
    return Listing("folders", Path("set"), photos, ())


def photo(person: str, expression: str, name: str, session: str = "") -> Photo:
    return Photo(person, expression, f"set/{expression}/{name}", session)


def couples(found: Listing, source: str = "neutral", target: str = "happy") -> list[str]:
    return [f"{p.source.path.stem}>{p.target.path.stem}" for p in pair(found, source, target).pairs]


def test_takes_pair_within_their_session() -> None:
    found = listing(
        photo("ana", "neutral", "n-b.png", "B"),
        photo("ana", "neutral", "n-a.png", "A"),
        photo("ana", "happy", "h-a.png", "A"),
        photo("ana", "happy", "h-b.png", "B"),
    )
    pairing = pair(found, "NE", "smile")
    assert couples(found) == ["n-a>h-a", "n-b>h-b"]
    assert [p.session for p in pairing.pairs] == ["A", "B"]
    assert pairing.unpaired == ()


def test_takes_of_one_session_pair_in_order_of_their_numbers() -> None:
    found = listing(
        *(photo("ana", "neutral", f"n{n}.png") for n in (10, 2, 1)),
        *(photo("ana", "happy", f"h{n}.png") for n in (3, 20, 1)),
    )
    assert couples(found) == ["n1>h1", "n2>h3", "n10>h20"]


def test_people_come_in_order_of_their_numbers() -> None:
    names = ("s10", "s9", "s1")
    found = listing(*(photo(p, e, f"{p}.png") for p in names for e in ("neutral", "happy")))
    assert couples(found) == ["s1>s1", "s9>s9", "s10>s10"]


def test_what_a_session_leaves_over_pairs_across_sessions() -> None:
    found = listing(
        photo("ana", "neutral", "n1.png", "1"),
        photo("ana", "neutral", "n2.png", "2"),
        photo("ana", "happy", "h2.png", "2"),
        photo("ana", "happy", "h3.png", "3"),
        photo("ana", "happy", "h4.png", "4"),
    )
    pairing = pair(found, "neutral", "happy")
    assert couples(found) == ["n2>h2", "n1>h3"]
    assert [p.session for p in pairing.pairs] == ["2", "1+3"]
    assert [p.path.stem for p in pairing.unpaired] == ["h4"]


def test_nobody_pairs_with_another_person_and_nothing_is_dropped() -> None:
    found = listing(
        photo("ana", "neutral", "a.png"),
        photo("ben", "happy", "b.png"),
        photo("cem", "neutral", "c.png"),
        photo("cem", "happy", "c.png"),
        photo("cem", "sad", "c.png"),
    )
    pairing = pair(found, "neutral", "happy")
    assert [p.person for p in pairing.pairs] == ["cem"]
    assert [p.person for p in pairing.unpaired] == ["ana", "ben"]
    assert targets(found, "neutral") == ("happy", "sad")
    assert targets(found, "sad") == ("neutral", "happy")


def test_expressions_without_a_pair_are_no_targets() -> None:
    found = listing(photo("ana", "neutral", "a.png"), photo("ben", "happy", "b.png"))
    assert targets(found, "neutral") == ()
    assert len(pair(found, "neutral", "happy").unpaired) == 2


def test_unknown_and_equal_expressions() -> None:
    found = listing(photo("ana", "neutral", "a.png"), photo("ana", "happy", "a.png"))
    with pytest.raises(UnknownNameError, match=r"'sad'; choose one of: neutral, happy"):
        pair(found, "neutral", "sad")
    with pytest.raises(UnknownNameError, match="'photo'"):
        targets(found, "photo")
    with pytest.raises(UsageError, match="both 'happy'"):
        pair(found, "smile", "HA")


photos_of_a_set = st.lists(
    st.tuples(
        st.sampled_from(["ana", "ben", "cem"]),
        st.sampled_from(["neutral", "happy", "sad"]),
        st.sampled_from(["", "1", "2", "10"]),
    ),
    max_size=30,
).map(
    lambda rows: [
        Photo("ana", "neutral", "first.png"),
        Photo("ana", "happy", "second.png"),
        *(Photo(p, e, f"{n}.png", s) for n, (p, e, s) in enumerate(rows)),
    ]
)


@given(photos_of_a_set, st.randoms(use_true_random=False))
def test_pairing_neither_loses_nor_repeats_a_photo(photos: list[Photo], random: Random) -> None:
    pairing = pair(listing(*photos), "neutral", "happy")
    used = [side for p in pairing.pairs for side in (p.source, p.target)]
    wanted = [p for p in photos if p.expression in ("neutral", "happy")]
    assert Counter([*used, *pairing.unpaired]) == Counter(wanted)
    for p in pairing.pairs:
        assert p.source.person == p.target.person == p.person
        assert (p.source.expression, p.target.expression) == ("neutral", "happy")
    # Per person, whatever is left over shows one of the two expressions only.
    for person in {p.person for p in pairing.unpaired}:
        assert len({p.expression for p in pairing.unpaired if p.person == person}) == 1
    # Within a session as many pairs as it can hold.
    for key, count in Counter(
        (p.person, p.session) for p in pairing.pairs if p.source.session == p.target.session
    ).items():
        sides = Counter(p.expression for p in wanted if (p.person, p.session) == key)
        assert count == min(sides["neutral"], sides["happy"])
    shuffled = list(photos)
    random.shuffle(shuffled)
    assert pair(listing(*shuffled), "neutral", "happy") == pairing


names = st.lists(st.text(max_size=8), min_size=2, max_size=40, unique=True)
fractions = st.floats(0, 1, exclude_min=True, exclude_max=True)
seeds = st.integers(0, 2**32)


@given(names, fractions, seeds)
def test_holdout_is_a_partition(people: list[str], fraction: float, seed: int) -> None:
    train, test = grouped_holdout(people, fraction, seed)
    assert train
    assert test
    assert not train & test
    assert train | test == set(people)
    assert len(test) == min(max(round(fraction * len(people)), 1), len(people) - 1)
    assert grouped_holdout([*reversed(people), *people], fraction, seed) == (train, test)


@given(names, st.integers(2, 12), seeds)
def test_folds_are_a_partition(people: list[str], k: int, seed: int) -> None:
    if k > len(people):
        with pytest.raises(DataError, match=f"{k} folds need"):
            grouped_folds(people, k, seed)
        return
    folds = grouped_folds(people, k, seed)
    assert Counter(name for fold in folds for name in fold) == Counter(people)
    sizes = [len(fold) for fold in folds]
    assert len(folds) == k
    assert max(sizes) - min(sizes) <= 1
    assert grouped_folds(people[::-1], k, seed) == folds


def test_seeds_give_different_splits() -> None:
    people = [f"{n:03}" for n in range(80)]
    tests = {grouped_holdout(people, 0.25, seed)[1] for seed in range(20)}
    assert len(tests) == 20
    assert {len(test) for test in tests} == {20}


def test_every_person_is_held_out_about_as_often() -> None:
    people = [f"{n:03}" for n in range(40)]
    held = Counter(name for seed in range(1000) for name in grouped_holdout(people, 0.25, seed)[1])
    # Binomial(1000, 1/4): five standard deviations are 68.
    assert set(held) == set(people)
    assert all(abs(count - 250) < 69 for count in held.values())


def test_a_split_is_the_same_on_every_machine() -> None:
    held_out = grouped_holdout([str(n) for n in range(50)], 0.2, 3)[1]
    assert " ".join(sorted(held_out)) == "13 15 22 32 4 40 41 43 45 5"


@pytest.mark.parametrize("people", [[], ["ana"], ["ana", "ana"]])
def test_a_lonely_person_cannot_be_held_out(people: list[str]) -> None:
    with pytest.raises(DataError, match="at least two people"):
        grouped_holdout(people, 0.2, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fraction_must_lie_inside(fraction: float) -> None:
    with pytest.raises(UsageError, match="fraction"):
        grouped_holdout(["ana", "ben"], fraction, 0)


def test_one_fold_is_none() -> None:
    with pytest.raises(UsageError, match="at least two folds"):
        grouped_folds(["ana", "ben"], 1, 0)


def test_the_names_of_a_pair_take_little_memory(tmp_path) -> None:
    def most(pairs: int) -> int:
        folder = tmp_path / str(pairs)
        for expression in ("neutral", "happy"):
            (folder / expression).mkdir(parents=True)
            for number in range(pairs):
                (folder / expression / f"p{number:06}.jpg").touch()
        tracemalloc.start()
        assert len(pair(scan(folder), "neutral", "happy").pairs) == pairs
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(1)  # what is imported at the first time
    assert (most(600) - most(100)) / 500 < 1500  # bytes, with paths of 100 characters or so
