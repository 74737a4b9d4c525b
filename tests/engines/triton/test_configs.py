from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2 as schema

from stylert.engines.triton.choice import choose_recipe
from stylert.engines.triton.layout import Layout, make_layout
from stylert.engines.triton.plan_sets import PORTABLE
from stylert.engines.triton.schema import format_message, parse_config
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.bundle import Bundle

AddPlans = Callable[..., tuple[Plan, Plan]]
RANGE = ((1, 4, 8),)
BUNDLES = ("sg1-tf-32", "sg2-cond-32", "sg3-t-64")


def layout(bundle: Path, *, changes: dict[str, Any] | None = None, **options: Any) -> Layout:
    opened = Bundle.open(bundle)
    recipe, _ = choose_recipe(opened, **options)
    return make_layout(opened, replace(recipe, **(changes or {})))


def tensors(entries: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {t.name: (schema.DataType.Name(t.data_type), tuple(t.dims)) for t in entries}


@pytest.mark.parametrize("options", [{"backend": "python"}, {"backend": "onnxruntime"}])
@pytest.mark.parametrize("name", BUNDLES)
def test_the_models_fit_together(
    name: str, options: dict[str, str], bundle_of: Callable[[str], Path]
) -> None:
    made = layout(bundle_of(name), **options)
    ensemble = made.configs["stylegan"]
    known = tensors(ensemble.input)
    assert all(t.optional for t in ensemble.input)
    for step in ensemble.ensemble_scheduling.step:
        config = made.configs[step.model_name]
        assert config.max_batch_size == ensemble.max_batch_size == 8
        inputs = tensors(config.input)
        assert set(step.input_map) == set(inputs)
        for tensor, source in step.input_map.items():
            assert inputs[tensor] == known[source]
        produced = tensors(config.output)
        assert set(step.output_map) == set(produced)
        assert not set(step.output_map.values()) & set(known)
        known |= {target: produced[tensor] for tensor, target in step.output_map.items()}
    assert tensors(ensemble.output) == {"image": known["image"]}


@pytest.mark.parametrize("name", BUNDLES)
def test_graphs_have_the_tensors_of_the_bundle(name: str, bundle_of: Callable[[str], Path]) -> None:
    bundle = Bundle.open(bundle_of(name))
    made = layout(bundle_of(name), backend="onnxruntime")
    for graph in ("mapping", "synthesis"):
        got = tensors(made.configs[graph].input)
        expected = {t.name: ("TYPE_FP32", tuple(t.shape[1:])) for t in bundle.graphs[graph].inputs}
        assert got == expected
    spec = bundle.spec
    image = (spec.img_height, spec.img_width, spec.img_channels)
    assert tensors(made.configs["synthesis"].output) == {"image": ("TYPE_UINT8", image)}
    assert tensors(made.configs["mapping"].output) == {
        "ws": ("TYPE_FP32", (spec.num_ws, spec.w_dim))
    }


def test_a_request_has_what_the_generator_takes(bundle_of: Callable[[str], Path]) -> None:
    names = {
        name: set(tensors(layout(bundle_of(name)).configs["stylegan"].input)) for name in BUNDLES
    }
    always = {"seed", "z", "truncation_psi"}
    assert names["sg1-tf-32"] == always | {"noise_seed"}
    assert names["sg2-cond-32"] == always | {"noise_seed", "class_idx", "labels"}
    assert names["sg3-t-64"] == always | {"transform"}


@pytest.mark.parametrize("options", [{"backend": "python"}, {"device": "cpu"}, {"device": "gpu"}])
def test_the_text_holds_all_of_it(
    options: dict[str, str], bundle_of: Callable[[str], Path]
) -> None:
    for config in layout(bundle_of("sg2-cond-32"), **options).configs.values():
        assert parse_config(format_message(config)) == config


def test_plans(own_bundle: Path, add_plans: AddPlans) -> None:
    batches = ((1, 2, 4), (5, 8, 12))
    pairs = {gpu: add_plans(own_bundle, gpu, batches=batches) for gpu in ("8.9", "9.0")}
    made = layout(own_bundle, changes={"instances": 2, "queue_delay": 1.5})
    for index, graph in enumerate(("mapping", "synthesis")):
        config = made.configs[graph]
        assert (config.backend, config.platform) == ("tensorrt", "tensorrt_plan")
        files = {gpu: f"{pair[index].name}.plan" for gpu, pair in pairs.items()}
        assert config.cc_model_filenames == files
        assert not config.default_model_filename  # another GPU must not get one of these
        (group,) = config.instance_group
        assert (group.kind, group.count) == (schema.ModelInstanceGroup.KIND_GPU, 2)
        assert list(group.profile) == ["0", "1"]
        sizes = [1, 2, 3, 4, 5, 6, 7, 8, 12]
        assert config.optimization.cuda.graphs
        assert [spec.batch_size for spec in config.optimization.cuda.graph_spec] == sizes
        assert [sample.batch_size for sample in config.model_warmup] == sizes
        assert set(config.model_warmup[0].inputs) == {t.name for t in config.input}
        assert config.version_policy.latest.num_versions == 1
    delays = [
        made.configs[graph].dynamic_batching.max_queue_delay_microseconds
        for graph in ("mapping", "synthesis")
    ]
    assert delays == [0, 1500]


def test_a_portable_plan_is_the_default(own_bundle: Path, add_plans: AddPlans) -> None:
    _, portable = add_plans(own_bundle, "8.6", batches=RANGE, options={"hardware_compatible": True})
    _, special = add_plans(own_bundle, "9.0", batches=RANGE)
    config = layout(own_bundle).configs["synthesis"]
    assert config.default_model_filename == f"{portable.name}.plan"
    assert config.cc_model_filenames == {"9.0": f"{special.name}.plan"}
    assert PORTABLE not in config.cc_model_filenames


def test_all_outputs_of_a_plan_are_told(own_bundle: Path, add_plans: AddPlans) -> None:
    add_plans(own_bundle, "8.9", batches=RANGE, outputs=("image", "img"))
    made = layout(own_bundle)  # Triton refuses a plan with an output that it is not told of
    assert set(tensors(made.configs["synthesis"].output)) == {"image", "img"}
    assert set(tensors(made.configs["stylegan"].output)) == {"image"}


def test_onnxruntime_on_a_gpu_computes_in_float32(own_bundle: Path) -> None:
    config = layout(own_bundle, backend="onnxruntime").configs["synthesis"]
    (cuda,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"use_tf32": "0"})
    assert config.parameters["cudnn_conv_algo_search"].string_value == "1"  # HEURISTIC
    assert config.default_model_filename == "synthesis.fp16.onnx"
    assert [sample.batch_size for sample in config.model_warmup] == [*range(1, 9)]
    assert not config.optimization.cuda.graphs


