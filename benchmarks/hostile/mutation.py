"""Files, damaged in the ways in which chance and malice damage them; the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_NUMBERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 4095, 4096, 2**15, 2**16 - 1, 2**16, 2**24]
_NUMBERS += [2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
_WORDS = [
    *(
        b"0",
        b"-1",
        b"1e400",
        b"-1e-320",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"null",
        b"true",
        b'""',
    ),
    *(b"9" * 400, b"9" * 5000, b"\xc2\xb2", b"\xd9\xa3", b"1" + b"0" * 18, b"[[[[[[[[1]]]]]]]]"),
    *(b"../../x", b"/dev/zero", b"a\\u0000b", b"\\ud800", b"\\u001b[31m", b"\x1b]0;x\x07", b"a/b"),
    *(b"[" * 20_000, b'{"a":' * 20_000),
]


def mutated(seed: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the endless wrong versions of a file."""
    content = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        if content:
            rng.choice(_WAYS)(content, others, rng)
    return bytes(content)


def _bit(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _byte(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    content[_place(content, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """A whole number, of 2 to 8 bytes, of either order."""
    length, place = rng.choice((2, 4, 8)), _place(content, rng)
    number = rng.choice(_NUMBERS) % 256**length
    written = number.to_bytes(length, rng.choice(("little", "big")))
    content[place : place + length] = written[: len(content) - place]


def _cut(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    del content[_place(content, rng) :]


def _lost(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(content, rng)
    del content[place : place + rng.randrange(1, 64)]


def _again(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(content, rng)
    part = content[place : place + rng.randrange(1, 200)]
    content[place:place] = part * rng.choice((1, 1, 2, 30))


def _other(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """A part of another file of the kind."""
    other = rng.choice(others)
    start = rng.randrange(len(other))
    place = _place(content, rng)
    content[place : place + rng.randrange(64)] = other[start : start + rng.randrange(1, 200)]


def _word(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """A number or a word of a text gives way to one that no one expects."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?|\w+|[:,;{}\[\]]", content[:20_000]))
    if found:
        start, end = rng.choice(found).span()
        content[start:end] = rng.choice(_WORDS) if rng.random() < 0.8 else b""


def _place(content: bytearray, rng: random.Random) -> int:
    """Mostly near the beginning, where the lengths are."""
    reach = len(content) if rng.random() < 0.5 else min(len(content), 512)
    return rng.randrange(reach) if reach else 0


_WAYS: Sequence[Callable[[bytearray, Sequence[bytes], random.Random], None]] = (
    *(_bit, _bit, _byte, _byte, _number, _number, _number),
    *(_cut, _lost, _again, _other, _word, _word),
)
