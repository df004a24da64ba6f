"""Pixel-KR in C: a sum over the features, or components, of a grey level."""

from __future__ import annotations

import numpy as np

from pixelreg.errors import UsageError
from pixelreg.export.c import text
from pixelreg.export.c.affine import STATE_BYTES
from pixelreg.export.form import Coded, Form

ADD_FLOAT = "made += feature[{0}] * {read}(share[{0}]);"
WRITTEN_OUT = 8  # components at most, else a loop
AT_ONCE = 4096  # rows of shares whose changes are computed at once


def parts(form: Form, name: str) -> text.Parts:
    """What the source is made of."""
    targets = list(form.targets.values())
    ranks = [coded.fields["table"].codes.shape[1] for coded in targets]
    integers = form.options.dtype == "int8"
    bits = min(map(_bits, targets)) if integers else 0
    tables = [
        table
        for place, coded in enumerate(targets)
        for table in _tables(place, coded, _bits(coded) - bits if integers else 0)
    ]
    words = {
        **{"name": name, "NAME": name.upper(), "span": text.number_type(tables[0].numbers)},
        "rank": str(ranks[0]) if len(set(ranks)) == 1 else "t->rank",
        "zeros": "",
    }
    notes: list[str] = []
    if integers:
        words |= _shifts(bits) | {"most_rank": str(max(ranks))}
        words["helpers"] = text.filled("clipped.c", words)
        for target, table, coded in zip(form.targets, tables[1::3], targets, strict=True):
            notes += _proved(target, table, coded, bits)
    else:
        words |= text.float_words(name, form.options.dtype)
    words |= _sum(ranks, integers, words)
    return text.Parts(
        template="kernel_int8.c" if integers else "kernel_float.c",
        calls="pixels_calls.c",
        state="pixels_state.h",
        words=words,
        tables=tuple(tables),
        targets=tuple(_row(name, *each, integers) for each in enumerate(targets)),
        stream=STATE_BYTES,
        integers=integers,
        notes=tuple(notes),
    )


def _tables(place: int, coded: Coded, finer: int) -> list[text.Table]:
    """Spans, components and shares; components lose ``finer`` bits, to be as another target's."""
    components = coded.fields["table"].codes
    if finer:
        components = np.rint(components / 2.0**finer).astype(np.int16)
    return [
        text.span_table(f"spans_{place}", coded.spans),
        text.Table(f"table_{place}", components),
        text.Table(f"shares_{place}", text.held(coded.cut("coefficients"))),
    ]


def _row(name: str, place: int, coded: Coded, integers: bool) -> str:
    pointers = f"{name}_table_{place}, {name}_shares_{place}, {name}_spans_{place}"
    rank = coded.fields["table"].codes.shape[1]
    if not integers:
        return f"{{{pointers}, {rank}}}"
    zero = coded.fields["coefficients"].zero
    return f"{{{pointers}, {rank}, {{{', '.join(map(str, zero.tolist()))}}}}}"


def _bits(coded: Coded) -> int:
    """Of the components' fractions of a grey level."""
    bits = -round(float(np.log2(coded.fields["table"].scale[0] * 255)))
    if bits <= text.CHANGE_BITS:
        raise UsageError("this model's curves are too steep for int8 in C; take --dtype float32")
    return bits


def _shifts(bits: int) -> dict[str, str]:
    shift = bits - text.CHANGE_BITS
    return {"bits": str(bits), "shift": str(shift), "half": f"1 << {shift - 1}"}


def _sum(ranks: list[int], integers: bool, words: dict[str, str]) -> dict[str, str]:
    """The sum over components: written out where all targets have as many, and few, else a loop."""
    add = "d += component[{0}] * (share[{0}] - {1});" if integers else ADD_FLOAT
    if len(set(ranks)) > 1 or ranks[0] > WRITTEN_OUT:
        return {"sum": f"for (int k = 0; k < rank; k++) {add.format('k', 't->zero[k]', **words)}"}
    places = range(ranks[0])
    lines = [add.format(place, f"zero_{place}", **words) for place in places]
    zeros = ", ".join(f"zero_{place} = t->zero[{place}]" for place in places)
    declared = f"\n    const int {zeros};" if integers else ""
    return {"sum": "\n        ".join(lines), "zeros": declared}


def _proved(target: str, table: text.Table, coded: Coded, bits: int) -> list[str]:
    components = table.numbers.astype(np.float64)
    zero = coded.fields["coefficients"].zero
    shares = coded.cut("coefficients").astype(np.float64).reshape(-1, components.shape[1]) - zero
    most = 0.0
    for at in range(0, len(shares), AT_ONCE):
        most = max(most, float(np.abs(shares[at : at + AT_ONCE] @ components.T).max()))
    # Partial sums: each component at its largest, whatever the others are.
    partial = float((np.abs(components).max(axis=0) * np.abs(shares).max(axis=0, initial=0)).sum())
    half = 2.0 ** (bits - text.CHANGE_BITS - 1)
    last = (
        255 * 2**text.LEVEL_BITS
        + (most + half) / 2 ** (bits - text.CHANGE_BITS) * text.MOST_STRENGTH * text.ONE
    )
    return [
        text.bounded("sum over the components", partial + half, target),
        text.bounded("result before it is shifted", last + 2 ** (text.LEVEL_BITS - 1), target),
    ]
