"""Compiled plans in a bundle, and the sidecar that says what each one is.

A plan is executable code. So it is opened only if it is trusted (see `trust.py`), after its SHA-256
has been compared with the sidecar's, and if it was built from the very graph that the bundle holds.
The files lie in the bundle's `engines/` folder, a .plan and a .json with the same name:

    <compiler>-<version>-<target>-<precision>-<graph>-<profile>
    tensorrt_rtx-1.7.1.116-sm89-fp32-mapping-b1_4_8
    tensorrt_rtx-1.7.1.116-sm89-fp16-synthesis-b1_4_8-image

A plan without a sidecar is not there: the sidecar goes first and comes last. Nothing is read from
a name; it only keeps plans apart.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stylert.runtime.backends.graph_forms import hash_engine_graph
from stylert.runtime.bundle import ENGINES, Bundle
from stylert.runtime.errors import EngineError
from stylert.runtime.files.json_files import read_json

__all__ = ["PLAN_SCHEMA", "Plan", "list_plans", "make_slug"]

PLAN_SCHEMA = 1
_MAX_SIDECAR = 2**20  # bytes


@dataclass(frozen=True)
class Plan:
    """What is known of a compiled plan. The sidecar holds exactly these fields and 'schema'."""

    name: str  # of the files, without .plan and .json
    compiler: str  # 'tensorrt' or 'tensorrt_rtx'
    version: str  # of the compiler, e.g. '11.4.0.106'
    graph: str  # 'mapping', 'synthesis' or 'encoder'
    precision: str  # of the graph's file: 'fp32' or 'fp16'; a mapping graph is always 'fp32'
    compute_capabilities: tuple[str, ...]  # what it was built for: '8.9', ...
    gpu: str | None  # name of the GPU that it was built on, None = built without one
    batches: tuple[tuple[int, int, int], ...]  # (least, best, largest) batch of each profile
    outputs: tuple[str, ...]  # 'ws', or 'image' and 'img'
    onnx_sha256: str  # of the graph, see `hash_engine_graph`
    sha256: str  # of the plan
    size: int  # of the plan, in bytes
    census: Mapping[str, Any] = field(default_factory=dict)  # how many tensors of which dtype
    # optimization_level, workspace (bytes or None), and as booleans version_compatible (later
    # versions run it), hardware_compatible (every GPU from 8.0 on runs it), refittable
    options: Mapping[str, Any] = field(default_factory=dict)
    fp32_islands: tuple[str, ...] = ()  # nodes kept in float32 for want of a half kernel
    build_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The sidecar's content."""
        return {"schema": PLAN_SCHEMA, **asdict(self)}

    def row(self) -> dict[str, str]:
        """What people want to know of it, by heading."""
        convolutions = self.census.get("convolutions", {})
        return {
            "plan": self.name,
            "precision": self.precision,
            "runs on": self.gpu or ", ".join(self.compute_capabilities),
            "convolutions": ", ".join(f"{n} {kind}" for kind, n in convolutions.items()),
            "size": f"{self.size / 1e6:.1f} MB",
            "built in": f"{self.build_seconds:.1f} s",
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that a sidecar describes.

        Raises:
            ValueError: a field is missing, unknown or of a newer schema.
        """
        fields = dict(data)
        schema = fields.pop("schema", None)
        if schema != PLAN_SCHEMA:
            raise ValueError(f"schema {schema!r}, expected {PLAN_SCHEMA}")
        try:
            for key in ("compute_capabilities", "outputs", "fp32_islands"):
                fields[key] = tuple(fields[key])
            fields["batches"] = tuple((int(a), int(b), int(c)) for a, b, c in fields["batches"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(str(error)) from None

    def file(self, bundle: Bundle) -> Path:
        """Path of the plan."""
        return bundle.folder / ENGINES / f"{self.name}.plan"

    def read(self, bundle: Bundle) -> bytes:
        """The plan's bytes, after all checks that need no GPU.

        Raises:
            EngineError: the file is missing or was changed, or it was built from another graph.
        """
        rebuild = f"Build it again: stylert build-engine {shlex.quote(str(bundle.path))}"
        path = self.file(bundle)
        if self.onnx_sha256 != hash_engine_graph(bundle, self.graph, self.precision):
            raise EngineError(f"{path.name} was built from another bundle's graph. {rebuild}")
        if not path.is_file():
            raise EngineError(f"{path.name} is missing. {rebuild}")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise EngineError(f"{path.name} was changed since it was built. {rebuild}")
        return data


def list_plans(bundle: Bundle) -> list[Plan]:
    """All plans that lie in a bundle, sorted by name. Their files are not read.

    Raises:
        EngineError: a sidecar is damaged.
    """
    plans = []
    for path in sorted((bundle.path / ENGINES).glob("*.json")):
        try:
            plan = Plan.from_json(read_json(path, most=_MAX_SIDECAR))
        except (OSError, ValueError, TypeError) as error:
            raise EngineError(
                f"{path} is damaged ({error}). Delete it, then: stylert build-engine "
                f"{shlex.quote(str(bundle.path))}"
            ) from None
        if plan.name != path.stem:
            raise EngineError(
                f"{path} describes {plan.name}. Delete it, and build the engine again."
            )
        plans.append(plan)
    return plans


def make_slug(name: str) -> str:
    """The name of a GPU as part of a file's name: 'nvidia_l4'."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "gpu"
