"""A generator for one request, whose images are drawn in batches with those of other requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stylert.apps.serving.batcher import Batcher, Rows, Ticket
from stylert.apps.serving.components import Components, is_component
from stylert.runtime import Generator
from stylert.runtime.arguments import check_choice
from stylert.runtime.control.style_editing import StyleEditing
from stylert.runtime.control.style_mixing import StyleMixing
from stylert.runtime.control.styles import as_styles
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import labels_of, seeds_of
from stylert.runtime.noise import NOISE_MODES
from stylert.runtime.options import NoiseMode, Output, check_output

__all__ = ["BatchedGenerator"]


class BatchedGenerator(StyleMixing, StyleEditing):
    """Draws as a `Generator` does, with the same arguments and checks, by way of a `Batcher`.

    Arguments are checked here, in the thread of the request. What reaches the batcher is a row for
    every image, so that requests with other seeds, psi, classes, noise seeds and transforms share
    calls. Only the noise mode and the output keep them apart.

    Args:
        generator: what draws.
        batcher: what runs it.
        components: what finds the principal components of the generator.
        ticket: of the request.
        alone: share no call with other requests, so that the same arguments give the same bits.
    """

    def __init__(
        self,
        generator: Generator,
        batcher: Batcher,
        components: Components,
        ticket: Ticket,
        *,
        alone: bool = False,
    ) -> None:
        self.bundle = generator.bundle
        self.inputs = generator.inputs
        self.max_batch = batcher.max_batch
        self._generator = generator
        self._batcher = batcher
        self._components = components
        self._ticket = ticket
        self._alone = alone

    @property
    def directions(self) -> Mapping[str, np.ndarray]:
        """Those of the generator, which reads them once."""
        return self._generator.directions

    def direction(self, name: str, class_idx: Any, labels: Any) -> str | np.ndarray:
        """What `edit` takes for a name, which may be that of a principal component of a class.

        Raises:
            InvalidInput: there is no such component, or it is none of a class.
            EngineError: the backend failed.
        """
        if not is_component(name):
            return name
        if labels is not None or isinstance(class_idx, list):
            raise InvalidInput(f"directions: got {name!r}, expected class_idx, one for all images.")
        apart = BatchedGenerator(
            self._generator, self._batcher, self._components, self._ticket, alone=True
        )
        return self._components.direction(name, class_idx, apart.pca)

    def generate(
        self,
        seeds: Any,
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
    ) -> np.ndarray:
        """See `Generator.generate`."""
        numbers = seeds_of(seeds)
        N = len(numbers)
        if noise_mode == "seeded" and noise_seed is None:
            noise_seed = numbers
        check_output(output)
        rows = {
            "seeds": np.array(numbers),
            "truncation_psi": self.inputs.psi(truncation_psi, truncation_cutoff, batch=N),
            **_noise_rows(noise_mode, noise_seed, N),
            **self.inputs.transforms(translate, rotate, transform, batch=N),
        }
        c = labels_of(class_idx, labels, batch=N, c_dim=self.bundle.spec.c_dim)
        if c is not None:
            rows["labels"] = c
        return self._drawn("generate", rows, noise_mode=noise_mode, output=output)

    def map(
        self,
        z: Any,
        c: Any = None,
        *,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
    ) -> np.ndarray:
        """See `Generator.map`."""
        return self._drawn("map", self.inputs.mapping(z, c, truncation_psi, truncation_cutoff))

    def synthesize(
        self,
        ws: Any,
        *,
        noise_mode: NoiseMode = "const",
        noise_seed: int | Sequence[int] | None = None,
        translate: Any = None,
        rotate: Any = None,
        transform: Any = None,
        output: Output = "image",
    ) -> np.ndarray:
        """See `Generator.synthesize`; there is no noise of one's own."""
        ws = as_styles("ws", ws, num_ws=self.bundle.spec.num_ws, w_dim=self.bundle.spec.w_dim)
        check_output(output)
        rows = {
            "ws": ws,
            **_noise_rows(noise_mode, noise_seed, len(ws)),
            **self.inputs.transforms(translate, rotate, transform, batch=len(ws)),
        }
        return self._drawn("synthesize", rows, noise_mode=noise_mode, output=output)

    def _drawn(self, name: str, rows: Rows, **options: Any) -> np.ndarray:
        """What a method of the generator gives for these rows, drawn with others of its options."""
        method = getattr(self._generator, name)
        apart = (object(),) if self._alone else ()
        return self._batcher.submit(
            (name, *options.values(), *apart),
            lambda merged: np.asarray(method(**merged, **options)),
            rows,
            self._ticket,
        ).result()


def _noise_rows(mode: str, seed: Any, batch: int) -> dict[str, np.ndarray]:
    """The noise seed of every image, for the mode 'seeded'."""
    check_choice("noise_mode", mode, NOISE_MODES)
    if mode != "seeded":
        if seed is not None:
            raise InvalidInput(f"noise_seed: got one with noise_mode {mode!r}, expected 'seeded'.")
        return {}
    if seed is None:
        raise InvalidInput("noise_seed: got None with noise_mode 'seeded', expected an integer.")
    seeds = seeds_of(seed, name="noise_seed")
    if len(seeds) not in (1, batch):
        raise InvalidInput(f"noise_seed: got {len(seeds)} seeds, expected 1 or {batch}.")
    return {"noise_seed": np.array(np.broadcast_to(seeds, (batch,)))}
