"""The house: arrows point down, the runtime loads nothing heavy, no pickle is ever loaded."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from stylert.runtime import PUBLIC_MODULES

ROOT = Path(__file__).parents[1]
FLOORS = ("apps", "commands", "engines", "export", "runtime")
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
    "apps": {"runtime"},
    "commands": {"apps", "engines", "export", "runtime"},
    "cli": {"apps", "commands", "engines", "export", "runtime"},
    "__init__": {"runtime"},  # the public face
}
# Applications may import each other in one direction, besides themselves.
APPS_MAY_IMPORT = {
    "bench": {"datasets"},
    "checks": {"demo"},
    "cluster": {"datasets", "evaluation", "serving"},
    "datasets": set(),
    "evaluation": {"datasets"},
    "demo": set(),
    "photos": set(),
    "projection": set(),
    "serving": {"photos", "projection", "video", "words"},
    "video": set(),
    "web": {"serving"},
    "words": {"projection"},
}
# Inside functions, or in a file that only a worker with torch loads.
MAY_EXPORT = {"bench", "evaluation", "photos", "words"}
STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)  # no expression holds one
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


@cache
def imported(tree: ast.AST) -> tuple[str, ...]:
    """The dotted names that a source imports anywhere, also inside functions."""
    return tuple(found for node in statements(tree) for found in imported_by(node))


def statements(node: ast.AST, *, later: bool = True) -> Iterator[ast.AST]:
    """The statements below one; unless those of `later` are wanted, what runs as it is loaded."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, STATEMENTS) and (later or not runs_later(child)):
            yield child
            yield from statements(child, later=later)


def runs_later(node: ast.AST) -> bool:
    """Whether it is a function, or for types alone."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def imported_by(node: ast.AST) -> Iterator[str]:
    """The dotted names that one statement imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        origin = "." * node.level + (node.module or "")
        yield origin
        yield from (f"{origin}.{alias.name}" for alias in node.names)


def modules_imported_by(node: ast.AST) -> set[str]:
    """Modules of ours that one statement loads; of a package that holds them, only those."""
    found = [name for name in imported_by(node) if name in MODULES]
    return {name for name in found if not any(f.startswith(f"{name}.") for f in found)}


def parts_imported(tree: ast.AST) -> set[str]:
    """Which parts of the house a source imports."""
    dotted = (found.split(".") for found in imported(tree))
    return {names[1] for names in dotted if names[0] == "stylert" and len(names) > 1} & {
        *FLOORS,
        "cli",
    }


@cache
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
    nested = "try:\n    pass\nexcept OSError:\n    import stylert.apps"
    assert parts(nested) == {"apps"}
    assert parts("match 1:\n    case 1:\n        import stylert.engines") == {"engines"}


def test_arrows_point_down() -> None:
    for path in SOURCES:
        above = parts_imported(parse(path)) - {part(path)} - MAY_IMPORT[part(path)]
        if part(path) == "apps" and path.parent.name in MAY_EXPORT:
            above -= {"export"}
        assert not above, f"{name(path)} imports {sorted(above)}"


APPS = [path for path in SOURCES if part(path) == "apps" and len(path.relative_to(ROOT).parts) > 2]


def app(path: Path) -> str:
    return path.relative_to(ROOT).parts[1]


def below(tree: ast.AST, *above: str) -> set[str]:
    """The names just below a package, such as 'bundle' of 'stylert.runtime.bundle'."""
    dotted = (tuple(found.split(".")) for found in imported(tree))
    start = ("stylert", *above)
    return {
        names[len(start)] for names in dotted if names[: len(start)] == start and names != start
    }


def test_applications_use_the_public_face() -> None:
    modules = {file.stem for file in (ROOT / "runtime").iterdir() if file.stem != "__init__"}
    for path in APPS:
        allowed = {*PUBLIC_MODULES}
        allowed |= {"backends"} if app(path) == "bench" else set()  # it times them, too
        hidden = (below(parse(path), "runtime") & modules) - allowed
        assert not hidden, f"{name(path)} imports {sorted(hidden)} of the runtime"
        others = below(parse(path), "apps") - {app(path)} - APPS_MAY_IMPORT[app(path)]
        assert not others, f"{name(path)} imports the applications {sorted(others)}"


