"""The shape of the house: what imports what, what is imported when, and that all is documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.models.plans import AffinePlan

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    ("errors", "arrays", "files"),
    ("pictures",),
    ("models", "evaluation", "backends"),
    ("faces", "regression"),
    ("data",),
    ("fitting", "shapes", "translator", "export", "api"),
    ("video",),
    ("commands", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(LAYERS) for room in rooms}
BASE = {"numpy", "PIL", "click", "safetensors"}  # scipy too, but inside functions: it is slow
HEAVY = (
    *("scipy", "sklearn", "skimage", "numba", "cv2", "onnxruntime", "torch", "onnx"),
    *("pooch", "cupy", "av"),
)
# Modules that take a package that need not be there: they are imported by name only.
LOOPS = ("loops", "loops_flow", "numba")
TORCH = ("parts", "network", "portraits", "training")
OPTIONAL = {
    "pixelreg.backends.cupy": "cupy",
    **{f"pixelreg.backends.{name}": "numba" for name in LOOPS},
}


def modules_of(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


PIXELREG, DEEP = modules_of("pixelreg"), modules_of("deep_onnx")
ALL = PIXELREG | DEEP


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(ALL[name].read_text(encoding="utf-8"))


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(name: str, inside_functions: bool = True) -> Iterator[tuple[str, int]]:
    """(module, line) of everything that a module imports when it runs."""

    def visit(node: ast.AST) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in ALL else str(node.module)), node.lineno
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if _for_types_only(node) or (function and not inside_functions):
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(tree(name))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_there_is_a_house_to_look_at() -> None:
    assert len(PIXELREG) > 40
    assert {room(name) for name in PIXELREG} - {""} == set(FLOOR), "a room without a floor"
    assert [line for found, line in imports("pixelreg.api") if found == "pixelreg.errors"]


def test_what_is_no_room_is_known() -> None:
    loose = {
        name.partition(".")[2] for name in PIXELREG if PIXELREG[name].parent.name == "pixelreg"
    }
    assert loose == {"", "__main__", "api", "arrays", "errors", "files", "translator"}


@pytest.mark.parametrize("name", PIXELREG)
def test_nothing_imports_upward(name) -> None:
    here = FLOOR.get(room(name), -1)
    for found, line in imports(name):
        if found == "pixelreg" or not found.startswith("pixelreg."):
            continue
        there = FLOOR[room(found)]
        assert there <= here, f"{name}:{line} imports {found}, which stands above it"


@pytest.mark.parametrize("name", ALL)
def test_only_the_version_is_taken_from_the_top(name) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom) and node.module == "pixelreg":
            for alias in node.names:
                known = alias.name == "__version__" or f"pixelreg.{alias.name}" in PIXELREG
                assert known, f"{name}:{node.lineno} takes {alias.name} from pixelreg itself"


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: {found for found, _ in imports(name) if found in ALL} for name in ALL}
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "imports go round: " + " -> ".join((*path, name))
        if name not in done:
            for other in sorted(graph[name] - {"pixelreg"}):
                walk(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


@pytest.mark.parametrize("name", PIXELREG)
def test_pixelreg_knows_deep_models_only_as_strings(name) -> None:
    for found, line in imports(name):
        top = found.partition(".")[0]
        assert top not in ("deep_onnx", "torch"), f"{name}:{line} imports {found}"


@pytest.mark.parametrize("name", ALL)
def test_only_base_packages_are_imported_with_a_module(name) -> None:
    torch = (
        "architectures",
        "training",
        "export",
        "convert",
        *(f"portrait.{part}" for part in TORCH),
    )
    if name.startswith(tuple(f"deep_onnx.{part}" for part in torch)):
        pytest.skip("these modules are torch's own, and are imported by name only")
    if name in OPTIONAL:
        pytest.skip(f"this module is {OPTIONAL[name]}'s own, and is imported by name only")
    own = {"pixelreg"} | ({"deep_onnx"} if name in DEEP else set())
    for found, line in imports(name, inside_functions=False):
        top = found.partition(".")[0]
        assert top in sys.stdlib_module_names or top in BASE | own, (
            f"{name}:{line} imports {found} at its top; import it in the function that uses it"
        )


@pytest.mark.parametrize("name", ALL)
def test_everything_public_is_documented(name) -> None:
    assert ast.get_docstring(tree(name)) or not tree(name).body, f"{name} has no docstring"
    if any(part.startswith("_") for part in name.split(".")):
        return
    for node in tree(name).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}:{node.lineno} {node.name} has no docstring"


@pytest.mark.parametrize("name", PIXELREG)
def test_public_methods_are_documented_where_they_are_first_declared(name) -> None:
    if any(part.startswith("_") for part in name.split(".")):
        return
    package = OPTIONAL.get(name)
    if package and find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    module = importlib.import_module(name)
    for cls in vars(module).values():
        if not inspect.isclass(cls) or cls.__module__ != name or cls.__name__.startswith("_"):
            continue
        for method, value in vars(cls).items():
            callable_ = inspect.isroutine(value) or isinstance(value, (property, classmethod))
            first = not any(hasattr(base, method) for base in cls.__mro__[1:])
            if callable_ and first and not method.startswith("_"):
                doc = inspect.getdoc(getattr(cls, method))
                assert doc, f"{name}: {cls.__name__}.{method} has no docstring"


def loaded_by(code: str, *args: str) -> dict[str, Any]:
    """What a fresh interpreter has imported, by package, after running ``code``."""
    report = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + "finally:\n"
        "    import json\n"
        "    loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "    print('\\n' + json.dumps(sorted(loaded)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", report, *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {"loaded": set(json.loads(done.stderr.splitlines()[-1])), "stdout": done.stdout}


def test_importing_pixelreg_imports_nothing_else() -> None:
    loaded = loaded_by("import pixelreg")["loaded"]
    assert "pixelreg" in loaded
    assert not loaded & {*BASE, *HEAVY}


def test_help_imports_no_numpy() -> None:
    run = loaded_by("from pixelreg.commands.main import main\nassert main(['--help']) == 0")
    assert "click" in run["loaded"]
    assert "Commands" in run["stdout"]
    assert not run["loaded"] & {"numpy", "PIL", "safetensors", *HEAVY}


def test_a_plain_apply_imports_nothing_heavy(tmp_path) -> None:
    ones = np.ones((16, 16, 3), np.float32)
    model, source, target = (tmp_path / n for n in ("m.safetensors", "in.png", "out.png"))
    modelfile.save(Model({"happy": AffinePlan(ones * 0.5, ones * 0.1)}), model)
    Image.fromarray(np.full((16, 16, 3), 100, np.uint8)).save(source)
    arguments = ["apply", source, "--expr", "happy", "--model", model, "-o", target]
    run = loaded_by(
        "from pixelreg.commands.main import main\nassert main(sys.argv[1:]) == 0",
        *map(str, arguments),
    )
    assert np.asarray(Image.open(target))[0, 0].tolist() == [76, 76, 76]  # 50 + 25.5
    assert "numpy" in run["loaded"]
    assert not run["loaded"] & set(HEAVY)


def test_the_api_on_an_array_imports_nothing_heavy(tmp_path) -> None:
    ones = np.ones((16, 16, 3), np.float32)
    modelfile.save(Model({"happy": AffinePlan(ones, ones)}), tmp_path / "m.safetensors")
    code = (
        "import numpy, pixelreg\n"
        "made = pixelreg.translate(numpy.zeros((20, 30, 3), 'uint8'), 'happy', sys.argv[1])\n"
        "assert made.shape == (20, 30, 3) and made.max() == 255"
    )
    assert not loaded_by(code, str(tmp_path / "m.safetensors"))["loaded"] & set(HEAVY)


def test_every_string_that_names_an_attribute_leads_to_one() -> None:
    strings = {
        node.value
        for name in PIXELREG
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"pixelreg(\.\w+)+:\w+", node.value)
    }
    assert "pixelreg.api:load_plans" in strings
    for string in sorted(strings):
        module, _, attribute = string.partition(":")
        if module in OPTIONAL and find_spec(OPTIONAL[module]) is None:
            continue
        assert hasattr(importlib.import_module(module), attribute), string
