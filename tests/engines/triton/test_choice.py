from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stylert.engines.triton.choice import choose_recipe
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine, record_engine
from stylert.runtime.bundle import HALF, Bundle
from stylert.runtime.errors import EngineError, InvalidInput

AddPlans = Callable[..., tuple[Plan, Plan]]
Refuses = Callable[..., AbstractContextManager[None]]
RANGE = ((1, 4, 8),)


def test_auto_takes_plans_that_triton_can_serve(own_bundle: Path, add_plans: AddPlans) -> None:
    pair = add_plans(own_bundle, "8.9", batches=RANGE)
    recipe, why = choose_recipe(Bundle.open(own_bundle))
    assert (recipe.backend, recipe.device, recipe.precision) == ("tensorrt", "gpu", "fp16")
    assert recipe.max_batch == 8
    assert set(recipe.plans) == {plan.name for plan in pair}
    assert why == "tensorrt: engines of TensorRT 10.13.0.35 for compute capability 8.9"


def test_auto_says_why_it_takes_onnxruntime(own_bundle: Path, add_plans: AddPlans) -> None:
    add_plans(own_bundle, "8.9", batches=((1, 1, 1), (8, 8, 8)))
    recipe, why = choose_recipe(Bundle.open(own_bundle))
    assert (recipe.backend, recipe.device, recipe.precision) == ("onnxruntime", "gpu", "fp16")
    assert "holds the batches 1, 8 alone" in why
    assert why.endswith(f"stylert build-engine {own_bundle} --compiler tensorrt --batch 1:4:8")
    assert "\n" not in why


def test_the_version_of_the_server(own_bundle: Path, add_plans: AddPlans) -> None:
    for version in ("10.1.0.27", "10.13.0.35", "11.4.0.106"):
        add_plans(own_bundle, "8.9", batches=RANGE, version=version)
    bundle = Bundle.open(own_bundle)
    for asked, expected in (("", "11.4.0.106"), ("10.13", "10.13.0.35"), ("10.1", "10.1.0.27")):
        recipe, _ = choose_recipe(bundle, tensorrt=asked)
        assert all(expected in name for name in recipe.plans)


def test_plans_that_somebody_else_built(
    own_bundle: Path, add_plans: AddPlans, refuses: Refuses, no_record: None
) -> None:
    """The server would run them: they are copied only where somebody says so."""
    _, synthesis = strangers = add_plans(own_bundle, "9.0", batches=RANGE, own=False)
    bundle = Bundle.open(own_bundle)
    words = (" is not one that you built", "--batch 1:4:8", "trust_engines=True")
    for options in ({"backend": "tensorrt"}, {"tensorrt": "10.13"}):
        with refuses(*words, error=UntrustedEngine):
            choose_recipe(bundle, **options)
    recipe, why = choose_recipe(bundle)
    assert recipe.backend == "onnxruntime"
    assert all(word in why for word in ("onnxruntime: An engine is a program", *words))
    assert why.endswith("On the command line: --trust-engines.")
    recipe, _ = choose_recipe(bundle, trust_engines=True)
    assert set(recipe.plans) == {plan.name for plan in strangers}
    own = add_plans(own_bundle, "8.9", batches=RANGE)
    recipe, why = choose_recipe(bundle)
    assert set(recipe.plans) == {plan.name for plan in own}
    assert "for compute capability 8.9; without tensorrt-10.13.0.35-9.0-" in why
    assert why.endswith(", not built by you: --trust-engines")
    recipe, why = choose_recipe(bundle, trust_engines=True)
    assert why.endswith("for compute capability 8.9, 9.0")
    record_engine(strangers[0])
    record_engine(synthesis)
    assert choose_recipe(bundle) == (recipe, why)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"backend": "onnxruntime"}, ("onnxruntime", "gpu", "fp16")),
        ({"backend": "onnxruntime", "precision": "fp32"}, ("onnxruntime", "gpu", "fp32")),
        ({"backend": "onnxruntime", "device": "cpu"}, ("onnxruntime", "cpu", "fp32")),
        ({"device": "cpu"}, ("onnxruntime", "cpu", "fp32")),
        ({"backend": "python"}, ("python", "cpu", "fp32")),
    ],
)
def test_what_is_asked_for(
    options: dict[str, Any], expected: tuple[str, ...], own_bundle: Path, add_plans: AddPlans
) -> None:
    add_plans(own_bundle, "8.9", batches=RANGE)
    recipe, _ = choose_recipe(Bundle.open(own_bundle), **options)
    assert (recipe.backend, recipe.device, recipe.precision) == expected
    assert not recipe.plans
    assert recipe.max_batch == 8


@pytest.mark.parametrize(
    ("options", "words", "error"),
    [
        ({"backend": "tf"}, ["backend: got 'tf'"], InvalidInput),
        ({"backend": "openvino"}, ["backend: got 'openvino'", "batches vary"], InvalidInput),
        ({"device": "tpu"}, ["device: got 'tpu'"], InvalidInput),
        ({"precision": "int8"}, ["precision: got 'int8'"], InvalidInput),
        ({"max_batch": 0}, ["max_batch: got 0"], InvalidInput),
        ({"tensorrt": "ten"}, ["tensorrt: got 'ten', expected a version such as"], InvalidInput),
        ({"backend": "python", "device": "gpu"}, ["got device 'gpu', expected"], InvalidInput),
        ({"backend": "python", "precision": "fp16"}, ["got precision 'fp16'"], InvalidInput),
        ({"backend": "tensorrt", "device": "cpu"}, ["device: got 'cpu'"], InvalidInput),
        ({"max_batch": 16}, ["hold up to 8. Build others", "--batch 1:8:16"], InvalidInput),
        ({"tensorrt": "10.12"}, ["no TensorRT 10.12 engines", "build-engine"], EngineError),
        ({"backend": "tensorrt", "precision": "fp32"}, ["no fp32", "--precision"], EngineError),
    ],
)
def test_what_cannot_be(
    options: dict[str, Any],
    words: list[str],
    error: type[Exception],
    own_bundle: Path,
    add_plans: AddPlans,
    refuses: Refuses,
) -> None:
    add_plans(own_bundle, "8.9", batches=RANGE)
    with refuses(*words, error=error):
        choose_recipe(Bundle.open(own_bundle), **options)


def test_a_bundle_without_half_precision(own_bundle: Path, refuses: Refuses) -> None:
    bundle = Bundle.open(own_bundle)
    bundle = replace(bundle, graphs={k: v for k, v in bundle.graphs.items() if k != HALF})
    assert choose_recipe(bundle)[0].precision == "fp32"
    with refuses(f"has no {HALF}.onnx", "precision='fp32'"):
        choose_recipe(bundle, backend="onnxruntime", precision="fp16")
