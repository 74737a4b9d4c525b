"""What `Generator` does with directions: it knows some, finds some, and moves styles along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.channel_editing import ChannelEditing
from stylert.runtime.control.layers import Layers, find_layers, group_layers
from stylert.runtime.control.pca import PrincipalComponents, find_principal_components
from stylert.runtime.control.styles import check_styles, edit_styles
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.latent_files import load_direction, load_ws
from stylert.runtime.latents import check_floats, check_seeds

__all__ = ["StyleEditing"]

MAX_SAMPLES = 10_000_000  # more is a mistake: a million is what GANSpace takes
SAMPLES_AT_ONCE = 1024


class StyleEditing(ChannelEditing):
    """The part of `Generator` that edits styles, and reads those that others found."""

    bundle: Bundle
    map: Callable[..., NDArray[np.float32]]

    @property
    def directions(self) -> Mapping[str, NDArray[np.float32]]:
        """The bundle's directions for `edit`, by name: [num_ws, w_dim] float32, read-only.

        'sefa_coarse_0' is the strongest that SeFa finds for the coarse layers, and zero in the
        others; there are 20 each for 'all', 'coarse', 'middle' and 'fine'. Bundles of StyleRT 0.1
        have none.

        Raises:
            BundleError: the bundle's file is damaged.
        """
        return self.bundle.directions

    def edit(
        self, ws: Any, direction: str | Any, strength: Any, *, layers: Layers = "all"
    ) -> NDArray[np.float32]:
        """Move styles along a direction: w + strength * direction.

            strip = generator.edit(ws[:1], "sefa_coarse_0", [-6, -3, 0, 3, 6])
            images = generator.synthesize(strip)

        Args:
            ws: [N, num_ws, w_dim] floats, from `styles`, `map` or `load_ws`.
            direction: a name in `directions`, or floats [w_dim] or [num_ws, w_dim], such as
                `pca().direction(0)`.
            strength: a number for all, or [N]; one w and [S] strengths make a strip of S.
            layers: those that move: 'coarse', 'middle', 'fine', a list such as '0-6,8', or
                integers.

        Returns:
            ws [N, num_ws, w_dim] float32, of a strip [S, num_ws, w_dim].

        Raises:
            InvalidInput: a shape, dtype, value or name that does not fit.
            BundleError: the bundle's directions are damaged.
        """
        s = self.bundle.spec
        ws = check_styles("ws", ws, num_ws=s.num_ws, w_dim=s.w_dim)
        chosen = find_layers(layers, group_layers(self.bundle.family, s.num_ws))
        if isinstance(direction, str):
            direction = self._direction_named(direction)
        step = check_floats("direction", direction)
        if step.shape not in ((s.w_dim,), (s.num_ws, s.w_dim)):
            raise InvalidInput(
                f"direction: got shape {step.shape}, expected {(s.w_dim,)} or "
                f"{(s.num_ws, s.w_dim)}."
            )
        amounts = check_floats("strength", strength, kinds="fiu")
        strip = len(ws) == 1 and amounts.ndim == 1 and len(amounts) > 0
        if amounts.shape not in ((1,), (len(ws),)) and not strip:
            raise InvalidInput(
                f"strength: got shape {amounts.shape}, expected a number or ({len(ws)},)."
            )
        return edit_styles(ws, step, amounts, chosen)

    def pca(
        self,
        samples: int = 10_000,
        *,
        k: int = 20,
        seed: int = 0,
        class_idx: int | str | None = None,
        labels: Any = None,
    ) -> PrincipalComponents:
        """Find what varies most in w: the directions of GANSpace.

            components = generator.pca()
            ws = generator.edit(ws, components.direction(0), 2, layers="middle")   # by 2 deviations

        Args:
            samples: how many w to draw, of normal latents.
            k: how many components.
            seed: of the latents: RandomState(seed).randn(samples, z_dim).
            class_idx: the class whose w to draw, None = of all classes, in turns; conditional
                generators only.
            labels: a soft label [c_dim] instead of class_idx.

        Raises:
            InvalidInput: a count out of range, or a class that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        check_integer("samples", samples, 2, MAX_SAMPLES)
        check_integer("k", k, 1, self.bundle.spec.w_dim)
        (seed,) = check_seeds([seed], name="seed")
        classes = self.bundle.classes
        turns = range(classes.count) if class_idx is None and labels is None else [0]
        c = classes.make_labels(class_idx, labels, batch=len(turns), seeds=turns)
        random = np.random.RandomState(seed)

        def batches() -> Iterator[np.ndarray]:
            for start in range(0, samples, SAMPLES_AT_ONCE):
                count = min(SAMPLES_AT_ONCE, samples - start)
                z = random.randn(count, self.bundle.spec.z_dim).astype(np.float32)
                label = None if c is None else c[np.arange(start, start + count) % len(c)]
                yield self.map(z, label, truncation_psi=1)[:, 0]

        return find_principal_components(batches(), k)

    def load_ws(self, path: str | Path, *, key: str | None = None) -> NDArray[np.float32]:
        """Read the styles that a projector or an encoder found.

        See `stylert.runtime.files.latent_files`.

        Args:
            path: a .npy or .npz file with [N, num_ws, w_dim], [num_ws, w_dim], or one w for all
                layers: [w_dim], [1, w_dim] or [N, 1, w_dim] floats. Files of torch.save are
                converted first: stylert convert latents.pt latents.npy
            key: name of the array in a .npz file, None = 'w', or the only one.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: no such file, another kind of file, or an array that does not fit.
        """
        return load_ws(path, self.bundle.spec, key=key)

    def load_direction(self, path: str | Path, *, key: str | None = None) -> NDArray[np.float32]:
        """Read a direction for `edit`.

        Args:
            path: a .npy or .npz file with [w_dim] or [num_ws, w_dim] floats, or one row of such.
            key: name of the array in a .npz file, None = 'w', or the only one.

        Returns:
            [w_dim] or [num_ws, w_dim] float32.

        Raises:
            InvalidInput: no such file, another kind of file, or an array that does not fit.
        """
        return load_direction(path, self.bundle.spec, key=key)

    def _direction_named(self, name: str) -> np.ndarray:
        directions = self.directions
        if name not in directions:
            some = ", ".join(map(repr, [*directions][:3]))
            there = (
                f"one of {some}, ..." if some else "an array: this bundle has none. Export again"
            )
            raise InvalidInput(f"direction: got {shown(name)}, expected {there}.")
        return directions[name]
