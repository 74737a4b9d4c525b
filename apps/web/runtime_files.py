"""The files of onnxruntime-web that a site needs: from an unpacked npm package, or from npm.

They are programs that run in the browsers of others. So one version is taken, and only the very
files that were tried with it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stylert.runtime.errors import InvalidInput, StylertError

__all__ = ["COMPRESSED", "PACKAGE", "VERSION", "Runtime", "find_runtime"]

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
NPM = "npm"  # instead of a folder

# SHA-256 of the files in the folder `dist`: for processors, and for graphics cards in two builds,
# of which newer browsers take the second, which is smaller and faster.
_FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": (
        "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": (
        "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28"
    ),
    "ort-wasm-simd-threaded.asyncify.wasm": (
        "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
    ),
    "ort.jspi.min.mjs": "bc57179d923fda2d88d4a395359c8df44399dde087bf9ff44fc0e40ab398e4d9",
    "ort-wasm-simd-threaded.jspi.mjs": (
        "270e2c6da9f297239d301d329782b6446641cb1e16a77967690adcfca35f3268"
    ),
    "ort-wasm-simd-threaded.jspi.wasm": (
        "a54c76f86b0f0d9572380cf1c6292a7b3903716ffcbcd6b0e5c7050bf430eb93"
    ),
}
# Bytes of the same, compressed by gzip as web hosts do it.
COMPRESSED = {
    "ort.wasm.min.mjs": 16_161,
    "ort-wasm-simd-threaded.mjs": 9_075,
    "ort-wasm-simd-threaded.wasm": 3_668_761,
    "ort.webgpu.min.mjs": 20_620,
    "ort-wasm-simd-threaded.asyncify.mjs": 19_322,
    "ort-wasm-simd-threaded.asyncify.wasm": 6_661_138,
    "ort.jspi.min.mjs": 20_661,
    "ort-wasm-simd-threaded.jspi.mjs": 18_504,
    "ort-wasm-simd-threaded.jspi.wasm": 4_131_501,
}
_SECONDS = 300  # that npm may take

Runtime = Mapping[str, bytes]  # the files by name


def find_runtime(source: str | None) -> Runtime:
    """The files of onnxruntime-web.

    Args:
        source: the folder of the unpacked package, or 'npm': npm fetches it.

    Raises:
        InvalidInput: no source, no such folder, or another version.
        StylertError: npm is not installed, or cannot fetch the package.
    """
    if source is None:
        raise InvalidInput(
            f"--runtime: got none, expected where {PACKAGE} {VERSION} is. If npm is installed, "
            f"pass --runtime npm; else unpack what 'npm pack {PACKAGE}@{VERSION}' gives, and pass "
            "that folder."
        )
    if source == NPM:
        with tempfile.TemporaryDirectory() as folder:
            return _read_packed(_pack(Path(folder)))
    return _read_folder(Path(source))


def _read_folder(folder: Path) -> Runtime:
    """The files in the folder of a package, or in its `dist`."""
    dist = next((f for f in (folder / "dist", folder) if (f / next(iter(_FILES))).is_file()), None)
    if dist is None:
        raise InvalidInput(
            f"--runtime: {folder} has no dist/{next(iter(_FILES))}, expected the folder of "
            f"{PACKAGE} {VERSION}, as 'npm pack {PACKAGE}@{VERSION}' gives it, unpacked."
        )
    return _check({name: _read(dist / name) for name in _FILES})


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"--runtime: {path} is missing: the package is not complete.") from None


def _read_packed(path: Path) -> Runtime:
    """The files in a package as npm packs it; nothing of it is written anywhere."""
    found = {}
    with tarfile.open(path) as packed:
        for name in _FILES:
            try:
                file = packed.extractfile(f"package/dist/{name}")
            except KeyError:
                file = None
            if file is None:
                raise StylertError(f"npm: {path.name} has no dist/{name}. Try again later.")
            found[name] = file.read()
    return _check(found)


def _pack(folder: Path) -> Path:
    """Have npm fetch the package into a folder, packed."""
    npm = shutil.which(NPM)
    if npm is None:
        raise StylertError(
            "--runtime npm: npm is not installed. Install Node.js (https://nodejs.org), or pass "
            f"the folder of {PACKAGE} {VERSION}."
        )
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise StylertError(f"npm gave no {PACKAGE} in {_SECONDS} seconds. Try again.") from None
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        reason = lines[0] if lines else f"exit code {error.returncode}"
        raise StylertError(f"npm cannot fetch {PACKAGE} {VERSION}: {reason}") from None
    return next(folder.glob("*.tgz"))


def _check(files: Runtime) -> Runtime:
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != _FILES[name]:
            raise InvalidInput(
                f"--runtime: {name} is not that of {PACKAGE} {VERSION}, which this StyleRT was "
                f"tried with. Get it: npm pack {PACKAGE}@{VERSION}"
            )
    return files
