"""The rules of the house, each with a test; ARCHITECTURE.md tells them to people."""

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
from PIL import Image

from deep_onnx.registry import ARCHITECTURES
from pixelreg.backends import BACKENDS
from pixelreg.bench import TABLES
from pixelreg.data.layouts import LAYOUTS
from pixelreg.export import EXPORTERS
from pixelreg.faces.dense import METHODS
from pixelreg.faces.detect import DETECTORS
from pixelreg.models import file as modelfile
from pixelreg.models.model import Model
from pixelreg.models.plans import PLAN_CLASSES, AffinePlan
from pixelreg.regression import ESTIMATORS

ROOT = Path(__file__).resolve().parents[1]
# A room imports its own floor and those before it.
FLOORS = (
    ("errors", "arrays", "files"),
    ("pictures",),
    ("models", "evaluation"),
    ("backends",),
    ("faces", "regression"),
    ("data",),
    ("fitting", "shapes", "translator", "export"),
    ("video", "rig"),
    ("api",),
    ("server", "bench", "study"),
    ("commands", "__main__"),
)
DEEP_FLOORS = (
    ("registry", "allowed", "card", "growth", "buffers"),
    ("agreement",),
    ("file",),
    ("session", "values", "weights", "wire", "rows"),
    ("model", "graph"),
    ("operators",),
    ("exported",),
    ("translator",),
    ("quantise",),
    ("training", "export"),
    ("architectures", "portrait"),
    ("convert", "counting", "measured"),
    ("commands",),
)
LOOSE = {"__init__", "__main__", "api", "arrays", "errors", "files", "translator"}
SHORTEST, LONGEST = 60, 420  # lines of a file
SHORT_SHARE = 0.1  # of the files may be shorter: tables and the like
BUDGET = 48_000  # lines of both packages: the house, and what it has learnt to do since
BASE = {"numpy", "PIL", "click", "safetensors"}  # scipy too, but inside functions: it is slow
HEAVY = (
    *("scipy", "sklearn", "skimage", "numba", "cv2", "onnxruntime", "torch", "onnx"),
    *("pooch", "cupy", "av", "trimesh", "pillow_heif", "pillow_jxl", "tifffile"),
    *("starlette", "uvicorn", "python_multipart", "jinja2", "matplotlib"),
)
# Modules that take a package that need not be there: they are imported by name only.
OPTIONAL = {
    "pixelreg.backends.cupy": "cupy",
    **{
        f"pixelreg.backends.{name}": "numba"
        for name in ("loops", "loops_faces", "loops_flow", "loops_rig", "numba")
    },
    **{f"pixelreg.server.{name}": "starlette" for name in ("app", "upload")},
    "pixelreg.server.running": "uvicorn",
}
TORCH = (
    *("architectures", "training", "export", "convert"),
    *("portrait.losses", "portrait.measured", "portrait.network", "portrait.parts"),
    *("portrait.portraits", "portrait.training"),
)
FOR_USERS = ("pixelreg.api", "pixelreg.translator", "pixelreg.regression")
# What comes into the house comes through one door: package -> the modules that may take it.
DOORS = {
    "safetensors": ("pixelreg.models.store",),
    "onnxruntime": ("deep_onnx.session", "deep_onnx.quantise"),
    "trimesh": ("pixelreg.shapes.folders",),
    "av": ("pixelreg.video",),
    "cupy": ("pixelreg.backends.cupy",),
    "starlette": ("pixelreg.server.app", "pixelreg.server.upload", "pixelreg.commands.serve"),
    "jinja2": ("pixelreg.bench.page",),
    "uvicorn": ("pixelreg.server.running", "pixelreg.commands.serve"),
    "python_multipart": ("pixelreg.server.upload", "pixelreg.commands.serve"),
    "pickle": ("deep_onnx.weights",),  # the name of its error alone
}
REGISTRIES = {
    "ESTIMATORS": ESTIMATORS,
    "LAYOUTS": LAYOUTS,
    "DETECTORS": DETECTORS,
    "METHODS": METHODS,
    "EXPORTERS": EXPORTERS,
    "BACKENDS": BACKENDS,
    "ARCHITECTURES": ARCHITECTURES,
    "PLAN_CLASSES": PLAN_CLASSES,
    "TABLES": TABLES,
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


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


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
        elif isinstance(node, ast.Call) and node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            first = node.args[0]
            if called in ("need", "import_module") and isinstance(first, ast.Constant):
                yield str(first.value), node.lineno
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if _for_types_only(node) or (function and not inside_functions):
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(tree(name))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_a_floor_and_the_root_is_bare() -> None:
    for modules, floors in ((PIXELREG, FLOORS), (DEEP, DEEP_FLOORS)):
        assert len(modules) > 30
        assert {room(name) for name in modules} - {""} == {each for row in floors for each in row}
    assert {path.stem for path in (ROOT / "pixelreg").glob("*.py")} == LOOSE
    assert [line for found, line in imports("pixelreg.api") if found == "pixelreg.errors"]


def test_nothing_imports_upward() -> None:
    for package, floors in (("pixelreg", FLOORS), ("deep_onnx", DEEP_FLOORS)):
        floor = {each: number for number, row in enumerate(floors) for each in row}
        for name in ALL:
            for found, line in imports(name):
                if name.startswith(f"{package}.") and found.startswith(f"{package}."):
                    assert floor[room(found)] <= floor[room(name)], (
                        f"{name}:{line} imports {found}, which stands above it"
                    )


def test_only_the_version_is_taken_from_the_top() -> None:
    for name in ALL:
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
            for other in sorted(graph[name] - {"pixelreg", "deep_onnx"}):
                walk(other, (*path, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


def test_pixelreg_knows_deep_models_only_as_strings() -> None:
    for name in PIXELREG:
        for found, line in imports(name):
            top = found.partition(".")[0]
            assert top not in ("deep_onnx", "torch"), f"{name}:{line} imports {found}"


def test_only_base_packages_are_imported_with_a_module() -> None:
    torchs = tuple(f"deep_onnx.{part}" for part in TORCH)
    for name in ALL:
        if name in OPTIONAL or name.startswith(torchs):
            continue  # another package's own, imported by name only
        own = {"pixelreg"} | ({"deep_onnx"} if name in DEEP else set())
        for found, line in imports(name, inside_functions=False):
            top = found.partition(".")[0]
            assert top in sys.stdlib_module_names or top in BASE | own, (
                f"{name}:{line} imports {found} at its top; import it in the function that uses it"
            )


def test_what_comes_in_comes_through_one_door() -> None:
    for name in ALL:
        for found, line in imports(name):
            doors = DOORS.get(found.partition(".")[0])
            assert doors is None or name.startswith(doors), f"{name}:{line} imports {found}"


def test_files_are_neither_scraps_nor_warehouses() -> None:
    sizes = {path: lines_of(path) for path in ALL.values() if path.stem != "__init__"}
    long = {str(path): size for path, size in sizes.items() if size > LONGEST}
    assert not long
    short = [str(path) for path, size in sizes.items() if size < SHORTEST]
    assert len(short) <= SHORT_SHARE * len(sizes), short
    assert sum(map(lines_of, ALL.values())) <= BUDGET


def owner(registry: str, kind: str) -> str:
    """The module that a registry gives for a kind."""
    entry = REGISTRIES[registry][kind]
    text = entry if isinstance(entry, str) else getattr(entry, "home", None) or entry
    text = text[0] if isinstance(text, tuple) else text
    return text.partition(":")[0] if isinstance(text, str) else text.__module__


def test_what_differs_between_kinds_is_said_by_the_kind() -> None:
    """No comparison with the name of a kind outside the file that owns it."""
    owners: dict[str, set[str]] = {}
    for registry, kinds in REGISTRIES.items():
        for kind in kinds:
            owners.setdefault(kind, set()).add(owner(registry, kind))
    found = []
    for name in ALL:
        for node in ast.walk(tree(name)):
            if not isinstance(node, ast.Compare):
                continue
            for constant in ast.walk(node):
                value = constant.value if isinstance(constant, ast.Constant) else None
                if isinstance(value, str) and value in owners and name not in owners[value]:
                    found.append(f"{name}:{node.lineno} compares with {value!r}")
    assert not found, found


def test_every_kind_is_one_line_that_leads_to_one_file() -> None:
    for registry, kinds in REGISTRIES.items():
        assert kinds, registry
        for kind in kinds:
            home = owner(registry, kind)
            assert home in ALL, (registry, kind, home)
            assert ast.get_docstring(tree(home)), home


def test_everything_public_is_documented() -> None:
    for name in ALL:
        assert ast.get_docstring(tree(name)) or not tree(name).body, f"{name} has no docstring"
        if any(part.startswith("_") for part in name.split(".")):
            continue
        for node in tree(name).body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if any(ast.unparse(how) == "overload" for how in node.decorator_list):
                continue  # what it overloads is documented
            assert ast.get_docstring(node), f"{name}:{node.lineno} {node.name} has no docstring"


def test_public_methods_are_documented_where_they_are_first_declared() -> None:
    for name in PIXELREG:
        hidden = any(part.startswith("_") for part in name.split("."))
        if hidden or (name in OPTIONAL and find_spec(OPTIONAL[name]) is None):
            continue
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


def test_errors_are_listed_where_users_look_and_nowhere_else() -> None:
    for name in ALL:
        listed = any(
            re.search(r"^ *Raises\n *-{6}$", ast.get_docstring(node) or "", re.MULTILINE)
            for node in ast.walk(tree(name))
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        )
        assert not listed or name.startswith(FOR_USERS), f"{name} lists what it raises"


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
        for name in ALL
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"(pixelreg|deep_onnx)(\.\w+)+:\w+", node.value)
    }
    assert "pixelreg.api:load_plans" in strings
    for string in sorted(strings):
        module, _, attribute = string.partition(":")
        if module in OPTIONAL and find_spec(OPTIONAL[module]) is None:
            continue
        assert hasattr(importlib.import_module(module), attribute), string
