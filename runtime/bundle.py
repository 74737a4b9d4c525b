"""The bundle: the directory that `export` writes and the runtime opens. The contract of the house.

manifest.json         what the generator is, what is in the other files, and their SHA-256
mapping.onnx          z [N,z_dim], c [N,c_dim] (conditional only), truncation_psi [N,num_ws]
                      -> ws [N,num_ws,w_dim], all float32
synthesis.onnx        ws [N,num_ws,w_dim], noise_* [M,1,h,w] (M = 1 or N), normal, or one noise
                      [M,1,H,W] for all layers, uniform in [0,1); all float32
                      -> img [N,C,H,W] float32 in [-1,1] (nominal), image [N,H,W,C] uint8
synthesis.gpu.onnx    synthesis.onnx in another shape, where GPUs need one (StyleGAN3)
gradient.onnx         how to fit pictures: see `stylert.export.adjoint.gradient`; optional
encoder.onnx          photo [N,3,h,w] float32 -> ws; ReStyle's takes img and codes, too; optional
noise.npz             the checkpoint's own noise, one [1,1,h,w] float32 array per noise input
directions.npz        directions in w, see `stylert.runtime.files.directions`
style_space.npz       see `stylert.runtime.control.style_space`; optional, as is the input
                      style_offset [1 or N,S] float32 of the synthesis graphs that goes with it
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from stylert.runtime.errors import BundleError
from stylert.runtime.files.arrays import READING, Header, read_headers
from stylert.runtime.files.class_names import check_class_names
from stylert.runtime.files.directions import DirectionSet, name_directions, read_direction_sets
from stylert.runtime.files.listed import Stamp, check_name, find_file, hash_file
from stylert.runtime.files.listed import check_files as check_listed_files
from stylert.runtime.files.manifest import (
    MANIFEST,
    SCHEMA,
    check_place,
    check_text,
    read_manifest,
    sealed,
)
from stylert.runtime.files.publishing import check_folder
from stylert.runtime.labels import Classes

# Keys of graphs that a bundle may have.
__all__ = ["ENCODER", "GPU", "GRADIENT", "HALF", "HALF_ENCODER", "INT8"]
__all__ += ["ENGINES", "MANIFEST", "SCHEMA", "Bundle", "GeneratorSpec", "GraphSpec", "TensorSpec"]
__all__ += ["check_target", "graph_key", "hash_file", "is_noise", "sealed"]

ENCODER: Final = "encoder"  # the graph that makes the styles of a photo
HALF_ENCODER = f"{ENCODER}.fp16"  # the same in mixed half precision
ENGINES = "engines"  # the folder of those that were built
GPU = "synthesis.gpu"  # the synthesis graph in fewer, larger nodes
GRADIENT = "gradient"  # the adjoint of the synthesis graph
HALF = "synthesis.fp16"  # the synthesis graph in mixed half precision
INT8 = "synthesis.int8"  # the same with convolutions in 8 bits
_LOWER = {"fp16": HALF, "int8": INT8}  # by precision; a bundle may have them
_OTHERS = {*_LOWER.values(), ENCODER, HALF_ENCODER, GPU, GRADIENT}  # that it may have, too

# More is no network, and would cost memory before anything else is wrong with it.
MAX_SIZE = 2**16  # of a dimension: pixels, classes, ...
MAX_DIRECTIONS = 4096


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype ('float32', 'uint8') and shape of a graph's input or output."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]  # a string names a dimension that may vary


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX file of a bundle."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class GeneratorSpec:
    """What an application needs to know of a generator to feed it."""

    z_dim: int
    c_dim: int  # 0 = unconditional
    w_dim: int
    num_ws: int
    img_channels: int
    img_height: int
    img_width: int
    truncation_psi: float  # the default of this family
    truncation_cutoff: int | None


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Bundle:
    """An opened bundle: its manifest, checked, and its files.

    Attributes:
        path: its folder, as it was given.
        folder: the same from the root on: its files are found wherever the process goes later.
    """

    path: Path
    family: str
    spec: GeneratorSpec
    graphs: Mapping[str, GraphSpec]  # 'mapping', 'synthesis', and those of the others it has
    w_avg: np.ndarray  # [w_dim] float32, or [classes, w_dim] where each class has its own
    classes: Classes  # how many there are, and their names where they are known
    manifest: Mapping[str, Any]
    folder: Path = field(init=False)
    _stamps: dict[str, Stamp] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", self.path.absolute())

    @classmethod
    def open(cls, path: str | Path, *, check_files: bool = True) -> Bundle:
        """Read a bundle's manifest and, by default, compare the SHA-256 of all its files.

        That no file of it is a link to elsewhere, and no graph reads another file, is checked
        always.

        Raises:
            BundleError: not a bundle, incomplete, changed since its export, reaching out of its
                folder, or of another schema.
            InvalidInput: its path is no UTF-8.
        """
        path = Path(path)
        manifest = read_manifest(path)
        if check_files and manifest.get("sha256") != sealed(manifest)["sha256"]:
            raise BundleError(
                f"Bundle {path}: {MANIFEST} was changed since the export. "
                "Copy the bundle again, or export the checkpoint again."
            )
        try:
            spec = _spec(manifest["generator"])
            w_avg = _w_avg(manifest["w_avg"], spec)
            bundle = cls(
                path=path,
                family=check_text(manifest["family"]),
                spec=spec,
                graphs={
                    name: _graph(manifest["graphs"][name], spec)
                    for name in ("mapping", "synthesis", *(_OTHERS & manifest["graphs"].keys()))
                },
                w_avg=w_avg,
                classes=_classes(manifest.get("classes", []), spec, apart=w_avg.ndim == 2),
                manifest=manifest,
            )
            files = {check_name(name): dict(entry) for name, entry in manifest["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(
                f"Bundle {path}: {MANIFEST} is damaged ({type(error).__name__}: {error}). "
                "Export the checkpoint again."
            ) from None
        for graph in bundle.graphs.values():
            if graph.file not in files:
                raise BundleError(f"Bundle {path}: {MANIFEST} has no checksum of {graph.file!r}.")
        bundle._stamps.update(check_listed_files(path, files, check_hash=check_files))
        return bundle

    def __reduce__(self) -> tuple[Any, ...]:
        return Bundle.open, (self.folder,)  # a copy is opened anew: its files are checked there

    def file(self, graph: str) -> Path:
        """Path of a graph's ONNX file, if that is still the one that was opened; `BundleError`."""
        return self._find(self.graphs[graph].file)

    def _find(self, name: str) -> Path:
        return find_file(self.folder, name, self.manifest["files"], self._stamps)

    def graph_sha256(self, graph: str) -> str:
        """SHA-256 of a graph, from the manifest; of both hashes if its weights lie beside it."""
        files = self.manifest["files"]
        name = self.graphs[graph].file
        beside = files.get(f"{name}.data")
        if beside is None:
            return str(files[name]["sha256"])
        return hashlib.sha256((files[name]["sha256"] + beside["sha256"]).encode()).hexdigest()

    @property
    def precisions(self) -> tuple[str, ...]:
        """What the synthesis graph is there in: 'fp32', 'fp16' and 'int8' if they were exported."""
        return ("fp32", *(name for name, graph in _LOWER.items() if graph in self.graphs))

    @property
    def noise_inputs(self) -> tuple[TensorSpec, ...]:
        """The noise inputs of the synthesis graph, in the order of the layers."""
        return tuple(t for t in self.graphs["synthesis"].inputs if is_noise(t.name))

    def read_noise(self) -> dict[str, np.ndarray]:
        """The checkpoint's own noise: [1, 1, h, w] float32 by input name."""
        float32 = np.dtype(np.float32)
        expected: dict[str, Any] = {t.name: (1, *t.shape[1:]) for t in self.noise_inputs}
        if not expected:
            return {}
        most = sum(4 * math.prod(shape) + 1024 for shape in expected.values())
        with self.arrays("noise.npz", most) as (headers, arrays):
            for name, shape in expected.items():
                if name not in headers:
                    raise ValueError(f"it has no {name}")
                if headers[name] != (shape, float32):
                    raise BundleError(
                        f"Bundle {self.path}: noise.npz has {name} as {headers[name][1]} "
                        f"{headers[name][0]}, expected float32 {shape}."
                    )
            return {name: arrays[name] for name in expected}

    def read_directions(self) -> tuple[DirectionSet, ...]:
        """Directions in w for editing; none in a bundle that was exported without them."""
        if "directions.npz" not in self.manifest["files"]:
            return ()
        most = MAX_DIRECTIONS * (4 * self.spec.w_dim + 1024)
        with self.arrays("directions.npz", most) as (_, arrays):
            return read_direction_sets(arrays, num_ws=self.spec.num_ws, w_dim=self.spec.w_dim)

    @cached_property
    def directions(self) -> Mapping[str, np.ndarray]:
        """Directions in w by name: [num_ws, w_dim] float32, read-only, zero in other layers."""
        named = name_directions(self.read_directions(), num_ws=self.spec.num_ws)
        return MappingProxyType(named)

    @contextmanager
    def arrays(
        self, name: str, most: int
    ) -> Iterator[tuple[Mapping[str, Header], Mapping[str, np.ndarray]]]:
        """Headers and arrays of a file of `most` bytes; whatever is wrong is a `BundleError`."""
        try:
            if name not in self.manifest["files"]:
                raise ValueError(f"{MANIFEST} does not list it")
            with READING, self._find(name).open("rb") as file:
                headers = read_headers(file, most=most)
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    yield headers, arrays
        except BundleError:
            raise
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise BundleError(
                f"Bundle {self.path}: cannot read {name} ({' '.join(str(error).split())}). "
                "Export the checkpoint again."
            ) from None


