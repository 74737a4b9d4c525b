"""Modules of the tests that are no tests: with --import-mode=importlib they are on no path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["load_file"]


def load_file(file: Path, name: str | None = None) -> ModuleType:
    """Load a file of the tests as a module of a name, None = that of the file."""
    name = file.stem if name is None else name
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # for its dataclasses and pickles, and for what imports it
    spec.loader.exec_module(module)
    return module
