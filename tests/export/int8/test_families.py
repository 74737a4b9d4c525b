"""INT8 knows of no family: it takes the graphs of all, and they stay close to what they were."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stylert.export.int8 import graph_runs
from stylert.export.int8.quantisation import quantise_bundle
from stylert.export.int8.source_graph import SourceGraph
from stylert.runtime.bundle import Bundle


@pytest.mark.parametrize(
    ("name", "count", "by_channel", "by_image", "psnr_db"),
    [
        ("sg1-tf-32", 7, 7, 0, 36),  # styles with a shift, behind an instance normalisation
        ("sg2-resnet-32", 10, 7, 7, 42),  # the skips take no styles
        ("rosinality-32", 7, 7, 7, 42),
        ("field/luci16attn", 17, 6, 4, 37),  # resized behind the style; attention takes none
        ("field/human-sg3t", 7, 7, 7, 45),
        ("field/xl-cond", 8, 8, 8, 50),
    ],
)
def test_a_network_of_each(
    name: str,
    count: int,
    by_channel: int,
    by_image: int,
    psnr_db: float,
    bundle_of: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graph_runs, "_PICTURES", ((math.inf, (24, 12)),))
    out = shutil.copytree(bundle_of(name), tmp_path / "bundle")
    convolutions = SourceGraph(Bundle.open(out)).convolutions
    assert len(convolutions) == count
    assert sum(one.scales is not None for one in convolutions) == by_channel
    assert sum(one.per_image for one in convolutions) == by_image
    report = quantise_bundle(out, int8_floor=20)
    assert report.float32 == ()
    assert report.quality.psnr_db > psnr_db