def check_target(out: Path, *, force: bool) -> None:
    """Refuse a place for a bundle that must not be replaced, before any work is done.

    Raises:
        InvalidInput: it exists, and is no bundle or `force` is not given, or it holds the current
            folder, or its path is no UTF-8.
    """
    check_place(out)
    # Other programs have a manifest.json, too: a folder with that alone is not ours to replace.
    check_folder(out, force=force, kind="bundle", files=(MANIFEST, "mapping.onnx"))


def is_noise(name: str) -> bool:
    """Whether an input of the synthesis graph is noise: 'noise_b8_conv0', or the map 'noise'."""
    return name.startswith("noise")


def graph_key(graph: str, precision: str) -> str:
    """Key of a graph in the manifest: 'mapping', 'synthesis', 'synthesis.fp16' or '.int8'."""
    return _LOWER.get(precision, graph) if graph == "synthesis" else graph


def _spec(data: Mapping[str, Any]) -> GeneratorSpec:
    spec = GeneratorSpec(**data)
    psi, cutoff = spec.truncation_psi, spec.truncation_cutoff
    valid = {name: _is_whole(value, 1) for name, value in vars(spec).items()}
    valid["c_dim"] = _is_whole(spec.c_dim, 0)
    valid["truncation_psi"] = type(psi) in (int, float) and math.isfinite(psi)
    valid["truncation_cutoff"] = cutoff is None or _is_whole(cutoff, 0)
    wrong = [name for name, is_valid in valid.items() if not is_valid]
    if wrong:
        raise ValueError(f"generator.{wrong[0]} is {getattr(spec, wrong[0])!r:.40}")
    return spec


