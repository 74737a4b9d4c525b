"""A right network as the proof draws it: what the mutants of `mutants.py` are compared with."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from stylert.export.checkpoints import Checkpoint
from stylert.export.parity.reference import Reference
from stylert.export.parity.scenes import Scene, list_image_scenes, list_mapping_psis
from stylert.runtime import images
from stylert.runtime.proof.parity import RoundingError

Case = tuple[Scene, int]  # and the seed


class RightNetwork:
    """The PyTorch reference in float32, in scenes of the proof.

    Args:
        checkpoint: the generator.
        seeds: the pictures of each scene. The proof has more, which only makes it stricter.
        scenes: how many of the scenes of pictures, those that show most first; None = all.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, seeds: Sequence[int], scenes: int | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.family = checkpoint.family
        self.reference = Reference(checkpoint)
        self.model: Any = self.reference.model
        # The last one has another w in every layer, and all of the noise and motion there is.
        shown = list_image_scenes(checkpoint.config)[::-1][:scenes]
        drawn = [(scene, seed) for seed in seeds for scene in shown]
        mapped = [(Scene(psi), seed) for seed in seeds for psi in list_mapping_psis(self.config)]
        self.cases = {"img": drawn, "image": drawn, "ws": mapped}
        self._given = dict(zip(seeds, self.reference.mix_seeds(seeds), strict=True))
        self._drawn: dict[tuple[str, Case], np.ndarray] = {}
        self._mapped: dict[Case, np.ndarray] = {}
        self._stages: dict[Case, dict[str, Tensor]] = {}

    @functools.cached_property
    def errors(self) -> dict[str, RoundingError]:
        """How far float32 is from float64 in these cases, of which gate 2 is made."""
        exact = Reference(self.checkpoint, torch.float64)
        return {
            output: RoundingError.measure(
                np.stack([self.draw(output, case, exact) for case in self.cases[output]]),
                np.stack([self.right(output, case) for case in self.cases[output]]),
            )
            for output in ("img", "ws")
        }

    def right(self, output: str, case: Case) -> np.ndarray:
        """What the network gives as it is; drawn once."""
        if (output, case) not in self._drawn:
            with self._recorded(case):
                self._drawn[output, case] = self.draw(output, case)
        return self._drawn[output, case]

    def draw(self, output: str, case: Case, reference: Reference | None = None) -> np.ndarray:
        """Styles 'ws' [num_ws, w_dim], a picture 'img' [C, H, W], or its bytes 'image' [H, W, C].

        They are those of the network as it is at the moment. The bytes are of the right picture.
        """
        reference = reference or self.reference
        scene, seed = case
        if output == "ws":
            ws: np.ndarray = reference.map_seeds([seed], scene.psi)[0]
            return ws
        if output == "image":
            return images.to_uint8(self.right("img", case)[None])[0]
        if scene.ws == "own":
            return reference.draw(seed, scene, self._given[seed])
        # No fault of a picture is one of the mapping network, so it is run once.
        return reference.draw(seed, scene, self._map(case) if reference is self.reference else None)

    def _map(self, case: Case) -> np.ndarray:
        scene, seed = case
        if case not in self._mapped:
            self._mapped[case] = self.reference.map_seeds([seed], scene.psi)[0]
        return self._mapped[case]

    @contextmanager
    def unchanged_before(self, layer: str, case: Case) -> Iterator[None]:
        """Layers of a StyleGAN3 before this one give what they gave, which saves time."""
        stages = self._stages.get(case, {})
        first = layer.partition(".")[0]
        with ExitStack() as stack:
            for name, x in stages.items() if first in stages else ():
                if name == first:
                    break
                child = self.model.synthesis.get_submodule(name)
                stack.enter_context(mock.patch.object(child, "forward", lambda *_, x=x: x))
            yield

    @contextmanager
    def _recorded(self, case: Case) -> Iterator[None]:
        """What the layers of a StyleGAN3 give, one after the other, is kept."""
        stages: dict[str, Tensor] = {}
        hooks = []
        for name, child in self.model.synthesis.named_children():

            def keep(module: nn.Module, inputs: Any, x: Tensor, name: str = name) -> None:
                stages[name] = x

            hooks += [child.register_forward_hook(keep)] if self.family == "stylegan3" else []
        yield
        for hook in hooks:
            hook.remove()
        if stages:
            self._stages[case] = stages

    def layers(self, *kinds: type[nn.Module]) -> dict[str, Any]:
        """The layers of the synthesis network that are of these kinds, in their order."""
        found = self.model.synthesis.named_modules()
        return {name: module for name, module in found if isinstance(module, kinds)}

    def layer(self, name: str) -> Any:
        """A layer of the synthesis network."""
        return self.model.synthesis.get_submodule(name)
