"""The configurations of a repository's four models, as messages of Triton's schema.

    stylegan (ensemble)   seed or z, and what may be left out -> image
        front             fills in what was left out          -> z, c, truncation_psi, noise_*, ...
        mapping           z, c, truncation_psi                -> ws
        synthesis         ws, noise_*, transform              -> image

`mapping` and `synthesis` have the tensors of the bundle's graphs. Sizes are without the batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from stylert.engines.triton.plan_sets import PORTABLE, PlanSet
from stylert.engines.triton.recipe import Recipe
from stylert.engines.triton.schema import load_schema
from stylert.runtime.bundle import Bundle, TensorSpec, graph_key
from stylert.runtime.transforms import TRANSFORM

__all__ = ["GRAPHS", "configure_ensemble", "configure_front", "configure_graph"]

GRAPHS = ("mapping", "synthesis")
_TYPES = {
    "float32": "TYPE_FP32",
    "uint8": "TYPE_UINT8",
    "int64": "TYPE_INT64",
    "string": "TYPE_STRING",
}
_LAUNCHES = (*range(1, 9), 12, 16, 24, 32, 48, 64, 96, 128)  # batches of CUDA graphs and warm-up


def configure_ensemble(bundle: Bundle, recipe: Recipe) -> Any:
    """The model that applications call."""
    schema = load_schema()
    config = _make_model(recipe, "stylegan", platform="ensemble")
    config.input.extend(_describe(schema.ModelInput, _list_request(bundle), optional=True))
    config.output.extend(_describe(schema.ModelOutput, _list_outputs(bundle, "synthesis")))
    scheduling = config.ensemble_scheduling
    if recipe.max_inflight:  # an older server does not know this field
        scheduling.max_inflight_requests = recipe.max_inflight
    front = scheduling.step.add(model_name=recipe.name("front"), model_version=-1)
    for tensor in _list_request(bundle):
        front.input_map[tensor.name] = tensor.name
    for tensor in _list_front_outputs(bundle):
        front.output_map[tensor.name] = f"front_{tensor.name}"
    for graph in GRAPHS:
        step = scheduling.step.add(model_name=recipe.name(graph), model_version=-1)
        for tensor in bundle.graphs[graph].inputs:
            step.input_map[tensor.name] = "ws" if tensor.name == "ws" else f"front_{tensor.name}"
        for tensor in _list_outputs(bundle, graph):
            step.output_map[tensor.name] = tensor.name
    return config


def configure_front(bundle: Bundle, recipe: Recipe) -> Any:
    """The model that takes a request and gives the inputs of both graphs."""
    schema = load_schema()
    config = _make_model(recipe, "front", backend="python")
    config.input.extend(_describe(schema.ModelInput, _list_request(bundle), optional=True))
    config.output.extend(_describe(schema.ModelOutput, _list_front_outputs(bundle)))
    config.instance_group.add(kind=schema.ModelInstanceGroup.KIND_CPU, count=recipe.fronts)
    config.dynamic_batching.SetInParent()
    _set_parameter(config, "truncation_psi", repr(float(bundle.spec.truncation_psi)))
    if bundle.spec.truncation_cutoff is not None:
        _set_parameter(config, "truncation_cutoff", str(bundle.spec.truncation_cutoff))
    if bundle.classes.names:
        _set_parameter(config, "classes", json.dumps(bundle.classes.names))
    if bundle.classes.apart:
        _set_parameter(config, "classes_apart", "true")
    return config


def configure_graph(bundle: Bundle, recipe: Recipe, graph: str, plans: PlanSet | None) -> Any:
    """The model that runs a graph.

    Args:
        bundle: the bundle.
        recipe: how the repository is made.
        graph: one of GRAPHS.
        plans: that run it, for TensorRT.
    """
    schema = load_schema()
    config = _make_model(recipe, graph, backend=recipe.backend)
    config.input.extend(_describe(schema.ModelInput, bundle.graphs[graph].inputs))
    kind = "KIND_GPU" if recipe.device == "gpu" else "KIND_CPU"
    group = config.instance_group.add(
        kind=schema.ModelInstanceGroup.Kind.Value(kind), count=recipe.instances
    )
    # Only the synthesis waits for company: the mapping takes no time worth mentioning.
    delay = round(recipe.queue_delay * 1000) if graph == "synthesis" else 0
    config.dynamic_batching.max_queue_delay_microseconds = delay
    names = ("image",) if plans is None else plans.outputs
    outputs = _list_outputs(bundle, graph, names)
    config.output.extend(_describe(schema.ModelOutput, outputs))
    if plans is not None:
        group.profile.extend(str(index) for index in range(len(plans.batches)))
        _use_plans(config, recipe, graph, plans)
    elif recipe.backend == "onnxruntime":
        _use_onnx(config, bundle, recipe, graph)
    elif recipe.threads is not None:
        _set_parameter(config, "threads", str(recipe.threads))
    if recipe.backend != "python":  # whose models warm up by themselves
        _warm_up(config, bundle, recipe, graph)
    return config


def _make_model(recipe: Recipe, model: str, *, backend: str = "", platform: str = "") -> Any:
    schema = load_schema()
    return schema.ModelConfig(
        name=recipe.name(model),
        backend=backend,
        platform=platform,
        max_batch_size=recipe.max_batch,
        version_policy=schema.ModelVersionPolicy(latest={"num_versions": 1}),
    )


def _use_plans(config: Any, recipe: Recipe, graph: str, plans: PlanSet) -> None:
    config.platform = "tensorrt_plan"
    for capability, plan in plans.select(graph).items():
        file = f"{plan.name}.plan"
        if capability == PORTABLE:
            config.default_model_filename = file
        else:
            config.cc_model_filenames[capability] = file
    config.optimization.cuda.graphs = True
    for size in _list_launches(recipe.max_batch):
        config.optimization.cuda.graph_spec.add(batch_size=size)


def _use_onnx(config: Any, bundle: Bundle, recipe: Recipe, graph: str) -> None:
    config.platform = "onnxruntime_onnx"
    config.default_model_filename = bundle.graphs[graph_key(graph, recipe.precision)].file
    _set_parameter(config, "enable_mem_pattern", "0")  # they cost memory, and bring no speed
    if recipe.device == "gpu":  # by default, float32 would be computed with the 10 bits of TF32
        accelerators = config.optimization.execution_accelerators
        accelerators.gpu_execution_accelerator.add(name="cuda", parameters={"use_tf32": "0"})
        # The heuristic search of cuDNN. An accelerator's own value is overwritten by this one.
        _set_parameter(config, "cudnn_conv_algo_search", "1")
    elif graph == "mapping":
        _set_parameter(config, "intra_op_thread_count", "1")  # too small to gain from more
    elif recipe.threads is not None:
        _set_parameter(config, "intra_op_thread_count", str(recipe.threads))


def _warm_up(config: Any, bundle: Bundle, recipe: Recipe, graph: str) -> None:
    """Run each batch size once before the model is ready: a GPU chooses its kernels by it."""
    schema = load_schema()
    sizes = _list_launches(recipe.max_batch) if recipe.device == "gpu" else [1]
    for size in sizes:
        sample = config.model_warmup.add(name=f"batch {size}", batch_size=size, count=1)
        for tensor in bundle.graphs[graph].inputs:
            sample.inputs[tensor.name].CopyFrom(
                schema.ModelWarmup.Input(
                    data_type=_TYPES[tensor.dtype], dims=tensor.shape[1:], random_data=True
                )
            )


def _list_launches(largest: int) -> list[int]:
    return sorted({size for size in _LAUNCHES if size < largest} | {largest})


def _list_request(bundle: Bundle) -> Iterator[TensorSpec]:
    """What a request may hold; of z and seed it holds one, of classes and labels one at most."""
    spec = bundle.spec
    yield TensorSpec("seed", "int64", ("N", 1))
    yield TensorSpec("z", "float32", ("N", spec.z_dim))
    yield TensorSpec("truncation_psi", "float32", ("N", -1))  # one, or one for each layer
    if spec.c_dim:
        yield TensorSpec("class_idx", "int64", ("N", 1))
        if bundle.classes.names:
            yield TensorSpec("class_name", "string", ("N", 1))
        yield TensorSpec("labels", "float32", ("N", spec.c_dim))
    if bundle.noise_inputs:
        yield TensorSpec("noise_seed", "int64", ("N", 1))
    yield from (t for t in bundle.graphs["synthesis"].inputs if t.name == TRANSFORM)


def _list_front_outputs(bundle: Bundle) -> Iterator[TensorSpec]:
    """The inputs of both graphs but ws, the noise in the order of the layers."""
    return (t for graph in GRAPHS for t in bundle.graphs[graph].inputs if t.name != "ws")


def _list_outputs(
    bundle: Bundle, graph: str, names: Iterable[str] = ("image",)
) -> Iterator[TensorSpec]:
    wanted = ("ws",) if graph == "mapping" else tuple(names)
    return (t for t in bundle.graphs[graph].outputs if t.name in wanted)


def _describe(kind: Any, tensors: Iterable[TensorSpec], **fields: Any) -> Iterator[Any]:
    """Tensors as messages of a kind: ModelInput or ModelOutput."""
    for t in tensors:
        yield kind(name=t.name, data_type=_TYPES[t.dtype], dims=t.shape[1:], **fields)


def _set_parameter(config: Any, name: str, value: str) -> None:
    config.parameters[name].string_value = value
