"""A bundle's encoder as a candidate of the benchmark: pictures in memory -> their styles.

What is timed is one pass, from the photos as the encoder takes them; resizing is the same for all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stylert.apps.bench.candidates import OpenCandidate, open_on
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.control.encoder_facts import read_encoder_facts
from stylert.runtime.control.inversion import make_photos
from stylert.runtime.errors import EngineError
from stylert.runtime.feeds import Feeds

if TYPE_CHECKING:
    from stylert.runtime import Generator
    from stylert.runtime.backends.cuda.launch_timer import LaunchTimer

__all__ = ["make_encoder_feeds", "open_encoder", "show_codes"]


class _EncoderCandidate(OpenCandidate):
    """The encoder of a bundle on one backend."""

    def __init__(self, generator: Generator, timer: LaunchTimer | None) -> None:
        self._generator = generator
        self._timer = timer
        self._feeds = Feeds(0)

    def prepare(self, batch: int) -> None:
        rows = make_encoder_feeds(self._generator.bundle, batch)
        self._feeds = Feeds(batch, rows)

    def run(self) -> NDArray[np.float32]:
        with self._generator.lifetime.in_use() as session:
            (ws,) = session.run((ENCODER,), self._feeds, ["ws"])
        return show_codes(np.asarray(ws))

    def device_seconds(self) -> float | None:
        return None if self._timer is None else self._timer.seconds()

    def describe(self) -> dict[str, Any]:
        description = self._generator.describe()
        return {"device": description.get("provider"), **description}

    def close(self) -> None:
        self._generator.close()


def open_encoder(*, bundle: str | Path, max_batch: int, **opening: Any) -> OpenCandidate:
    """Open a bundle as `open_generator` does, and make its encoder a candidate.

    Raises:
        InvalidInput: it has no encoder.
        StylertError: it does not open here; or, on engines, it has none of the encoder.
    """
    generator, timer = open_on(bundle, max_batch=max_batch, **opening)
    facts = generator.describe()
    if facts["backend"] == "tensorrt":
        from stylert.runtime.backends.tensorrt.plans import list_plans

        if facts.get("encoder") not in {plan.name for plan in list_plans(generator.bundle)}:
            generator.close()
            raise EngineError(
                "tensorrt: no engine of the bundle's encoder fits here. Build it: stylert "
                f"build-engine {bundle}"
            )
    return _EncoderCandidate(generator, timer)


def make_encoder_feeds(bundle: Bundle, batch: int) -> dict[str, np.ndarray]:
    """What the encoder of a bundle is fed: random pictures, the same in every process.

    Returns:
        photo [N, channels, h, w] float32; of an encoder that sees what was drawn also img
        [N, 3, H, W] and codes [N, num_ws, w_dim].

    Raises:
        InvalidInput: the bundle has no encoder.
        BundleError: its manifest does not say what it takes.
    """
    facts, spec = read_encoder_facts(bundle), bundle.spec
    random = np.random.RandomState(0)
    shape: tuple[int, ...] = (batch, facts.height, facts.width)
    if facts.picture == "labels":
        images = random.randint(0, facts.channels, shape, np.uint8)
    else:
        images = random.randint(0, 256, (*shape, facts.channels), np.uint8)
    feeds = {"photo": make_photos(images, facts)}
    if facts.start is not None:
        size = (batch, spec.img_channels, spec.img_height, spec.img_width)
        feeds["img"] = random.uniform(-1, 1, size).astype(np.float32)
        feeds["codes"] = np.repeat(facts.start[None], batch, axis=0)
    return feeds


def show_codes(ws: np.ndarray) -> NDArray[np.float32]:
    """The ws [N, num_ws, w_dim] as the benchmark compares pictures: [N, 1, num_ws, w_dim]."""
    shown: NDArray[np.float32] = ws[:, None]
    return shown
