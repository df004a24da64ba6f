"""The short page that goes with everything exported: what it is, how to call it, whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from pixelreg import __version__
from pixelreg.export.form import Form
from pixelreg.export.measure import STRENGTHS, Difference
from pixelreg.models.model import Model

PAGE = """# {name}

{targets}, from {source}: pictures of {size} x {size} pixels, RGB, rows from the top, 8 bits.
Made by pixelreg {version}: {coding}.

{files}

## How to call it

{how}

## Numbers

Learnt numbers: {table_bytes:,} bytes. {measured}

{around}

## Whose it is

The code is under the MIT licence (SPDX-License-Identifier: MIT). The learnt numbers come from
{training_set}: licence {licence}; attribution: {attribution}
"""
MASKED = "The change falls off to nothing around the face by itself."
UNMASKED = (
    "The change covers the whole picture. Where a face is pasted back into a photo, let it fall "
    "off around the face, or export with `--mask face`."
)


def readme(
    name: str,
    form: Form,
    files: Sequence[str],
    how: str,
    table_bytes: int,
    ran_by: str,
    found: Difference | None,
) -> bytes:
    """The page, as UTF-8.

    files : a line each, the name and what it is for.
    how : how to call it, Markdown.
    found : against `pixelreg apply`, or None where nothing could be run; ``ran_by`` says why.
    """
    model, about = form.model, form.model.provenance
    return PAGE.format(
        name=name,
        targets=", ".join(model.targets),
        source=model.source,
        size=model.size,
        version=__version__,
        coding=coding(form),
        files="\n".join(f"- `{line.replace(': ', '`: ', 1)}" for line in files),
        how=how.strip(),
        table_bytes=table_bytes,
        measured=measured(ran_by, found),
        around=MASKED if masked(form) else UNMASKED,
        training_set=about.training_set or "pictures that the model file does not name",
        licence=about.licence or "not stated",
        attribution=about.attribution or "not stated",
    ).encode()


def coding(form: Form) -> str:
    """Kinds, dtype, detail and mask, in words."""
    kinds, options = " and ".join(form.kinds), form.options
    smaller = f", fields at 1/{options.detail} of the size" if options.detail > 1 else ""
    mask = f", {options.mask} mask baked in" if options.mask != "none" else ""
    return f"plans of kind {kinds} in {options.dtype}{smaller}{mask}"


def measured(ran_by: str, found: Difference | None) -> str:
    """How near it is to the model, in a sentence."""
    if found is None:
        return f"It was not run: {ran_by}."
    strengths = ", ".join(map(str, STRENGTHS))
    begin = f"Against `pixelreg apply`, on built-in pictures at strengths {strengths} ({ran_by})"
    if not found.largest:
        return f"{begin}: equal."
    return (
        f"{begin}: {found.decibels:.1f} dB, {found.share:.3%} of the numbers off by more than one "
        f"grey level, at most by {found.largest}."
    )


def placed(model: Model) -> str:
    """Where faces are to be in the pictures, in a sentence; nothing for a model without a frame."""
    if model.frame is None:
        return ""
    left, right = (f"({x:.4g}, {y:.4g})" for x, y in model.frame.eyes)
    return f"Faces are to have their pupils at {left} and {right} of the width and height."


def masked(form: Form) -> bool:
    """Whether every target leaves what is around the face alone."""
    return form.options.mask != "none" or all(plan.masked for plan in form.model.plans.values())
