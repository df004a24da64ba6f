"""Expression flow in C: fetch, blur, change; a row at a time, a few rows kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelreg.arrays import Array, Float64
from pixelreg.errors import UsageError
from pixelreg.export.c import text
from pixelreg.export.coding import CodedFlow
from pixelreg.export.form import Form
from pixelreg.pictures.warp import KEYS, blur_weights

PHASES = 64  # between two pixels, of the cubic
# Fractions, in bits: of the cubic's taps, the blur's weights, positions, and what is blurred.
CUBIC_BITS, BLUR_BITS, POSITION_BITS, LOW_BITS = 14, 12, 16, 4
BITS = range(24, text.CHANGE_BITS, -1)  # of the change's sums: as many as fit
MOST_CODE, MOST_LOW = 127, 255 << LOW_BITS
FURTHEST = 256  # pixels: for every row so far, times the strength, a pointer is on the stack
SLACK = 1 / 64  # pixels that rounding may add to a displacement
COUNTERS = 28  # bytes of what is kept beside rows
FEW = {"two": 2, "all": 8}  # fields of a pixel: where it is fetched; and how it changes
VERTICAL_INT = """int32_t sum = t->blur[0] * above[0][i] + (1 << 11);
        for (k = 1; k <= {reach}; k++) sum += t->blur[k] * (above[k][i] + below[k][i]);
        line[3 * {reach} + i] = (uint16_t)(sum >> 12);"""
VERTICAL_FLOAT = """float sum = 0.0f;
        for (k = {reach}; k > 0; k--) sum += t->blur[{reach} - k] * above[k][i];
        for (k = 0; k <= {reach}; k++) sum += t->blur[{reach} + k] * below[k][i];
        line[3 * {reach} + i] = sum;"""


def parts(form: Form, name: str) -> text.Parts:
    """What the source is made of."""
    targets: list[Any] = list(form.targets.values())
    size, integers = form.model.size, form.options.dtype == "int8"
    reach = max(len(blur_weights(coded.blur)) // 2 for coded in targets)
    shared = _shared_table(integers)
    tables = [shared, *_target_tables(targets, reach, integers)]
    up, kept, delay = _rows(targets, reach, size)
    words = {
        **{"name": name, "NAME": name.upper(), "span": text.number_type(tables[1].numbers)},
        **{"reach": str(reach), "taps": str(2 * reach + 1), "margin": str(6 * reach)},
        **{"up": str(up), "near": str(2 * up + 4), "kept": str(kept)},
    }
    rows = [f"{name}_fields_{k}, {name}_spans_{k}, {name}_blur_{k}" for k in range(len(targets))]
    notes: list[str] = []
    if integers:
        bits = min(_bits(target, coded) for target, coded in form.targets.items())
        rows = [
            f"{row}, {', '.join(map(str, _steps(coded, bits)))}"
            for row, coded in zip(rows, targets, strict=True)
        ]
        notes = [
            line
            for target, coded in form.targets.items()
            for line in _proved(target, coded, bits, shared.numbers)
        ]
        words |= _integer_words(form, bits, words)
    else:
        words |= _float_words(form, name)
    words |= _detail_words(form, name, integers)
    vertical = (VERTICAL_INT if integers else VERTICAL_FLOAT).format(reach=reach)
    words["helpers"] += "\n" + text.filled("flow_shared.c", words | {"vertical": vertical})
    if form.options.detail > 1:
        words["helpers"] += "\n" + text.filled("flow_detail.c", words)
    work = _work_bytes(form, reach)
    return text.Parts(
        template="flow_int8.c" if integers else "flow_float.c",
        calls="flow_calls.c",
        state="flow_state.h",
        words=words,
        tables=tuple(tables),
        targets=tuple(f"{{{row}}}" for row in rows),
        whole=work,
        stream=-(-(work + kept * 3 * size) // 4) * 4 + COUNTERS,
        delay=delay,
        stream_most=text.STREAM_STRENGTH,
        in_place=False,
        integers=integers,
        notes=tuple(notes),
    )


def _shared_table(integers: bool) -> text.Table:
    """The cubic's taps at 64 places between two pixels; in floats, what grey levels stand for."""
    if not integers:
        return text.Table("unit", np.arange(256).astype(np.float32) / np.float32(255))
    taps = np.rint(cubic_taps(np.arange(PHASES) / PHASES) * 2**CUBIC_BITS).astype(np.int16)
    taps[:, 1] += 2**CUBIC_BITS - taps.sum(axis=1, dtype=np.int16)
    return text.Table("cubic", taps)


