"""What `Generator` does with single channels of its layers: StyleSpace, see `style_space`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.bundle import Bundle
from stylert.runtime.control.relevance import RelevanceTable, read_relevance
from stylert.runtime.control.style_space import StyleLayer, StyleSpace, find_style_space
from stylert.runtime.control.styles import check_styles
from stylert.runtime.graph_inputs import GraphInputs

__all__ = ["ChannelEditing"]


class ChannelEditing:
    """The part of `Generator` that moves the styles of single channels."""

    bundle: Bundle
    inputs: GraphInputs

    @property
    def style_layers(self) -> tuple[StyleLayer, ...]:
        """The layers whose styles can be moved, in the order of the style space.

        Raises:
            InvalidInput: the bundle has no style space.
        """
        return self._style_space.layers

    @property
    def style_mean(self) -> NDArray[np.float32]:
        """The mean of each style over 10,000 latents, not truncated: [S] float32, read-only.

        Raises:
            InvalidInput: the bundle has no style space.
            BundleError: the bundle's file is damaged.
        """
        return self._style_space.mean

    @property
    def style_std(self) -> NDArray[np.float32]:
        """The standard deviation of each style over the same: [S] float32, read-only.

        Raises:
            InvalidInput: the bundle has no style space.
            BundleError: the bundle's file is damaged.
        """
        return self._style_space.std

    def style_space(self, ws: Any) -> NDArray[np.float32]:
        """The styles of all layers that ws stand for.

            other = generator.style_space(wanted) - generator.style_space(ws)
            images = generator.synthesize(ws, style_offset=other)   # as wanted

        Args:
            ws: [N, num_ws, w_dim] floats.

        Returns:
            [N, S] float32: what the affine functions give, before any offset.

        Raises:
            InvalidInput: a shape or dtype that does not fit, or a bundle without style space.
            BundleError: the bundle's file is damaged.
        """
        s = self.bundle.spec
        return self._style_space.compute(check_styles("ws", ws, num_ws=s.num_ws, w_dim=s.w_dim))

    def make_style_offset(
        self, channels: Mapping[str, float], strengths: Any = 1.0
    ) -> NDArray[np.float32]:
        """Offsets for `synthesize` that move single channels.

            offset = generator.make_style_offset({"b32.conv1:45": 3}, [-1, 0, 1])
            strip = generator.synthesize(np.repeat(ws[:1], 3, axis=0), style_offset=offset)

        Args:
            channels: LAYER:CHANNEL, and how far, in standard deviations of that channel. For
                numbers as they are, add to a style by its place: `style_layers` has them.
            strengths: a number, or [K], that all of it is multiplied with.

        Returns:
            [K, S] float32; [1, S] of one number.

        Raises:
            InvalidInput: no such channel, no number, or a bundle without style space.
            BundleError: the bundle's file is damaged.
        """
        return self._style_space.make_offset(channels, strengths)

    def read_relevance(self, name: str) -> RelevanceTable:
        """A table of the bundle that tells how each channel changes what is measured.

        Raises:
            InvalidInput: the bundle has none of that name.
            BundleError: the bundle's file is damaged.
        """
        return read_relevance(self.bundle, name)

    @property
    def _style_space(self) -> StyleSpace:
        return find_style_space(self.bundle, self.inputs.style_space)
