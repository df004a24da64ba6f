"""``pixelreg export``: every exporter keeps its promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cli_tools import Command, files_in

from pixelreg.errors import UnknownNameError, UsageError
from pixelreg.export import DETAILS, DTYPES, EXPORTERS, MASKS, Options, Takes, export, exporter
from pixelreg.export.form import enlarged
from pixelreg.faces.paste import face_mask
from pixelreg.models.file import save
from pixelreg.models.model import Frame, Model, Provenance
from pixelreg.models.plans import (
    PLAN_CLASSES,
    AffinePlan,
    FactoredPlan,
    FlowPlan,
    KernelPlan,
    SparsePlan,
    plan_array,
)

SIZE = 12
KINDS = tuple(PLAN_CLASSES)


def model_of(kind: str, size: int = SIZE) -> Model:
    """Two targets of a kind, smooth and seeded, with a licence that would end a comment in C."""
    rng = np.random.default_rng(3)

    def smooth(channels: int, middle: float, spread: float):
        coarse = rng.normal(middle, spread, (4, 4, channels))
        return plan_array(enlarged(coarse, size))

    def flow(rank: int) -> FlowPlan:
        around = face_mask(size)[..., None]
        fields = smooth(2, 0, 1.0), smooth(3, -0.05, 0.03), smooth(3, 0.02, 0.04)
        moves, weight, bias = (plan_array(field * around) for field in fields)
        return FlowPlan(moves, weight, bias, plan_array(np.array([1.0])))

    def kernel(rank: int) -> KernelPlan:
        powers = (np.arange(256)[:, None] / 255) ** np.arange(rank)
        spread = np.stack([smooth(3, 0.6 if k == 1 else 0.02, 0.1) for k in range(rank)], axis=-1)
        return KernelPlan(plan_array(powers), plan_array(spread))

    made = {
        "affine": lambda rank: AffinePlan(smooth(3, 0.7, 0.2), smooth(3, 0.1, 0.1)),
        "kernel": kernel,
        "flow": flow,
        "sparse": lambda rank: SparsePlan(
            np.array([[0, 0], [0, 1]], np.int8),
            np.stack([smooth(3, 0.4, 0.1) for _ in range(2)]),
            smooth(3, 0.1, 0.1),
        ),
        "factored": lambda rank: FactoredPlan(
            plan_array(rng.normal(0, 0.05, (rank, size * size * 3))),
            np.stack([smooth(3, 0.2, 0.1) for _ in range(rank)]),
        ),
    }[kind]
    about = Provenance(licence="CC */ BY", attribution="Who\nmade it")
    return Model({"happy": made(3), "very sad": made(5)}, frame=Frame(), provenance=about)


def all_options() -> Iterator[Options]:
    return (Options(*each) for each in product(DTYPES, DETAILS, MASKS))


def fits(row: Takes, options: Options) -> bool:
    return (
        options.dtype in row.dtypes and options.detail in row.details and options.mask in row.masks
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_holds_what_it_says_and_refuses_the_rest(name, kind, tmp_path) -> None:
    made, model = exporter(name), model_of(kind)
    takes = {each: row for row in made.takes for each in row.plans}
    if kind not in takes:
        with pytest.raises(UsageError, match=rf"--to {name} cannot hold happy.*{kind}"):
            export(model, name, tmp_path / "smile")
        assert not list(tmp_path.iterdir())
        return
    for options in all_options():
        output = tmp_path / f"{options.dtype}_{options.detail}_{options.mask}" / "smile"
        if not fits(takes[kind], options):
            with pytest.raises(UsageError, match=rf"--to {name} cannot write happy.*{kind}"):
                export(model, name, output, (), options)
            assert not output.parent.exists()
        elif options.detail == 1 or options.dtype == "int8":
            done = export(model, name, output, (), options)
            assert all(file.stat().st_size for file in done.files)
            relative = {file.relative_to(output.parent).as_posix() for file in done.files}
            assert files_in(output.parent) == relative
            if done.share_off is not None and options.dtype != "int8":
                assert done.share_off == 0


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_refuses_a_target_that_is_not_there(name, tmp_path) -> None:
    with pytest.raises(UnknownNameError, match="angry"):
        export(model_of("affine"), name, tmp_path / "smile", ["angry"])


def test_a_file_of_another_export_is_not_replaced_in_silence(
    tmp_path: Path, command: Command
) -> None:
    save(model_of("affine"), tmp_path / "m.safetensors")
    given = ("export", tmp_path / "m.safetensors", "-o", tmp_path / "smile", "--to")
    first, other = command(*given, "c"), command(*given, "onnx")
    assert (first.code, other.code) == (0, 0), first.err + other.err
    assert "replaced" not in first.err
    said = [line for line in other.err.splitlines() if line.startswith("replaced")]
    assert said == [f"replaced what was there: {tmp_path / 'smile.README.md'}"]


def test_command_line(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    save(model_of("affine"), file)
    listed = command("export", "--list")
    assert listed.code == 0
    assert all(name in listed.out for name in EXPORTERS)
    done = command("export", file, "--to", "c", "--expr", "happy", "-o", tmp_path / "smile")
    assert done.code == 0, done.err
    assert "smile.h" in done.out
    assert "3,480 bytes" in done.out  # 12 x 12 x 3 x 2 float32, and spans
    assert command("export", "flow", "--to", "c", "-o", tmp_path / "flow").code == 0
    assert "rig is no file of plans" in command("export", "rig", "--to", "c", "-o", "x").err
    as_json = ("--to", "c", "--dtype", "int8", "--mask", "face", "-o", tmp_path / "smile", "--json")
    facts = json.loads(command("export", file, *as_json).out)
    assert set(facts) >= {"files", "table_bytes", "largest_error", "share_off", "decibels"}
    for words, said in (
        (("--to", "c", "--detail", "2", "-o", tmp_path / "x"), "with --detail 2; it takes: 1"),
        (("--to", "c", "--layout", "zip", "-o", tmp_path / "x"), "it takes: files, header"),
        (("--to", "web", "--single", "--layout", "folder", "-o", tmp_path / "x"), "cannot be"),
        (("--to", "c"), "wants MODEL, --to and -o"),
        (("--to", "rust", "-o", tmp_path / "x"), "unknown exporter 'rust'"),
        (("--to", "c", "-o", tmp_path / "x.txt"), "leave out .txt"),
        (("--to", "c", "-o", tmp_path / "1st"), "cannot name functions in C"),
        (("--to", "c", "-o", tmp_path), "is a folder; name what to write in it"),
        (("--to", "onnx", "-o", tmp_path), "is a folder; name what to write in it"),
        (("--to", "web", "--single", "-o", tmp_path), "is a folder; name what to write in it"),
    ):
        refused = command("export", file, *words)
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1
    made = {f"{name}{end}" for name in ("smile", "flow") for end in (".h", ".c", ".README.md")}
    assert files_in(tmp_path) == {"m.safetensors", *made}
