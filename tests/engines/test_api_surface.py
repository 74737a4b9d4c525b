"""All that our code calls of TensorRT exists in the real bindings of 10.16, 11.4 and TensorRT-RTX.

The bindings of TensorRT come from PyPI without the libraries that they bind. Empty libraries of the
same names make them importable, which is enough to see their classes, members and signatures.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BINDINGS = {
    "10.16": "tensorrt_cu13_bindings==10.16.1.11",
    "11.4": "tensorrt_cu13_bindings==11.4.0.106",
}
SOURCES = sorted(
    path
    for folder in ("engines", "runtime")
    for path in (ROOT / folder).rglob("*.py")
    if "trt" in (text := path.read_text(encoding="utf-8")) or "IRuntimeConfig" in text
)
MODULES = ("trt", "_trt")  # the module of any of the packages
RTX = ("rtx",)  # where the code knows that it is TensorRT-RTX
RTX_FILES = ("engines/tensorrt_rtx.py", "runtime/backends/tensorrt/runtime_cache.py")
RTX_MEMBERS = (  # behind a check of the package
    "cuda_graph_strategy",
    "dynamic_shapes_kernel_specialization_strategy",
    "create_runtime_cache",
    "set_runtime_cache",
)

# What variables and attributes of these names hold, everywhere in our code.
OBJECTS = {
    "builder": ("Builder",),
    "cache": ("IRuntimeCache",),
    "config": ("IBuilderConfig", "IRuntimeConfig"),
    "context": ("IExecutionContext",),
    "_context": ("IExecutionContext",),
    "engine": ("ICudaEngine",),
    "_engine": ("ICudaEngine",),
    "layer": ("ILayer", "IConvolutionLayer", "IDeconvolutionLayer", "ICastLayer"),
    "network": ("INetworkDefinition",),
    "parser": ("OnnxParser", "OnnxParserRefitter"),
    "_parser": ("OnnxParser",),
    "parser_error": ("ParserError",),
    "profile": ("IOptimizationProfile",),
    "refitter": ("Refitter",),
    "_runtime": ("Runtime",),
    "tensor": ("ITensor",),
    "timing_cache": ("ITimingCache",),
    "user": ("ILayer",),
}

STUBS = """
int getInferLibVersion(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
void *createInferBuilder_INTERNAL(void *a, int b) { return 0; }
void *createInferRefitter_INTERNAL(void *a, void *b, int c) { return 0; }
void *createInferRuntime_INTERNAL(void *a, int b) { return 0; }
void *createNvOnnxParser_INTERNAL(void *a, void *b, int c) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void *a, void *b, int c) { return 0; }
void *getBuilderPluginRegistry(int a) { return 0; }
void *getPluginRegistry(void) { return 0; }
_Bool initLibNvInferPlugins(void *a, const char *b) { return 0; }
"""
DUMP = """
import importlib, json, sys
trt = importlib.import_module(sys.argv[1])
members = lambda v: {m: str(getattr(v, m).__doc__) for m in dir(v)}
surface = {n: members(v) if isinstance(v, type) else {} for n, v in vars(trt).items()}
print(json.dumps({"__version__": trt.__version__, "surface": surface}))
"""

Surface = Mapping[str, Mapping[str, str]]  # members by class, and their signatures


class Use(NamedTuple):
    """One use of TensorRT in our code: 'trt.BuilderFlag.REFIT', or 'config.set_flag' on objects."""

    where: str
    classes: tuple[str, ...]  # one of these must have the member, () = the module
    names: tuple[str, ...]  # what is looked up, the outermost first
    keywords: tuple[str, ...]  # of the call, if it is one
    rtx: bool  # only TensorRT-RTX is asked for it

    def missing_in(self, surface: Surface) -> str | None:
        """What of it a surface lacks."""
        first, *rest = self.names
        if not self.classes:
            found = first in surface and (not rest or rest[0] in surface[first])
            return None if found else f"{self.where}: trt.{'.'.join(self.names)}"
        docs = [surface[kind][first] for kind in self.classes if first in surface[kind]]
        if not docs:
            return f"{self.where}: {' or '.join(self.classes)}.{first}"
        lacks = [k for k in self.keywords if not any(f"{k}:" in doc for doc in docs)]
        return f"{self.where}: {first}({lacks[0]}=...)" if lacks else None


def chain(node: ast.Attribute) -> tuple[str, list[str]]:
    """'self.trt.BuilderFlag.REFIT' is ('trt', ['BuilderFlag', 'REFIT']); the start may be ''."""
    names: list[str] = []
    at: ast.expr = node
    while isinstance(at, ast.Attribute):
        names.insert(0, at.attr)
        at = at.value
    if isinstance(at, ast.Name):
        names.insert(0, at.id)
    known = {*MODULES, *RTX, *OBJECTS}
    start = next((i for i, name in enumerate(names[:-1]) if name in known), None)
    return ("", []) if start is None else (names[start], names[start + 1 :])


def uses(path: Path) -> Iterator[Use]:
    source = path.read_text(encoding="utf-8")
    file = path.relative_to(ROOT).as_posix()
    tree = ast.parse(source)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        start, names = chain(node)
        if start:
            call = calls.get(id(node))
            keywords = tuple(k.arg for k in call.keywords if k.arg) if call else ()
            rtx = start in RTX or file in RTX_FILES or names[0] in RTX_MEMBERS
            classes = OBJECTS.get(start, ())
            yield Use(f"{file}:{node.lineno}", classes, tuple(names), keywords, rtx)


@pytest.fixture(scope="module")
def surfaces(pytestconfig: pytest.Config) -> dict[str, Surface]:
    """The bindings' classes, downloaded once into pytest's cache folder."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("tensorrt-bindings")
    found = {version: _surface(spec, folder / version) for version, spec in BINDINGS.items()}
    found["rtx"] = _dump("tensorrt_rtx", {})["surface"]
    return found


