"""`Generator`: the whole API for applications. It turns seeds into pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_integer
from stylert.runtime.bundle import Bundle, GeneratorSpec
from stylert.runtime.control.style_editing import StyleEditing
from stylert.runtime.control.style_mixing import StyleMixing
from stylert.runtime.control.styles import as_styles
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.latents import labels_of, seeds_of, z_from_seeds
from stylert.runtime.lifetime import Lifetime
from stylert.runtime.options import (
    NoiseMode,
    Output,
    SeedOptions,
    SynthesisOptions,
    check_output,
)
from stylert.runtime.parts import joined, parts_of, rows_of
from stylert.runtime.session import DLPackArray, EngineSession, Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Generator"]

MAX_THREADS = 1024  # more is a mistake, and could take the machine down

_log = logging.getLogger("stylert")


class Generator(StyleMixing, StyleEditing):
    """A StyleGAN generator, ready to draw. Open one with `Generator.open`.

    Safe to call from several threads, but not after a fork. The same seed gives the same picture:
    the batch that it is drawn in, its place there and the backend do not change it beyond rounding.

        with stylert.open("bundle") as generator:
            images = generator.generate([1, 2, 3], truncation_psi=0.7)   # uint8 [3, H, W, C]

    Where torch, CuPy or JAX go on with the images, they can stay where they were drawn:

        tensor = torch.from_dlpack(generator.generate([1, 2, 3], on_device=True))   # no copy

    Attributes:
        bundle: what was opened; after `refit`, the bundle of the new weights.
        max_batch: images of one call to the backend, at most.
        choice: what runs and why, as one line.
        inputs: makes the inputs of the graphs, for those who draw by other ways; see `GraphInputs`.
        lifetime: how long the backend's session is open, and who uses it; see `Lifetime`.
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
        self.inputs = GraphInputs(bundle)
        self.lifetime = Lifetime(session)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        provider: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        gpu: int | None = None,
        lanes: int = 1,
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
            gpu: index of the GPU (CUDA_VISIBLE_DEVICES applies); 'auto' then never means the CPU.
                None = the first GPU, where one is used at all.
            lanes: calls that may run on an engine at the same time, each with buffers of its own on
                the GPU; others wait. ONNX Runtime runs as many as come.
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
        if threads is not None:
            check_integer("threads", threads, 1, MAX_THREADS)
        if gpu is not None:
            check_integer("gpu", gpu, 0)
        check_integer("lanes", lanes, 1)
        check_integer("max_batch", max_batch, 1)
        bundle = Bundle.open(path, check_files=check_files)
        session, choice = open_session(
            bundle,
            backend=backend,
            provider=provider,
            precision=precision,
            threads=threads,
            gpu=gpu,
            lanes=lanes,
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
        with self.lifetime.in_use() as session:
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
            truncation_psi: a number, [N], or [N, num_ws]; 1 = as trained, 0 = the mean. Or by
                layers: {'coarse': 0.5, 'middle': 0.7}. None = the family's default, with its
                cutoff.
            truncation_cutoff: layers from this one on are not truncated, None = all are.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        feeds = self.inputs.mapping(z, c, truncation_psi, truncation_cutoff)
        batch = len(feeds["z"])
        with self.lifetime.in_use() as session:
            parts = (
                session.map(rows_of(feeds, part, batch)) for part in parts_of(batch, self.max_batch)
            )
            return joined(parts, batch)

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Literal["image"] = ...,
        on_device: Literal[False] = ...,
        **options: Unpack[SynthesisOptions],
    ) -> NDArray[np.uint8]: ...

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Literal["img"],
        on_device: Literal[False] = ...,
        **options: Unpack[SynthesisOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Output = ...,
        on_device: bool,
        **options: Unpack[SynthesisOptions],
    ) -> DLPackArray: ...

    def synthesize(
        self,
        ws: Any,
        *,
        noise_mode: NoiseMode = "const",
        noise_seed: int | Sequence[int] | None = None,
        noise: Mapping[str, Any] | None = None,
        translate: Any = None,
        rotate: Any = None,
        transform: Any = None,
        output: Output = "image",
        on_device: bool = False,
    ) -> DLPackArray:
        """Draw the images of styles.

        Args:
            ws: [N, num_ws, w_dim] floats, from `map` or an encoder.
            noise_mode: 'const' (the checkpoint's own), 'none', or 'seeded'.
            noise_seed: for 'seeded': one for all images, or one per image.
            noise: noise of your own instead: [1, 1, h, w] or [N, 1, h, w] floats by input name.
            translate: move the pictures, see `generate`; StyleGAN3 only.
            rotate: turn the pictures, see `generate`; StyleGAN3 only.
            transform: a matrix of your own instead, see `generate`; StyleGAN3 only.
            output: 'image' or 'img'.
            on_device: leave the images where they were drawn; see `generate`.

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            MissingExtra: `on_device` with ONNX Runtime on a GPU, and cuda-core is not installed.
            EngineError: the backend failed, or the generator is closed.
        """
        ws = as_styles("ws", ws, num_ws=self.spec.num_ws, w_dim=self.spec.w_dim)
        check_output(output, on_device)
        noise_of = self.inputs.noise.of(noise_mode, noise_seed, noise, batch=len(ws))
        motions = self.inputs.transforms(translate, rotate, transform, batch=len(ws))
        with self.lifetime.in_use() as session:
            draw = session.synthesize_on_device if on_device else session.synthesize
            parts = (
                draw(
                    {"ws": ws[part], **noise_of(part), **rows_of(motions, part, len(ws))}, [output]
                )[0]
                for part in parts_of(len(ws), self.max_batch)
            )
            return joined(parts, len(ws))

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Literal["image"] = ...,
        on_device: Literal[False] = ...,
        **options: Unpack[SeedOptions],
    ) -> NDArray[np.uint8]: ...

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Literal["img"],
        on_device: Literal[False] = ...,
        **options: Unpack[SeedOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Output = ...,
        on_device: bool,
        **options: Unpack[SeedOptions],
    ) -> DLPackArray: ...

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
        translate: Any = None,
        rotate: Any = None,
        transform: Any = None,
        output: Output = "image",
        on_device: bool = False,
    ) -> DLPackArray:
        """Draw the images of seeds.

        Args:
            seeds: one or several integers in [0, 2^32 - 1]; z = RandomState(seed).randn(z_dim).
            truncation_psi: a number, [N], or [N, num_ws]; 1 = as trained, 0 = the mean image. Or by
                layers: {'coarse': 0.5, 'middle': 0.7}. None = the family's default, with its
                cutoff.
            truncation_cutoff: layers from this one on are not truncated, None = all are.
            class_idx: one class for all images, or one per image; conditional generators only.
            labels: soft labels [c_dim] or [N, c_dim] instead of class_idx, or a mix of classes by
                their weights: {3: 0.7, 5: 0.3}.
            noise_mode: 'const' (the checkpoint's own), 'none', or 'seeded'.
            noise_seed: for 'seeded': one for all images, or one per image; None = the image's seed.
            translate: move the pictures to the right and down: (x, y) for all or [N, 2], in sides
                of the picture; StyleGAN3 only, which draws what comes into view.
            rotate: turn the pictures about their centre, counter-clockwise: degrees for all or [N];
                StyleGAN3 only (-R is made for it). They are turned before they are moved.
            transform: instead, where in the unmoved picture each place (x, y, 1) is to be found:
                matrices [3, 3] or [N, 3, 3] with the last row 0 0 1; the origin is the centre.
            output: 'image' or 'img'.
            on_device: leave the images where they were drawn: one `DeviceArray` in the GPU's memory
                if that is a GPU, which the call need not wait for, else a NumPy array. Both are for
                `torch.from_dlpack` and its like, which copy nothing. It stays valid after later
                calls and `close`. `numpy.from_dlpack(array, device="cpu")` brings either to the
                host (NumPy 2.1).

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            MissingExtra: `on_device` with ONNX Runtime on a GPU, and cuda-core is not installed.
            EngineError: the backend failed, or the generator is closed.
        """
        numbers = seeds_of(seeds)
        if noise_mode == "seeded" and noise_seed is None:
            noise_seed = numbers
        c = labels_of(class_idx, labels, batch=len(numbers), c_dim=self.spec.c_dim)
        z = z_from_seeds(numbers, self.spec.z_dim)
        feeds = self.inputs.mapping(z, c, truncation_psi, truncation_cutoff)
        check_output(output, on_device)
        noise_of = self.inputs.noise.of(noise_mode, noise_seed, None, batch=len(z))
        motions = self.inputs.transforms(translate, rotate, transform, batch=len(z))
        with self.lifetime.in_use() as session:
            parts = (
                _draw(
                    session,
                    rows_of(feeds, part, len(z)),
                    {**noise_of(part), **rows_of(motions, part, len(z))},
                    output,
                    on_device,
                )
                for part in parts_of(len(z), self.max_batch)
            )
            return joined(parts, len(z))

    def refit(self, path: str | Path) -> None:
        """Load the weights of another bundle of the same architecture into the engine.

        Only for engines that were built with --refittable. Other calls wait meanwhile.

        Raises:
            BundleError: there is no bundle, or it is damaged.
            InvalidInput: its architecture is another.
            EngineError: the backend or its engine cannot be refitted.
        """
        other = Bundle.open(path)
        with self.lifetime.in_use() as session:
            if not isinstance(session, EngineSession):
                raise EngineError(
                    "refit: only the backend 'tensorrt' can do it; open the other bundle."
                )
            session.refit(other)
            self.inputs = GraphInputs(other)
            self.bundle = other

    def close(self) -> None:
        """Free the backend's memory. Calls that still run end well; later ones are an error."""
        self.lifetime.close()

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
        state = "closed" if self.lifetime.closed else self.choice
        size = f"{s.img_height}x{s.img_width}x{s.img_channels}"
        return f"<Generator {self.bundle.family} {size}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise EngineError(
            "A generator cannot be copied or sent to another process: send the path of its bundle "
            "and open it there."
        )


def _draw(
    session: Session,
    mapped: Mapping[str, np.ndarray],
    synthesized: Mapping[str, np.ndarray],
    output: str,
    on_device: bool,
) -> DLPackArray:
    """Run both graphs: the mapping's inputs, and those of the synthesis without ws."""
    if isinstance(session, EngineSession):  # both graphs in one launch
        draw = session.draw_on_device if on_device else session.draw
        return draw({**mapped, **synthesized}, [output])[0]
    synthesize = session.synthesize_on_device if on_device else session.synthesize
    return synthesize({"ws": session.map(mapped), **synthesized}, [output])[0]
