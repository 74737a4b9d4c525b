"""`GraphInputs`: from what a user asks for to the feeds of a bundle's two graphs, checked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stylert.runtime.bundle import Bundle
from stylert.runtime.control.layers import group_layers
from stylert.runtime.control.style_space import feed_style_offset, read_style_space
from stylert.runtime.control.styles import check_styles
from stylert.runtime.control.truncation import make_psi_of_layers
from stylert.runtime.drawing_options import (
    DrawingOptions,
    MotionOptions,
    PictureOptions,
    StyleOptions,
    refuse_unknown,
)
from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.feeds import Feeds
from stylert.runtime.latents import check_floats, check_seeds, make_psi, make_z
from stylert.runtime.noise import NoiseSource
from stylert.runtime.transforms import TRANSFORM, make_transform_inputs

__all__ = ["GraphInputs"]


class GraphInputs:
    """Makes the feeds of the graphs of a bundle, float32, of the drawing options.

    `Generator` runs its graphs with these; what draws by other ways has the same arguments and the
    same messages. All its methods raise `InvalidInput` for a shape, dtype or value that does not
    fit, and `TypeError` for an unknown option.

    Attributes:
        noise: makes the noise of the synthesis graph.
        style_space: of the bundle, None = it has none.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._spec = bundle.spec
        self._family = bundle.family
        self._classes = bundle.classes
        self._told = False  # that images get classes by themselves
        self._moves = any(t.name == TRANSFORM for t in bundle.graphs["synthesis"].inputs)
        self.noise = NoiseSource(bundle.noise_inputs, bundle.read_noise())
        self.style_space = read_style_space(bundle)

    def __reduce__(self) -> tuple[Any, ...]:
        return GraphInputs, (self._bundle,)

    def feed_seeds(self, seeds: int | Iterable[int], options: DrawingOptions) -> Feeds:
        """The feeds of both graphs; `Generator.generate` says what it takes."""
        refuse_unknown(options, DrawingOptions)
        numbers = check_seeds(seeds)
        mode = options.get("noise_mode")  # which may be an array, whose == is no bool
        if isinstance(mode, str) and mode == "seeded" and options.get("noise_seed") is None:
            options = {**options, "noise_seed": numbers}
        picture = self._feed_picture(len(numbers), options)
        return picture.with_rows(self.feed_mapping(numbers, options).rows)

    def feed_mapping(self, seeds: Sequence[int], options: StyleOptions | DrawingOptions) -> Feeds:
        """The feeds of the mapping graph; `Generator.styles` says what it takes."""
        classes = options.get("class_idx"), options.get("labels")
        c = self._classes.make_labels(*classes, batch=len(seeds), seeds=seeds)
        psi, cutoff = options.get("truncation_psi"), options.get("truncation_cutoff")
        feeds = self.feed_latents(make_z(seeds, self._spec.z_dim), c, psi, cutoff)
        self.tell_unchosen(options)
        return feeds

    def feed_latents(
        self, z: Any, c: Any, truncation_psi: Any, truncation_cutoff: int | None
    ) -> Feeds:
        """The feeds of the mapping graph; `Generator.map` says what it takes.

        Its rows are z [N, z_dim], truncation_psi [N, num_ws], and c [N, c_dim] of a conditional
        generator.
        """
        z = check_floats("z", z)
        if z.ndim != 2 or z.shape[1] != self._spec.z_dim or not len(z):
            raise InvalidInput(f"z: got shape {z.shape}, expected (N, {self._spec.z_dim}).")
        psi = self.psi(truncation_psi, truncation_cutoff, batch=len(z))
        labels = self._classes.make_soft_labels(c, batch=len(z), name="c")
        rows = {"z": z, "truncation_psi": psi}
        return Feeds(len(z), rows if labels is None else {**rows, "c": labels})

    def feed_styles(self, ws: Any, options: PictureOptions) -> Feeds:
        """The feeds of the synthesis graph; `Generator.synthesize` says what it takes."""
        refuse_unknown(options, PictureOptions)
        ws = check_styles("ws", ws, num_ws=self._spec.num_ws, w_dim=self._spec.w_dim)
        return self._feed_picture(len(ws), options).with_rows({"ws": ws})

    def tell_unchosen(self, options: StyleOptions | DrawingOptions) -> None:
        """Warn, once, that seeds get classes by themselves: when nothing is refused any more."""
        chosen = options.get("class_idx") is not None or options.get("labels") is not None
        if self._classes.count and not chosen and not self._told:
            self._told = True
            warnings.warn(
                "No class was chosen: every seed draws the class seed mod "
                f"{self._classes.count}. Choose one of {self._classes.range}.",
                StylertWarning,
                stacklevel=3,
            )

    def psi(self, truncation_psi: Any, truncation_cutoff: int | None, *, batch: int) -> np.ndarray:
        """The psi of every image and layer, [batch, num_ws] float32; see `DrawingOptions`."""
        if truncation_psi is None:
            truncation_psi = self._spec.truncation_psi
            if truncation_cutoff is None:
                truncation_cutoff = self._spec.truncation_cutoff
        if isinstance(truncation_psi, Mapping):
            groups = group_layers(self._family, self._spec.num_ws)
            rows = make_psi_of_layers(truncation_psi, groups)
            truncation_psi = np.broadcast_to(rows, (batch, len(rows)))
        return make_psi(truncation_psi, truncation_cutoff, batch=batch, num_ws=self._spec.num_ws)

    def transforms(self, options: MotionOptions, *, batch: int) -> dict[str, np.ndarray]:
        """The transforms [batch, 3, 3] by input name, none for a graph that takes none."""
        names = MotionOptions.__annotations__
        given = {name: options[name] for name in names if options.get(name) is not None}  # type: ignore[literal-required]
        if not given and not self._moves:
            return {}
        return make_transform_inputs(**given, batch=batch, taken=self._moves)

    def _feed_picture(self, batch: int, options: PictureOptions | DrawingOptions) -> Feeds:
        """The synthesis graph's feeds but for ws."""
        noise = self.noise.feed(
            options.get("noise_mode", "const"),
            options.get("noise_seed"),
            options.get("noise"),
            batch=batch,
        )
        rows = self.transforms(options, batch=batch)
        offset = options.get("style_offset")
        if self.style_space is not None or offset is not None:  # else the way is shorter
            rows |= feed_style_offset(self._bundle, self.style_space, offset, batch=batch)
        return noise.with_rows(rows)