def _surface(spec: str, folder: Path) -> Surface:
    file = folder / f"{spec}.json"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        _run([*pip, "--target", str(folder / "site"), spec])
        (folder / "stubs.c").write_text(STUBS)
        major = spec.partition("==")[2].partition(".")[0]
        for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
            library = f"lib{name}.so.{major}"
            flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{library}"]
            _run(["cc", *flags, "-o", str(folder / library), str(folder / "stubs.c")])
        paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder / "site")}
        dump = _dump("tensorrt_bindings", paths)
        assert dump["__version__"] == spec.partition("==")[2]
        file.write_text(json.dumps(dump["surface"]))
    surface: Surface = json.loads(file.read_text())
    return surface


def _dump(module: str, paths: dict[str, str]) -> dict[str, dict[str, dict[str, str]]]:
    dump: dict[str, dict[str, dict[str, str]]] = json.loads(
        _run([sys.executable, "-c", DUMP, module], os.environ | paths)
    )
    return dump


def _run(command: list[str], env: Mapping[str, str] | None = None) -> str:
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, f"{' '.join(command)}: {run.stderr[-2000:]}"
    return run.stdout


def test_the_surfaces_are_the_real_ones(surfaces: dict[str, Surface]) -> None:
    assert "FP16" in surfaces["10.16"]["BuilderFlag"]
    assert "FP16" not in surfaces["11.4"]["BuilderFlag"]
    assert "ComputeCapability" in surfaces["rtx"]
    assert "ComputeCapability" not in surfaces["11.4"]
    for version, surface in surfaces.items():
        kinds = {kind for kinds in OBJECTS.values() for kind in kinds}
        assert (kinds if version == "rtx" else kinds - {"IRuntimeCache"}) <= surface.keys()


def test_the_finder_sees_what_is_used() -> None:
    found = {(use.classes, use.names) for path in SOURCES for use in uses(path)}
    assert ((), ("BuilderFlag", "TF32")) in found
    assert ((), ("IProgressMonitor", "__init__")) in found
    assert (("IBuilderConfig", "IRuntimeConfig"), ("progress_monitor",)) in found
    assert (("INetworkDefinition",), ("unmark_output",)) in found
    assert (("IExecutionContext",), ("execute_async_v3",)) in found
    assert len(found) > 60


@pytest.mark.parametrize(
    ("source", "lacks"),
    [
        ("trt.BuilderFlag.FP16", "trt.BuilderFlag.FP16"),
        ("self.trt.IInt8Calibrator()", "trt.IInt8Calibrator"),
        ("layer.precision = trt.DataType.HALF", "ILayer"),
        ("engine.device_memory_size", "ICudaEngine.device_memory_size"),
        ("config.set_timing_cache(cache, ignore=False)", "set_timing_cache(ignore=...)"),
    ],
)
def test_what_11_has_removed_would_be_found(
    surfaces: dict[str, Surface], tmp_path: Path, source: str, lacks: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "source.py"
    path.write_text(source)
    monkeypatch.setitem(uses.__globals__, "ROOT", tmp_path)
    missing = [use.missing_in(surfaces["11.4"]) for use in uses(path)]
    assert any(lacks in (line or "") for line in missing), missing


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_is_used_exists(path: Path, surfaces: dict[str, Surface]) -> None:
    missing = [
        f"{version}: {lack}"
        for use in uses(path)
        for version, surface in surfaces.items()
        if (version == "rtx" or not use.rtx) and (lack := use.missing_in(surface))
    ]
    assert not missing, "\n".join(missing)
