"""PPL: how much the picture changes per step on a way between latents, as features see it.

Of two latents and a place t between them, pictures at t and t + 1e-4 are drawn; PPL is the mean of
the squared distance of their features over 1e-8, without the lowest and highest 1 %. With
LPIPS-VGG as the network, 'w' and `end` it is StyleGAN2's ppl2_wend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stylert.apps.datasets import DatasetJob
from stylert.apps.datasets.pipeline import open_pipeline
from stylert.apps.evaluation.feature_network import FeatureNetwork
from stylert.apps.evaluation.intervals import Estimate, estimate_mean
from stylert.apps.evaluation.rows import TOGETHER
from stylert.runtime.arguments import check_integer
from stylert.runtime.control import interpolation
from stylert.runtime.latents import make_z

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["Space", "estimate_path_length", "measure_path_lengths", "slerp"]

Space = Literal["w", "z"]

STEP = 1e-4
MOST = 256  # pixels of a side; larger pictures are averaged down
DROPPED = 1  # percent, at each end


def measure_path_lengths(
    generator: Generator,
    network: FeatureNetwork,
    ways: Mapping[str, tuple[Space, bool]],
    job: DatasetJob,
    *,
    workers: int = 1,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> dict[str, Estimate]:
    """Several of them, by name: each of its space, and whether it is at the end."""
    estimate = partial(estimate_path_length, generator, network, job, workers=workers)
    return {
        name: estimate(space=space, end=end, progress=partial(progress, name))
        for name, (space, end) in ways.items()
    }


def estimate_path_length(
    generator: Generator,
    network: FeatureNetwork,
    job: DatasetJob,
    *,
    space: Space = "w",
    end: bool = True,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Estimate:
    """The perceptual path length.

    Args:
        generator: what draws.
        network: what sees; see `FeatureNetwork`.
        job: how many ways, and of which classes; pictures are not truncated, as elsewhere.
        space: 'w' (straight) or 'z' (on the sphere).
        end: at the first latent of each way, else anywhere on it.
        workers: threads that draw and see, each for itself; see `open_for_workers`.
        progress: is called with the ways done, and all.

    Raises:
        InvalidInput: fewer than 2 ways, or features that are not finite.
    """
    samples = len(job.seeds)
    check_integer("samples", samples, 2)
    job = job.for_generator(generator.spec, generator.classes)
    size = max(TOGETHER, generator.max_batch) // 2  # ways: a way has two pictures
    distances = np.empty(samples)

    def measure(places: range) -> tuple[range, np.ndarray]:
        return places, _measure(generator, network, job, places, space, end=end)

    def keep(measured: tuple[range, np.ndarray]) -> None:
        places, found = measured
        distances[places.start : places.stop] = found
        progress(places.stop, samples)

    with open_pipeline(measure, keep, encoders=workers, waiting=workers + 1) as put:
        starts = range(0, samples, size)
        all(put(range(start, min(start + size, samples))) for start in starts)
    low = np.percentile(distances, DROPPED, method="lower")
    high = np.percentile(distances, 100 - DROPPED, method="higher")
    return estimate_mean(distances[(low <= distances) & (distances <= high)])


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """From directions [N, d] to others on the unit sphere, t [N] of the way: [N, d] float32."""
    start, end = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return interpolation.slerp(start, end, t)


def _measure(
    generator: Generator,
    network: FeatureNetwork,
    job: DatasetJob,
    places: range,
    space: Space,
    *,
    end: bool,
) -> np.ndarray:
    """The squared distances of some ways, over the square of the step: [n]."""
    ws = _place(generator, job, places, space, end=end)
    options: Any = {k: v for k, v in job.options.items() if k == "noise_mode"}
    if options.get("noise_mode") == "seeded":  # a way's seed is that of both its pictures
        options["noise_seed"] = [*places, *places]
    img = generator.synthesize(ws, output="img", **options)  # [2n, C, H, W]
    features = network.extract(_shrink(img)).astype(np.float64)
    first, second = features[: len(places)], features[len(places) :]
    return np.asarray(np.square(first - second).sum(1) / STEP**2)


def _place(
    generator: Generator, job: DatasetJob, places: range, space: Space, *, end: bool
) -> np.ndarray:
    """Styles at t and then at t + STEP of each way: [2n, num_ws, w_dim]."""
    n = len(places)
    z = make_z([2 * place + i for i in (0, 1) for place in places], generator.spec.z_dim)
    t = np.array([0.0 if end else np.random.RandomState(p).uniform() for p in places])
    classes = [job.find_class(place) for place in places]
    class_idx = classes * 2 if classes[0] is not None else None
    c = generator.classes.make_labels(class_idx, job.options.get("labels"), batch=2 * n)
    if space == "z":
        first, second = (slerp(z[:n], z[n:], at) for at in (t, t + STEP))
        return generator.map(np.concatenate([first, second]), c, truncation_psi=1)
    ws = generator.map(z, c, truncation_psi=1).astype(np.float64)
    way = ws[n:] - ws[:n]
    return np.concatenate([ws[:n] + way * at[:, None, None] for at in (t, t + STEP)]).astype(
        np.float32
    )


def _shrink(img: np.ndarray) -> np.ndarray:
    """Img [N, C, H, W] in [-1, 1] as float pixels of 0 to 255, averaged down: [N, h, w, C]."""
    N, C, H, W = img.shape
    factor = max(1, H // MOST)
    if factor > 1 and not (H % factor or W % factor):
        img = img.reshape(N, C, H // factor, factor, W // factor, factor).mean((3, 5))
    return np.asarray((img + 1) * np.float32(127.5)).transpose(0, 2, 3, 1)
