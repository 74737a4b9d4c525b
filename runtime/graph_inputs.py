"""`GraphInputs`: from what a user asks for to the inputs of a bundle's two graphs, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stylert.runtime.bundle import Bundle
from stylert.runtime.control.layers import layer_groups
from stylert.runtime.control.truncation import psi_of_layers
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import as_float32, psi_per_layer, soft_labels_of
from stylert.runtime.noise import NoiseSource
from stylert.runtime.transforms import TRANSFORM, transform_inputs

__all__ = ["GraphInputs"]


class GraphInputs:
    """Makes the inputs of the graphs of a bundle: a row for every image, float32.

    `Generator` runs its graphs with these; what draws by other ways, as the HTTP service does with
    its batches, has the same arguments and the same messages.

    Attributes:
        noise: makes the noise of the synthesis graph.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._spec = bundle.spec
        self._layers = layer_groups(bundle.family, bundle.spec.num_ws)
        self._moves = any(t.name == TRANSFORM for t in bundle.graphs["synthesis"].inputs)
        self.noise = NoiseSource(bundle.noise_inputs, bundle.read_noise())

    def psi(self, truncation_psi: Any, truncation_cutoff: int | None, *, batch: int) -> np.ndarray:
        """The psi of every image and layer.

        Args:
            truncation_psi: see `Generator.generate`; None = the family's default, with its cutoff.
            truncation_cutoff: layers from this one on are not truncated, None = all are.
            batch: N.

        Returns:
            [N, num_ws] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
        """
        if truncation_psi is None:
            truncation_psi = self._spec.truncation_psi
            if truncation_cutoff is None:
                truncation_cutoff = self._spec.truncation_cutoff
        if isinstance(truncation_psi, Mapping):
            rows = psi_of_layers(truncation_psi, self._layers)
            truncation_psi = np.broadcast_to(rows, (batch, len(rows)))
        return psi_per_layer(
            truncation_psi, truncation_cutoff, batch=batch, num_ws=self._spec.num_ws
        )

    def mapping(
        self, z: Any, c: Any, truncation_psi: Any, truncation_cutoff: int | None
    ) -> dict[str, np.ndarray]:
        """The inputs of the mapping graph; the arguments are those of `Generator.map`.

        Returns:
            z [N, z_dim], truncation_psi [N, num_ws], and c [N, c_dim] of a conditional generator.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
        """
        z = as_float32("z", z)
        if z.ndim != 2 or z.shape[1] != self._spec.z_dim or not len(z):
            raise InvalidInput(f"z: got shape {z.shape}, expected (N, {self._spec.z_dim}).")
        psi = self.psi(truncation_psi, truncation_cutoff, batch=len(z))
        feeds = {"z": z, "truncation_psi": psi}
        labels = soft_labels_of(c, batch=len(z), c_dim=self._spec.c_dim, name="c")
        if labels is not None:
            feeds["c"] = labels
        return feeds

    def transforms(
        self, translate: Any, rotate: Any, transform: Any, *, batch: int
    ) -> dict[str, np.ndarray]:
        """The transforms of the synthesis graph; the arguments are those of `Generator.generate`.

        Returns:
            transform [N, 3, 3], and nothing for a graph that takes none.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit; any of them for such a graph.
        """
        return transform_inputs(transform, translate, rotate, batch=batch, taken=self._moves)