def test_applications_point_one_way() -> None:
    assert set(APPS_MAY_IMPORT) == {app(path) for path in APPS}
    done: set[str] = set()
    while left := set(APPS_MAY_IMPORT) - done:
        ready = {room for room in left if APPS_MAY_IMPORT[room] <= done}
        assert ready, f"a circle among {sorted(left)}"
        done |= ready


def imports_of_modules(path: Path) -> set[str]:
    """Modules of ours that are loaded with this one: not by its functions, nor for types."""
    loaded = statements(parse(path), later=False)
    return {found for node in loaded for found in modules_imported_by(node)}


MODULES = {module(path): path for path in SOURCES}


def test_applications_load_no_export() -> None:
    """They use it inside functions; files that only a worker with torch loads are apart."""
    for path in APPS:
        if not path.name.endswith("_baselines.py"):
            loaded = {found for found in imports_of_modules(path) if ".export" in found}
            assert not loaded, f"{name(path)} loads {sorted(loaded)}"


def test_no_circles() -> None:
    """Of what modules load as they are imported."""
    left = {name: imports_of_modules(path) - {name} for name, path in MODULES.items()}
    while left:
        ready = {name for name, needs in left.items() if not needs & left.keys()}
        assert ready, f"a circle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in ready}


def test_the_house_is_imported_by_its_full_name() -> None:
    for path in SOURCES:
        roots = {found.split(".")[0] for found in imported(parse(path))}
        bare = roots & {*FLOORS, "cli", ""}  # '' is a relative import
        assert not bare, f"{name(path)} imports {sorted(bare)} without 'stylert.' before it"


def test_nothing_loads_a_pickle() -> None:
    unsafe = {("allow_pickle", True), ("weights_only", False)}
    for path in SOURCES:
        roots = {found.split(".")[0] for found in imported(parse(path))}
        assert not roots & CODE_RUNNERS, f"{name(path)} imports {sorted(roots & CODE_RUNNERS)}"
        for node in ast.walk(parse(path)):
            for keyword in node.keywords if isinstance(node, ast.Call) else ():
                said = (keyword.arg, getattr(keyword.value, "value", None))
                assert said not in unsafe, f"{name(path)}:{keyword.lineno} loads pickles"


def test_every_public_module_lists_its_names() -> None:
    for path in SOURCES:
        if not path.name.startswith("_"):
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


def test_the_runtime_loads_numpy_and_nothing_else(tmp_path: Path) -> None:
    """All of its modules, and so `stylert` and `stylert.runtime`, which load some of them."""
    modules = [module(path) for path in SOURCES if part(path) == "runtime"]
    loaded = loaded_by(f"import {', '.join(modules)}", tmp_path)
    assert loaded - sys.stdlib_module_names == {"stylert", "numpy"}


def test_the_adjoint_of_a_graph_loads_onnx_and_numpy(tmp_path: Path) -> None:
    modules = [m for m in map(module, SOURCES) if m.startswith("stylert.export.adjoint")]
    loaded = loaded_by(f"import {', '.join(modules)}", tmp_path) - sys.stdlib_module_names
    assert {"onnx", "numpy", "stylert"} <= loaded
    assert not loaded & {"torch", "onnx_ir", "onnxruntime"}


def test_the_runtime_loads_no_backend_of_a_gpu(tmp_path: Path) -> None:
    code = "import stylert, sys; print(*(m for m in sys.modules if m.startswith('stylert')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    loaded = done.stdout.split()
    assert "stylert.runtime.generator" in loaded
    of_gpus = ("stylert.runtime.backends.cuda", "stylert.runtime.backends.tensorrt")
    assert not [found for found in loaded if found.startswith(of_gpus)]


def test_importing_the_command_line_loads_no_torch(tmp_path: Path) -> None:
    loaded = loaded_by("import stylert.cli", tmp_path)
    assert not loaded & {"torch", "onnx", "onnxruntime", "tensorrt", "matplotlib", "PIL"}
    assert not loaded & {"fastapi", "uvicorn", "pydantic", "av", "ray", "psutil"}
