"""Every file that a tensor of an ONNX file names is found, wherever the tensor is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    SparseTensorProto,
    TensorProto,
)

from stylert.runtime.files import external_data
from stylert.runtime.files.external_data import find_external_files


def tensor(location: str = "weights.bin") -> TensorProto:
    external = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[3])
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="offset", value="location")
    external.external_data.add(key="location", value=location)
    return external


def in_graph(graph: GraphProto) -> ModelProto:
    return ModelProto(ir_version=8, graph=graph)


def in_node(**attribute: object) -> GraphProto:
    graph = GraphProto(name="g", initializer=[TensorProto(name="w", raw_data=b"location" * 9)])
    graph.node.add(op_type="Constant", attribute=[AttributeProto(name="a", **attribute)])  # type: ignore[arg-type]
    return graph


PLACES: dict[str, Callable[[], ModelProto]] = {
    "an initializer": lambda: in_graph(GraphProto(initializer=[tensor()])),
    "sparse values": lambda: in_graph(
        GraphProto(sparse_initializer=[SparseTensorProto(values=tensor())])
    ),
    "sparse indices": lambda: in_graph(
        GraphProto(sparse_initializer=[SparseTensorProto(indices=tensor())])
    ),
    "a constant": lambda: in_graph(in_node(t=tensor())),
    "constants": lambda: in_graph(in_node(tensors=[TensorProto(), tensor()])),
    "a sparse constant": lambda: in_graph(
        in_node(sparse_tensor=SparseTensorProto(values=tensor()))
    ),
    "sparse constants": lambda: in_graph(
        in_node(sparse_tensors=[SparseTensorProto(values=tensor())])
    ),
    "a subgraph": lambda: in_graph(in_node(g=in_node(g=in_node(t=tensor())))),
    "subgraphs": lambda: in_graph(in_node(graphs=[GraphProto(), in_node(tensors=[tensor()])])),
    "a function": lambda: ModelProto(
        functions=[FunctionProto(name="f", node=in_node(t=tensor()).node)]
    ),
    "a function's default": lambda: ModelProto(
        functions=[FunctionProto(attribute_proto=[AttributeProto(t=tensor())])]
    ),
    "training": lambda: ModelProto(
        training_info=[onnx.TrainingInfoProto(algorithm=GraphProto(initializer=[tensor()]))]
    ),
}


@pytest.mark.parametrize("model", PLACES.values(), ids=PLACES)
def test_wherever_it_is(model: Callable[[], ModelProto], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model().SerializeToString())
    assert find_external_files(path) == {"weights.bin"}


def test_all_of_them(tmp_path: Path) -> None:
    names = {"a.bin", "../b", "/etc/c", "ä", ""}
    path = tmp_path / "model.onnx"
    graph = GraphProto(initializer=[tensor(name) for name in names])
    path.write_bytes(in_graph(graph).SerializeToString())
    assert find_external_files(path) == names


OURS = {
    "ModelProto": "model",
    "TrainingInfoProto": "training",
    "FunctionProto": "function",
    "GraphProto": "graph",
    "NodeProto": "node",
    "AttributeProto": "attribute",
    "SparseTensorProto": "sparse",
    "TensorProto": "tensor",
}


def test_the_schema_of_onnx_has_no_other_place() -> None:
    """A version of ONNX that adds one fails here."""
    messages = onnx.ModelProto.DESCRIPTOR.file.message_types_by_name
    fields = {
        name: {f.number: f.message_type.name for f in message.fields if f.message_type}
        for name, message in messages.items()
    }
    leading: set[str] = set()
    reached = {"TensorProto"}
    while reached != leading:
        leading = reached
        reached = leading | {name for name in fields if leading & {*fields[name].values()}}
    assert leading == OURS.keys()
    for name in leading - {"TensorProto"}:
        places = {number: inner for number, inner in fields[name].items() if inner in leading}
        assert {n: OURS[inner] for n, inner in places.items()} == external_data._INSIDE[OURS[name]]
    assert messages["TensorProto"].fields_by_name["external_data"].number == 13


def test_what_says_it_in_other_bytes(tmp_path: Path) -> None:
    """Protobuf takes keys and sizes that are longer than they need to be."""
    entry = b"\x0a\x08location\x12\x01x"
    external = b"\xea\x00" + bytes([len(entry)]) + entry  # field 13, in two bytes
    held = b"\xaa\x80\x00" + bytes([0x80 | len(external), 0x80, 0]) + external  # field 5, in three
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x3a" + bytes([len(held)]) + held)
    model = onnx.load_model(path, load_external_data=False)
    assert model.graph.initializer[0].external_data[0].value == "x"
    assert find_external_files(path) == {"x"}


NO_FIELD = "a field is of no kind, or ends behind its message"
REFUSED = {
    "nothing": (b"", "empty file"),
    "a text": (b"no graph", NO_FIELD),
    "a group": (b"\x3b\x3c", NO_FIELD),
    "field 0": (b"\x02\x00", NO_FIELD),
    "a key that C++ cuts off": (b"\xba\x80\x80\x80\x10\x00", NO_FIELD),
    "a number without an end": (b"\x08" + b"\x80" * 20, "an integer has no end"),
    "a field behind the end": (b"\x3a\x05\x2a", NO_FIELD),
    "a size behind the end": (b"\x3a", "an integer has no end"),
    "two values": (b"\x3a\x13\x2a\x11\x6a\x0f\x0a\x08location\x12\x01x\x12\x00", "something twice"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_onnx_file(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        find_external_files(path)


def test_a_name_without_end(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    graph = GraphProto(initializer=[tensor("a" * 5000)])
    path.write_bytes(in_graph(graph).SerializeToString())
    with pytest.raises(ValueError, match="external data of more than 4096 bytes"):
        find_external_files(path)


def test_more_parts_than_any_network_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_data, "MAX_FIELDS", 1000)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08" * 1000)
    assert find_external_files(path) == set()
    path.write_bytes(b"\x08\x08" * 1001)
    with pytest.raises(ValueError, match="more than 1000 parts"):
        find_external_files(path)


def test_cut_off_anywhere(tmp_path: Path) -> None:
    """Refused or read, but never another error."""
    whole = PLACES["a subgraph"]().SerializeToString()
    path = tmp_path / "model.onnx"
    for end in range(1, len(whole)):
        path.write_bytes(whole[:end])
        try:
            assert find_external_files(path) == set()
        except ValueError:
            continue


def test_a_network_is_far_from_the_bounds(
    bundle_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A StyleGAN3 of 1024 pixels has as many layers as this one."""
    monkeypatch.setattr(external_data, "MAX_FIELDS", external_data.MAX_FIELDS // 10)
    for path in bundle_of("sg3-r-64").glob("*.onnx"):
        shared = {"synthesis.onnx"} if path.name == "synthesis.gpu.onnx" else set()
        assert find_external_files(path) == shared
