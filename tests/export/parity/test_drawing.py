"""The two engines draw side by side, and no picture changes by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.untrained import UNTRAINED
from stylert.export.parity import check_parity, drawing
from stylert.export.parity.reference import TOGETHER, Reference
from stylert.export.parity.scenes import list_image_scenes
from stylert.runtime.generator import Generator


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of four cores on which no network is small."""
    monkeypatch.setattr(drawing, "usable_cpus", lambda: 4)
    monkeypatch.setattr(drawing, "SMALL", 0)


def test_two_at_once_draw_what_one_after_the_other_draws(
    tiny: Checkpoint, tiny_bundle: Path, generous: None
) -> None:
    before = torch.get_num_threads()
    with (
        Generator.open(tiny_bundle, threads=2) as two,
        Generator.open(tiny_bundle, threads=4) as one,
    ):
        together, alone = (check_parity(tiny, g, seeds=range(6)) for g in (two, one))
    assert together.passed
    assert [asdict(row) for row in together.rows] == [asdict(row) for row in alone.rows]
    assert torch.get_num_threads() == before


def test_calls_run_at_once_with_their_share_of_the_threads(
    tiny: Checkpoint, generous: None
) -> None:
    meeting = threading.Barrier(2, timeout=60)

    def call() -> int:
        meeting.wait()  # breaks where only one runs
        return torch.get_num_threads()

    with drawing.share_cores(tiny.config, threads=2) as run:
        assert list(run([call] * 4)) == [2] * 4


def test_what_stops_the_proof_ends_the_rest(
    tiny: Checkpoint, generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ending = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            ending.set()
            super().shutdown(wait=wait)

    def wait() -> None:
        begun.append(1)
        ending.wait(60)

    monkeypatch.setattr(drawing, "ThreadPoolExecutor", Pool)

    def draw() -> None:
        with drawing.share_cores(tiny.config, threads=2) as run:
            results = run([wait] * 50)
            raise KeyboardInterrupt(results)

    with pytest.raises(KeyboardInterrupt):
        draw()
    assert len(begun) <= 2


def test_neither_small_networks_nor_large_pictures_share_the_cores(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "usable_cpus", lambda: 8)
    assert drawing.count_threads(tiny.config) == 1
    assert drawing.count_threads(UNTRAINED["stylegan2-256"]()) == 4
    assert drawing.count_threads(UNTRAINED["stylegan2-1024"]()) == 8
    monkeypatch.setattr(drawing, "usable_cpus", lambda: 1)
    assert drawing.count_threads(UNTRAINED["stylegan2-256"]()) == 1


@pytest.mark.parametrize("family", ["stylegan1", "stylegan2"])
def test_the_reference_draws_several_as_each_alone(
    make_checkpoint: Callable[..., Checkpoint], family: str
) -> None:
    reference = Reference(make_checkpoint(family=family), torch.float64)
    assert reference.at_once == TOGETHER
    seeds = range(TOGETHER)
    scenes = list_image_scenes(reference.config)
    for scene in scenes:
        ws = reference.mix_seeds(seeds)
        together = reference.draw_together(seeds, scene, ws)
        alone = [reference.draw(seed, scene, ws[i]) for i, seed in enumerate(seeds)]
        assert np.abs(together - np.stack(alone)).max() < 1e-12
    more = range(TOGETHER + 1)
    drawn = reference.draw_seeds(more, scenes[0])
    alone = [reference.draw(seed, scenes[0]) for seed in more]
    assert np.abs(drawn - np.stack(alone)).max() < 1e-12
