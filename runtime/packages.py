"""Which packages are installed, from their metadata and names alone: nothing is imported.

All ONNX Runtime distributions write the same folder `onnxruntime/`, so that the one installed last
wins and parts of the others stay behind. Two of them at once are therefore an error here.
"""

from __future__ import annotations

from importlib.util import find_spec

from stylert.runtime.errors import MissingExtra

__all__ = ["ONNXRUNTIME", "installed_version", "need", "onnxruntime_distribution"]

ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")


def installed_version(*distributions: str) -> str | None:
    """Version of the first of these distributions that is installed, None if none is."""
    import importlib.metadata  # takes longer to load than the rest of the runtime's own modules

    for distribution in distributions:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def onnxruntime_distribution() -> str | None:
    """Name of the ONNX Runtime distribution that is installed, None if none is.

    Raises:
        MissingExtra: more than one is installed.
    """
    found = [name for name in ONNXRUNTIME if installed_version(name)]
    if len(found) > 1:
        raise MissingExtra(
            f"ONNX Runtime: got {' and '.join(found)}, which overwrite each other, expected one. "
            f"Run: pip uninstall -y {' '.join(found)} && pip install {found[-1]}  "
            f"# or {found[0]}"
        )
    return found[0] if found else None


def need(*modules: str, extra: str) -> None:
    """Refuse to go on without the packages of an extra; nothing is imported.

    Args:
        modules: what `import` takes.
        extra: what pip takes: stylert[extra].

    Raises:
        MissingExtra: a package is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"{', '.join(missing)}: not installed. Install: pip install 'stylert[{extra}]'"
        )
