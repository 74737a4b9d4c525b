"""`Generator`: the whole API for applications. It turns seeds into pictures."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from stylert.runtime.backends.base import EngineSession, Session
from stylert.runtime.bundle import Bundle, GeneratorSpec
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.latents import (
    as_float32,
    labels_of,
    psi_per_layer,
    seeds_of,
    soft_labels_of,
    z_from_seeds,
)
from stylert.runtime.noise import NOISE_MODES, NoiseSource

__all__ = ["Generator"]

NoiseMode = Literal["const", "none", "seeded"]
Output = Literal["image", "img"]

MAX_THREADS = 1024  # more is a mistake, and could take the machine down

_log = logging.getLogger("stylert")


class Generator:
    """A StyleGAN generator, ready to draw. Open one with `Generator.open`.

    Safe to call from several threads. The same seed gives the same picture: the batch that it is
    drawn in, its place there and the backend do not change it beyond rounding.

        with stylert.open("bundle") as generator:
            images = generator.generate([1, 2, 3], truncation_psi=0.7)   # uint8 [3, H, W, C]

    Attributes:
        bundle: what was opened; after `refit`, the bundle of the new weights.
        max_batch: images of one call to the backend, at most.
        choice: what runs and why, as one line.
    """

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        *,
        max_batch: int = 8,
        choice: str = "",
    ) -> None:
        self.bundle = bundle
        if isinstance(session, EngineSession):  # the largest batch that it was built for
            max_batch = min(max_batch, session.max_batch)
        self.max_batch = max_batch
        self.choice = choice
        self._session = session
        self._lock = threading.Lock()  # of the two below
        self._calls = 0  # that use the session now
        self._closed = False
        self._noise = NoiseSource(bundle.noise_inputs, bundle.read_noise())

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        provider: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        max_batch: int = 8,
        check_files: bool = True,
    ) -> Generator:
        """Open a bundle.

        Args:
            path: the directory that `stylert export` wrote.
            backend: 'onnxruntime', 'tensorrt' (an engine of `stylert build-engine`), or 'auto': an
                engine in the bundle that runs here, else ONNX Runtime.
            provider: 'cpu', 'cuda', or 'auto': CUDA where this ONNX Runtime and machine have it.
            precision: 'fp32', 'fp16' (mixed, as the checkpoint was trained), or 'auto': half on a
                GPU if the bundle has it.
            threads: CPU threads of one call, None = all CPUs that this process may use.
            max_batch: images of one call to the backend; larger requests are split.
            check_files: compare the SHA-256 of the bundle's files with the manifest.

        Raises:
            InvalidInput: an unknown backend, provider or precision, a count out of range, or a path
                that is none.
            BundleError: the bundle is incomplete, changed, or of a newer schema.
            MissingExtra: the backend's package is not installed.
            EngineError: the backend or the provider does not run here.
        """
        from stylert.runtime.backends import open_session

        if not isinstance(path, (str, os.PathLike)):
            raise InvalidInput(
                f"path: got {type(path).__name__}, expected the directory of a bundle, as a str or "
                "Path."
            )
        if threads is not None and (
            isinstance(threads, bool)
            or not isinstance(threads, int)
            or not 1 <= threads <= MAX_THREADS
        ):
            raise InvalidInput(
                f"threads: got {threads!r}, expected an integer of 1 to {MAX_THREADS}."
            )
        if isinstance(max_batch, bool) or not isinstance(max_batch, int) or max_batch < 1:
            raise InvalidInput(f"max_batch: got {max_batch!r}, expected an integer of at least 1.")
        bundle = Bundle.open(path, check_files=check_files)
        session, choice = open_session(
            bundle, backend=backend, provider=provider, precision=precision, threads=threads
        )
        _log.info(choice)
        return cls(bundle, session, max_batch=max_batch, choice=choice)

    @property
    def spec(self) -> GeneratorSpec:
        """Sizes of the latents and the image, and the family's default truncation."""
        return self.bundle.spec

    @property
    def w_avg(self) -> np.ndarray:
        """The mean of w, which truncation pulls to: [w_dim] float32."""
        return self.bundle.w_avg.copy()

    def describe(self) -> dict[str, Any]:
        """What runs where, and why: backend, version, provider, threads, precision, choice."""
        with self._in_use() as session:
            return {**session.describe(), "choice": self.choice}

    def map(
        self,
        z: Any,
        c: Any = None,
        *,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
    ) -> np.ndarray:
        """Map latents to styles, truncated towards the mean.

        Args:
            z: [N, z_dim] floats, normal distributed.
            c: labels [c_dim] or [N, c_dim] numbers, one-hot or soft; conditional generators only.
            truncation_psi: a number, [N], or [N, num_ws]; 1 = as trained, 0 = the mean.
                None = the family's default, with its cutoff.
            truncation_cutoff: layers from this one on are not truncated, None = all are.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        feeds = self._mapping_feeds(z, c, truncation_psi, truncation_cutoff)
        batch = len(feeds["z"])
        with self._in_use() as session:
            return _join([session.map(_take(feeds, part, batch)) for part in self._chunks(batch)])

    def _mapping_feeds(
        self, z: Any, c: Any, truncation_psi: Any, truncation_cutoff: int | None
    ) -> dict[str, np.ndarray]:
        """The inputs of the mapping graph, checked."""
        z = as_float32("z", z)
        if z.ndim != 2 or z.shape[1] != self.spec.z_dim or not len(z):
            raise InvalidInput(f"z: got shape {z.shape}, expected (N, {self.spec.z_dim}).")
        feeds = {"z": z, "truncation_psi": self._psi(truncation_psi, truncation_cutoff, len(z))}
        labels = soft_labels_of(c, batch=len(z), c_dim=self.spec.c_dim, name="c")
        if labels is not None:
            feeds["c"] = labels
        return feeds

    def synthesize(
        self,
        ws: Any,
        *,
        noise_mode: NoiseMode = "const",
        noise_seed: int | Sequence[int] | None = None,
        noise: Mapping[str, Any] | None = None,
        output: Output = "image",
    ) -> np.ndarray:
        """Draw the images of styles.

        Args:
            ws: [N, num_ws, w_dim] floats, from `map` or an encoder.
            noise_mode: 'const' (the checkpoint's own), 'none', or 'seeded'.
            noise_seed: for 'seeded': one for all images, or one per image.
            noise: noise of your own instead: [1, 1, h, w] or [N, 1, h, w] floats by input name.
            output: 'image' or 'img'.

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        ws = as_float32("ws", ws)
        expected = (self.spec.num_ws, self.spec.w_dim)
        if ws.ndim != 3 or ws.shape[1:] != expected or not len(ws):
            raise InvalidInput(f"ws: got shape {ws.shape}, expected {('N', *expected)}.")
        _check_output(output)
        fields = self._noise_fields(noise_mode, noise_seed, noise, len(ws))
        with self._in_use() as session:
            parts = [
                session.synthesize({"ws": ws[chunk], **fields(chunk)}, [output])[0]
                for chunk in self._chunks(len(ws))
            ]
        return _join(parts)

    def _noise_fields(
        self,
        noise_mode: str,
        noise_seed: int | Sequence[int] | None,
        noise: Mapping[str, Any] | None,
        batch: int,
    ) -> Callable[[slice], Mapping[str, np.ndarray]]:
        """What gives the noise inputs of a part of the batch."""
        seeds = self._noise_seeds(noise_mode, noise_seed, batch)
        if noise is not None:
            if noise_mode != "const":
                raise InvalidInput(
                    f"noise: got arrays and noise_mode {noise_mode!r}, expected one of the two."
                )
            given = self._noise.given(noise, batch)
            return lambda chunk: _take(given, chunk, batch)
        if seeds is None:
            fixed = self._noise.const() if noise_mode == "const" else self._noise.none()
            return lambda chunk: fixed
        if len(seeds) == 1:
            shared = self._noise.seeded(seeds)
            return lambda chunk: shared
        return lambda chunk: self._noise.seeded(seeds[chunk])  # by the part, to bound the memory

    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
        class_idx: int | Sequence[int] | None = None,
        labels: Any = None,
        noise_mode: NoiseMode = "const",
        noise_seed: int | Sequence[int] | None = None,
        output: Output = "image",
    ) -> np.ndarray:
        """Draw the images of seeds.

        Args:
            seeds: one or several integers in [0, 2^32 - 1]; z = RandomState(seed).randn(z_dim).
            truncation_psi: a number, [N], or [N, num_ws]; 1 = as trained, 0 = the mean image.
                None = the family's default, with its cutoff.
            truncation_cutoff: layers from this one on are not truncated, None = all are.
            class_idx: one class for all images, or one per image; conditional generators only.
            labels: soft labels [c_dim] or [N, c_dim] instead of class_idx.
            noise_mode: 'const' (the checkpoint's own), 'none', or 'seeded'.
            noise_seed: for 'seeded': one for all images, or one per image; None = the image's seed.
            output: 'image' or 'img'.

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        numbers = seeds_of(seeds)
        if noise_mode == "seeded" and noise_seed is None:
            noise_seed = numbers
        c = labels_of(class_idx, labels, batch=len(numbers), c_dim=self.spec.c_dim)
        z = z_from_seeds(numbers, self.spec.z_dim)
        feeds = self._mapping_feeds(z, c, truncation_psi, truncation_cutoff)
        _check_output(output)
        fields = self._noise_fields(noise_mode, noise_seed, None, len(z))
        with self._in_use() as session:
            parts = []
            for chunk in self._chunks(len(z)):
                mapped, noise = _take(feeds, chunk, len(z)), fields(chunk)
                if isinstance(session, EngineSession):  # both graphs in one launch
                    parts += session.draw({**mapped, **noise}, [output])
                else:
                    parts += session.synthesize({"ws": session.map(mapped), **noise}, [output])
        return _join(parts)

    def refit(self, path: str | Path) -> None:
        """Load the weights of another bundle of the same architecture into the engine.

        Only for engines that were built with --refittable. Other calls wait meanwhile.

        Raises:
            BundleError: there is no bundle, or it is damaged.
            InvalidInput: its architecture is another.
            EngineError: the backend or its engine cannot be refitted.
        """
        other = Bundle.open(path)
        with self._in_use() as session:
            if not isinstance(session, EngineSession):
                raise EngineError(
                    "refit: only the backend 'tensorrt' can do it; open the other bundle."
                )
            session.refit(other)
            self._noise = NoiseSource(other.noise_inputs, other.read_noise())
            self.bundle = other

    def close(self) -> None:
        """Free the backend's memory. Calls that still run end well; later ones are an error."""
        with self._lock:
            unused = not self._closed and not self._calls
            self._closed = True
        if unused:
            self._session.close()

    def __enter__(self) -> Generator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        s = self.spec
        state = "closed" if self._closed else self.choice
        size = f"{s.img_height}x{s.img_width}x{s.img_channels}"
        return f"<Generator {self.bundle.family} {size}, {state}>"

    @contextmanager
    def _in_use(self) -> Iterator[Session]:
        """The session for one call. If `close` comes meanwhile, the last call closes it."""
        with self._lock:
            if self._closed:
                raise EngineError("This generator is closed. Open it again: stylert.open(path)")
            self._calls += 1
        try:
            yield self._session
        finally:
            with self._lock:
                self._calls -= 1
                last = self._closed and not self._calls
            if last:
                self._session.close()

    def _chunks(self, batch: int) -> Iterator[slice]:
        for start in range(0, batch, self.max_batch):
            yield slice(start, min(start + self.max_batch, batch))

    def _psi(self, truncation_psi: Any, truncation_cutoff: int | None, batch: int) -> np.ndarray:
        if truncation_psi is None:
            truncation_psi = self.spec.truncation_psi
            if truncation_cutoff is None:
                truncation_cutoff = self.spec.truncation_cutoff
        return psi_per_layer(
            truncation_psi, truncation_cutoff, batch=batch, num_ws=self.spec.num_ws
        )

    def _noise_seeds(
        self, noise_mode: str, noise_seed: int | Sequence[int] | None, batch: int
    ) -> list[int] | None:
        if not isinstance(noise_mode, str) or noise_mode not in NOISE_MODES:
            raise InvalidInput(f"noise_mode: got {noise_mode!r}, expected one of {NOISE_MODES}.")
        if noise_mode != "seeded":
            if noise_seed is not None:
                raise InvalidInput(
                    f"noise_seed: got one with noise_mode {noise_mode!r}, expected 'seeded'."
                )
            return None
        if noise_seed is None:
            raise InvalidInput(
                "noise_seed: got None with noise_mode 'seeded', expected one for all images or one "
                "per image."
            )
        seeds = seeds_of(noise_seed, name="noise_seed")
        if len(seeds) not in (1, batch):
            raise InvalidInput(f"noise_seed: got {len(seeds)} seeds, expected 1 or {batch}.")
        return seeds


def _check_output(output: object) -> None:
    if not isinstance(output, str) or output not in ("image", "img"):
        got = repr(output) if isinstance(output, str) else type(output).__name__
        raise InvalidInput(f"output: got {got}, expected 'image' or 'img'.")


def _take(arrays: Mapping[str, np.ndarray], chunk: slice, batch: int) -> dict[str, np.ndarray]:
    """The rows of a chunk; an array with one row for a larger batch is shared by all images."""
    return {k: v[chunk] if len(v) == batch > 1 else v for k, v in arrays.items()}


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
