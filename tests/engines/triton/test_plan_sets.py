from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stylert.engines.triton.plan_sets import PORTABLE, find_plan_sets
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.bundle import Bundle

AddPlans = Callable[..., tuple[Plan, Plan]]
RANGE = ((1, 4, 8),)


def test_a_pair_for_each_kind_of_gpu(own_bundle: Path, add_plans: AddPlans) -> None:
    mapping, synthesis = add_plans(own_bundle, "8.9", batches=RANGE)
    add_plans(own_bundle, "9.0", batches=RANGE)
    bundle = Bundle.open(own_bundle)
    (found,), reasons = find_plan_sets(bundle, list_plans(bundle))
    assert not reasons
    assert set(found.pairs) == {"8.9", "9.0"}
    assert found.select("mapping")["8.9"] == mapping
    assert found.select("synthesis")["8.9"] == synthesis
    assert found.largest == 8


def test_a_portable_plan_has_a_key_of_its_own(own_bundle: Path, add_plans: AddPlans) -> None:
    add_plans(own_bundle, "8.6", batches=RANGE, options={"hardware_compatible": True})
    add_plans(own_bundle, "9.0", batches=RANGE)
    bundle = Bundle.open(own_bundle)
    (found,), _ = find_plan_sets(bundle, list_plans(bundle))
    assert set(found.pairs) == {PORTABLE, "9.0"}


def test_the_best_set_comes_first(own_bundle: Path, add_plans: AddPlans) -> None:
    add_plans(own_bundle, "8.9", batches=((1, 8, 16),), precision="fp32", version="11.4.0.106")
    add_plans(own_bundle, "8.9", batches=RANGE, version="10.9.0.34")
    add_plans(own_bundle, "8.9", batches=RANGE, version="10.13.0.35")
    add_plans(own_bundle, "8.9", batches=((1, 8, 16),), version="10.13.0.35")
    bundle = Bundle.open(own_bundle)
    sets, _ = find_plan_sets(bundle, list_plans(bundle))
    got = [(one.precision, one.version, one.largest) for one in sets]
    assert got == [
        ("fp16", "10.13.0.35", 16),  # newer than 10.9, as numbers and not as text
        ("fp16", "10.13.0.35", 8),
        ("fp16", "10.9.0.34", 8),
        ("fp32", "11.4.0.106", 16),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compiler": "tensorrt_rtx"}, "is of TensorRT-RTX, which Triton does not run"),
        ({"onnx_sha256": "0" * 64}, "was built from another bundle's graph"),
        ({"outputs": ("img",)}, "gives no uint8 images"),
        (
            {"batches": ((1, 1, 1), (4, 4, 4), (8, 8, 8))},
            "holds the batches 1, 4, 8 alone, and Triton makes all sizes from 1 on",
        ),
        ({"batches": ((2, 4, 8),)}, "holds the batches 2 to 8 alone"),
    ],
)
def test_why_a_plan_is_not_served(
    changes: dict[str, object], reason: str, own_bundle: Path, add_plans: AddPlans
) -> None:
    _, synthesis = add_plans(own_bundle, "8.9", **{"batches": RANGE, **changes})
    bundle = Bundle.open(own_bundle)
    sets, reasons = find_plan_sets(bundle, list_plans(bundle))
    assert not sets
    assert any(f"{synthesis.name} {reason}" in line for line in reasons), reasons


def test_profiles_side_by_side_hold_all_sizes(own_bundle: Path, add_plans: AddPlans) -> None:
    add_plans(own_bundle, "8.9", batches=((1, 1, 1), (2, 3, 4), (5, 8, 8)))
    bundle = Bundle.open(own_bundle)
    (found,), _ = find_plan_sets(bundle, list_plans(bundle))
    assert found.largest == 8


def test_a_synthesis_needs_its_mapping(own_bundle: Path, add_plans: AddPlans) -> None:
    mapping, synthesis = add_plans(own_bundle, "8.9", batches=RANGE)
    bundle = Bundle.open(own_bundle)
    mapping.file(bundle).with_suffix(".json").unlink()
    sets, reasons = find_plan_sets(bundle, list_plans(bundle))
    assert not sets
    assert reasons == [f"{synthesis.name} has no mapping plan of the same version and batches"]
