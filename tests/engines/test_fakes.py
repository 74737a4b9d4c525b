"""The fakes of TensorRT are as its real bindings: names, arguments, results, values."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorrt_rtx

RUNTIME = Path("..", "runtime", "backends", "fake_tensorrt.py").as_posix()
BUILDER = "fake_tensorrt.py"
CLASSES = {  # what each fake stands for
    RUNTIME: {
        "Runtime": "Runtime",
        "Engine": "ICudaEngine",
        "Context": "IExecutionContext",
        "RuntimeConfig": "IRuntimeConfig",
        "RuntimeCache": "IRuntimeCache",
        "Refitter": "Refitter",
        "OnnxParserRefitter": "OnnxParserRefitter",
        "ParserError": "ParserError",
    },
    BUILDER: {
        "FakeBuilder": "Builder",
        "FakeConfig": "IBuilderConfig",
        "FakeTimingCache": "ITimingCache",
    },
}
PAIRS = [(file, *pair) for file, pairs in CLASSES.items() for pair in pairs.items()]
OURS = {"find_limits"}  # of a fake alone
RTX_ONLY = {"IRuntimeCache", "create_runtime_cache", "set_runtime_cache"}
MADE = {"Runtime", "Refitter", "OnnxParserRefitter"}  # by our code, and not by another object
ENUMERATIONS = {
    "DataType": "DataType",
    "Severity": "ILogger.Severity",
    "TensorIOMode": "TensorIOMode",
    "ExecutionContextAllocationStrategy": "ExecutionContextAllocationStrategy",
    "CudaGraphStrategy": "CudaGraphStrategy",
    "DynamicShapesKernelSpecializationStrategy": "DynamicShapesKernelSpecializationStrategy",
}


@pytest.fixture(scope="module")
def fakes(load_module: Callable[[str], ModuleType]) -> dict[str, ModuleType]:
    return {file: load_module(file) for file in CLASSES}


@pytest.mark.parametrize(("file", "fake", "real"), PAIRS, ids=lambda value: Path(value).stem)
def test_methods_are_those_of_the_bindings(
    fakes: dict[str, ModuleType], surfaces: dict[str, Any], file: str, fake: str, real: str
) -> None:
    names = {name: kind for pairs in CLASSES.values() for name, kind in pairs.items()}
    kind = getattr(fakes[file], fake)
    methods = {
        name: method
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if name not in OURS and (not name.startswith("_") or (name == "__init__" and real in MADE))
    }
    assert methods
    for version, surface in surfaces.items():
        for name, method in methods.items():
            if version != "rtx" and RTX_ONLY & {name, real}:
                continue
            signatures = surface[real][name].signatures
            taken = tuple(inspect.signature(method).parameters)[1:]
            assert [s for s in signatures if s.parameters == taken], (version, name, signatures)
            gives = method.__annotations__["return"].removesuffix(" | None")
            gives = re.sub(r"\w+", lambda word: names.get(word[0], word[0]), gives)
            gives = gives.replace("memoryview", "IHostMemory").removeprefix("tensorrt_rtx.")
            assert {s.returns for s in signatures} == {gives}, (version, name)


@pytest.mark.parametrize(("fake", "real"), ENUMERATIONS.items())
def test_enumerations_have_the_values_of_the_bindings(
    fakes: dict[str, ModuleType], surfaces: dict[str, Any], fake: str, real: str
) -> None:
    values = getattr(fakes[RUNTIME], fake).__members__
    assert isinstance(getattr(fakes[RUNTIME], fake), enum.EnumMeta)
    assert real in surfaces["rtx"]
    for surface in surfaces.values():
        if real in surface:  # two are only TensorRT-RTX's
            found = {name: surface[real][name].value for name in values}
            assert found == {name: int(value) for name, value in values.items()}


def test_types_become_those_of_numpy(fakes: dict[str, ModuleType]) -> None:
    fake = fakes[RUNTIME]
    for name in ("FLOAT", "HALF", "UINT8"):
        real = tensorrt_rtx.nptype(getattr(tensorrt_rtx.DataType, name))
        assert np.dtype(fake.nptype(fake.DataType[name])) == np.dtype(real)
    with pytest.raises(TypeError, match="Could not resolve"):
        tensorrt_rtx.nptype(tensorrt_rtx.DataType.BF16)
    with pytest.raises(TypeError, match="Could not resolve"):
        fake.nptype("BF16")


def test_sizes_are_a_sequence_that_is_no_list(fakes: dict[str, ModuleType]) -> None:
    for sizes in (fakes[RUNTIME].Dims((2, 3)), tensorrt_rtx.Dims((2, 3))):
        assert (tuple(sizes), len(sizes), sizes[1]) == ((2, 3), 2, 3)
        assert not isinstance(sizes, (list, tuple))