def _graph(data: Mapping[str, Any], spec: GeneratorSpec) -> GraphSpec:
    def tensors(entries: list[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(check_text(t["name"]), check_text(t["dtype"]), tuple(t["shape"]))
            for t in entries
        )

    file = check_name(data["file"], ending=".onnx")
    graph = GraphSpec(file, tensors(data["inputs"]), tensors(data["outputs"]))
    image = (spec.img_height, spec.img_width)
    fixed = {  # the dimensions behind the first, which is the batch
        "z": (spec.z_dim,),
        "c": (spec.c_dim,),
        "truncation_psi": (spec.num_ws,),
        "ws": (spec.num_ws, spec.w_dim),
        "transform": (3, 3),
        "img": (spec.img_channels, *image),
        "image": (*image, spec.img_channels),
    }
    for t in (*graph.inputs, *graph.outputs):
        if is_noise(t.name):
            valid = len(t.shape) == 4 and all(map(_is_whole, t.shape[1:], (1, 1, 1), (1, *image)))
        else:
            valid = t.shape[1:] == fixed.get(t.name, t.shape[1:])
        if not valid:
            raise ValueError(f"{t.name} has the shape {t.shape!r:.80}")
    return graph


def _w_avg(data: Any, spec: GeneratorSpec) -> np.ndarray:
    with np.errstate(over="ignore"):
        w_avg = np.array(data, dtype=np.float32)
    shapes = ((spec.w_dim,), (spec.c_dim, spec.w_dim))
    if w_avg.shape not in shapes or not np.isfinite(w_avg).all():
        raise ValueError(f"w_avg is not {spec.w_dim} finite numbers, or as many for each class")
    return w_avg


def _classes(names: Any, spec: GeneratorSpec, *, apart: bool) -> Classes:
    if not isinstance(names, list):
        raise TypeError(f"classes is {names!r:.40}, expected a list")
    classes = Classes(spec.c_dim, tuple(names), apart=apart)
    check_class_names(classes)
    return classes


def _is_whole(value: Any, least: int, most: int = MAX_SIZE) -> bool:
    return type(value) is int and least <= value <= most
