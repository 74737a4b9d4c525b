"""Every operator's adjoint by itself, against finite differences in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from stylert.export.adjoint.backward import append_adjoint
from stylert.export.adjoint.operators import ADJOINTS
from stylert.export.onnx_graph import IR_VERSION, OPSET
from stylert.runtime.errors import InvalidInput

Arrays = dict[str, np.ndarray]
STEP = 1e-6
RANDOM = np.random.RandomState(0)


def draw(*shape: int) -> np.ndarray:
    """Numbers that are at least 0.1 away from 0, where some operators have a kink."""
    x = RANDOM.uniform(0.1, 1.5, shape)
    return np.asarray(x * RANDOM.choice([-1.0, 1.0], shape))


def positive(*shape: int) -> np.ndarray:
    return np.asarray(RANDOM.uniform(0.2, 1.5, shape))


class Case:
    """A graph of one operator: its inputs that vary, by name, and its constants."""

    def __init__(
        self, kind: str, *inputs: Any, name: str = "", outputs: int = 1, **attributes: Any
    ) -> None:
        self.kind = kind
        self.name = name or kind
        self.attributes = attributes
        self.varying: Arrays = {}
        self.constants: Arrays = {}
        self.names = []
        for i, value in enumerate(inputs):
            fixed = isinstance(value, Fixed)
            array = np.asarray(value.array if fixed else value)
            (self.constants if fixed else self.varying)[f"x{i}"] = array
            self.names.append(f"x{i}")


class Fixed:
    """An input that is a constant."""

    def __init__(self, array: Any, dtype: Any = np.float64) -> None:
        self.array = np.asarray(array, dtype)


def whole(*numbers: Any) -> Fixed:
    return Fixed(numbers, np.int64)


IMAGE = (2, 4, 6, 5)
WEIGHT = draw(6, 4, 3, 3)
CASES = [
    Case("Add", draw(*IMAGE), draw(1, 4, 1, 1)[0], name="Add of a bias"),
    Case("Add", draw(*IMAGE), draw(*IMAGE)),
    Case("Sum", draw(*IMAGE), draw(*IMAGE), draw(2, 4, 1, 1)),
    Case("Sub", draw(*IMAGE), draw(2, 1, 6, 5)),
    Case("Mul", draw(*IMAGE), draw(2, 4, 1, 1)),
    Case("Div", draw(*IMAGE), positive(2, 4, 1, 1)),
    Case("Neg", draw(*IMAGE)),
    Case("Abs", draw(*IMAGE)),
    Case("Identity", draw(*IMAGE)),
    Case("Sqrt", positive(*IMAGE)),
    Case("Reciprocal", positive(*IMAGE)),
    Case("Log", positive(*IMAGE)),
    Case("Exp", draw(*IMAGE)),
    Case("Erf", draw(*IMAGE)),
    Case("Sin", draw(*IMAGE)),
    Case("Cos", draw(*IMAGE)),
    Case("Tanh", draw(*IMAGE)),
    Case("Sigmoid", draw(*IMAGE)),
    Case("Pow", positive(*IMAGE), Fixed(1.7)),
    Case("Relu", draw(*IMAGE)),
    Case("LeakyRelu", draw(*IMAGE), alpha=0.2),
    Case("PRelu", draw(*IMAGE), Fixed(draw(4, 1, 1))),
    Case("Clip", draw(*IMAGE), Fixed(-0.7), Fixed(0.9)),
    Case("Softmax", draw(*IMAGE), axis=2),
    Case("Cast", draw(*IMAGE), to=TensorProto.FLOAT),
    Case("MatMul", draw(3, 2, 4), draw(3, 4, 5)),
    Case("MatMul", draw(3, 2, 4), Fixed(draw(4, 5)), name="MatMul by a constant"),
    Case("MatMul", draw(2, 1, 4, 3), draw(3, 3, 2), name="MatMul that broadcasts"),
    Case("Gemm", draw(2, 4), Fixed(draw(4, 5)), Fixed(draw(5))),
    Case("Gemm", draw(2, 4), Fixed(draw(5, 4)), Fixed(draw(5)), transB=1, alpha=0.5, name="Gemm B"),
    Case("ReduceMean", draw(*IMAGE), axes=[1, 2]),
    Case("ReduceMean", draw(*IMAGE), axes=[-1], keepdims=0, name="ReduceMean flat"),
    Case("ReduceSum", draw(*IMAGE), whole(1, 3), keepdims=0),
    Case("ReduceL2", draw(*IMAGE), axes=[1]),
    Case("ReduceL2", draw(*IMAGE), axes=[1, 3], keepdims=0, name="ReduceL2 flat"),
    Case("Dropout", draw(*IMAGE)),
    Case("GlobalAveragePool", draw(*IMAGE)),
    Case("Reshape", draw(*IMAGE), whole(2, 2, 2, 30)),
    Case("Flatten", draw(*IMAGE)),
    Case("Squeeze", draw(2, 1, 5), whole(1)),
    Case("Unsqueeze", draw(2, 5), whole(1, 3)),
    Case("Transpose", draw(2, 3, 4), perm=[2, 0, 1]),
    Case("Expand", draw(2, 1, 4), whole(2, 3, 4)),
    Case("Concat", draw(2, 3, 4), Fixed(draw(2, 2, 4)), draw(2, 1, 4), axis=1),
    Case("Slice", draw(*IMAGE), whole(1, 0), whole(4, 9), whole(2, 3)),
    Case("Slice", draw(*IMAGE), whole(-1), whole(-9), whole(2), whole(-2), name="Slice back"),
    Case("Gather", draw(3, 2, 4), Fixed(1, np.int64), axis=0),
    Case("Gather", draw(3, 2, 4), whole(2, 0, 2), axis=0, name="Gather twice"),
    Case("Gather", draw(2, 3, 4), whole(1, 2), axis=1, name="Gather a piece"),
    Case("Gather", draw(2, 3, 4), whole((1, 0), (3, 1)), axis=2, name="Gather a table"),
    Case("Gather", draw(1, 300), whole(*range(298, 0, -1)), axis=1, name="Gather of many"),
    Case("DepthToSpace", draw(2, 8, 3, 2), blocksize=2, mode="DCR"),
    Case("DepthToSpace", draw(2, 8, 3, 2), blocksize=2, mode="CRD", name="DepthToSpace CRD"),
    Case("Pad", draw(*IMAGE), whole(0, 0, 1, 2, 0, 0, 0, 3), Fixed(0.0)),
    Case("Pad", draw(*IMAGE), whole(0, 0, 1, 2, 0, 0, 3, 0), mode="reflect", name="Pad reflect"),
    Case("Pad", draw(*IMAGE), whole(0, 0, 1, 2, 0, 0, 3, 0), mode="edge", name="Pad edge"),
    *(
        Case(
            *("Resize", draw(2, 3, 4, 3), Fixed([], np.float32), Fixed([1, 1, 2, 2], np.float32)),
            name=f"Resize {mode} {places}",
            mode=mode,
            coordinate_transformation_mode=places,
            **({"nearest_mode": "floor"} if mode == "nearest" else {}),
        )
        for mode, places in (
            ("linear", "half_pixel"),
            ("linear", "align_corners"),
            ("linear", "asymmetric"),
            ("nearest", "asymmetric"),
        )
    ),
    Case("Conv", draw(*IMAGE), Fixed(WEIGHT), Fixed(draw(6)), pads=[1, 1, 1, 1]),
    Case("Conv", draw(*IMAGE), Fixed(WEIGHT), pads=[0, 2, 1, 0], name="Conv of odd pads"),
    Case("Conv", draw(*IMAGE), Fixed(WEIGHT), pads=[3, 3, 3, 3], name="Conv of wide pads"),
    Case("Conv", draw(*IMAGE), Fixed(WEIGHT), strides=[2, 2], pads=[1] * 4, name="Conv of strides"),
    Case("Conv", draw(*IMAGE), Fixed(WEIGHT), dilations=[2, 1], pads=[2, 1, 2, 1], name="Conv far"),
    Case("Conv", draw(*IMAGE), Fixed(draw(4, 1, 4, 2)), group=4, pads=[2, 1, 1, 0], name="Conv DW"),
    Case("Conv", draw(*IMAGE), Fixed(draw(6, 2, 3, 1)), group=2, name="Conv of groups"),
    Case("ConvTranspose", draw(*IMAGE), Fixed(draw(4, 3, 3, 3)), strides=[2, 2]),
    Case(
        *("ConvTranspose", draw(*IMAGE), Fixed(draw(4, 3, 4, 4)), Fixed(draw(3))),
        strides=[2, 2],
        pads=[1, 1, 1, 1],
        output_padding=[1, 0],
        name="ConvTranspose of pads",
    ),
    Case("AveragePool", draw(*IMAGE), kernel_shape=[2, 2], strides=[2, 2]),
    Case("MaxPool", draw(2, 3, 7, 6), kernel_shape=[3, 3], strides=[2, 2]),
    Case("InstanceNormalization", draw(*IMAGE), Fixed(draw(4)), Fixed(draw(4)), epsilon=1e-3),
    Case(
        *("BatchNormalization", draw(*IMAGE), Fixed(draw(4)), Fixed(draw(4)), Fixed(draw(4))),
        Fixed(positive(4)),
    ),
]


def build(case: Case, dtype: int = TensorProto.FLOAT) -> ModelProto:
    """The operator with a batch of any size, in float32."""
    outputs = ["y"]
    node = helper.make_node(case.kind, case.names, outputs, **case.attributes)
    inputs = [
        helper.make_tensor_value_info(
            name,
            dtype,
            ["N", *array.shape[1:]]
            if array.ndim == len(next(iter(case.varying.values())).shape) and array.shape[0] == 2
            else list(array.shape),
        )
        for name, array in case.varying.items()
    ]
    constants = [
        numpy_helper.from_array(a if a.dtype.kind == "i" else a.astype(np.float32), name)
        for name, a in case.constants.items()
    ]
    y = helper.make_tensor_value_info("y", dtype, None)
    graph = helper.make_graph([node], "one", inputs, [y], constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )


def to_float64(model: ModelProto) -> Callable[..., list[np.ndarray]]:
    """What computes a graph in float64."""
    for tensor in model.graph.initializer:
        # Scales of a Resize are float32 whatever it resizes.
        scales = any(n.op_type == "Resize" and tensor.name in n.input for n in model.graph.node)
        if tensor.data_type == TensorProto.FLOAT and not scales:
            exact = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(exact, tensor.name))
    for node in model.graph.node:
        if node.op_type == "Cast":
            node.attribute[0].i = TensorProto.DOUBLE
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    evaluator = ReferenceEvaluator(model)

    def run(feeds: Arrays, *names: str) -> list[np.ndarray]:
        return [np.asarray(a) for a in evaluator.run([*names], feeds)]

    return run


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_adjoint(case: Case) -> None:
    model = build(case)
    forward = to_float64(build(case))
    if case.kind == "Erf":  # the evaluator rounds its results to float32
        forward = lambda feeds, name: [np.vectorize(math.erf)(feeds["x0"])]  # noqa: E731
    (y,) = forward(case.varying, "y")
    g = RANDOM.randn(*y.shape)
    model.graph.input.append(helper.make_tensor_value_info("g", TensorProto.FLOAT, [None] * y.ndim))
    gradients = append_adjoint(model, {"y": "g"}, [*case.varying])
    for name in gradients.values():
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    found = to_float64(model)({**case.varying, "g": g}, *gradients.values())
    for (name, x), gradient in zip(case.varying.items(), found, strict=True):
        assert gradient.shape == x.shape
        for _ in range(3):
            v = RANDOM.randn(*x.shape)
            ahead, behind = (
                forward({**case.varying, name: x + step * v}, "y")[0] for step in (STEP, -STEP)
            )
            expected = np.vdot(g, ahead - behind) / (2 * STEP)
            scale = np.linalg.norm(g) * np.linalg.norm(ahead - behind) / (2 * STEP)
            assert abs(np.vdot(gradient, v) - expected) <= 1e-6 * scale


def test_every_operator_is_tried() -> None:
    assert {case.kind for case in CASES} == set(ADJOINTS)


def refused(*words: str) -> Any:
    return pytest.raises(InvalidInput, match=".*".join(words))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case("Floor", draw(*IMAGE)), ["Floor", "no adjoint"]),
        (Case("Conv", draw(*IMAGE), draw(6, 4, 3, 3)), ["weight of a Conv varies"]),
        (Case("ReduceMean", draw(*IMAGE), axes=[0]), ["over the batch"]),
        (Case("Gather", draw(*IMAGE), whole(1), axis=0), ["of the batch"]),
        (
            Case(
                "Resize",
                draw(2, 3, 4, 3),
                Fixed([], np.float32),
                Fixed([1, 1, 2, 2], np.float32),
                mode="cubic",
            ),
            ["cubic", "no adjoint"],
        ),
        (Case("AveragePool", draw(*IMAGE), kernel_shape=[2, 2], pads=[1] * 4), ["AveragePool"]),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "",
)
def test_what_has_no_adjoint_is_refused(case: Case, words: list[str]) -> None:
    model = build(case)
    with refused(*words):
        append_adjoint(model, {"y": "g"}, [*case.varying])


def test_a_value_that_is_used_twice_gets_the_sum() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Add", ["square", "x"], ["y"]),
        helper.make_node("Neg", ["x"], ["unused"]),
    ]
    shapes = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xgu"]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "twice", shapes, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    found = append_adjoint(model, {"y": "g"}, ["x", "u"])
    for name in found.values():
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    x = draw(2, 3).astype(np.float32)
    of_x, of_unused = ReferenceEvaluator(model).run(
        [found["x"], found["u"]], {"x": x, "g": np.ones_like(x), "u": x}
    )
    np.testing.assert_allclose(of_x, 2 * x + 1, rtol=1e-6)
    np.testing.assert_array_equal(of_unused, np.zeros_like(x))


def test_the_length_of_nothing_pulls_nowhere() -> None:
    model = build(Case("ReduceL2", draw(2, 3), axes=[1]))
    model.graph.input.append(helper.make_tensor_value_info("g", TensorProto.FLOAT, ["N", 1]))
    found = append_adjoint(model, {"y": "g"}, ["x0"])["x0"]
    model.graph.output.append(helper.make_tensor_value_info(found, TensorProto.FLOAT, None))
    feeds = {"x0": np.zeros((2, 3), np.float32), "g": np.ones((2, 1), np.float32)}
    (gradient,) = ReferenceEvaluator(model).run([found], feeds)
    np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_a_clamp_behind_a_leaky_relu() -> None:
    """One rule minds both; but not where a gradient comes in between them."""
    nodes = [
        helper.make_node("LeakyRelu", ["x"], ["between"], alpha=0.2),
        helper.make_node("Clip", ["between", "low", "high"], ["y"]),
    ]
    bounds = [
        numpy_helper.from_array(np.float32(bound), name)
        for name, bound in (("low", -0.1), ("high", 0.7))
    ]
    x = np.array([[-0.9, -0.2, 0.3, 1.1]], np.float32)
    for given, slopes in ((["y"], [0, 0.2, 1, 0]), (["y", "between"], [0.2, 0.4, 2, 1])):
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 4]) for n in ("x", "g")]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
        graph = helper.make_graph(nodes, "clamped", values, [y], bounds)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        found = append_adjoint(model, dict.fromkeys(given, "g"), ["x"])["x"]
        model.graph.output.append(helper.make_tensor_value_info(found, TensorProto.FLOAT, None))
        (gradient,) = ReferenceEvaluator(model).run([found], {"x": x, "g": np.ones_like(x)})
        np.testing.assert_allclose(gradient, [slopes], rtol=1e-6)
