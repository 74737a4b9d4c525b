"""What a network really draws: the PyTorch reference in one precision."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from stylert.export.checkpoints import Checkpoint
from stylert.export.checkpoints.configs.config import SMALL
from stylert.export.families import build_model
from stylert.export.graph_session import choose_threads
from stylert.export.graphs.emitter import list_noise_inputs, name_noise
from stylert.export.parity.moved_styles import MovedStyles
from stylert.export.parity.scenes import (
    Psi,
    Scene,
    make_labels,
    make_motions,
    make_psis,
)
from stylert.runtime.bundle import TensorSpec
from stylert.runtime.control.style_space import StyleSpace
from stylert.runtime.latents import make_z
from stylert.runtime.noise import NoiseSource
from stylert.runtime.proof.scene_inputs import list_other_seeds, make_transforms
from stylert.runtime.transforms import invert_transforms

__all__ = ["Reference", "limit_threads"]

# Pictures of a small network that are drawn together: calling PyTorch takes it longer than its
# arithmetic. Larger ones, which have weights of their own for every picture, are slower together.
TOGETHER = 4


class Reference:
    """The reference in one precision.

    Args:
        checkpoint: the generator.
        dtype: of all that it computes.
        style_space: of the bundle, None = its styles are not moved.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        dtype: torch.dtype = torch.float32,
        *,
        style_space: StyleSpace | None = None,
    ) -> None:
        # Read by PyTorch when it first allocates: with huge pages, arrays that come and go cost a
        # picture of 256 pixels a fifth less time.
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        self.config = checkpoint.config
        small = checkpoint.config.work < SMALL and not checkpoint.config.has_transform
        self.at_once = TOGETHER if small else 1
        self.model = build_model(checkpoint).to(dtype=dtype)
        self.style_space = style_space
        if style_space is not None:
            self._styles = MovedStyles(self.model.synthesis, style_space.layers)
        self._dtype = dtype
        self._threads = choose_threads(self.config.work)
        self._mixed: dict[int, np.ndarray] = {}
        self._layers = {name_noise(layer): layer for layer in checkpoint.noise}
        fields = list_noise_inputs(checkpoint)
        inputs = [TensorSpec(name, "float32", field.shape) for name, field in fields.items()]
        self._noise = NoiseSource(inputs, fields)

    def map_seeds(self, seeds: Sequence[int], psi: Psi) -> np.ndarray:
        """The styles [N, num_ws, w_dim] of seeds."""
        z = self._to_tensor(make_z(seeds, self.config.z_dim))
        labels = make_labels(seeds, self.config)
        c = None if labels is None else self._to_tensor(labels)
        rows = self._to_tensor(make_psis(psi, seeds, self.config.num_ws))
        with torch.inference_mode(), limit_threads(1):
            ws: np.ndarray = self.model.mapping(z, c, truncation_psi=rows).numpy()
        return ws

    def mix_seeds(self, seeds: Sequence[int]) -> np.ndarray:
        """Styles [N, num_ws, w_dim] float32 with the w of another seed in every layer.

        They are inputs, so they are made once: the same numbers go to all that draw them.
        """
        for seed in seeds:
            if seed not in self._mixed:
                others = list_other_seeds(seed, self.config.num_ws)
                self._mixed[seed] = self.map_seeds(others, Psi(1.0))[:, 0].astype(np.float32)
        return np.stack([self._mixed[seed] for seed in seeds])

    def draw(self, seed: int, scene: Scene, ws: np.ndarray | None = None) -> np.ndarray:
        """The picture [C, H, W] of a seed, or that of given ws [num_ws, w_dim]."""
        styles = self.map_seeds([seed], scene.psi) if ws is None else ws[None]
        image: np.ndarray = self.draw_together([seed], scene, styles)[0]
        return image

    def draw_seeds(self, seeds: Sequence[int], scene: Scene) -> np.ndarray:
        """The pictures [N, C, H, W] of seeds, in as few calls as is quickest."""
        ws, size = self.map_seeds(seeds, scene.psi), self.at_once
        chunks = [slice(start, start + size) for start in range(0, len(seeds), size)]
        return np.concatenate([self.draw_together(seeds[c], scene, ws[c]) for c in chunks])

    def draw_together(self, seeds: Sequence[int], scene: Scene, ws: np.ndarray) -> np.ndarray:
        """The pictures [N, C, H, W] of ws [N, num_ws, w_dim], in one call of the model."""
        with torch.inference_mode(), limit_threads(self._threads), self._moving(seeds, scene):
            images: np.ndarray = self.model.synthesis(
                self._to_tensor(ws), **self._make_options(seeds, scene)
            ).numpy()
        return images

    def _moving(self, seeds: Sequence[int], scene: Scene) -> AbstractContextManager[None]:
        """The block in which styles are moved as the scene has it."""
        if self.style_space is None or not scene.offset:
            return nullcontext()
        return self._styles.by(self._to_tensor(self.style_space.draw_offsets(seeds)))

    def _make_options(self, seeds: Sequence[int], scene: Scene) -> dict[str, Any]:
        """What the model's synthesis is asked for."""
        if scene.motion == "matrix":
            return {"transform": self._to_tensor(make_transforms(seeds))}
        if scene.motion == "seeded":
            return {"transform": self._to_tensor(invert_transforms(**make_motions(seeds)))}
        if scene.motion == "none":
            return {}
        if scene.noise_mode != "seeded":
            return {"noise": "none" if scene.noise_mode == "none" else "const"}
        fields = self._noise.seeded(seeds)
        return {"noise": {self._layers[n]: self._to_tensor(field) for n, field in fields.items()}}

    def _to_tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._dtype)


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """So many threads of PyTorch's, None = as it is.

    Others of this process may see it, too, and lose nothing.
    """
    before = torch.get_num_threads()
    if count in (None, before):
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
