"""C exports: what the compiled source makes, on every layout, and what it must not do."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from platform import machine
from shutil import which

import numpy as np
import pytest
from test_exporters import SIZE, model_of

from pixelreg.backends import get_backend
from pixelreg.errors import PixelregError, UsageError
from pixelreg.export import Options, export
from pixelreg.export.c.check import FLAGS, compiled
from pixelreg.export.c.exporter import program
from pixelreg.export.c.layouts import LAYOUTS
from pixelreg.export.c.source import source
from pixelreg.export.coding import coded
from pixelreg.export.measure import compared, difference, vectors
from pixelreg.models.model import Frame, Model
from pixelreg.models.plans import AffinePlan, FlowPlan, KernelPlan, plan_array

KINDS = ("affine", "kernel", "flow")
DTYPES = ("float32", "float16", "int8")
STRICT = (*FLAGS, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILERS = (
    ("cc", *FLAGS),
    ("c++", "-x", "c++", *FLAGS[1:]),
    ("clang", *FLAGS),
    ("clang++", "-x", "c++", *FLAGS[1:]),
)
needs_compiler = pytest.mark.skipif(which("cc") is None, reason="there is no C compiler")
BACKEND = get_backend("numpy")


def options_of(kind: str, dtype: str) -> list[Options]:
    """Every way that C can hold a kind in a dtype."""
    details = (1, 2, 4) if kind == "flow" else (1,)
    return [*(Options(dtype, detail) for detail in details), Options(dtype, mask="face")]


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_source_computes_what_its_codes_stand_for(kind, dtype) -> None:
    """Against the decoded plans in NumPy; whole and row by row, two targets, clean of faults."""
    for options in options_of(kind, dtype):
        form = coded(model_of(kind), options)
        made = source(form, "smile")
        with compiled(program(made), form.model.targets, made.one, STRICT) as run:
            rows = replace(run, way="rows")
            found = compared(form.decoded, run.run)
            for target in form.model.targets:
                whole = run.run(target, vectors(SIZE), 1.5)
                np.testing.assert_array_equal(rows.run(target, vectors(SIZE), 1.5), whole)
                assert np.abs(whole.astype(int) - vectors(SIZE)).max() > 20  # it did something
                still = run.run(target, vectors(SIZE), 0)
                np.testing.assert_array_equal(still, vectors(SIZE))
        if dtype != "int8":
            assert found.largest <= (0 if kind == "affine" else 1), options
            assert found.decibels > 85
        else:
            assert found.decibels > 52, options
            assert found.largest <= (2 if kind != "flow" else 4), options


def test_names_that_differ_in_case_alone_have_headers_of_their_own() -> None:
    form = coded(model_of("affine"), Options())
    guards = {source(form, name).header.partition("#ifndef ")[2].split()[0] for name in ("a", "A")}
    assert len(guards) == 2


@needs_compiler
def test_float32_is_apply_to_the_bit_where_sums_are_short() -> None:
    for kind in ("affine", "flow"):
        model = model_of(kind, 16)
        made = source(coded(model, Options()), "smile")
        with compiled(program(made), model.targets, made.one) as run:
            noise = np.random.default_rng(8).integers(0, 256, (3, *model.shape), np.uint8)
            for strength in (-1.0, 0.3, 1.0, 4.0):
                wanted = BACKEND.apply(model.plans["very sad"], noise, strength)
                np.testing.assert_array_equal(run.run("very sad", noise, strength), wanted)


@needs_compiler
def test_flows_that_leave_the_picture_and_a_blur_wider_than_it() -> None:
    """Rows and columns are repeated at the border; many rows are kept, and all that are read."""
    rng = np.random.default_rng(5)
    fields = (rng.normal(0, 9, (SIZE, SIZE, 2)), *rng.normal(0, 0.1, (2, SIZE, SIZE, 3)))
    for blur in (0.1, 6.0):
        flow = FlowPlan(*map(plan_array, fields), plan_array(np.array([blur])))
        model = Model({"wild": flow, "tame": model_of("flow").plans["happy"]})
        for dtype in ("float32", "int8"):
            form = coded(model, Options(dtype))
            made = source(form, "smile")
            with compiled(program(made), model.targets, made.one, STRICT) as run:
                for target in model.targets:
                    smooth = vectors(SIZE)[-2:]
                    wanted = BACKEND.apply(form.decoded.plans[target], smooth, 1.5)
                    whole = run.run(target, smooth, 1.5)
                    rows = replace(run, way="rows").run(target, smooth, 1.5)
                    np.testing.assert_array_equal(rows, whole)
                    found = difference(whole, wanted)
                    assert found.largest <= (0 if dtype == "float32" else 12)
                    assert found.decibels > 40


@pytest.mark.skipif(which("clang") is None, reason="there is no clang")
def test_pointers_stay_in_what_they_point_into(monkeypatch) -> None:
    """Clang's sanitizer sees what is added to an array; GCC's does not. A fault ends the run."""
    monkeypatch.setattr("pixelreg.export.c.check.compiler", lambda: which("clang"))
    flags = (*FLAGS, "-fsanitize=undefined", "-fsanitize-trap=undefined")
    for dtype in ("float32", "int8"):
        model = model_of("flow", 32)
        made = source(coded(model, Options(dtype)), "smile")
        with compiled(program(made), model.targets, made.one, flags) as run:
            for strength in (-4.0, 4.0):
                run.run("happy", vectors(32), strength)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_targets_that_change_nothing_and_a_large_picture(dtype) -> None:
    nothing, size = np.zeros((SIZE, SIZE, 3), np.float32), 260  # spans need two bytes
    still = {
        "affine": AffinePlan(nothing + 1, nothing),
        "kernel": KernelPlan(plan_array(np.arange(256)[:, None] / 255), nothing[..., None] + 1),
        "flow": FlowPlan(nothing[..., :2], nothing, nothing, plan_array(np.ones(1))),
    }
    models = [Model({"still": plan}, frame=Frame()) for plan in still.values()]
    large = [model_of("affine", size), model_of("flow", size)] if dtype == "int8" else []
    for model in (*models, *large):
        form = coded(model, Options(dtype, mask="face"))
        made = source(form, "smile")
        with compiled(program(made), model.targets, made.one, STRICT) as run:
            pictures = vectors(model.size)[-2:]
            target = model.targets[0]
            wanted = BACKEND.apply(form.decoded.plans[target], pictures)
            found = run.run(target, pictures, 1.0)
            if target == "still":
                np.testing.assert_array_equal(found, pictures)
            assert difference(found, wanted).decibels > 55


@needs_compiler
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_compiles_as_c_and_as_cpp(kind, layout, tmp_path) -> None:
    folder = tmp_path
    for dtype in ("float32", "int8"):
        files = LAYOUTS[layout].files(source(coded(model_of(kind), Options(dtype)), "smile"))
        for name, (_, text) in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        main = '#define SMILE_IMPLEMENTATION\n#include "smile.h"\n#include "smile.h"\n'
        call = "smile_state s; return smile_begin(&s, SMILE_VERY_SAD, SMILE_ONE);"
        (folder / "main.c").write_text(f"{main}int main(void) {{ {call} }}\n")
        (folder / "other.c").write_text('#include "smile.h"\nextern int unused;\n')
        sources = [*folder.rglob("smile.c"), folder / "main.c", folder / "other.c"]
        for words in COMPILERS:
            if which(words[0]) is None:
                continue
            flags = [*words, "-O0", f"-I{folder}", f"-I{folder / 'src'}"]
            subprocess.run([*flags, *sources, "-o", folder / "main"], check=True)
            assert subprocess.run([folder / "main"], check=False).returncode == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_has_a_page_that_tells_of_its_files(layout, tmp_path) -> None:
    output = tmp_path / "smile"
    made = export(model_of("affine"), "c", output, (), Options("int8", layout=layout))
    folder = output if LAYOUTS[layout].folder else tmp_path
    assert made.files[-1].name.endswith("README.md")
    page = made.files[-1].read_text()
    assert all(f"`{file.relative_to(folder)}`" in page for file in made.files[:-1])
    assert f"{made.table_bytes:,} bytes" in page
    assert ("define SMILE_IMPLEMENTATION" in page) == (layout == "header")
    assert "pupils at (0.36, 0.39) and (0.64, 0.39)" in page


@needs_compiler
@pytest.mark.skipif(which("cmake") is None, reason="there is no cmake")
def test_the_cmake_layout_tests_itself(tmp_path) -> None:
    export(model_of("flow"), "c", tmp_path / "smile", (), Options("int8", layout="cmake"))
    build = tmp_path / "build"
    for words in (
        ["cmake", "-S", tmp_path / "smile", "-B", build],
        ["cmake", "--build", build],
        ["ctest", "--test-dir", build, "--no-tests=error"],
    ):
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


SERIAL = """#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
enum { HEX = 16 };
static inline unsigned long micros() { return 0; }
static inline void delay(int) {}
static struct {
    void begin(long) {}
    explicit operator bool() { return true; }
    void print(const char *text) { fputs(text, stdout); }
    void print(unsigned long number) { printf("%lu", number); }
    void println(unsigned long number, int) { printf("%lX\\n", number); exit(0); }
} Serial;
"""


@needs_compiler
def test_the_sketch_runs_row_by_row(tmp_path) -> None:
    """With the board's library replaced by a few lines; its checksum is the whole picture's."""
    options = Options("int8", layout="arduino")
    export(model_of("flow"), "c", tmp_path / "smile", (), options)
    (tmp_path / "main.cpp").write_text(
        f'{SERIAL}#include "smile/examples/smile/smile.ino"\nint main() {{ setup(); loop(); }}\n'
    )
    source_file = tmp_path / "smile" / "src" / "smile.c"
    include = f"-I{source_file.parent}"
    words = ["c++", "-Wall", "-Wextra", "-Werror", include, "main.cpp", source_file, "-o", "main"]
    subprocess.run(words, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    rows, columns, channels = np.indices((SIZE, SIZE, 3))
    picture = (columns + rows + 40 * channels).astype(np.uint8)[None]
    form = coded(model_of("flow"), options)
    with compiled(program(source(form, "smile")), form.model.targets, 256) as run:
        made = run.run("happy", picture, 1.0)
    checksum = 2166136261
    for byte in made.tobytes():
        checksum = (checksum ^ byte) * 16777619 % 2**32
    assert said == f"smile: 0 us, checksum {checksum:X}\n"


@needs_compiler
def test_int8_is_free_of_floats_and_libraries(tmp_path) -> None:
    for kind in KINDS:
        export(model_of(kind), "c", tmp_path / "smile", (), Options("int8"))
        text = (tmp_path / "smile.c").read_text()
        assert not re.search(r"malloc|calloc|math\.h|double|float", text)
        assert set(re.findall(r"#include (\S+)", text)) == {'"smile.h"'}
        tables = re.findall(r"(.*)static const u?int\d+_t \w+\[", text)
        assert tables
        assert set(tables) == {"SMILE_ALIGNED "}
        subprocess.run(["cc", "-std=c99", "-O1", "-c", "smile.c"], cwd=tmp_path, check=True)
        outside = subprocess.run(["nm", "-u", "smile.o"], cwd=tmp_path, capture_output=True)
        assert set(outside.stdout.split()) <= {b"U", b"memcpy", b"memmove", b"memset"}


@needs_compiler
def test_the_header_tells_licence_ram_and_bounds(tmp_path) -> None:
    """And RAM is what the compiler makes of it: nothing in it but numbers of 1, 2 and 4 bytes."""
    for kind in KINDS:
        for options in options_of(kind, "int8"):
            made = source(coded(model_of(kind), options), "smile")
            header = made.header
            (tmp_path / "smile.h").write_text(header)
            text = header.replace("\n * ", " ")
            assert "Licence: CC * / BY; attribution: Who made it" in text
            assert "SPDX-License-Identifier: MIT" in header
            assert f"#define SMILE_TABLE_BYTES {made.table_bytes}\n" in header
            bounds = re.findall(r"at most ([\d,]+)", header)
            assert bounds
            assert all(int(each.replace(",", "")) < 2**31 for each in bounds)
            sizes = [
                int(n.replace(",", "")) for n in re.findall(r"([\d,]+) bytes (?:for|row)", header)
            ]
            work = "sizeof(smile_work)" if kind == "flow" else "0"
            (tmp_path / "main.c").write_text(
                '#include "smile.h"\n#include <stdio.h>\nint main(void) {'
                f'printf("%d %d", (int){work}, (int)sizeof(smile_state)); return 0; }}\n'
            )
            subprocess.run(["cc", "main.c", "-o", "main"], cwd=tmp_path, check=True)
            said = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
            assert said.split() == [str(size).encode() for size in sizes]


@needs_compiler
def test_wrong_calls_are_refused(tmp_path) -> None:
    for kind, work in (("affine", ""), ("flow", ", &w")):
        export(model_of(kind), "c", tmp_path / "smile", (), Options("int8"))
        lines = [
            f"smile_apply(p, 0, 0, 0{work}) == -1",
            f"smile_apply(p, q, SMILE_TARGETS, 0{work}) == -1",
            f"smile_apply(p, q, 0, SMILE_MOST + 1{work}) == -1",
            f"smile_apply(p, q, 0, -SMILE_MOST{work}) == 0",
            f"smile_apply(p, p, 0, 0{work}) == {-1 if work else 0}",
            "smile_begin(0, 0, 0) == -1",
            "smile_begin(&s, SMILE_TARGETS, 0) == -1",
            "smile_begin(&s, 0, SMILE_STREAM_MOST + 1) == -1",
            "smile_begin(&s, 0, SMILE_ONE) == 0",
            "smile_push(&s, 0, q) == -1",
            *["smile_push(&s, p, q) >= 0"] * SIZE,
            "smile_push(&s, p, q) == -1",
        ]
        kept = "static smile_work w;" if work else ""
        checks = "\n".join(f"if (!({line})) return {n + 1};" for n, line in enumerate(lines))
        (tmp_path / "main.c").write_text(
            '#include "smile.h"\nstatic uint8_t p[SMILE_BYTES], q[SMILE_BYTES];'
            f"static smile_state s; {kept} int main(void) {{ {checks} return 0; }}\n"
        )
        subprocess.run(["cc", "main.c", "smile.c", "-o", "main"], cwd=tmp_path, check=True)
        code = subprocess.run([tmp_path / "main"], check=False).returncode
        assert code == 0, lines[code - 1]


@needs_compiler
def test_fused_multiply_add_is_kept_out(tmp_path) -> None:
    """Asked to use it, the source still computes what `apply` does; -ffast-math is refused."""
    model = model_of("flow", 16)
    made = source(coded(model, Options()), "smile")
    extra = ("-std=gnu11", "-O3", "-march=haswell", "-ffp-contract=fast")
    if not has_fma():
        pytest.skip("this machine has no fused multiply-add")
    with compiled(program(made), model.targets, made.one, extra) as run:
        assert compared(model, run.run).largest == 0
    with (
        pytest.raises(PixelregError, match="compile this file without it"),
        compiled(program(made), model.targets, made.one, ("-ffast-math",)),
    ):
        pass
    words = ["cc", "-funsafe-math-optimizations", "-dM", "-E", "-"]
    if b"__ASSOCIATIVE_MATH__" in subprocess.run(words, input=b"", capture_output=True).stdout:
        with (
            pytest.raises(PixelregError, match="compile this file without it"),
            compiled(program(made), model.targets, made.one, tuple(words[1:2])),
        ):
            pass


@pytest.mark.skipif(which("gcc") is None or machine() != "x86_64", reason="no gcc for x86")
def test_what_includes_the_header_is_compiled_as_it_was_asked_for(tmp_path) -> None:
    export(model_of("affine"), "c", tmp_path / "smile", (), Options(layout="header"))
    sums = "float sum(float a, float b, float c) { return a * b + c; }\n"
    include = '#define SMILE_IMPLEMENTATION\n#include "smile.h"\n'
    (tmp_path / "main.c").write_text(include + sums)
    words = ["gcc", "-O2", "-mfma", "-ffp-contract=fast", "-S", "main.c", "-o", "-"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True).stdout
    assert re.findall(rb"^\tvfmadd", said, re.MULTILINE) == [b"\tvfmadd"]  # of sum, and no other


@needs_compiler
@pytest.mark.parametrize("kind", KINDS)
def test_integers_hold_at_the_worst(kind) -> None:
    """Black and white side by side, at the largest strengths: no sum leaves 32 bits."""
    form = coded(model_of(kind), Options("int8"))
    made = source(form, "smile")
    extreme = np.random.default_rng(9).choice([0, 255], (2, *form.model.shape)).astype(np.uint8)
    with compiled(program(made), form.model.targets, made.one, STRICT) as run:
        for target, strength in (("happy", 4.0), ("very sad", -4.0)):
            wanted = BACKEND.apply(form.decoded.plans[target], extreme, strength)
            assert difference(run.run(target, extreme, strength), wanted).decibels > 33


def has_fma() -> bool:
    facts = Path("/proc/cpuinfo")
    return facts.exists() and re.search(r"\bfma\b.*", facts.read_text()) is not None


def test_what_does_not_fit_32_bits_is_refused(tmp_path) -> None:
    wild = plan_array(np.random.default_rng(0).normal(0, 30, (SIZE, SIZE, 3)))
    wilder = FlowPlan(wild[..., :2], wild * 100, wild, plan_array(np.ones(1)))
    for plan, said in (
        (AffinePlan(wild, wild), "result before it is shifted reaches"),
        (AffinePlan(wild * 1e5, wild), "weights of happy are too large for int8 in C"),
        (AffinePlan(wild * 1e30, wild), "weights of happy are too large for int8 in C"),
        (wilder, "reaches|too large for int8 in C"),
    ):
        with pytest.raises(UsageError, match=said):
            export(Model({"happy": plan}), "c", tmp_path / "out" / "smile", (), Options("int8"))
    far = FlowPlan(wild[..., :2] * 1e12, wild, wild, plan_array(np.ones(1)))
    with pytest.raises(UsageError, match="pixels away; --to c can from 256"):
        export(Model({"happy": far}), "c", tmp_path / "out" / "smile")
    assert not (tmp_path / "out").exists()


def test_one_kind_and_a_name_in_c(tmp_path) -> None:
    both = {"a": model_of("affine").plans["happy"], "b": model_of("flow").plans["happy"]}
    with pytest.raises(UsageError, match="plans of one kind"):
        export(Model(both), "c", tmp_path / "smile")
    plan = model_of("affine").plans["happy"]
    for names in (("very sad", "very-sad"), ("size", "sad")):
        with pytest.raises(UsageError, match=r"would have one name with another|is taken"):
            export(Model(dict.fromkeys(names, plan)), "c", tmp_path / "smile")
    with pytest.raises(UsageError, match="cannot name functions in C"):
        export(model_of("affine"), "c", tmp_path / "1st")
    for name, layout in (("stdint", "files"), ("Math", "arduino"), ("test", "cmake")):
        with pytest.raises(UsageError, match=f"{name} means something else"):
            export(model_of("affine"), "c", tmp_path / name, (), Options(layout=layout))
    assert not list(tmp_path.iterdir())


def test_a_compiler_that_fails_leaves_nothing(tmp_path, monkeypatch) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("pixelreg.export.c.check.which", lambda name: str(broken))
    with pytest.raises(PixelregError, match="does not compile or run here: no room"):
        export(model_of("affine"), "c", tmp_path / "out" / "smile")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr("pixelreg.export.c.check.which", lambda name: None)
    done = export(model_of("affine"), "c", tmp_path / "out" / "smile")
    assert done.largest_error is None
    assert "no C compiler" in (tmp_path / "out" / "smile.README.md").read_text()
