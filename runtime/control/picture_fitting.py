"""What `Generator` does with pictures that are there: how ws and noise would have to change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_choice
from stylert.runtime.bundle import GRADIENT, Bundle, is_noise
from stylert.runtime.control.inversion import Inversion
from stylert.runtime.control.style_space import STYLE_OFFSET, find_style_space
from stylert.runtime.drawing_options import PictureOptions
from stylert.runtime.errors import InvalidInput
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.latents import check_floats, read_array
from stylert.runtime.lifetime import Lifetime
from stylert.runtime.signatures import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["PictureFitting", "PictureGradient"]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class PictureGradient:
    """How far pictures are off, and the gradients of it; float32.

    Attributes:
        loss: [N].
        img: what was drawn, [N, C, H, W], nominal range [-1, 1].
        ws: the gradient of the ws, [N, num_ws, w_dim].
        noise: that of each image's noise, [N, 1, h, w] by input name, if it was asked for. One
            noise for all images has the sum of them.
        style_offset: that of the offsets of styles, [N, S], if it was asked for.
    """

    loss: NDArray[np.float32]
    img: NDArray[np.float32]
    ws: NDArray[np.float32]
    noise: Mapping[str, NDArray[np.float32]]
    style_offset: NDArray[np.float32] | None = None


class PictureFitting(Inversion):
    """The part of `Generator` that compares what it draws with pictures, and differentiates."""

    bundle: Bundle
    inputs: GraphInputs
    max_batch: int
    lifetime: Lifetime
    synthesize: Callable[..., Any]

    @property
    def has_gradient(self) -> bool:
        """Whether the bundle has the graph that `draw_gradient` needs."""
        return GRADIENT in self.bundle.graphs

    @takes(PictureOptions)
    def draw_gradient(
        self,
        ws: Any,
        target: Any = None,
        *,
        mask: Any = None,
        scales: Any = None,
        img_grad: Any = None,
        with_noise: bool = False,
        with_styles: bool = False,
        **options: Unpack[PictureOptions],
    ) -> PictureGradient:
        """Draw the images of styles, and the gradients of a loss.

        The loss of an image is the sum over scales s = 0, 1, ... of scales[s] * mean(d_s^2), where
        d_0 = mask * (img - target) and d_s is d_0 shrunk s times, each by means of 2x2 pixels.

            found = generator.draw_gradient(ws, target)
            ws -= 0.1 * found.ws

        Args:
            ws: [N, num_ws, w_dim] floats.
            target: [N, C, H, W] or [1, C, H, W] floats in [-1, 1]; None = `img_grad` alone.
            mask: [N, 1, H, W] or [1, 1, H, W] floats: where the target matters. Where it is 0, the
                target is not read. None = everywhere.
            scales: the weight of each scale, [S], or [N, S] for each image; those left out are 0.
                None = the same for all, 1 in sum.
            img_grad: [N, C, H, W] or [1, C, H, W] floats, the gradient of a loss of your own by
                img, added to that of the target's.
            with_noise: the gradients of the noise, too.
            with_styles: those of the offsets of styles, too; of a bundle with style space.
            options: see `PictureOptions`.

        Returns:
            The loss without what `img_grad` stands for, the images, and the gradients.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit, or a bundle without gradient.
            EngineError: the backend failed, or cannot differentiate.
        """
        check_choice("with_noise", with_noise, (True, False))
        check_choice("with_styles", with_styles, (True, False))
        graph = self._find_gradient()
        feeds = self.inputs.feed_styles(ws, options)
        rows = self._feed_target(feeds.count, target, mask, scales, img_grad)
        feeds = feeds.with_rows(rows)
        noise = [t.name for t in graph.inputs if is_noise(t.name)] if with_noise else []
        moved = [STYLE_OFFSET] if with_styles else []
        if with_styles:
            find_style_space(self.bundle, self.inputs.style_space)
        outputs = ["loss", "img", "grad_ws", *(f"grad_{name}" for name in [*noise, *moved])]
        with self.lifetime.in_use() as session:
            drawn = [
                session.run(("gradient",), part, outputs) for part in feeds.split(self.max_batch)
            ]
        loss, img, of_ws, *others = (
            np.concatenate([np.asarray(array) for array in parts])
            for parts in zip(*drawn, strict=True)
        )
        of_styles = others.pop() if with_styles else None
        return PictureGradient(loss, img, of_ws, dict(zip(noise, others, strict=True)), of_styles)

    def count_scales(self) -> int:
        """How many scales the loss of `draw_gradient` has."""
        shapes = {t.name: t.shape for t in self._find_gradient().inputs}
        return int(shapes["scales"][1])

    def _find_gradient(self) -> Any:
        """What the manifest says of the gradient's graph."""
        if not self.has_gradient:
            path = self.bundle.path
            raise InvalidInput(
                f"Bundle {path} has no gradient. Make it: stylert gradient {shlex.quote(str(path))}"
            )
        return self.bundle.graphs[GRADIENT]

    def _feed_target(
        self, count: int, target: Any, mask: Any, scales: Any, img_grad: Any
    ) -> dict[str, np.ndarray]:
        """The rows of the gradient's graph besides those of the synthesis graph."""
        s = self.bundle.spec
        shape, plane = (s.img_channels, s.img_height, s.img_width), (1, s.img_height, s.img_width)
        seen = _check_rows("mask", 1.0 if mask is None else mask, count, plane)
        if target is None:
            target, seen = 0.0, np.zeros_like(seen)
        return {
            "target": _check_rows("target", _hide(target, seen), count, shape),
            "mask": seen,
            "scales": self._check_scales(scales, count),
            "img_grad": _check_rows(
                "img_grad", 0.0 if img_grad is None else img_grad, count, shape
            ),
        }

    def _check_scales(self, scales: Any, count: int) -> np.ndarray:
        most = self.count_scales()
        weights = np.full(most, 1 / most) if scales is None else scales
        given = check_floats("scales", weights, kinds="fiu")
        if given.ndim not in (1, 2) or not 1 <= given.shape[-1] <= most:
            raise InvalidInput(
                f"scales: got shape {given.shape}, expected (S,) or (N, S) with S of 1 to {most}."
            )
        given = np.pad(given, [*[(0, 0)] * (given.ndim - 1), (0, most - given.shape[-1])])
        return _check_rows("scales", given if given.ndim == 2 else given[None], count, (most,))


def _hide(target: Any, mask: np.ndarray) -> Any:
    """A target with zeros where it does not matter: whatever stands there is not looked at."""
    array = read_array("target", target, "an array of floats")
    if array.dtype.kind != "f" or array.ndim != 4 or array.shape[2:] != mask.shape[2:]:
        return target  # an error, said by who checks it
    return np.where(mask != 0, array, np.zeros((), array.dtype))


def _check_rows(name: str, value: Any, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """An array with a row for each image, [count, *shape] float32; one number stands for all."""
    array = check_floats(name, value, kinds="fb" if name == "mask" else "f")
    if array.size == 1 and array.ndim <= 1:
        array = np.broadcast_to(array.reshape([1] * (len(shape) + 1)), (1, *shape))
    if array.shape not in ((1, *shape), (count, *shape)):
        one = "" if count == 1 else f" or {(1, *shape)}"
        raise InvalidInput(f"{name}: got shape {array.shape}, expected {(count, *shape)}{one}.")
    return np.ascontiguousarray(np.broadcast_to(array, (count, *shape)))