def cubic_taps(share: Float64) -> Float64:
    """(n, 4) weights of Keys' kernel, see `pixelreg.pictures.warp`, at n places on [0, 1)."""
    away = np.abs(np.arange(-1, 3) - share[:, None])
    near = ((KEYS + 2) * away - (KEYS + 3)) * away**2 + 1
    far = ((KEYS * away - 5 * KEYS) * away + 8 * KEYS) * away - 4 * KEYS
    return np.where(away <= 1, near, far)


def _target_tables(targets: list[CodedFlow], reach: int, integers: bool) -> list[text.Table]:
    tables = []
    for place, coded in enumerate(targets):
        names = ("displacement", "weight", "bias")
        fields = np.concatenate([coded.cut(name) for name in names], axis=1)
        blur = np.pad(blur_weights(coded.blur), reach - len(blur_weights(coded.blur)) // 2)
        tables += [
            text.span_table(f"spans_{place}", coded.spans),
            text.Table(f"fields_{place}", text.held(fields)),
            text.Table(
                f"blur_{place}", _whole(blur, reach) if integers else blur.astype(np.float32)
            ),
        ]
    return tables


def _whole(blur: Float64, reach: int) -> Array:
    """The blur's weights from the middle outwards in integers that add up to one."""
    half = np.rint(blur[reach:] * 2**BLUR_BITS).astype(np.int16)
    half[0] = 2**BLUR_BITS - 2 * half[1:].sum()
    return half


def _rows(targets: list[CodedFlow], reach: int, size: int) -> tuple[int, int, int]:
    """How far rows are fetched from at most, rows kept while streaming, rows of delay."""
    moves = [np.abs(coded.fields["displacement"].values) for coded in targets]
    furthest = max(float(each.max()) for each in moves)
    if furthest > FURTHEST:
        raise UsageError(
            f"this model fetches pixels from {furthest:.3g} pixels away; --to c can from {FURTHEST}"
        )
    most = max(float(each[..., 1].max()) for each in moves) + SLACK
    up = int(text.MOST_STRENGTH * most) + 1
    streamed = text.STREAM_STRENGTH * most
    delay = max(reach + int(most) + 1, int(streamed) + 2)
    behind = int(streamed) + 2
    return up, min(behind + delay + 1, size), min(delay, size - 1)


def _work_bytes(form: Form, reach: int) -> int:
    integers, detail = form.options.dtype == "int8", form.options.detail
    size = form.model.size
    numbers = (2 * reach + 2) * 3 * size + 6 * reach
    numbers += 8 * (size // detail) if detail > 1 else 0
    return numbers * (2 if integers else 4)


def _scale(coded: Any) -> int:
    """The power of two that a field between four numbers of less detail is multiplied by."""
    detail: int = coded.options.detail
    return 0 if detail == 1 else 2 * detail.bit_length()


def _steps(coded: Any, bits: int) -> tuple[int, int, int, int]:
    """A code's pixels times 2^16, across and down; grey levels times 2^bits: weight and bias."""
    x, y = coded.fields["displacement"].scale * 2**POSITION_BITS
    weight = coded.fields["weight"].scale[0] * 2.0 ** (bits - LOW_BITS)
    bias = coded.fields["bias"].scale[0] * 255 * 2.0 ** (bits - _scale(coded))
    return round(x), round(y), round(weight), round(bias)


def _change(coded: Any, bits: int) -> int:
    """The largest change, before it is shifted."""
    _, _, weight, bias = _steps(coded, bits)
    return MOST_CODE * (MOST_LOW * weight + (bias << _scale(coded))) + (
        1 << bits - text.CHANGE_BITS
    )


def _bits(target: str, coded: Any) -> int:
    for bits in BITS:
        if _change(coded, bits) <= text.MOST:
            return bits
    raise UsageError(f"the change of {target} is too large for int8 in C; take --dtype float32")


def _proved(target: str, coded: Any, bits: int, cubic: Array) -> list[str]:
    x, y, _, _ = _steps(coded, bits)
    scale, strength = _scale(coded), int(text.MOST_STRENGTH * text.ONE)
    change = _change(coded, bits)
    taps = int(np.abs(cubic.astype(np.int64)).sum(axis=1).max())
    line = taps * 255
    fetched = ((line + 64) >> 7) * taps + 256
    last = (
        (fetched >> 3)
        + (change >> (bits - text.CHANGE_BITS)) * strength
        + (1 << text.LEVEL_BITS - 1)
    )
    place = MOST_CODE * max(x, y)
    return [
        text.bounded("displacement", place << scale, target),
        text.bounded("displacement times strength", place * strength, target),
        text.bounded("weight times what is blurred", (MOST_CODE << scale) * MOST_LOW, target),
        text.bounded("change before it is shifted", change, target),
        text.bounded("cubic sum", fetched, target),
        text.bounded("result before it is shifted", last, target),
    ]


def _integer_words(form: Form, bits: int, words: dict[str, str]) -> dict[str, str]:
    scale, shift = _scale(next(iter(form.targets.values()))), bits - text.CHANGE_BITS
    return {
        **{"number": "int8_t", "value": "uint16_t", "read": "", "bits": str(bits)},
        **{"low_bits": str(LOW_BITS), "scale": str(scale), "shift": str(shift)},
        "half": f"(1 << {shift - 1})",
        "scale_half": f"(1 << {scale - 1})" if scale else "0",
        "helpers": text.filled("clipped.c", words),
    }


def _float_words(form: Form, name: str) -> dict[str, str]:
    words = text.float_words(name, form.options.dtype)
    a = np.float32(KEYS)
    numbers = {"steepness": a, "a2": a + 2, "a3": a + 3, "a": a, "a5": 5 * a, "a8": 8 * a}
    words |= {key: text.decimal(float(value)) for key, value in numbers.items()}
    words |= {"a4": text.decimal(float(4 * a)), "value": "float"}
    return words | {"get": words["read"] if form.options.detail == 1 else ""}


def _detail_words(form: Form, name: str, integers: bool) -> dict[str, str]:
    """How the fields of a pixel are read, and what is kept of them for a row."""
    detail, count = form.options.detail, form.model.size // form.options.detail
    number = text.number_type(text.held(next(iter(form.targets.values())).fields["weight"].codes))
    if detail == 1:
        load = f"const {number} *f = t->fields + 8 * (at + (uint32_t)(x - from));"
        empty = {"blend_two": "", "blend_all": "", "blend_field": "", "blend_text": ""}
        return {**empty, "load_two": load, "load_all": load}
    narrow, wide = ("int16_t", "int32_t") if integers else ("float", "float")
    share = f"place % {2 * detail}"
    return {
        **{"detail": str(detail), "double": str(2 * detail), "count": str(count)},
        **{"narrow": narrow, "wide": wide},
        "share": share if integers else f"(float)({share}) / {2 * detail}.0f",
        "one": str(2 * detail) if integers else "1.0f",
        "scaled": f", times {4 * detail**2}" if integers else "",
        "blend_field": f"\n    {narrow} blend[{8 * count}];",
        "blend_text": ",\n * and a row's fields",
        **{f"blend_{few}": f"{name}_blend(t, y, {n}, work);" for few, n in FEW.items()},
        **{
            f"load_{few}": f"{wide} f[{n}];\n        {name}_between(work, x, {n}, f);"
            for few, n in FEW.items()
        },
    }
