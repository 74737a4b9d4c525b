"""What the real bindings of TensorRT have: classes, members, signatures, values of enumerations.

The bindings of TensorRT come from PyPI without the libraries that they bind. Empty libraries of the
same names make them importable, which is enough to see all that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

BINDINGS = {
    "10.12": "tensorrt_cu12_bindings==10.12.0.36",  # the floor in pyproject.toml
    "11.4": "tensorrt_cu13_bindings==11.4.0.106",  # the newest
}

_STUBS = """
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
_DUMP = """
import importlib, inspect, json, sys
trt = importlib.import_module(sys.argv[1])
def describe(kind, name):
    value = getattr(kind, name)
    of_class = inspect.getattr_static(kind, name)
    return {
        "doc": str(value.__doc__),
        "property": isinstance(of_class, property),
        "settable": not isinstance(of_class, property) or of_class.fset is not None,
        "value": int(value) if hasattr(kind, "__members__") and name in kind.__members__ else None,
    }
members = lambda kind: {name: describe(kind, name) for name in dir(kind)}
surface = {n: members(v) if isinstance(v, type) else {} for n, v in vars(trt).items()}
surface |= {f"{n}.Severity": members(v.Severity) for n, v in vars(trt).items() if n == "ILogger"}
print(json.dumps({"__version__": trt.__version__, "surface": surface}))
"""
_SIGNATURE = re.compile(r"^(?:\d+\. )?\w+\((self: .*)\) -> (.+)$", re.MULTILINE)
_QUALIFIED = re.compile(r"\b(?:\w+(?:\.|::))+(?=\w)")
_SAME = {"List": "list", "IParserError": "ParserError"}


class Signature(NamedTuple):
    """One overload of a method."""

    parameters: tuple[str, ...]  # without self
    required: int  # the first of them
    returns: str  # without modules: 'list[str]', 'IExecutionContext'

    def takes(self, positional: int, keywords: Sequence[str]) -> bool:
        """Whether it can be called with so many arguments, and these by name."""
        given = {*self.parameters[:positional], *keywords}
        return (
            positional <= len(self.parameters)
            and set(keywords) <= set(self.parameters[positional:])
            and set(self.parameters[: self.required]) <= given
        )


class Member(NamedTuple):
    """A member of a class."""

    doc: str
    property: bool
    settable: bool
    value: int | None  # of an enumeration's

    @property
    def signatures(self) -> list[Signature]:
        """All overloads; none where the docstring has no signature."""
        return [_parse(*found) for found in _SIGNATURE.findall(self.doc)]


Surface = Mapping[str, Mapping[str, Member]]  # members by class; a function has none


def find_surface(spec: str, folder: Path) -> Surface:
    """What a package has, which is fetched into the folder once."""
    file = folder / f"{spec}.surface.json"
    if not file.exists():
        folder.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        _run([*pip, "--target", str(folder / "site"), spec])
        (folder / "stubs.c").write_text(_STUBS)
        major = spec.partition("==")[2].partition(".")[0]
        for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
            library = f"lib{name}.so.{major}"
            flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{library}"]
            _run(["cc", *flags, "-o", str(folder / library), str(folder / "stubs.c")])
        paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder / "site")}
        dump = _dump("tensorrt_bindings", paths)
        assert json.loads(dump)["__version__"] == spec.partition("==")[2]
        file.write_text(dump)
    return _read(file.read_text())


def dump_surface(module: str) -> Surface:
    """What an installed module has."""
    return _read(_dump(module, {}))


def _dump(module: str, paths: Mapping[str, str]) -> str:
    return _run([sys.executable, "-c", _DUMP, module], os.environ | paths)


def _read(dump: str) -> Surface:
    surface = json.loads(dump)["surface"]
    return {
        kind: {name: Member(**member) for name, member in members.items()}
        for kind, members in surface.items()
    }


def _parse(arguments: str, returns: str) -> Signature:
    # No default of a parameter has a comma that is not in brackets.
    parts = re.split(r", (?=\w+: )", arguments)[1:]
    required = sum(" = " not in part for part in parts)
    kept = _QUALIFIED.sub("", returns)
    for word, same in _SAME.items():
        kept = re.sub(rf"\b{word}\b", same, kept)
    return Signature(tuple(part.partition(":")[0] for part in parts), required, kept)


def _run(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, f"{' '.join(command)}: {run.stderr[-2000:]}"
    return run.stdout
