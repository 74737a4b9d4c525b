"""`Generator`: the whole API for applications. It turns seeds into pictures."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_choice, check_integer
from stylert.runtime.bundle import Bundle, GeneratorSpec
from stylert.runtime.control.picture_fitting import PictureFitting
from stylert.runtime.control.style_editing import StyleEditing
from stylert.runtime.control.style_mixing import StyleMixing
from stylert.runtime.drawing_options import DrawingOptions, Output, PictureOptions, check_output
from stylert.runtime.errors import InvalidInput
from stylert.runtime.feeds import Feeds
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.labels import Classes
from stylert.runtime.lifetime import Lifetime
from stylert.runtime.machine import MAX_THREADS
from stylert.runtime.session import DLPackArray, Graphs, Session, join
from stylert.runtime.signatures import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Generator"]

_log = logging.getLogger("stylert")


class Generator(StyleMixing, StyleEditing, PictureFitting):
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
        inputs: GraphInputs | None = None,
    ) -> None:
        self.bundle = bundle
        self.max_batch = min(max_batch, session.max_batch)
        self.choice = choice
        self.inputs = GraphInputs(bundle) if inputs is None else inputs
        self.lifetime = Lifetime(session)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        backend: str = "auto",
        provider: str = "auto",
        device: str | None = None,
        precision: str = "auto",
        threads: int | None = None,
        gpu: int | None = None,
        lanes: int = 1,
        max_batch: int = 8,
        trust_engines: bool = False,
        check_files: bool = True,
    ) -> Generator:
        """Open a bundle.

        Args:
            path: the directory that `stylert export` wrote.
            backend: 'onnxruntime', 'openvino', 'tensorrt' (an engine of `stylert build-engine`), or
                'auto': an engine in the bundle that runs here, else ONNX Runtime, or what
                `stylert tune` found to be faster on this CPU.
            provider: 'cpu', 'cuda', 'webgpu', or 'auto': CUDA where it is there, else the CPU.
            device: of OpenVINO: 'cpu' (None), 'gpu', 'npu', or one of several, as 'gpu.1'. Of
                WebGPU: 'gpu' (None), or 'software', an adapter that is a program on the CPU.
            precision: 'fp32', 'fp16' (mixed, as the checkpoint was trained), 'int8' (OpenVINO and
                engines, never by itself), or 'auto': half on a GPU if the bundle has it.
            threads: CPU threads of one call, None = all CPUs that this process may use.
            gpu: index of the GPU (CUDA_VISIBLE_DEVICES applies); 'auto' then never means the CPU.
                None = the first GPU, where one is used at all.
            lanes: calls that may run on an engine at the same time, each with buffers of its own on
                the GPU; others wait. ONNX Runtime runs as many as come.
            max_batch: images of one call to the backend; larger requests are split.
            trust_engines: run engines that this user did not build, too. They are programs.
            check_files: compare the SHA-256 of the bundle's files with the manifest.

        Raises:
            InvalidInput: an unknown backend, provider, device or precision, a count out of range,
                or a path that is none.
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
        check_choice("trust_engines", trust_engines, (True, False))  # and no text, as "0"
        check_choice("check_files", check_files, (True, False))
        bundle = Bundle.open(path, check_files=check_files)
        session, choice = open_session(
            bundle,
            backend=backend,
            provider=provider,
            device=device,
            precision=precision,
            threads=threads,
            gpu=gpu,
            lanes=lanes,
            trust_engines=trust_engines,
        )
        _log.info(choice)
        return cls(bundle, session, max_batch=max_batch, choice=choice)

    @property
    def spec(self) -> GeneratorSpec:
        """Sizes of the latents and the image, and the family's default truncation."""
        return self.bundle.spec

    @property
    def classes(self) -> Classes:
        """The classes of a conditional generator, with their names where they are known."""
        return self.bundle.classes

    @property
    def w_avg(self) -> NDArray[np.float32]:
        """The mean of w, which truncation pulls to: [w_dim] float32.

        Of StyleGAN-XL, where each class has its own: [classes, w_dim].
        """
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
    ) -> NDArray[np.float32]:
        """Map latents to styles, truncated towards the mean.

        Args:
            z: [N, z_dim] floats, normal distributed.
            c: labels [c_dim] or [N, c_dim] numbers, one-hot or soft (see `DrawingOptions`);
                conditional generators only.
            truncation_psi: see `DrawingOptions`.
            truncation_cutoff: see `DrawingOptions`.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        feeds = self.inputs.feed_latents(z, c, truncation_psi, truncation_cutoff)
        return np.asarray(self._run(("mapping",), feeds, "ws"))

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Literal["image"] = ...,
        on_device: Literal[False] = ...,
        **options: Unpack[PictureOptions],
    ) -> NDArray[np.uint8]: ...

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Literal["img"],
        on_device: Literal[False] = ...,
        **options: Unpack[PictureOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def synthesize(
        self,
        ws: Any,
        *,
        output: Output = ...,
        on_device: bool,
        **options: Unpack[PictureOptions],
    ) -> DLPackArray: ...

    @takes(PictureOptions)
    def synthesize(
        self,
        ws: Any,
        *,
        output: Output = "image",
        on_device: bool = False,
        **options: Unpack[PictureOptions],
    ) -> DLPackArray:
        """Draw the images of styles.

        Args:
            ws: [N, num_ws, w_dim] floats, from `map` or an encoder.
            output: 'image' or 'img'.
            on_device: leave the images where they were drawn; see `generate`.
            options: see `PictureOptions`.

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            MissingExtra: `on_device` with ONNX Runtime on a GPU, and cuda-core is not installed.
            EngineError: the backend failed, or the generator is closed.
        """
        check_output(output, on_device)
        return self._run(("synthesis",), self.inputs.feed_styles(ws, options), output, on_device)

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Literal["image"] = ...,
        on_device: Literal[False] = ...,
        **options: Unpack[DrawingOptions],
    ) -> NDArray[np.uint8]: ...

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Literal["img"],
        on_device: Literal[False] = ...,
        **options: Unpack[DrawingOptions],
    ) -> NDArray[np.float32]: ...

    @overload
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Output = ...,
        on_device: bool,
        **options: Unpack[DrawingOptions],
    ) -> DLPackArray: ...

    @takes(DrawingOptions)
    def generate(
        self,
        seeds: int | Iterable[int],
        *,
        output: Output = "image",
        on_device: bool = False,
        **options: Unpack[DrawingOptions],
    ) -> DLPackArray:
        """Draw the images of seeds.

        Args:
            seeds: one or several integers in [0, 2^32 - 1]; z = RandomState(seed).randn(z_dim).
            output: 'image' or 'img'.
            on_device: leave the images where they were drawn: one `DeviceArray` in the GPU's memory
                if that is a GPU, which the call need not wait for, else a NumPy array. Both are for
                `torch.from_dlpack` and its like, which copy nothing. It stays valid after later
                calls and `close`. `numpy.from_dlpack(array, device="cpu")` brings either to the
                host (NumPy 2.1).
            options: see `DrawingOptions`: truncation, classes, noise, and how the picture lies.

        Returns:
            'image': uint8 [N, H, W, C]; 'img': float32 [N, C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            MissingExtra: `on_device` with ONNX Runtime on a GPU, and cuda-core is not installed.
            EngineError: the backend failed, or the generator is closed.
        """
        check_output(output, on_device)
        feeds = self.inputs.feed_seeds(seeds, options)
        return self._run(("mapping", "synthesis"), feeds, output, on_device)

    def share(self, session: Session) -> Generator:
        """A generator of the same bundle that draws by another session; nothing is read again.

        For services, whose requests share the calls of one backend. The other one's `close` closes
        that session alone.
        """
        return Generator(
            self.bundle,
            session,
            max_batch=session.max_batch,
            choice=self.choice,
            inputs=self.inputs,
        )

    def refit(self, path: str | Path) -> None:
        """Load the weights of another bundle of the same architecture into the engine.

        Only for engines that were built with `refittable=True`. Other calls wait meanwhile.

        Raises:
            BundleError: there is no bundle, or it is damaged.
            InvalidInput: its architecture is another.
            EngineError: the backend or its engine cannot be refitted.
        """
        other = Bundle.open(path)
        with self.lifetime.in_use() as session:
            session.refit(other)
            self.inputs = GraphInputs(other)
            self.bundle = other

    def close(self) -> None:
        """Free the backend's memory. Calls that still run end well; later ones are an error."""
        self.lifetime.close()

    def _run(
        self, graphs: Graphs, feeds: Feeds, output: str, on_device: bool = False
    ) -> DLPackArray:
        """Run graphs on all rows, in calls of up to `max_batch`; one array of what they give."""
        with self.lifetime.in_use() as session:
            if feeds.count <= self.max_batch:
                return session.run(graphs, feeds, [output], on_device=on_device)[0]
            parts = feeds.split(self.max_batch)
            return join(
                (session.run(graphs, part, [output], on_device=on_device)[0] for part in parts),
                feeds.count,
            )

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        s = self.spec
        state = "closed" if self.lifetime.closed else self.choice
        size = f"{s.img_height}x{s.img_width}x{s.img_channels}"
        return f"<Generator {self.bundle.family} {size}, {state}>"

    __reduce__ = Lifetime.__reduce__  # which refuses
