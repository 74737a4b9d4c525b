"""What `Generator` does with styles: it mixes them, and walks from keyframe to keyframe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from stylert.runtime.arguments import check_choice, shown
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.interpolation import (
    CURVES,
    Curve,
    check_times,
    linear,
    make_frame_times,
)
from stylert.runtime.control.layers import Layers, find_layers, group_layers
from stylert.runtime.control.noise_loop import make_frame_noise
from stylert.runtime.control.styles import check_styles, mix_grid
from stylert.runtime.control.truncation import truncated
from stylert.runtime.drawing_options import (
    ClassIdx,
    DrawingOptions,
    NoiseMode,
    Output,
    StyleOptions,
    WalkOptions,
    check_output,
    refuse_unknown,
)
from stylert.runtime.errors import InvalidInput
from stylert.runtime.graph_inputs import GraphInputs
from stylert.runtime.latents import check_floats, check_seeds, make_z, read_array
from stylert.runtime.signatures import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["StyleMixing"]

# Seeds, or ws [N, num_ws, w_dim].
Sources = int | Iterable[int] | Sequence[np.ndarray] | np.ndarray


class StyleMixing:
    """The part of `Generator` that mixes and interpolates; it draws by `map` and `synthesize`."""

    bundle: Bundle
    inputs: GraphInputs
    max_batch: int
    map: Callable[..., NDArray[np.float32]]
    synthesize: Callable[..., Any]
    _run: Callable[..., Any]

    @property
    def layer_groups(self) -> dict[str, tuple[int, ...]]:
        """The layers that 'all', 'coarse', 'middle' and 'fine' stand for.

        See `stylert.runtime.control.layers`.
        """
        return group_layers(self.bundle.family, self.bundle.spec.num_ws)

    @takes(StyleOptions)
    def styles(
        self, seeds: int | Iterable[int], **options: Unpack[StyleOptions]
    ) -> NDArray[np.float32]:
        """Map seeds to styles, which `mix`, `edit`, `interpolate` and `synthesize` take.

        Args:
            seeds: one or several integers; see `generate`.
            options: see `StyleOptions`.

        Returns:
            ws [N, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        refuse_unknown(options, StyleOptions)
        feeds = self.inputs.feed_mapping(check_seeds(seeds), options)
        return np.asarray(self._run(("mapping",), feeds, "ws"))

    @overload
    def mix(
        self,
        rows: Sources,
        columns: Sources,
        *,
        layers: Layers,
        column_class_idx: ClassIdx = ...,
        output: Literal["image"] = ...,
        **options: Unpack[DrawingOptions],
    ) -> NDArray[np.uint8]: ...

    @overload
    def mix(
        self,
        rows: Sources,
        columns: Sources,
        *,
        layers: Layers,
        column_class_idx: ClassIdx = ...,
        output: Literal["img"],
        **options: Unpack[DrawingOptions],
    ) -> NDArray[np.float32]: ...

    @takes(DrawingOptions)
    def mix(
        self,
        rows: Sources,
        columns: Sources,
        *,
        layers: Layers,
        column_class_idx: ClassIdx = None,
        output: Output = "image",
        **options: Unpack[DrawingOptions],
    ) -> NDArray[Any]:
        """Draw every row with some layers of every column: style mixing (StyleGAN, section 3.1).

            grid = generator.mix([1, 2, 3], [4, 5, 6, 7], layers="middle,fine")   # [3, 4, H, W, C]

        More than two sources for a picture: `stylert.runtime.control.styles.mix_styles`, then
        `synthesize`.

        Args:
            rows: seeds, or ws [R, num_ws, w_dim]: what the other layers come from.
            columns: seeds, or ws [C, num_ws, w_dim]: what these layers come from.
            layers: 'coarse', 'middle', 'fine', a list such as '0-6,8', or integers.
            column_class_idx: the class of the columns, if it is another one; one for all, or each.
            output: 'image' or 'img'.
            options: see `DrawingOptions`. Those of styles are for seeds: one for all, or one per
                row; those of pictures are for the R * C of the grid, row by row.

        Returns:
            'image': uint8 [R, C, H, W, channels]; 'img': float32 [R, C, channels, H, W].

        Raises:
            InvalidInput: a shape, dtype, value or name of layers that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        refuse_unknown(options, DrawingOptions)
        chosen = find_layers(layers, self.layer_groups)
        rows, columns = _read_sources("rows", rows), _read_sources("columns", columns)
        styles, picture = _split(options)
        of_columns = {} if column_class_idx is None else {"class_idx": column_class_idx}
        if _are_styles(rows) and _are_styles(columns):
            _refuse_options(styles | of_columns)
        grid = mix_grid(
            self._find_styles("rows", rows, styles),
            self._find_styles("columns", columns, styles | of_columns),
            chosen,
        )
        ws = grid.reshape(-1, *grid.shape[2:])
        images = np.asarray(self.synthesize(ws, output=output, **picture))
        return images.reshape(*grid.shape[:2], *images.shape[1:])

    @takes(WalkOptions)
    def interpolate(
        self,
        keyframes: Sources,
        *,
        frames: int = 60,
        curve: Curve = "cubic",
        loop: bool = False,
        noise_mode: NoiseMode | Literal["animated"] = "const",
        noise_seed: int | Sequence[int] | np.ndarray | None = None,
        noise_turns: float = 1.0,
        output: Output = "image",
        **options: Unpack[WalkOptions],
    ) -> Iterator[NDArray[Any]]:
        """Draw the way from keyframe to keyframe, frame by frame.

            for image in generator.interpolate([1, 2, 3], frames=60, loop=True):   # 180 frames
                show(image)   # uint8 [H, W, C]

        They are drawn in batches as they are asked for, so memory does not grow with their number.

        Args:
            keyframes: two or more seeds, or ws [K, num_ws, w_dim]; latents z [K, z_dim] float, too.
                The same seed with other classes blends the classes.
            frames: from one keyframe to the next.
            curve: 'cubic' (smooth) and 'linear' go through w, 'slerp' turns z; see
                `stylert.runtime.control.interpolation`.
            loop: go on from the last keyframe to the first, which is not drawn again: [K * frames]
                in all. Else the last frame is the last keyframe: [(K - 1) * frames + 1].
            noise_mode: 'const' (the checkpoint's own), 'none', 'seeded' (one for all frames), or
                'animated': it changes smoothly, and is normal noise in every frame.
            noise_seed: for 'seeded', one. For 'animated', one; or two: the noise at turn 0, and
                that at a quarter turn.
            noise_turns: of 'animated': how often it goes around; a whole number fits a loop.
            output: 'image' or 'img'.
            options: see `WalkOptions`. What is one per image changes on the way: N is the number of
                all frames. Classes and labels are one for all, or one per keyframe: 'slerp' blends
                the labels, the others the ws. No truncation_psi with ws = as they are. Where each
                class has a mean w of its own (StyleGAN-XL), truncation pulls to the mean that lies
                as far between those of the keyframes as the frame does; so ws need their classes
                then, and 'slerp' takes one class for all.

        Returns:
            frames: 'image': uint8 [H, W, C]; 'img': float32 [C, H, W], nominal range [-1, 1].

        Raises:
            InvalidInput: at once, a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        check_output(output)
        refuse_unknown(options, WalkOptions)
        keyframes = _read_sources("keyframes", keyframes)
        styles, motion = _split(options)
        points, c = self._keyframes(keyframes, curve, loop, styles)
        points = points.copy()  # the caller may change them before the last frame is drawn
        times = make_frame_times(len(points), frames, loop=loop)
        N = len(times)
        psi = self._psi_between(keyframes, styles, N)
        noise_of = make_frame_noise(
            self.inputs.noise, noise_mode, noise_seed, noise_turns, frames=N, loop=loop
        )
        motions = self.inputs.transforms(motion, batch=N)
        if c is not None:
            self.inputs.tell_unchosen(styles)
        styles_at = self._way(points, c, curve, loop)

        def images() -> Iterator[np.ndarray]:
            for start in range(0, N, self.max_batch):
                part = slice(start, start + self.max_batch)
                ws = styles_at(times[part], psi[part])
                moved = {name: rows[part] for name, rows in motions.items()}
                yield from self.synthesize(ws, output=output, **noise_of(part), **moved)

        return images()

    @takes(StyleOptions)
    def styles_between(
        self,
        keyframes: Sources,
        times: float | Sequence[float] | np.ndarray,
        *,
        curve: Curve = "cubic",
        loop: bool = False,
        **options: Unpack[StyleOptions],
    ) -> NDArray[np.float32]:
        """The styles of single places on the way that `interpolate` takes.

            ws = generator.styles_between([1, 2, 3], 1.25)   # a quarter of the way from 2 to 3
            image = generator.synthesize(ws)[0]

        Args:
            keyframes: see `interpolate`.
            times: one or [T]: 0 is the first keyframe, 1 the second; up to K - 1, and on a loop K,
                which is the first one again.
            curve: see `interpolate`.
            loop: see `interpolate`.
            options: see `interpolate`; N is T.

        Returns:
            ws [T, num_ws, w_dim] float32.

        Raises:
            InvalidInput: a shape, dtype or value that does not fit.
            EngineError: the backend failed, or the generator is closed.
        """
        refuse_unknown(options, StyleOptions)
        keyframes = _read_sources("keyframes", keyframes)
        points, c = self._keyframes(keyframes, curve, loop, options)
        places = check_times(times, len(points), loop=loop)
        psi = self._psi_between(keyframes, options, len(places))
        if c is not None:
            self.inputs.tell_unchosen(options)
        return self._way(points, c, curve, loop)(places, psi)

    def _way(
        self, points: np.ndarray, c: np.ndarray | None, curve: Curve, loop: bool
    ) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What gives the styles at times [T] with psi [T, num_ws]; the keyframes are ws or z."""
        if curve == "slerp":

            def turned(times: np.ndarray, psi: np.ndarray) -> np.ndarray:
                z = CURVES[curve](points, times, loop=loop)
                label = None if c is None else linear(c, times, loop=loop)
                return self.map(z, label, truncation_psi=psi)

            return turned
        ws = points if points.ndim == 3 else self.map(points, c, truncation_psi=1)
        way = partial(CURVES[curve], loop=loop)
        if not self.bundle.classes.apart:
            return lambda times, psi: truncated(way(ws, times), self.bundle.w_avg, psi)
        if c is None:  # ws that nobody truncates
            return lambda times, psi: way(ws, times)
        means = (c @ self.bundle.w_avg)[:, None]  # [K, 1, w_dim]
        return lambda times, psi: truncated(way(ws, times), way(means, times), psi)

    def _psi_between(self, keyframes: Any, options: StyleOptions, batch: int) -> np.ndarray:
        """The psi [batch, num_ws] of a way; ws are drawn as they are by default."""
        psi, cutoff = options.get("truncation_psi"), options.get("truncation_cutoff")
        if psi is None and cutoff is None and _are_styles(keyframes):
            psi = 1.0
        rows = self.inputs.psi(psi, cutoff, batch=batch)
        classes = self.bundle.classes
        known = not _are_styles(keyframes) or _has_class(options)
        if classes.apart and not known and (rows != 1).any():
            raise InvalidInput(
                f"truncation_psi: got {shown(psi)} with ws, but each class has a mean of its own. "
                f"Pass class_idx, too: {classes.range}; one for all, or one per keyframe."
            )
        return rows

    def _find_styles(self, name: str, sources: Any, options: StyleOptions) -> np.ndarray:
        s = self.bundle.spec
        if _are_floats(sources):
            return check_styles(name, sources, num_ws=s.num_ws, w_dim=s.w_dim)
        return self.styles(check_seeds(sources, name=name), **options)

    def _keyframes(
        self, keyframes: Any, curve: str, loop: object, options: StyleOptions
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The keyframes, ws or z, checked; and the labels of z."""
        check_choice("curve", curve, tuple(CURVES))
        check_choice("loop", loop, (False, True))
        s, seeds = self.bundle.spec, None
        classes = self.bundle.classes
        class_idx, labels = options.get("class_idx"), options.get("labels")
        if _are_styles(keyframes):
            if not classes.apart:
                _refuse_options({"class_idx": class_idx, "labels": labels})
            if curve == "slerp":
                raise InvalidInput("curve: got 'slerp' with ws, expected 'linear' or 'cubic'.")
            ws = check_styles("keyframes", keyframes, num_ws=s.num_ws, w_dim=s.w_dim)
            if not _has_class(options):
                return ws, None
            return ws, classes.make_labels(class_idx, labels, batch=len(ws))
        if _are_floats(keyframes):
            z = check_floats("keyframes", keyframes)
            if z.ndim != 2 or z.shape[1] != s.z_dim or not z.any(axis=1).all():
                raise InvalidInput(
                    f"keyframes: got shape {z.shape}, expected {('K', s.num_ws, s.w_dim)}, or "
                    f"{('K', s.z_dim)} that are not zero."
                )
        else:
            seeds = check_seeds(keyframes, name="keyframes")
            z = make_z(seeds, s.z_dim)
        c = classes.make_labels(class_idx, labels, batch=len(z), seeds=seeds)
        if c is not None and classes.apart and curve == "slerp" and (c != c[0]).any():
            raise InvalidInput(
                "curve: got 'slerp' with several classes, expected 'linear' or 'cubic': this "
                "generator looks classes up in a table, so that only styles can be blended."
            )
        return z, c


def _read_sources(name: str, sources: Any) -> Any:
    """Seeds as they are; ws and latents z as one array of NumPy, whatever holds them."""
    several = isinstance(sources, (list, tuple)) and len(sources) > 0
    nested = several and hasattr(type(sources[0]), "__len__") and not isinstance(sources[0], str)
    if nested or hasattr(type(sources), "__array__"):
        return read_array(name, sources, "seeds, or an array of floats")
    return sources


def _are_floats(sources: Any) -> bool:
    return isinstance(sources, np.ndarray) and sources.ndim > 0 and sources.dtype.kind == "f"


def _are_styles(sources: Any) -> bool:
    """Whether they are ws, and not seeds or latents z."""
    return _are_floats(sources) and sources.ndim == 3


def _has_class(options: Any) -> bool:
    return options.get("class_idx") is not None or options.get("labels") is not None


def _split(options: Any) -> tuple[Any, Any]:
    """The options of styles, and those of pictures."""
    styles = {k: v for k, v in options.items() if k in StyleOptions.__annotations__}
    return styles, {k: v for k, v in options.items() if k not in styles}


def _refuse_options(options: Any) -> None:
    """Options that only seeds have."""
    for name, value in options.items():
        if value is not None:
            raise InvalidInput(
                f"{name}: got {shown(value)} with ws, expected None: it is of seeds."
            )
