"""Outputs of the graphs are nodes of their own, whatever the family and the precision."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.mapping import build_mapping_graph


@pytest.mark.parametrize(
    "name", ["field/luci16", "sg1-tf-32", "sg2-fp16-64", "sg2-resnet-32", "sg3-t-64"]
)
def test_no_node_reads_an_output(name: str, goldens: Path, tmp_path: Path) -> None:
    """onnxconverter-common 1.16 with keep_io_types gives an invalid file of such a graph."""
    (path,) = (path for path in goldens.glob(f"{name}.p*") if path.suffix != ".npz")
    checkpoint = read_checkpoint(path)
    last = checkpoint.config.block_names[-1:]
    graphs = {
        "mapping": build_mapping_graph(checkpoint),
        "synthesis": build_synthesis_graph(checkpoint),
        "half": build_synthesis_graph(checkpoint, half_blocks=last),
    }
    for graph, built in graphs.items():
        built.save(tmp_path / graph)
        model = onnx.load(tmp_path / graph)
        outputs = {output.name for output in model.graph.output}
        assert outputs == ({"ws"} if graph == "mapping" else {"image", "img"})
        assert not outputs & {name for node in model.graph.node for name in node.input}
