"""What `Generator` does with pictures: by the bundle's encoder it finds their styles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.bundle import ENCODER, Bundle
from stylert.runtime.control.encoder_facts import MAX_PASSES, EncoderFacts, read_encoder_facts
from stylert.runtime.errors import InvalidInput
from stylert.runtime.feeds import Feeds
from stylert.runtime.files.pictures import make_grey, resize_picture
from stylert.runtime.latents import read_array

__all__ = ["Inversion", "make_photos"]


class Inversion:
    """The part of `Generator` that inverts pictures."""

    bundle: Bundle
    synthesize: Callable[..., Any]
    _run: Callable[..., Any]

    @property
    def encoder(self) -> EncoderFacts:
        """What the bundle's encoder takes.

        Raises:
            InvalidInput: the bundle has none.
            BundleError: its manifest does not say.
        """
        return read_encoder_facts(self.bundle)

    def invert(self, images: Any, *, passes: int | None = None) -> NDArray[np.float32]:
        """Find the styles of pictures by the bundle's encoder.

            ws = generator.invert(photos)
            older = generator.synthesize(generator.edit(ws, age, 3))

        An encoder knows pictures like those of its training alone: faces have to be cropped as
        those of the generator are.

        Args:
            images: uint8 [N, H, W, C], or one [H, W, C], or a list of such of any sizes: they are
                resized to what the encoder takes, whatever their shape. C is 3, or 1 for grey. Of
                an encoder of label maps, [N, H, W], the number of its class in each pixel.
            passes: of an encoder that sees its own result and improves it (ReStyle); None = as in
                its training, 5.

        Returns:
            ws [N, num_ws, w_dim] float32, for `synthesize`, `edit`, `mix` and others.

        Raises:
            InvalidInput: the bundle has no encoder, or a shape, dtype or value does not fit.
            EngineError: the backend failed, cannot run encoders, or the generator is closed.
        """
        facts = self.encoder
        if passes is not None:
            check_integer("passes", passes, 1, MAX_PASSES)
            if passes > 1 and facts.start is None:
                raise InvalidInput(
                    f"passes: got {passes}, expected 1: an encoder of {facts.title} does not see "
                    "its own result."
                )
        photo = make_photos(images, facts)
        if facts.start is None:
            return self._encode({"photo": photo})
        codes = np.repeat(facts.start[None], len(photo), axis=0)
        img = np.repeat(self.synthesize(facts.start[None], output="img"), len(photo), axis=0)
        for i in range(passes or facts.passes):
            if i:
                img = self.synthesize(codes, output="img")
            codes = self._encode({"photo": photo, "img": img, "codes": codes})
        return codes

    def _encode(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(self._run((ENCODER,), Feeds(len(rows["photo"]), rows), "ws"))


def make_photos(images: Any, facts: EncoderFacts) -> np.ndarray:
    """Pictures as an encoder takes them: photo [N, channels, height, width] float32.

    Args:
        images: see `Inversion.invert`.
        facts: of the encoder.

    Raises:
        InvalidInput: a shape, dtype or value does not fit.
    """
    return np.stack([_prepare(image, facts) for image in _list_images(images, facts)])


def _list_images(images: Any, facts: EncoderFacts) -> Sequence[np.ndarray]:
    """The pictures, each [H, W, C] uint8, or [H, W] of labels."""
    single = 2 if facts.picture == "labels" else 3
    expected = "uint8 [N, H, W]" if facts.picture == "labels" else "uint8 [N, H, W, C]"
    if isinstance(images, np.ndarray):
        images = images[None] if images.ndim <= single else images
    elif not isinstance(images, (list, tuple)):
        raise InvalidInput(f"images: got {shown(images)}, expected {expected}, or a list of such.")
    listed = [read_array("images", image, expected) for image in images]
    if not listed:
        raise InvalidInput(f"images: got none, expected {expected} of at least one.")
    for image in listed:
        if image.dtype != np.uint8 or image.ndim != single or not image.size:
            raise InvalidInput(
                f"images: got {image.dtype} {image.shape} for one of them, expected {expected[:5]} "
                f"{'(H, W)' if single == 2 else '(H, W, C)'}."
            )
        if single == 3 and image.shape[2] not in (1, 3):
            raise InvalidInput(
                f"images: got {image.shape[2]} channels, expected 3 (RGB), or 1 (grey)."
            )
    return listed


def _prepare(image: np.ndarray, facts: EncoderFacts) -> np.ndarray:
    """A picture as the encoder takes it: [channels, height, width] float32."""
    height, width = facts.height, facts.width
    if facts.picture == "labels":
        if image.max() >= facts.channels:
            raise InvalidInput(
                f"images: got the class {image.max()} in a label map, expected 0 to "
                f"{facts.channels - 1}."
            )
        rows = _nearest(image.shape[0], height)
        columns = _nearest(image.shape[1], width)
        numbers: np.ndarray = image[rows[:, None], columns]
        planes = np.equal(numbers, np.arange(facts.channels)[:, None, None])  # [classes, h, w]
        return np.asarray(planes, np.float32)
    if facts.picture == "sketch":
        grey = resize_picture(make_grey(image), height, width)
        scaled: np.ndarray = grey.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        return scaled
    resized = resize_picture(image, height, width)  # [h, w, C]
    colours = np.broadcast_to(resized, (height, width, 3)).astype(np.float32)
    return np.ascontiguousarray((colours / 255 - 0.5).transpose(2, 0, 1) / 0.5)


def _nearest(wide: int, count: int) -> np.ndarray:
    """Which of `wide` pixels lie under the middles of `count`: as many indices."""
    return ((np.arange(count) + 0.5) * wide / count).astype(np.intp)
