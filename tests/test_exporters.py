"""``pixelreg export``: every exporter keeps its promises, and what C needs beside."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from cli_tools import Command, files_in

from pixelreg.backends import get_backend
from pixelreg.errors import PixelregError, UnknownNameError, UsageError
from pixelreg.export import EXPORTERS, export, exporter
from pixelreg.models.file import save
from pixelreg.models.model import Model, Provenance
from pixelreg.models.plans import AffinePlan, FactoredPlan, KernelPlan, plan_array

SIZE = 12
needs_compiler = pytest.mark.skipif(which("cc") is None, reason="there is no C compiler")


def model_of(kind: str) -> Model:
    """Two targets of a kind, random but for a licence."""
    rng = np.random.default_rng(3)

    def normal(*shape: int):
        return plan_array(rng.normal(0.4, 0.4, shape))

    made = {
        "affine": lambda rank: AffinePlan(normal(SIZE, SIZE, 3), normal(SIZE, SIZE, 3)),
        "kernel": lambda rank: KernelPlan(normal(256, rank), normal(SIZE, SIZE, 3, rank)),
        "factored": lambda rank: FactoredPlan(
            normal(rank, SIZE * SIZE * 3), normal(rank, SIZE, SIZE, 3)
        ),
    }[kind]
    about = Provenance(licence="CC */ BY", attribution="Who\nmade it")
    return Model({"happy": made(3), "very sad": made(5)}, provenance=about)


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_exporter_holds_what_it_says_and_refuses_the_rest(name, tmp_path) -> None:
    made = exporter(name)
    for kind in ("affine", "kernel", "factored"):
        model, output = model_of(kind), tmp_path / kind / "smile"
        if kind not in made.plans:
            with pytest.raises(UsageError, match=rf"--to {name} cannot hold happy.*{kind}"):
                export(model, name, output)
            assert not output.parent.exists()
            continue
        done = export(model, name, output)
        assert done.largest_error in (None, 0, 1)
        assert all(file.stat().st_size for file in done.files)
        assert files_in(output.parent) == {file.name for file in done.files}
        tensors = [a for plan in model.plans.values() for a in plan.tensors().values()]
        assert done.table_bytes == sum(array.nbytes for array in tensors)
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
    assert export(model_of("affine"), "c", tmp_path / "out" / "smile").largest_error is None


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
    assert files_in(tmp_path) == {"m.safetensors", "smile.h", "smile.c"}
