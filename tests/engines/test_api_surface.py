"""All that our code asks of TensorRT is as the real bindings have it: names, arguments, results.

Those of the oldest version that we admit, of the newest, and of TensorRT-RTX; see real_bindings.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
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

# What our code takes the calls to give; of what is no bool and no None, none may be at times.
RETURNS = {
    "None": "__init__ clear_flag set_device_memory set_execution_context_allocation_strategy "
    "set_flag set_input set_memory_pool_limit set_shape unmark_output",
    "bool": "deserialize execute_async_v3 parse refit_cuda_engine refit_from_bytes "
    "set_compute_capability set_input_shape set_optimization_profile_async set_runtime_cache "
    "set_tensor_address set_timing_cache",
    "int": "add_optimization_profile get_device_memory_size_for_profile_v2",
    "str": "desc get_tensor_name node_name node_operator",
    "list[str]": "get_missing_weights infer_shapes",
    "Dims": "get_tensor_shape",
    "list[Dims]": "get_tensor_profile_shape",
    "DataType": "get_tensor_dtype",
    "TensorIOMode": "get_tensor_mode",
    "IHostMemory": "build_serialized_network serialize",
    "IBuilderConfig": "create_builder_config",
    "ICastLayer": "add_cast",
    "ICudaEngine": "deserialize_cuda_engine",
    "IExecutionContext": "create_execution_context",
    "ILayer": "get_layer",
    "INetworkDefinition": "create_network",
    "IOptimizationProfile": "create_optimization_profile",
    "IRuntimeCache": "create_runtime_cache",
    "IRuntimeConfig": "create_runtime_config",
    "ITensor": "get_input get_output",
    "ITimingCache": "create_timing_cache get_timing_cache",
    "ParserError": "get_error",
}
RETURNED = {name: kind for kind, names in RETURNS.items() for name in names.split()}


class Use(NamedTuple):
    """One use of TensorRT in our code: 'trt.BuilderFlag.REFIT', or 'config.set_flag' on objects."""

    where: str
    classes: tuple[str, ...]  # one of these must have the member, () = the module
    names: tuple[str, ...]  # what is looked up, the outermost first
    call: tuple[int, tuple[str, ...]] | None  # how many arguments, and which by name; -1 = any
    assigned: bool
    ignored: bool  # what the call gives
    rtx: bool  # only TensorRT-RTX is asked for it

    @property
    def title(self) -> str:
        """As a message has it."""
        return ".".join(("/".join(self.classes) or "trt", *self.names))

    def find_members(self, surface: Any) -> dict[str, Any]:
        """What it may be, by the class that has it."""
        kinds = self.classes or (self.names[0],)
        name = self.names[0] if self.classes else "__init__" if self.call else self.names[-1]
        if not self.classes and len(self.names) > 1:
            name = self.names[1]
        return {kind: surface[kind][name] for kind in kinds if name in surface.get(kind, ())}

    def find_fault(self, surface: Any) -> str | None:
        """What is wrong with it where a surface is what there is."""
        if not self.classes and self.names[0] not in surface:
            return f"{self.where}: {self.title} does not exist"
        if not self.classes and not surface[self.names[0]]:
            return None  # a function of Python, or what the module has imported
        if not self.classes and len(self.names) == 1 and self.call is None:
            return None  # the class itself
        members = self.find_members(surface)
        if not members:
            return f"{self.where}: {self.title} does not exist"
        if self.assigned and not any(member.settable for member in members.values()):
            return f"{self.where}: {self.title} cannot be set"
        signatures = [s for member in members.values() for s in member.signatures]
        if self.call is None:
            return f"{self.where}: {self.title} is not called" if signatures else None
        if not signatures:
            return f"{self.where}: {self.title} is called, and is no function"
        count, keywords = self.call
        if self.names[-1] == "__init__" and len(self.names) > 1:
            count -= 1  # the object itself
        if count >= 0 and not any(s.takes(count, keywords) for s in signatures):
            return f"{self.where}: {self.title} does not take {count} arguments and {keywords}"
        if not self.classes:
            return None  # it makes an object
        wanted, given = RETURNED.get(self.names[-1]), {s.returns for s in signatures}
        if given != {wanted}:
            return f"{self.where}: {self.title} gives {given}, and not {wanted}"
        if self.ignored != (wanted == "None"):
            what = "is not looked at" if self.ignored else "is always None"
            return f"{self.where}: what {self.title} gives {what}"
        return None


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
    ignored = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        start, names = chain(node)
        if start:
            classes = OBJECTS.get(start, ())
            inner = bool(classes) and len(names) > 1  # layer.name.startswith(...) calls no layer
            call = None if inner else calls.get(id(node))
            rtx = start in RTX or file in RTX_FILES or names[0] in RTX_MEMBERS
            yield Use(
                where=f"{file}:{node.lineno}",
                classes=classes,
                names=tuple(names),
                call=None if call is None else count_arguments(call),
                assigned=isinstance(node.ctx, ast.Store) and not inner,
                ignored=id(call) in ignored,
                rtx=rtx,
            )


def count_arguments(call: ast.Call) -> tuple[int, tuple[str, ...]]:
    """How many arguments a call has, -1 where that is not to be seen, and the names of others."""
    starred = any(isinstance(argument, ast.Starred) for argument in call.args)
    return -1 if starred else len(call.args), tuple(k.arg for k in call.keywords if k.arg)


def test_the_surfaces_are_the_real_ones(surfaces: dict[str, Any]) -> None:
    assert "FP16" in surfaces["10.12"]["BuilderFlag"]
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
    ("source", "fault"),
    [
        ("trt.BuilderFlag.FP16", "trt.BuilderFlag.FP16 does not exist"),
        ("self.trt.IInt8Calibrator()", "trt.IInt8Calibrator does not exist"),
        ("layer.precision = trt.DataType.HALF", "ICastLayer.precision does not exist"),
        ("engine.device_memory_size", "ICudaEngine.device_memory_size does not exist"),
        ("engine.num_io_tensors()", "is called, and is no function"),
        ("engine.num_io_tensors = 3", "cannot be set"),
        ("if parser.num_errors and engine.get_tensor_name: pass", "get_tensor_name is not called"),
        ("x = config.set_timing_cache(cache, ignore=False)", "does not take 1 arguments and ("),
        ("x = config.set_timing_cache(cache)", "does not take 1 arguments and ("),
        ("x = engine.get_tensor_name(1, 2)", "does not take 2 arguments"),
        ("x = trt.Builder()", "trt.Builder does not take 0 arguments"),
        ("context.set_input_shape(a, b)", "gives is not looked at"),
        ("x = context.set_device_memory(a, b)", "gives is always None"),
        ("x = engine.create_engine_inspector()", "gives {'EngineInspector'}, and not None"),
    ],
)
def test_a_fault_would_be_found(
    surfaces: dict[str, Any],
    tmp_path: Path,
    source: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "source.py"
    path.write_text(source)
    monkeypatch.setitem(uses.__globals__, "ROOT", tmp_path)
    faults = [use.find_fault(surfaces["11.4"]) for use in uses(path)]
    assert any(fault in (line or "") for line in faults), faults


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_that_is_used_is_as_it_is_used(path: Path, surfaces: dict[str, Any]) -> None:
    faults = [
        f"{version}: {fault}"
        for use in uses(path)
        for version, surface in surfaces.items()
        if (version == "rtx" or not use.rtx) and (fault := use.find_fault(surface))
    ]
    assert not faults, "\n".join(faults)


def test_every_class_is_used() -> None:
    """Else what a name stands for has changed, and nothing is looked at any more."""
    used = {name for path in SOURCES for use in uses(path) for name in use.classes}
    assert used == {kind for kinds in OBJECTS.values() for kind in kinds}
    called = {use.names[-1] for path in SOURCES for use in uses(path) if use.call and use.classes}
    assert called | {"__init__"} == set(RETURNED)
