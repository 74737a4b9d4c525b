"""Which of a bundle's plans Triton can serve together: one pair for each kind of GPU.

Triton's TensorRT backend runs a batch in a profile that holds this very size, and never fills one
up, while its batcher makes batches of every size. So a plan must hold all sizes from 1 on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stylert.runtime.backends.graph_forms import hash_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.bundle import ENCODER, Bundle

__all__ = ["PORTABLE", "PlanSet", "find_plan_sets"]

PORTABLE = "8.0+"  # in place of a compute capability: all GPUs from Ampere on


@dataclass(frozen=True)
class PlanSet:
    """Plans that one configuration fits: of one version of TensorRT, with the same profiles."""

    version: str
    precision: str  # of the synthesis
    batches: tuple[tuple[int, int, int], ...]  # of each profile, see `Plan`
    outputs: tuple[str, ...]  # of the synthesis, 'image' among them
    pairs: Mapping[str, tuple[Plan, Plan]]  # mapping and synthesis by compute capability

    @property
    def largest(self) -> int:
        """The largest batch."""
        return max(most for _, _, most in self.batches)

    @property
    def plans(self) -> list[Plan]:
        """All of them."""
        return [plan for pair in self.pairs.values() for plan in pair]

    def select(self, graph: str) -> dict[str, Plan]:
        """The plans of 'mapping' or 'synthesis' by compute capability."""
        index = ("mapping", "synthesis").index(graph)
        return {capability: pair[index] for capability, pair in self.pairs.items()}


def find_plan_sets(bundle: Bundle, plans: Iterable[Plan]) -> tuple[list[PlanSet], list[str]]:
    """The sets that Triton can serve, the best first, and why other plans are in none.

    Half precision goes before single, newer versions before older ones, then the set for more kinds
    of GPUs, then larger batches.

    Args:
        bundle: that the plans lie in.
        plans: those to choose from.
    """
    reasons = []
    usable = []
    for plan in plans:
        if plan.graph == ENCODER:
            continue  # Triton serves none
        reason = _find_misfit(bundle, plan)
        if reason is None:
            usable.append(plan)
        else:
            reasons.append(f"{plan.name} {reason}")
    mappings = {_tell_kind(plan): plan for plan in usable if plan.graph == "mapping"}
    sets: dict[tuple[object, ...], PlanSet] = {}
    for plan in usable:
        if plan.graph != "synthesis":
            continue
        mapping = mappings.get(_tell_kind(plan))
        if mapping is None:
            reasons.append(f"{plan.name} has no mapping plan of the same version and batches")
            continue
        key = (plan.version, plan.precision, plan.batches, plan.outputs)
        pairs = dict(sets[key].pairs) if key in sets else {}
        pairs |= dict.fromkeys(_list_capabilities(plan), (mapping, plan))
        sets[key] = PlanSet(plan.version, plan.precision, plan.batches, plan.outputs, pairs)
    return sorted(sets.values(), key=_rank, reverse=True), reasons


def _covers_all(batches: Sequence[tuple[int, int, int]]) -> bool:
    """Whether profiles hold every size from 1 to their largest."""
    reached = 0
    for least, _, most in sorted(batches):
        if least > reached + 1:
            return False
        reached = max(reached, most)
    return reached > 0


def _parse_version(version: str) -> tuple[int, ...]:
    """A version to compare: '10.13.0.35' is (10, 13, 0, 35)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))


def _find_misfit(bundle: Bundle, plan: Plan) -> str | None:
    if plan.compiler != "tensorrt":
        return "is of TensorRT-RTX, which Triton does not run"
    if plan.onnx_sha256 != hash_engine_graph(bundle, plan.graph, plan.precision):
        return "was built from another bundle's graph"
    if plan.graph == "synthesis" and "image" not in plan.outputs:
        return "gives no uint8 images"
    if not _covers_all(plan.batches):
        sizes = ", ".join(f"{a} to {b}" if a != b else str(a) for a, _, b in plan.batches)
        return f"holds the batches {sizes} alone, and Triton makes all sizes from 1 on"
    return None


def _list_capabilities(plan: Plan) -> tuple[str, ...]:
    return (PORTABLE,) if plan.options.get("hardware_compatible") else plan.compute_capabilities


def _tell_kind(plan: Plan) -> tuple[object, ...]:
    """What a mapping and a synthesis plan must share to run in one server."""
    return plan.version, plan.batches, _list_capabilities(plan)


def _rank(one: PlanSet) -> tuple[bool, tuple[int, ...], int, int]:
    return one.precision == "fp16", _parse_version(one.version), len(one.pairs), one.largest