def test_threads_on_a_cpu(own_bundle: Path) -> None:
    made = layout(own_bundle, device="cpu", changes={"threads": 3})
    threads = [
        made.configs[graph].parameters["intra_op_thread_count"].string_value
        for graph in ("mapping", "synthesis")
    ]
    assert threads == ["1", "3"]
    python = layout(own_bundle, backend="python", changes={"threads": 3})
    assert python.configs["synthesis"].parameters["threads"].string_value == "3"


def test_requests_between_the_models_can_be_bounded(own_bundle: Path) -> None:
    unbounded = layout(own_bundle, backend="python").configs["stylegan"]
    assert "max_inflight_requests" not in format_message(unbounded)  # older servers do not know it
    changes = {"max_inflight": 32}
    bounded = layout(own_bundle, backend="python", changes=changes).configs["stylegan"]
    assert bounded.ensemble_scheduling.max_inflight_requests == 32


def test_the_defaults_are_the_familys(bundle_of: Callable[[str], Path]) -> None:
    found = layout(bundle_of("sg1-tf-32"), backend="python").configs["front"].parameters
    assert (found["truncation_psi"].string_value, found["truncation_cutoff"].string_value) == (
        "0.7",
        "8",
    )
    found = layout(bundle_of("sg2-cond-32"), backend="python").configs["front"].parameters
    assert "truncation_cutoff" not in found
