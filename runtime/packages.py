"""Which packages are installed, and the import of those that only some installations have.

What is installed is told from metadata and names alone. Only `import_extra` imports anything.

All ONNX Runtime distributions write the same folder `onnxruntime/`, so that the one installed last
wins and parts of the others stay behind. Two of them at once are therefore an error here.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import sys
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stylert.runtime.errors import MissingExtra

__all__ = ["OLDEST", "ONNXRUNTIME", "import_extra", "install_command", "installed_version"]
__all__ += ["keep_silent", "need", "onnxruntime_distribution", "openvino_distribution"]
__all__ += ["read_release", "tell_too_old"]

# As in pyproject.toml: the oldest that will do, of each major version from the first on. cuda-core
# before 1.2 does not load with all bindings. With older bindings Python crashes as it ends: they
# take the GIL for each call of the driver, and the last call of cuda-core comes after that.
OLDEST = {"cuda-bindings": ("12.9.3", "13.0.2"), "cuda-core": ("1.2",)}
ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
OPENVINO = ("openvino", "openvino-nightly")

# Packages without which another is imported: openvino (2026.4.1) would send an event to a web
# service as it is imported, asked by nobody. Where the package for that is missing, it sends none.
_WITHOUT = {"openvino": "openvino_telemetry"}


@cache  # to open a generator asks thirty times, and each time takes a third of a millisecond
def installed_version(*distributions: str) -> str | None:
    """Version of the first of these distributions that is installed, None if none is."""
    import importlib.metadata  # takes longer to load than the rest of the runtime's own modules

    for distribution in distributions:
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(distribution)
    return None


def tell_too_old(distribution: str, version: str) -> str:
    """The oldest version of a distribution that will do, if this one is older; else ''."""
    got = read_release(version)
    for oldest in reversed(OLDEST.get(distribution, ())):
        least = read_release(oldest)
        if got[0] >= least[0] or oldest == OLDEST[distribution][0]:
            return oldest if got < least else ""
    return ""


def read_release(version: str) -> tuple[int, ...]:
    """The numbers of a release, without zeros at its end; 'rc1' and the like are left out."""
    release = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(number) for number in release[0].split(".")] if release else [0]
    while len(numbers) > 1 and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def onnxruntime_distribution() -> str | None:
    """Name of the ONNX Runtime that is installed, None if none is; `MissingExtra` of several."""
    return _find_one("ONNX Runtime", ONNXRUNTIME)


def openvino_distribution() -> str | None:
    """Name of the OpenVINO that is installed, None if none is; `MissingExtra` of several."""
    return _find_one("OpenVINO", OPENVINO)


def _find_one(library: str, distributions: tuple[str, ...]) -> str | None:
    """The one of several distributions of a library that is installed, None if none is."""
    found = [name for name in distributions if installed_version(name)]
    if len(found) > 1:
        last = found[-1]
        wanted = "'onnxruntime-gpu[cuda,cudnn]'" if last == "onnxruntime-gpu" else last
        raise MissingExtra(
            f"{library}: got {' and '.join(found)}, which overwrite each other, expected one. "
            f"Run: pip uninstall -y {' '.join(found)} && pip install {wanted}  # or {found[0]}"
        )
    return found[0] if found else None


def install_command(extra: str) -> str:
    """What to type to add an extra, such as `pip install '/home/me/stylert[cpu]'`.

    StyleRT is on no public index, and its name there could be anybody's. So the command names what
    this StyleRT was installed from (PEP 610), or the clone that it runs from.
    """
    source = _installed_from() or _clone()
    if source is None:
        return f"pip install '.[{extra}]' in a clone of StyleRT"
    editable, place = source
    name = f"stylert[{extra}] @ {place}" if "://" in place else f"{place}[{extra}]"
    return f"pip install {'-e ' if editable else ''}{shlex.quote(name)}"


def _installed_from() -> tuple[bool, str] | None:
    """Whether it is editable, and the folder, wheel or address; None if it is not there now."""
    import importlib.metadata
    from urllib.parse import unquote, urlsplit
    from urllib.request import url2pathname  # with all of HTTP, which no other start needs

    try:
        text = importlib.metadata.distribution("stylert").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    if not text:
        return None
    origin: dict[str, Any] = json.loads(text)
    if vcs := origin.get("vcs_info"):
        return False, f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    url = urlsplit(origin["url"])
    if url.scheme != "file":
        return False, origin["url"]
    path = Path(url2pathname(unquote(url.path)))
    return (bool(origin.get("dir_info", {}).get("editable")), str(path)) if path.exists() else None


def _clone() -> tuple[bool, str] | None:
    folder = Path(__file__).resolve().parents[1]
    return (False, str(folder)) if (folder / "pyproject.toml").is_file() else None


def need(*modules: str, extra: str) -> None:
    """Refuse to go on without the packages of an extra; nothing is imported.

    Args:
        modules: what `import` takes.
        extra: its name in pyproject.toml.

    Raises:
        MissingExtra: a package is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtra(
            f"{', '.join(missing)}: not installed. Install: {install_command(extra)}"
        )


def keep_silent() -> None:
    """Have ONNX Runtime send nothing to anyone, if it is imported later and nobody said otherwise.

    Its wheels (1.31.1 and 1.32.0 for Linux) would write an identifier of the machine into the
    cache folder as they are imported, and send events to a web service.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def import_extra(module: str, distribution: str, *, extra: str) -> Any:
    """Import a module of a package that only some installations have.

    Args:
        module: its dotted name.
        distribution: the name that pip has for the package.
        extra: that brings it.

    Raises:
        MissingExtra: the package is not installed, is too old, or does not load; the message says
            which, and has the command that mends it.
    """
    version = installed_version(distribution)
    if version is not None and (oldest := tell_too_old(distribution, version)):
        raise MissingExtra(
            f"{distribution} is too old: got {version}, expected >= {oldest}. "
            f"Install: {install_command(extra)}"
        )
    keep_silent()
    try:
        return _import_without(module, _WITHOUT.get(module))
    except Exception as error:  # libraries that do not load: OSError, RuntimeError, ...
        if isinstance(interrupt := error.__cause__ or error.__context__, KeyboardInterrupt):
            raise interrupt from None  # a module in C tells Ctrl-C as a failure of its own
        if _is_absent(module, error):
            raise MissingExtra(
                f"{distribution} is not installed. Install: {install_command(extra)}"
            ) from None
        raise MissingExtra(
            f"{distribution} {version or ''}".rstrip() + f" does not load: {_first_line(error)}. "
            f"Install it anew: pip install --upgrade --force-reinstall {distribution}"
        ) from error


def _import_without(module: str, other: str | None) -> Any:
    """Import a module as if another one, which nobody has imported yet, were not installed."""
    if other is None or {module, other} & sys.modules.keys():
        return importlib.import_module(module)
    sys.modules[other] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(module)
    finally:
        del sys.modules[other]


def _is_absent(module: str, error: Exception) -> bool:
    """Whether it is the module itself that was not found, and not one that it imports."""
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")


def _first_line(error: Exception) -> str:
    """What went wrong, in at most 200 characters."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(" .")[:200]
