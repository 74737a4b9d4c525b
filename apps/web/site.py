"""The folder of a site: the page of `stylert serve`, and a generator that a browser runs."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.serving.components import list_components
from stylert.apps.serving.generator_facts import PAGE, tell_generator
from stylert.apps.web.numbers import MOST_CLASSES, find_numbers, join_numbers, join_weights
from stylert.apps.web.packed_graphs import pack_graph
from stylert.apps.web.runtime_files import COMPRESSED, Runtime
from stylert.runtime import Generator, GeneratorSpec
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import check_folder, publish_folder

__all__ = ["Site", "write_site"]

OWN = Path(__file__).parent
PICTURES = (1, 3, 4)  # channels of a PNG
MARKS = ("offline.js", "bundle/info.json")  # what each site has
_SCRIPT = '    <script type="module" src="page/page.js"></script>\n'
_GPU_BUILDS = (("webgpu", "asyncify"), ("jspi",))  # in the names of what graphics cards need
# Bytes of memory of a page without a generator, of each byte of its files and its unpacked weights,
# and of each pixel of a picture: what docs/results measured, as a line.
_EMPTY, _BY_BYTE, _BY_PIXEL = 300e6, 2.05, 700
_LIMITS = {"max_images": 24, "max_side": 8192, "max_frames": 1800}

# The same as the service's header; a host that sends no headers has it all the same.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval' blob:",
        "worker-src 'self' blob:",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
)


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        path: the folder.
        first_visit: bytes that a first visitor loads, compressed as web hosts do it.
        graphics: bytes more for one with a graphics card, of the larger of two builds.
        notes: what the site cannot do that the service can, as sentences.
    """

    path: Path
    first_visit: int
    graphics: int
    notes: tuple[str, ...]


def write_site(
    bundle: str | Path, out: str | Path, runtime: Runtime, *, force: bool = False
) -> Site:
    """Write the site of a bundle: all of it, or nothing.

    Args:
        bundle: the directory that `stylert export` wrote.
        out: the folder to write.
        runtime: the files of onnxruntime-web, of `find_runtime`.
        force: replace a site that is already there.

    Raises:
        InvalidInput: `out` is there, and no site or `force` is not given; or the pictures have
            channels that browsers cannot show.
        BundleError: there is no bundle, it is damaged, or its graph is too large for a browser.
        MissingExtra: the package onnx is not installed.
        OSError: the disk is full, or the folder cannot be written.
    """
    check_folder(Path(out), force=force, kind="site", files=MARKS)
    with Generator.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        _check_channels(generator)
        files, notes = _make_files(generator)
    files |= {f"runtime/{name}": data for name, data in runtime.items()}
    files["offline.js"] = _make_offline(files)
    with publish_folder(out) as folder:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    sizes = {name: _compressed(name, data) for name, data in files.items()}
    first_visit = sum(size for name, size in sizes.items() if not _is_for_gpu(name))
    builds = [[size for name, size in sizes.items() if _has(name, b)] for b in _GPU_BUILDS]
    return Site(Path(out), first_visit, max(map(sum, builds)), tuple(notes))


def _compressed(name: str, data: bytes) -> int:
    """Bytes of a file as web hosts send it."""
    return COMPRESSED.get(name.removeprefix("runtime/")) or len(gzip.compress(data, 6))


def _check_channels(generator: Generator) -> None:
    channels = generator.spec.img_channels
    if channels not in PICTURES:
        raise InvalidInput(
            f"{generator.bundle.path}: its pictures have {channels} channels, expected 1, 3 or 4: "
            "browsers show grey and coloured pictures. Draw with: stylert generate"
        )


def _make_files(generator: Generator) -> tuple[dict[str, bytes], list[str]]:
    """The page and the bundle's part of it, and what they lack."""
    notes = []
    components = len(list_components(generator.spec))
    if generator.spec.c_dim > MOST_CLASSES:
        components = 0
        notes.append(
            f"No principal components: of {generator.spec.c_dim} classes they would take too much "
            f"room, up to {MOST_CLASSES} have them."
        )
    numbers, table = join_numbers(find_numbers(generator, components))
    synthesis = pack_graph(generator.bundle.file("synthesis"))
    weights, weight_table = join_weights(synthesis.weights)
    data = {
        "arrays.bin": numbers,
        "mapping.onnx": generator.bundle.file("mapping").read_bytes(),
        "synthesis.onnx": synthesis.model,
        "weights.bin": weights,
    }
    info = _tell_info(generator, components)
    info |= {"arrays": table, "weights": weight_table, "files": _list_files(data)}
    info["memory"] = _estimate_memory(data, synthesis.weights, generator.spec)
    data["info.json"] = json.dumps(info, separators=(",", ":")).encode()
    files = {f"bundle/{name}": content for name, content in data.items()}
    for folder in (PAGE, OWN / "page"):  # of two with one name, the site's own
        files |= {f"page/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
    files["index.html"] = _make_index(files.pop("page/index.html"))
    return files, notes


def _tell_info(generator: Generator, components: int) -> dict[str, Any]:
    """What the page knows of the generator: the answer of the service's /info, and more."""
    inputs, space = generator.bundle.noise_inputs, generator.inputs.style_space
    return tell_generator(generator) | {
        "styles": 0 if space is None else space.size,
        "limits": _LIMITS,
        "components": list_components(generator.spec)[:components],
        "noise": {t.name: list(t.shape[2:]) for t in inputs},
        "direction_sets": {
            s.name: [int(layer) for layer in s.layers] for s in generator.bundle.read_directions()
        },
    }


def _estimate_memory(
    files: dict[str, bytes], weights: Sequence[tuple[np.ndarray, np.ndarray]], spec: GeneratorSpec
) -> int:
    """Bytes that the page takes at most, from what some networks took (docs/results)."""
    numbers = 4 * sum(int(integers.size) for integers, _ in weights)
    graphs = sum(len(content) for content in files.values()) + numbers
    return round(_EMPTY + _BY_BYTE * graphs + _BY_PIXEL * spec.img_height * spec.img_width)


def _list_files(data: dict[str, bytes]) -> dict[str, Any]:
    """Size and SHA-256 of files, by name."""
    return {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in data.items()
    }


def _make_index(page: bytes) -> bytes:
    """The service's page, with a policy of its own, and words for those who open it as a file."""
    lines = (
        f'    <meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '    <script src="page/opened.js" defer></script>\n'
    )
    text = page.decode()
    assert _SCRIPT in text  # else the page would be without
    return text.replace(_SCRIPT, lines + _SCRIPT).encode()


def _make_offline(files: dict[str, bytes]) -> bytes:
    """The script that keeps the site in the browser, with the names of what it keeps."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    kept = ["./", *(name for name in files if name != "index.html" and not _is_for_gpu(name))]
    site = {"version": digest.hexdigest()[:16], "files": kept}
    return f"const SITE = {json.dumps(site)};\n\n".encode() + (OWN / "offline.js").read_bytes()


def _is_for_gpu(name: str) -> bool:
    return any(_has(name, build) for build in _GPU_BUILDS)


def _has(name: str, words: tuple[str, ...]) -> bool:
    """Whether a file is of the runtime, and has one of these words in its name."""
    return name.startswith("runtime/") and any(word in name for word in words)
