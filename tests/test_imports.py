"""The house: arrows point down, the runtime loads nothing heavy, no pickle is ever loaded."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("engines", "export", "runtime")
SOURCES = [
    ROOT / "__init__.py",
    ROOT / "cli.py",
    *(path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))),
]
# What each part may import, besides itself.
MAY_IMPORT = {
    "runtime": set(),
    "engines": {"runtime"},
    "export": {"runtime"},
    "cli": {"engines", "export", "runtime"},
    "__init__": {"runtime"},  # the public face
}
CODE_RUNNERS = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part(path: Path) -> str:
    """Which part of the house a file belongs to: a key of MAY_IMPORT."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["stylert", *(p for p in parts if p != "__init__")])


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a source imports anywhere, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def parts_imported(tree: ast.AST) -> set[str]:
    """Which parts of the house a source imports."""
    dotted = (found.split(".") for found in imported(tree))
    return {names[1] for names in dotted if names[0] == "stylert" and len(names) > 1} & {
        *FLOORS,
        "cli",
    }


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_the_finder_sees_every_way_to_import() -> None:
    def parts(source: str) -> set[str]:
        return parts_imported(ast.parse(source))

    assert parts("import stylert.export.models") == {"export"}
    assert parts("from stylert import engines, cli, __version__") == {"engines", "cli"}
    assert parts("def f():\n    from stylert.runtime.bundle import Bundle") == {"runtime"}
    assert parts("import stylert, numpy") == set()
    assert ".." in set(imported(ast.parse("from .. import export")))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_arrows_point_down(path: Path) -> None:
    above = parts_imported(parse(path)) - {part(path)} - MAY_IMPORT[part(path)]
    assert not above, f"{name(path)} imports {sorted(above)}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_house_is_imported_by_its_full_name(path: Path) -> None:
    roots = {found.split(".")[0] for found in imported(parse(path))}
    bare = roots & {*FLOORS, "cli", ""}  # '' is a relative import
    assert not bare, f"{name(path)} imports {sorted(bare)} without 'stylert.' before it"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_nothing_loads_a_pickle(path: Path) -> None:
    tree = parse(path)
    roots = {found.split(".")[0] for found in imported(tree)}
    assert not roots & CODE_RUNNERS, f"{name(path)} imports {sorted(roots & CODE_RUNNERS)}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                value = getattr(keyword.value, "value", None)
                unsafe = (keyword.arg, value) in {("allow_pickle", True), ("weights_only", False)}
                assert not unsafe, f"{name(path)}:{node.lineno} loads pickles"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not path.name.startswith("_")], ids=name
)
def test_every_public_module_lists_its_names(path: Path) -> None:
    loaded = importlib.import_module(module(path))
    assert loaded.__all__, f"{name(path)} has no __all__"
    missing = [public for public in loaded.__all__ if not hasattr(loaded, public)]
    assert not missing, f"{name(path)}: __all__ names {missing}, which are not there"


def loaded_by(statement: str, cwd: Path) -> set[str]:
    """Top-level names of the modules that a statement loads in a fresh interpreter."""
    # Cython's modules appear under names of their own, made at run time and without a spec.
    code = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "new = {m: sys.modules[m] for m in set(sys.modules) - before}\n"
        "print(*{m.partition('.')[0] for m in new if getattr(new[m], '__spec__', None)})"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize("statement", ["import stylert", "import stylert.runtime"])
def test_the_runtime_loads_numpy_and_nothing_else(statement: str, tmp_path: Path) -> None:
    loaded = loaded_by(statement, tmp_path)
    assert {"stylert", "numpy"} <= loaded
    assert loaded - sys.stdlib_module_names == {"stylert", "numpy"}


def test_every_module_of_the_runtime_loads_numpy_and_nothing_else(tmp_path: Path) -> None:
    modules = [module(path) for path in SOURCES if part(path) == "runtime" and not serves(path)]
    loaded = loaded_by(f"import {', '.join(modules)}", tmp_path)
    assert loaded - sys.stdlib_module_names == {"stylert", "numpy"}


def serves(path: Path) -> bool:
    """Whether it is of the HTTP service, an extra that needs FastAPI."""
    return module(path).startswith("stylert.apps.serving")


def test_nothing_else_of_the_runtime_needs_the_service() -> None:
    for path in SOURCES:
        if part(path) == "runtime" and not serves(path):
            users = {found for found in imported(parse(path)) if "serving" in found}
            assert not users, f"{name(path)} imports {sorted(users)}"


def test_importing_the_command_line_loads_no_torch(tmp_path: Path) -> None:
    loaded = loaded_by("import stylert.cli", tmp_path)
    assert not loaded & {"torch", "onnx", "onnxruntime", "tensorrt", "matplotlib", "PIL"}
