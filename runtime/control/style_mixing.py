"""What `Generator` does with styles: it mixes them, and walks from keyframe to keyframe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from stylert.runtime.arguments import check_choice, shown
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.interpolation import CURVES, Curve, frame_times, linear
from stylert.runtime.control.layers import Layers, layer_groups, layers_of
from stylert.runtime.control.noise_loop import noise_of_frames
from stylert.runtime.control.styles import as_styles, mix_grid
from stylert.runtime.control.truncation import psi_of_layers, truncated
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import (
    as_float32,
    labels_of,
    psi_per_layer,
    seeds_of,
    z_from_seeds,
)
from stylert.runtime.noise import NoiseSource
from stylert.runtime.options import NoiseMode, Output, check_output
from stylert.runtime.parts import parts_of

__all__ = ["StyleMixing"]

Sources = int | Iterable[int] | np.ndarray  # seeds, or ws [N, num_ws, w_dim]


class StyleMixing:
    """The part of `Generator` that mixes and interpolates; it draws by `map` and `synthesize`."""

    bundle: Bundle
    max_batch: int
    map: Callable[..., np.ndarray]
    synthesize: Callable[..., Any]
    _noise: NoiseSource
    _motions: Callable[..., dict[str, np.ndarray]]

    @property
    def layer_groups(self) -> dict[str, tuple[int, ...]]:
        """The layers that 'all', 'coarse', 'middle' and 'fine' stand for; see `runtime.layers`."""
        return layer_groups(self.bundle.family, self.bundle.spec.num_ws)

    def styles(
        self,
        seeds: int | Iterable[int],
        *,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
        class_idx: int | Sequence[int] | None = None,
        labels: Any = None,
    ) -> np.ndarray:
        """Map seeds to styles, which `mix`, `edit`, `interpolate` and `synthesize` take.

        Args:
            seeds: one or several integers; see `generate`.
            truncation_psi: see `generate`.
            truncation_cutoff: see `generate`.
            class_idx: one class for all, or one per seed; conditional generators only.
            labels: soft labels instead of class_idx; see `generate`.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        numbers = seeds_of(seeds)
        return self.map(
            z_from_seeds(numbers, self.bundle.spec.z_dim),
            labels_of(class_idx, labels, batch=len(numbers), c_dim=self.bundle.spec.c_dim),
            truncation_psi=truncation_psi,
            truncation_cutoff=truncation_cutoff,
        )

    def mix(
        self,
        rows: Sources,
        columns: Sources,
        *,
        layers: Layers,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
        class_idx: int | None = None,
        labels: Any = None,
        noise_mode: NoiseMode = "const",
        noise_seed: int | None = None,
        output: Output = "image",
    ) -> np.ndarray:
        """Draw every row with some layers of every column: style mixing (StyleGAN, section 3.1).

            grid = generator.mix([1, 2, 3], [4, 5, 6, 7], layers="middle,fine")   # [3, 4, H, W, C]

        More than two sources for a picture: `runtime.styles.mix_styles`, then `synthesize`.

        Args:
            rows: seeds, or ws [R, num_ws, w_dim]: what the other layers come from.
            columns: seeds, or ws [C, num_ws, w_dim]: what these layers come from.
            layers: 'coarse', 'middle', 'fine', a list such as '0-6,8', or integers.
            truncation_psi: of the seeds; see `generate`.
            truncation_cutoff: of the seeds; see `generate`.
            class_idx: one class for all seeds; conditional generators only.
            labels: soft labels [c_dim] for all seeds, instead of class_idx.
            noise_mode: 'const' (the checkpoint's own), 'none', or 'seeded'.
            noise_seed: for 'seeded': one for all images.
            output: 'image' or 'img'.

        Returns:
            'image': uint8 [R, C, H, W, channels]; 'img': float32 [R, C, channels, H, W].

        Raises:
            InvalidInput: a shape, dtype, value or name of layers that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        chosen = layers_of(layers, self.layer_groups)
        options = {
            "truncation_psi": truncation_psi,
            "truncation_cutoff": truncation_cutoff,
            "class_idx": class_idx,
            "labels": labels,
        }
        if _are_styles(rows) and _are_styles(columns):
            _refuse_options(options)
        grid = mix_grid(
            self._styles_of("rows", rows, options),
            self._styles_of("columns", columns, options),
            chosen,
        )
        images = self.synthesize(
            grid.reshape(-1, *grid.shape[2:]),
            noise_mode=noise_mode,
            noise_seed=noise_seed,
            output=output,
        )
        return np.asarray(images).reshape(*grid.shape[:2], *images.shape[1:])

    def interpolate(
        self,
        keyframes: Sources,
        *,
        frames: int = 60,
        curve: Curve = "cubic",
        loop: bool = False,
        truncation_psi: Any = None,
        truncation_cutoff: int | None = None,
        class_idx: int | Sequence[int] | None = None,
        labels: Any = None,
        noise_mode: NoiseMode | Literal["animated"] = "const",
        noise_seed: int | Sequence[int] | None = None,
        noise_turns: float = 1.0,
        translate: Any = None,
        rotate: Any = None,
        transform: Any = None,
        output: Output = "image",
    ) -> Iterator[np.ndarray]:
        """Draw the way from keyframe to keyframe, frame by frame.

            for image in generator.interpolate([1, 2, 3], frames=60, loop=True):   # 180 frames
                show(image)   # uint8 [H, W, C]

        They are drawn in batches as they are asked for, so memory does not grow with their number.

        Args:
            keyframes: two or more seeds, or ws [K, num_ws, w_dim]; latents z [K, z_dim] float, too.
                The same seed with other classes blends the classes.
            frames: from one keyframe to the next.
            curve: 'cubic' (smooth) and 'linear' go through w, 'slerp' turns z; see
                `runtime.interpolation`.
            loop: go on from the last keyframe to the first, which is not drawn again: [K * frames]
                in all. Else the last frame is the last keyframe: [(K - 1) * frames + 1].
            truncation_psi: see `generate`, where N is the number of all frames: [N] changes on the
                way. None with ws = as they are.
            truncation_cutoff: see `generate`.
            class_idx: one class for all, or one per keyframe; conditional generators only. 'slerp'
                blends the labels, the others the ws.
            labels: soft labels [c_dim] or [K, c_dim] instead of class_idx.
            noise_mode: 'const' (the checkpoint's own), 'none', 'seeded' (one for all frames), or
                'animated': it changes smoothly, and is normal noise in every frame.
            noise_seed: for 'seeded', one. For 'animated', one; or two: the noise at turn 0, and
                that at a quarter turn.
            noise_turns: of 'animated': how often it goes around; a whole number fits a loop.
            translate: see `generate`; [N, 2] changes on the way. StyleGAN3 only.
            rotate: see `generate`; [N] changes on the way. StyleGAN3 only.
            transform: see `generate`; [N, 3, 3] changes on the way. StyleGAN3 only.
            output: 'image' or 'img'.

        Returns:
            frames: 'image': uint8 [H, W, C]; 'img': float32 [C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: at once, a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        check_choice("loop", loop, (False, True))
        check_output(output)
        points, c = self._keyframes(keyframes, curve, class_idx, labels)
        times = frame_times(len(points), frames, loop=loop)
        N = len(times)
        if truncation_psi is None and truncation_cutoff is None and _are_styles(keyframes):
            truncation_psi = 1.0
        psi = self._psi(truncation_psi, truncation_cutoff, N)
        noise_of = noise_of_frames(
            self._noise, noise_mode, noise_seed, noise_turns, frames=N, loop=loop
        )
        motions = self._motions(translate, rotate, transform, N)
        if curve != "slerp" and not _are_styles(keyframes):
            points = self.map(points, c, truncation_psi=1)

        def styles(part: slice) -> np.ndarray:
            between = CURVES[curve](points, times[part], loop=loop)
            if curve != "slerp":
                return truncated(between, self.bundle.w_avg, psi[part])
            label = None if c is None else linear(c, times[part], loop=loop)
            return self.map(between, label, truncation_psi=psi[part])

        def images() -> Iterator[np.ndarray]:
            for part in parts_of(N, self.max_batch):
                moved = {name: rows[part] for name, rows in motions.items()}
                yield from self.synthesize(styles(part), **noise_of(part), **moved, output=output)

        return images()

    def _styles_of(self, name: str, sources: Sources, options: Mapping[str, Any]) -> np.ndarray:
        if _are_styles(sources):
            return as_styles(
                name, sources, num_ws=self.bundle.spec.num_ws, w_dim=self.bundle.spec.w_dim
            )
        return self.styles(seeds_of(sources, name=name), **options)

    def _keyframes(
        self, keyframes: Any, curve: str, class_idx: Any, labels: Any
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The keyframes, ws or z, checked; and the labels of z."""
        check_choice("curve", curve, tuple(CURVES))
        s = self.bundle.spec
        if _are_styles(keyframes):
            _refuse_options({"class_idx": class_idx, "labels": labels})
            if curve == "slerp":
                raise InvalidInput("curve: got 'slerp' with ws, expected 'linear' or 'cubic'.")
            return as_styles("keyframes", keyframes, num_ws=s.num_ws, w_dim=s.w_dim), None
        if _are_floats(keyframes):
            z = as_float32("keyframes", keyframes)
            if z.ndim != 2 or z.shape[1] != s.z_dim or not z.any(axis=1).all():
                raise InvalidInput(
                    f"keyframes: got shape {z.shape}, expected {('K', s.num_ws, s.w_dim)}, or "
                    f"{('K', s.z_dim)} that are not zero."
                )
        else:
            z = z_from_seeds(seeds_of(keyframes, name="keyframes"), s.z_dim)
        return z, labels_of(class_idx, labels, batch=len(z), c_dim=s.c_dim)

    def _psi(self, truncation_psi: Any, truncation_cutoff: int | None, batch: int) -> np.ndarray:
        """The psi of every image and layer, [batch, num_ws]; the family's default for None."""
        if truncation_psi is None:
            truncation_psi = self.bundle.spec.truncation_psi
            if truncation_cutoff is None:
                truncation_cutoff = self.bundle.spec.truncation_cutoff
        if isinstance(truncation_psi, Mapping):
            rows = psi_of_layers(truncation_psi, self.layer_groups)
            truncation_psi = np.broadcast_to(rows, (batch, len(rows)))
        return psi_per_layer(
            truncation_psi, truncation_cutoff, batch=batch, num_ws=self.bundle.spec.num_ws
        )


def _are_floats(sources: Any) -> bool:
    return getattr(getattr(sources, "dtype", None), "kind", "") == "f"


def _are_styles(sources: Any) -> bool:
    """Whether they are ws, and not seeds or latents z."""
    return _are_floats(sources) and sources.ndim == 3


def _refuse_options(options: Mapping[str, Any]) -> None:
    """Options that only seeds have."""
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(
                f"{name}: got {shown(value)} with ws, expected None: it is of seeds."
            )
