"""Pictures by words: the best of some samples, then CMA-ES from there, then gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.apps.projection.adam import Adam
from stylert.apps.words.pair import Pair, Warn, warn
from stylert.runtime import Generator, InvalidInput
from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.latents import check_floats
from stylert.runtime.machine import MAX_THREADS
from stylert.runtime.packages import import_extra

__all__ = ["FoundPictures", "SearchSettings", "check_gradient", "search_text"]

AXES = 16  # principal components of w that are searched
SAMPLES = 2000  # that they are found by
WIDTH = 0.4  # of the first search, in deviations
FAR = 1.0  # of one from a picture that may be all another
CALM = 0.01  # similarity that a deviation, squared, costs, over the number of axes
ENOUGH = 256  # samples, of which one shows what a text tells, if the pair knows it
RATE = 0.02  # of the gradient's steps, in deviations of w

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How pictures are looked for.

    Attributes:
        seeds_start: samples that are drawn at first, k.
        first_seed: the first of their seeds.
        generations: of CMA-ES, from the best of them.
        steps: of gradients after that; the bundle needs gradient.onnx.
        results: pictures to find, each from a sample of its own.
        truncation_psi: truncation of the samples, None = the network's own.
        class_idx: class of the samples, None = of all classes, in turns.
        seed: of CMA-ES.

    Raises:
        InvalidInput: a number out of range.
    """

    seeds_start: int = 256
    first_seed: int = 0
    generations: int = 30
    steps: int = 0
    results: int = 1
    truncation_psi: Any = None
    class_idx: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_integer("seeds_start", self.seeds_start, 1, 1_000_000)
        check_integer("first_seed", self.first_seed, 0, 2**32 - self.seeds_start)
        check_integer("generations", self.generations, 0, 100_000)
        check_integer("steps", self.steps, 0, 100_000)
        check_integer("results", self.results, 1, self.seeds_start)
        check_integer("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class FoundPictures:
    """What a search has found, the best first.

    Attributes:
        ws: the styles [N, num_ws, w_dim] float32.
        images: the pictures [N, H, W, C] uint8.
        similarity: of each to the text [N], at most 1.
        started: similarity of the samples that they come from [N].
        known: whether a sample came as near as to a text that the pair knows; None where its folder
            does not tell how near that is, or where there were few samples and none came near.
    """

    ws: np.ndarray
    images: np.ndarray
    similarity: np.ndarray
    started: np.ndarray
    known: bool | None


def search_text(
    generator: Generator,
    pair: Pair,
    text: str,
    settings: SearchSettings | None = None,
    *,
    start: np.ndarray | None = None,
    workers: int = 1,
    progress: Progress = lambda what, done, total: None,
    warn: Warn = warn,
) -> FoundPictures:
    """Find the styles whose pictures a pair of networks finds nearest to a text.

        found = search_text(generator, Pair.open("demo-words"), "a blue flower")

    Args:
        generator: any that draws colours.
        pair: of networks for pictures and texts.
        text: what is looked for.
        settings: how; see `SearchSettings`.
        start: ws [N, num_ws, w_dim] to start from, in the place of samples: an edit of pictures,
            in their order.
        workers: threads that draw and see at the same time. Several are faster than calls of
            several threads, which a generator and a pair that are opened with one thread do not
            take; steps by gradients are the calling thread's alone.
        progress: called with what is done, how much of it, and how much there is.
        warn: told what was cut off, and that the pair knows little of the text; by default a
            `StylertWarning`.

    Returns:
        The styles and their pictures.

    Raises:
        InvalidInput: an empty text, a class that is not there, steps without a gradient, or
            pictures that the pair cannot see.
        MissingExtra: cmaes is not installed, and there are generations.
        EngineError: a backend failed.
    """
    settings = settings or SearchSettings()
    if generator.spec.img_channels not in (1, 3, 4):
        raise InvalidInput(
            f"generator: got pictures of {generator.spec.img_channels} channels, expected 1, 3 or "
            "4: what a pair of networks can see."
        )
    if settings.steps:
        check_gradient(generator, settings.steps)
    check_integer("workers", workers, 1, MAX_THREADS)
    point = pair.embed_texts([text], warn=warn)[0]
    with ThreadPoolExecutor(workers) as pool:
        climb = _Climb(generator, pair, point, settings, progress, pool, workers)
        best, similarity, started = climb.find(start)
    if start is not None:
        return FoundPictures(best, generator.synthesize(best), similarity, started, None)
    order = np.argsort(-similarity, kind="stable")
    best, similarity = best[order], similarity[order]
    known = _find_known(pair, float(started.max()), settings.seeds_start)
    if known is False:
        warn(
            f"text: no sample comes nearer to {shown(text)} than {started.max():.2f}; texts that "
            f"this pair knows reach {pair.known:.2f}. It knows little of this one."
        )
    return FoundPictures(best, generator.synthesize(best), similarity, started[order], known)


def check_gradient(generator: Generator, steps: int) -> None:
    """Refuse steps by gradients where the bundle has none.

    Raises:
        InvalidInput: it has none.
    """
    if not generator.has_gradient:
        raise InvalidInput(
            f"steps: got {steps}, but {generator.bundle.path} has no gradient. Make it: "
            f"stylert gradient {generator.bundle.path}"
        )


def _find_known(pair: Pair, nearest: float, samples: int) -> bool | None:
    """Whether the pair knows the text: samples tell it, as a climb deceives a pair in the end."""
    if pair.known is None:
        return None
    if nearest >= pair.known:
        return True
    return False if samples >= ENOUGH else None


class _Climb:
    """One search: the text, and what was found so far."""

    def __init__(
        self,
        generator: Generator,
        pair: Pair,
        text: np.ndarray,
        settings: SearchSettings,
        progress: Progress,
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        self._generator = generator
        self._pair = pair
        self._text = text
        self._settings = settings
        self._progress = progress
        self._pool, self._workers = pool, workers

    def find(self, start: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The styles that were found, their similarity, and that of where they started."""
        s = self._settings
        if start is None:
            ws, started = self.draw_samples()
        else:
            ws = check_floats("start", start, kinds="fiu")
            started = self.compare(ws)
        best, similarity = ws, started
        if s.generations:
            width = WIDTH if start is None else FAR
            best, similarity = self.search_nearby(best, similarity, width)
        if s.steps:
            best, similarity = self.follow_gradient(best, similarity)
        return best, similarity, started

    def compare(self, ws: np.ndarray) -> np.ndarray:
        """How near the pictures of styles are to the text [N]; each worker takes some."""
        if self._workers == 1:
            return self._compare(ws)
        parts = np.array_split(ws, min(self._workers, len(ws)))
        return np.concatenate(list(self._pool.map(self._compare, parts)))

    def _compare(self, ws: np.ndarray) -> np.ndarray:
        img = np.asarray(self._generator.synthesize(ws, output="img"))
        similarity: np.ndarray = self._pair.embed_images(img) @ self._text
        return similarity

    def draw_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """The styles of the best samples, the best first, and their similarity."""
        s, generator = self._settings, self._generator
        options: dict[str, Any] = (
            {} if s.truncation_psi is None else {"truncation_psi": s.truncation_psi}
        )
        kept, found = [], []
        together = generator.max_batch * self._workers
        for seeds in _split(range(s.first_seed, s.first_seed + s.seeds_start), together):
            if s.class_idx is not None:
                options["class_idx"] = s.class_idx
            elif generator.spec.c_dim:
                options["class_idx"] = [seed % generator.classes.count for seed in seeds]
            ws = generator.styles(seeds, **options)
            kept.append(ws)
            found.append(self.compare(ws))
            self._progress("drawing samples", sum(map(len, kept)), s.seeds_start)
        ws, similarity = np.concatenate(kept), np.concatenate(found)
        best = np.argsort(-similarity, kind="stable")[: s.results]
        return ws[best], similarity[best]

    def search_nearby(
        self, start: np.ndarray, similarity: np.ndarray, width: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """CMA-ES over the principal axes of w, from each start."""
        cmaes = import_extra("cmaes", "cmaes", extra="cma")
        s, spec = self._settings, self._generator.spec
        axes = min(AXES, spec.w_dim)
        components = self._generator.pca(SAMPLES, k=axes)
        frame = components.components * components.stddev[:, None]  # [axes, w_dim]
        best, reached = start.copy(), similarity.copy()
        for i, w in enumerate(start):
            search = cmaes.CMA(mean=np.zeros(axes), sigma=width, seed=s.seed + i + 1)
            for generation in range(s.generations):
                tried = np.stack([search.ask() for _ in range(search.population_size)])
                ws = w + (tried @ frame).astype(np.float32)[:, None]
                near = self.compare(ws)
                losses = CALM * np.square(tried).mean(1) - near
                search.tell([(x, float(y)) for x, y in zip(tried, losses, strict=True)])
                place = int(near.argmax())
                if near[place] > reached[i]:
                    best[i], reached[i] = ws[place], near[place]
                self._progress(
                    "searching nearby",
                    i * s.generations + generation + 1,
                    len(start) * s.generations,
                )
        return best, reached

    def follow_gradient(
        self, start: np.ndarray, similarity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Adam on w+, from each start."""
        s, generator = self._settings, self._generator
        deviation = float(generator.pca(SAMPLES, k=1).stddev[0])
        ws, adam = start.copy(), Adam(start.shape)
        best, reached = start.copy(), similarity.copy()

        def keep(near: np.ndarray) -> None:
            better = near > reached
            best[better], reached[better] = ws[better], near[better]

        for step in range(s.steps):
            img = np.asarray(generator.synthesize(ws, output="img"))
            near, of_img = self._pair.find_gradient(img, self._text)
            if step:
                keep(near)
            found = generator.draw_gradient(ws, img_grad=-of_img)
            rate = RATE * deviation * (1 - step / s.steps)
            ws = ws + adam.find_step(found.ws, np.full(len(ws), rate, np.float32))
            self._progress("following the gradient", step + 1, s.steps)
        keep(self.compare(ws))
        return best, reached


def _split(seeds: range, size: int) -> Iterator[list[int]]:
    for start in range(0, len(seeds), size):
        yield list(seeds[start : start + size])
