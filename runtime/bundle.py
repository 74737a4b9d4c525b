"""The bundle: the directory that `export` writes and the runtime opens. The contract of the house.

manifest.json         what the generator is, what is in the other files, and their SHA-256
mapping.onnx          z [N,z_dim], c [N,c_dim] (conditional only), truncation_psi [N,num_ws]
                      -> ws [N,num_ws,w_dim], all float32
synthesis.onnx        ws [N,num_ws,w_dim], noise_* [M,1,h,w] (M = 1 or N), all float32
                      -> img [N,C,H,W] float32 in [-1,1] (nominal), image [N,H,W,C] uint8
noise.npz             the checkpoint's own noise, one [1,1,h,w] float32 array per noise_* input
directions.npz        directions in w, see `stylert.runtime.directions`
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from stylert.runtime.directions import DirectionSet, direction_sets, directions_by_name
from stylert.runtime.errors import BundleError
from stylert.runtime.labels import Classes, check_class_names

__all__ = [
    "ENGINES",
    "HALF",
    "MANIFEST",
    "SCHEMA",
    "Bundle",
    "GeneratorSpec",
    "GraphSpec",
    "TensorSpec",
    "graph_key",
    "sealed",
    "sha256_of",
]

MANIFEST = "manifest.json"
ENGINES = "engines"  # the folder of those that were built
HALF = "synthesis.fp16"  # the synthesis graph in mixed half precision
SCHEMA = 1  # goes up when an older runtime could misread a newer bundle


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype ('float32', 'uint8') and shape of a graph's input or output."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]  # a string names a dimension that may vary

    def to_json(self) -> dict[str, Any]:
        """The specification as plain JSON types."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX file of a bundle."""

    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """The specification as plain JSON types."""
        return {
            "file": self.file,
            "inputs": [t.to_json() for t in self.inputs],
            "outputs": [t.to_json() for t in self.outputs],
        }


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

    def to_json(self) -> dict[str, Any]:
        """The specification as plain JSON types."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Bundle:
    """An opened bundle: its manifest, checked, and its files."""

    path: Path
    family: str
    spec: GeneratorSpec
    graphs: Mapping[str, GraphSpec]  # 'mapping', 'synthesis', and HALF if it was exported
    w_avg: np.ndarray  # [w_dim] float32
    classes: Classes  # how many there are, and their names where they are known
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path, *, check_files: bool = True) -> Bundle:
        """Read a bundle's manifest and, by default, compare the SHA-256 of all its files.

        Raises:
            BundleError: not a bundle, incomplete, changed since its export, or of another schema.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        if check_files and manifest.get("sha256") != _digest(manifest):
            raise BundleError(
                f"Bundle {path}: {MANIFEST} was changed since the export. "
                "Copy the bundle again, or export the checkpoint again."
            )
        try:
            spec = _spec(manifest["generator"])
            bundle = cls(
                path=path,
                family=_text(manifest["family"]),
                spec=spec,
                graphs={
                    name: _graph(manifest["graphs"][name], spec)
                    for name in ("mapping", "synthesis", *({HALF} & manifest["graphs"].keys()))
                },
                w_avg=_w_avg(manifest["w_avg"], spec),
                classes=_classes(manifest.get("classes", []), spec),
                manifest=manifest,
            )
            files = {_inside(path, name): dict(entry) for name, entry in manifest["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(
                f"Bundle {path}: {MANIFEST} is damaged ({type(error).__name__}: {error}). "
                "Export the checkpoint again."
            ) from None
        for graph in bundle.graphs.values():
            if path / graph.file not in files:
                raise BundleError(f"Bundle {path}: {MANIFEST} has no checksum of {graph.file!r}.")
        for file, entry in files.items():
            _check_file(path, file, entry, check_hash=check_files)
        return bundle

    def file(self, graph: str) -> Path:
        """Path of a graph's ONNX file."""
        return self.path / self.graphs[graph].file

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
        """What the synthesis graph is there in: 'fp32', and 'fp16' if it was exported."""
        return ("fp32", "fp16") if HALF in self.graphs else ("fp32",)

    @property
    def noise_inputs(self) -> tuple[TensorSpec, ...]:
        """The noise inputs of the synthesis graph, in the order of the layers."""
        return tuple(t for t in self.graphs["synthesis"].inputs if t.name.startswith("noise_"))

    def read_noise(self) -> dict[str, np.ndarray]:
        """The checkpoint's own noise: [1, 1, h, w] float32 by input name."""
        if not self.noise_inputs:
            return {}
        with self._arrays("noise.npz") as arrays:
            noise = {t.name: arrays[t.name] for t in self.noise_inputs}
        for t in self.noise_inputs:
            if noise[t.name].shape != (1, *t.shape[1:]) or noise[t.name].dtype != np.float32:
                raise BundleError(
                    f"Bundle {self.path}: noise.npz has {t.name} as {noise[t.name].dtype} "
                    f"{noise[t.name].shape}, expected float32 {(1, *t.shape[1:])}."
                )
        return noise

    def read_directions(self) -> tuple[DirectionSet, ...]:
        """Directions in w for editing; none in a bundle that was exported without them."""
        if "directions.npz" not in self.manifest["files"]:
            return ()
        with self._arrays("directions.npz") as arrays:
            return direction_sets(arrays, num_ws=self.spec.num_ws, w_dim=self.spec.w_dim)

    @cached_property
    def directions(self) -> Mapping[str, np.ndarray]:
        """Directions in w by name: [num_ws, w_dim] float32, read-only, zero in other layers."""
        named = directions_by_name(self.read_directions(), num_ws=self.spec.num_ws)
        return MappingProxyType(named)

    @contextmanager
    def _arrays(self, name: str) -> Iterator[Mapping[str, np.ndarray]]:
        """The arrays of a file; whatever is wrong with them is a `BundleError`."""
        try:
            with (  # a file of our own: np.load leaves its one open where the archive is damaged
                (self.path / name).open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                yield arrays
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise BundleError(
                f"Bundle {self.path}: cannot read {name} ({' '.join(str(error).split())}). "
                "Export the checkpoint again."
            ) from None


def graph_key(graph: str, precision: str) -> str:
    """Key of a graph in the manifest: 'mapping', 'synthesis' or 'synthesis.fp16'."""
    return HALF if (graph, precision) == ("synthesis", "fp16") else graph


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the SHA-256 of its content, whatever the order of the keys."""
    return {**manifest, "sha256": _digest(manifest)}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise BundleError(f"No bundle at {path}. Make one: stylert export CHECKPOINT --out {path}")
    file = path / MANIFEST
    if not path.is_dir() or not file.is_file():
        raise BundleError(
            f"{path} is not a bundle: expected a directory with a {MANIFEST}. "
            "Make one: stylert export CHECKPOINT --out BUNDLE"
        )
    try:
        manifest = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"Bundle {path}: cannot read {MANIFEST} ({error}).") from None
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise BundleError(f"Bundle {path}: {MANIFEST} has no valid 'schema' (got {schema!r:.40}).")
    if schema > SCHEMA:
        raise BundleError(
            f"Bundle {path} is of schema {schema}, this StyleRT reads {SCHEMA}. "
            "Upgrade: pip install --upgrade stylert"
        )
    if schema < SCHEMA:
        raise BundleError(
            f"Bundle {path} is of schema {schema}, this StyleRT reads {SCHEMA}. Export the "
            f"checkpoint again: stylert export {_source(manifest)} --out {path} --force"
        )
    return dict(manifest)


def _source(manifest: Mapping[str, Any]) -> str:
    """The file that a bundle of any schema says it was made of; a manifest may say anything."""
    try:
        file = _text(manifest["provenance"]["source"]["file"])
    except (KeyError, TypeError, ValueError):
        return "CHECKPOINT"
    return shlex.quote(file) if len(file) <= 200 else "CHECKPOINT"


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
            TensorSpec(_text(t["name"]), _text(t["dtype"]), tuple(t["shape"])) for t in entries
        )

    graph = GraphSpec(_text(data["file"]), tensors(data["inputs"]), tensors(data["outputs"]))
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
        if t.name.startswith("noise_"):
            valid = len(t.shape) == 4 and all(_is_whole(size, 1) for size in t.shape[1:])
        else:
            valid = t.shape[1:] == fixed.get(t.name, t.shape[1:])
        if not valid:
            raise ValueError(f"{t.name} has the shape {t.shape!r:.80}")
    return graph


def _w_avg(data: Any, spec: GeneratorSpec) -> np.ndarray:
    with np.errstate(over="ignore"):
        w_avg = np.array(data, dtype=np.float32)
    if w_avg.shape != (spec.w_dim,) or not np.isfinite(w_avg).all():
        raise ValueError(f"w_avg is not {spec.w_dim} finite numbers")
    return w_avg


def _classes(names: Any, spec: GeneratorSpec) -> Classes:
    if not isinstance(names, list):
        raise TypeError(f"classes is {names!r:.40}, expected a list")
    classes = Classes(spec.c_dim, tuple(names))
    check_class_names(classes)
    return classes


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"got {value!r:.40}, expected a text")
    return value


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _inside(path: Path, name: str) -> Path:
    """Path of a file in the bundle; a manifest cannot name files outside of it."""
    relative = Path(_text(name))
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"file {name!r} lies outside of the bundle")
    return path / relative


def _check_file(path: Path, file: Path, entry: Mapping[str, Any], *, check_hash: bool) -> None:
    name = file.relative_to(path)
    again = "Copy the bundle again, or export the checkpoint again."
    if not file.is_file():
        raise BundleError(f"Bundle {path}: {name} is missing. {again}")
    size = file.stat().st_size
    if size != entry.get("bytes"):
        raise BundleError(
            f"Bundle {path}: {name} has {size} bytes, expected {entry.get('bytes')}. {again}"
        )
    if check_hash and (digest := sha256_of(file)) != entry.get("sha256"):
        raise BundleError(
            f"Bundle {path}: {name} was changed: its SHA-256 is {digest[:12]}..., expected "
            f"{str(entry.get('sha256'))[:12]}.... {again}"
        )
