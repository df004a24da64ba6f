"""``pixelreg export``: every exporter keeps its promises, and what C needs beside."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from cli_tools import Command, files_in

from pixelreg.backends import get_backend
from pixelreg.errors import PixelregError, UnknownNameError, UsageError
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
needs_compiler = pytest.mark.skipif(which("cc") is None, reason="there is no C compiler")


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


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_holds_what_it_says_and_refuses_the_rest(name, tmp_path) -> None:
    made = exporter(name)
    takes = {kind: row for row in made.takes for kind in row.plans}
    for kind in KINDS:
        model, folder = model_of(kind), tmp_path / kind
        if kind not in takes:
            with pytest.raises(UsageError, match=rf"--to {name} cannot hold happy.*{kind}"):
                export(model, name, folder / "smile")
            assert not folder.exists()
            continue
        for options in all_options():
            output = folder / f"{options.dtype}_{options.detail}_{options.mask}" / "smile"
            if not fits(takes[kind], options):
                with pytest.raises(UsageError, match=rf"--to {name} cannot write happy.*{kind}"):
                    export(model, name, output, (), options)
                assert not output.parent.exists()
                continue
            done = export(model, name, output, (), options)
            assert all(file.stat().st_size for file in done.files)
            assert files_in(output.parent) == {file.name for file in done.files}
            if done.largest_error is not None and options.dtype != "int8":
                assert done.share_off == 0 or options.detail > 1
    with pytest.raises(UnknownNameError, match="angry"):
        export(model_of("affine"), name, tmp_path / "smile", ["angry"])


@needs_compiler
@pytest.mark.parametrize("kind", ["affine", "kernel"])
def test_c_source_is_what_apply_does(kind, tmp_path) -> None:
    model = model_of(kind)
    export(model, "c", tmp_path / "smile.c", ["very sad"])
    (tmp_path / "main.c").write_text(
        '#include "smile.h"\n#include <stdio.h>\n'
        "int main(void) {\n"
        "    static uint8_t p[SMILE_SIZE * SMILE_SIZE * 3u];\n"
        "    if (fread(p, sizeof p, 1, stdin) != 1) return 1;\n"
        "    smile_apply(p, p, SMILE_VERY_SAD, 0.7f);\n"
        "    return fwrite(p, sizeof p, 1, stdout) != 1;\n}\n"
    )
    words = ["cc", "-std=c99", "-O1", "smile.c", "main.c", "-o", "run", "-fsanitize=undefined"]
    subprocess.run(words, cwd=tmp_path, check=True)
    picture = np.random.default_rng(8).integers(0, 256, model.shape, np.uint8)
    said = subprocess.run([tmp_path / "run"], input=picture.tobytes(), capture_output=True)
    made = np.frombuffer(said.stdout, np.uint8).reshape(model.shape).astype(int)
    wanted = get_backend("numpy").apply(model.plans["very sad"], picture[None], 0.7)[0]
    assert said.stderr == b""
    assert np.abs(made - wanted).max() <= (0 if kind == "affine" else 1)
    assert np.abs(made - picture).max() > 50  # it did something


@needs_compiler
def test_c_source_is_cpp_too_and_allocates_nothing(tmp_path) -> None:
    export(model_of("kernel"), "c", tmp_path / "smile")
    text = (tmp_path / "smile.c").read_text()
    assert not re.search(r"malloc|calloc|<math\.h>|double", text)
    assert set(re.findall(r"#include (\S+)", text)) == {'"smile.h"'}
    header = (tmp_path / "smile.h").read_text()
    assert "licence CC * / BY; attribution: Who made it" in header
    assert "SPDX-License-Identifier: MIT" in header
    assert which("c++"), "a C compiler without a C++ one"
    flags = ["-x", "c++", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run(["c++", *flags, "smile.c"], cwd=tmp_path, check=True)


def test_a_compiler_that_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("pixelreg.export.c.which", lambda name: str(broken))
    with pytest.raises(PixelregError, match="does not compile or run here: no room"):
        export(model_of("affine"), "c", tmp_path / "out" / "smile")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("pixelreg.export.c.which", lambda name: None)
    done = export(model_of("affine"), "c", tmp_path / "out" / "smile")
    assert done.largest_error is None
    assert "no C compiler" in (tmp_path / "out" / "smile.README.md").read_text()


def test_command_line(tmp_path: Path, command: Command) -> None:
    file = tmp_path / "m.safetensors"
    save(model_of("affine"), file)
    listed = command("export", "--list")
    assert listed.code == 0
    assert all(name in listed.out for name in EXPORTERS)
    done = command("export", file, "--to", "c", "--expr", "happy", "-o", tmp_path / "smile")
    assert done.code == 0, done.err
    assert "smile.h" in done.out
    assert "3,456 bytes" in done.out  # 12 x 12 x 3 x 2 float32
    for words, said in (
        (("--to", "c"), "wants MODEL, --to and -o"),
        (("--to", "rust", "-o", tmp_path / "x"), "unknown exporter 'rust'"),
        (("--to", "c", "-o", tmp_path / "x.txt"), "NAME.h and NAME.c"),
        (("--to", "c", "-o", tmp_path / "1st"), "cannot name functions in C"),
    ):
        refused = command("export", file, *words)
        assert refused.code == 2
        assert said in refused.err
        assert len(refused.err.splitlines()) == 1
    assert files_in(tmp_path) == {"m.safetensors", "smile.h", "smile.c", "smile.README.md"}
