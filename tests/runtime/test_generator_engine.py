"""`Generator` on a session that runs both graphs in one launch, as engines do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator


class OneLaunch(OnnxRuntimeSession):
    """ONNX Runtime in the shape of an engine for batches of up to 3."""

    max_batch = 3

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, provider="cpu", threads=1)
        self.batches: list[int] = []
        self.constants: list[Mapping[str, np.ndarray]] = []
        self.refitted: list[Path] = []

    def run(self, graphs: Any, feeds: Feeds, outputs: Any, *, on_device: bool = False) -> Any:
        self.batches.append(feeds.count)
        self.constants.append(feeds.constants)
        assert feeds.count <= self.max_batch
        return super().run(graphs, feeds, outputs, on_device=on_device)

    def refit(self, bundle: Bundle) -> None:
        self.refitted.append(bundle.path)


@pytest.fixture
def engine(conditional_bundle: Path) -> Iterator[tuple[OneLaunch, Generator]]:
    bundle = Bundle.open(conditional_bundle)
    session = OneLaunch(bundle)
    with Generator(bundle, session, max_batch=8) as generator:
        yield session, generator


@pytest.mark.parametrize("noise_mode", ["const", "none", "seeded"])
def test_generate_takes_one_launch_a_part(
    engine: tuple[OneLaunch, Generator], conditional_bundle: Path, noise_mode: Any
) -> None:
    session, generator = engine
    assert generator.max_batch == 3  # the engine's, not the 8 that were asked for
    options = {"truncation_psi": 0.7, "class_idx": [0, 1, 2, 3, 4, 0, 1], "output": "img"}
    images = generator.generate(range(7), noise_mode=noise_mode, **options)
    assert session.batches == [3, 3, 1]
    with Generator.open(conditional_bundle, provider="cpu", threads=1) as other:
        expected = other.generate(range(7), noise_mode=noise_mode, **options)
    np.testing.assert_allclose(images, expected, atol=1e-5)


def test_refit_takes_over_the_other_bundles_noise(
    engine: tuple[OneLaunch, Generator], bundle_of: Callable[[str], Path]
) -> None:
    session, generator = engine
    other = bundle_of("sg2-cond-32")
    generator.refit(other)
    assert session.refitted == [other]
    assert generator.bundle.path == other


def test_only_engines_can_be_refitted(bundle: Path) -> None:
    with (
        Generator.open(bundle, provider="cpu", threads=1) as generator,
        pytest.raises(EngineError, match="only the backend 'tensorrt'"),
    ):
        generator.refit(bundle)


def test_constant_noise_is_said_to_be_so(engine: tuple[OneLaunch, Generator]) -> None:
    session, generator = engine
    generator.generate([1], class_idx=0)
    generator.generate([1], class_idx=0)
    name = generator.bundle.noise_inputs[0].name
    first, second = session.constants
    assert first[name] is second[name]
    assert not first[name].flags.writeable  # nobody changes what a backend has kept
    generator.generate([1], class_idx=0, noise_mode="seeded")
    assert not session.constants[-1]


def test_wrong_output_is_refused_before_the_launch(engine: tuple[OneLaunch, Generator]) -> None:
    session, generator = engine
    with pytest.raises(InvalidInput, match="output: got 'png'"):
        generator.generate([1], class_idx=0, output="png")  # type: ignore[arg-type]
    assert session.batches == []
