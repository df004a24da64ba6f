"""Pixel-RR in C: a multiplication and an addition a number."""

from __future__ import annotations

import numpy as np

from pixelreg.arrays import Array
from pixelreg.errors import UsageError
from pixelreg.export.c import text
from pixelreg.export.form import Coded, Form

STATE_BYTES = 16  # target, place in the tables, strength, row
BITS = range(20, text.CHANGE_BITS, -1)  # of the sums' fractions: as many as fit


def parts(form: Form, name: str) -> text.Parts:
    """What the source is made of."""
    targets = list(form.targets.values())
    tables = [table for place, coded in enumerate(targets) for table in _tables(place, coded)]
    words = {"name": name, "NAME": name.upper(), "span": text.number_type(tables[0].numbers)}
    pointers = [
        f"{name}_weight_{place}, {name}_bias_{place}, {name}_spans_{place}"
        for place in range(len(targets))
    ]
    if form.options.dtype != "int8":
        words |= text.float_words(name, form.options.dtype)
        return _parts("affine_float.c", words, tables, [f"{{{each}}}" for each in pointers])
    bits = min(_bits(target, coded) for target, coded in form.targets.items())
    notes = [
        line for target, coded in form.targets.items() for line in _proved(target, coded, bits)
    ]
    words |= {"bits": str(bits), "shift": str(bits - text.CHANGE_BITS)}
    words["helpers"] = text.filled("clipped.c", words)
    rows = [
        f"{{{each}, {', '.join(map(str, _constants(coded, bits)))}}}"
        for each, coded in zip(pointers, form.targets.values(), strict=True)
    ]
    return _parts("affine_int8.c", words, tables, rows, notes)


def _parts(
    template: str,
    words: dict[str, str],
    tables: list[text.Table],
    targets: list[str],
    notes: list[str] | None = None,
) -> text.Parts:
    return text.Parts(
        template=template,
        calls="pixels_calls.c",
        state="pixels_state.h",
        words=words,
        tables=tuple(tables),
        targets=tuple(targets),
        stream=STATE_BYTES,
        integers=notes is not None,
        notes=tuple(notes or ()),
    )


def _tables(place: int, coded: Coded) -> list[text.Table]:
    fields = [
        text.Table(f"{name}_{place}", text.held(coded.cut(name))) for name in ("weight", "bias")
    ]
    return [text.span_table(f"spans_{place}", coded.spans), *fields]


def _constants(coded: Coded, bits: int) -> tuple[int, int, int, int]:
    """Steps of weight and bias in grey levels times 2^bits; what is added for x, and always."""
    weight, bias = coded.fields["weight"], coded.fields["bias"]
    weight_step = round(weight.scale[0] * 2**bits)
    bias_step = round(bias.scale[0] * 255 * 2**bits)
    level = (1 << (bits - text.CHANGE_BITS - 1)) - int(bias.zero[0]) * bias_step
    return weight_step, bias_step, -int(weight.zero[0]) * weight_step, level


def _sums(coded: Coded, bits: int) -> dict[str, int]:
    """The largest of every sum of a row's loop, in its order, at black or white."""
    weight_step, bias_step, slope, level = _constants(coded, bits)
    # In floats, which do not wrap around; below 2^53 they are exact.
    weight, bias = (coded.cut(name).astype(np.float64) for name in ("weight", "bias"))
    white = level + 255 * slope
    product = 255 * weight_step * weight
    changes = level + bias * bias_step, white + product + bias * bias_step
    return {
        "zero's part": max(abs(level), abs(white)),
        "weight times grey level": _most(product),
        "with the weight": max(abs(level), _most(white + product)),
        "change before it is shifted": max(map(_most, changes)),
    }


def _most(sums: Array) -> int:
    return int(np.abs(sums).max(initial=0))


def _bits(target: str, coded: Coded) -> int:
    for bits in BITS:
        if max(_sums(coded, bits).values()) <= text.MOST:
            return bits
    raise UsageError(f"the weights of {target} are too large for int8 in C; take --dtype float32")


def _proved(target: str, coded: Coded, bits: int) -> list[str]:
    sums = _sums(coded, bits)
    change = (sums["change before it is shifted"] >> (bits - text.CHANGE_BITS)) + 1
    last = (
        (255 << text.LEVEL_BITS)
        + change * int(text.MOST_STRENGTH * text.ONE)
        + (1 << (text.LEVEL_BITS - 1))
    )
    sums["result before it is shifted"] = last
    return [text.bounded(what, most, target) for what, most in sums.items()]
