"""An engine that gives its layers: built again by Polygraphy, run by it, for `verify --layers`.

Only what leaves a kernel can be seen. So the graph of an engine is compiled once more, for one
picture, with each tensor that the builder does not fuse away marked for debugging, which leaves the
kernels as they are. It is no engine for applications, and is not kept.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from stylert.runtime.backends.graph_forms import find_engine_graph
from stylert.runtime.backends.tensorrt.plans import Plan, list_plans
from stylert.runtime.backends.tensorrt.refit_weights import with_float32_weights
from stylert.runtime.bundle import Bundle, GraphSpec
from stylert.runtime.errors import EngineError

__all__ = ["LayerEngine", "build_layer_plan", "find_layer_engines", "make_layer_runner"]

# The precision of an engine, and what makes its runner of the values that layers end with.
LayerEngine = tuple[str, Callable[[Mapping[str, str]], Any]]


def find_layer_engines(bundle: Bundle, names: tuple[str, ...]) -> dict[str, LayerEngine]:
    """What to compare layer by layer, by graph: 'mapping' and 'synthesis'.

    Args:
        bundle: opened.
        names: of the plans.

    Raises:
        EngineError: one is in INT8.
    """
    plans = [plan for plan in list_plans(bundle) if plan.name in names]
    for plan in plans:
        if plan.precision == "int8":
            raise EngineError(
                f"{plan.name} is laid out otherwise than its graph, layer by layer. Compare its "
                "pictures alone: leave out layers=True."
            )
    return {
        plan.graph: (plan.precision, partial(make_layer_runner, bundle, plan)) for plan in plans
    }


def make_layer_runner(bundle: Bundle, plan: Plan, values: Mapping[str, str]) -> Any:
    """A runner of Polygraphy that compiles the graph of a plan when it is activated.

    Args:
        bundle: with the graph.
        plan: its compiler and precision are taken.
        values: the tensor that each layer ends with, by the layer's name.

    Raises:
        EngineError: Polygraphy drives the other compiler in this process, or the engine has
            convolutions that are float32 for want of a kernel.
    """
    if plan.fp32_islands:
        raise EngineError(
            f"{plan.name} has float32 islands ({', '.join(plan.fp32_islands):.100}), with which "
            "Polygraphy does not build. Compare its pictures alone: leave out layers=True."
        )
    _drive(plan.compiler)
    from polygraphy.backend.trt import TrtRunner

    class LayerRunner(TrtRunner):  # type: ignore[misc]
        def infer_impl(self, feed_dict: Any, *args: Any, **options: Any) -> dict[str, np.ndarray]:
            """What each layer hands on that the builder did not fuse away, [1, ...]."""
            got = super().infer_impl(feed_dict, *args, **options)
            return {layer: got[value] for layer, value in values.items() if value in got}

    return LayerRunner(partial(_load, bundle, plan), name="engine")


def build_layer_plan(bundle: Bundle, plan: Plan) -> Any:
    """Compile the graph of a plan for one picture, with the tensors marked that are not fused away.

    Returns:
        The bytes of the engine, as TensorRT has them.
    """
    _drive(plan.compiler)
    from polygraphy.backend.trt import (
        PostprocessConfig,
        engine_bytes_from_network,
        network_from_onnx_bytes,
    )

    graph = find_engine_graph(bundle, plan.graph, plan.precision)
    network = network_from_onnx_bytes(
        with_float32_weights(bundle.file(graph)),
        strongly_typed=True,
        mark_unfused_tensors_as_debug_tensors=True,
    )
    config = _make_config(bundle.graphs[graph], plan)
    with warnings.catch_warnings():  # of a timing cache, which TensorRT-RTX does without
        warnings.simplefilter("ignore", DeprecationWarning)
        return engine_bytes_from_network(network, PostprocessConfig(config, _clear_tf32))


def _make_config(graph: GraphSpec, plan: Plan) -> Any:
    from polygraphy.backend.trt import CreateConfig, Profile

    shapes = Profile()  # Polygraphy's
    for tensor in graph.inputs:
        shapes.add(tensor.name, *[(1, *tensor.shape[1:])] * 3)
    if plan.compiler != "tensorrt_rtx":
        return CreateConfig(profiles=[shapes])
    from polygraphy.backend.tensorrt_rtx import CreateConfigRTX

    capabilities = [tuple(map(int, one.split("."))) for one in plan.compute_capabilities]
    return CreateConfigRTX(profiles=[shapes], compute_capabilities=capabilities)


def _clear_tf32(builder: Any, network: Any, config: Any) -> None:
    """Float32 is float32: Polygraphy leaves it on for TensorRT-RTX."""
    from polygraphy.backend.trt.loader import trt

    config.clear_flag(trt.BuilderFlag.TF32)


def _load(bundle: Bundle, plan: Plan) -> Any:
    from polygraphy.backend.trt import engine_from_bytes

    return engine_from_bytes(build_layer_plan(bundle, plan))


def _drive(compiler: str) -> None:
    """Have Polygraphy drive a compiler, which it can choose once in a process.

    Raises:
        EngineError: it drives the other one.
    """
    from polygraphy import config as choices

    is_rtx = compiler == "tensorrt_rtx"
    if "polygraphy.backend.trt" not in sys.modules:
        choices.USE_TENSORRT_RTX = is_rtx  # read as its modules load
    if is_rtx != choices.USE_TENSORRT_RTX:
        raise EngineError(
            f"Polygraphy drives one of TensorRT and TensorRT-RTX in a process, and here it is not "
            f"{compiler}. Compare the layers of this engine in a new process."
        )
