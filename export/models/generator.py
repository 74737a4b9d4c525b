"""What the references of all families share: the mapping network, and a checkpoint's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.models.mapping import MappingNetwork

__all__ = ["GeneratorModel", "Noise"]

# 'const', 'none', or maps by the layer's name, such as 'b8.conv0'; the key '' = one for all layers
Noise = str | Mapping[str, Tensor]


class GeneratorModel(nn.Module):
    """A whole generator: `mapping` from z to ws, `synthesis` from ws to the image."""

    synthesis_class: ClassVar[Callable[..., nn.Module]]  # of the family

    def __init__(self, config: Config, **options: Any) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config)
        self.synthesis = type(self).synthesis_class(config, **options)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, **options: Any) -> Self:
        """The generator with the checkpoint's weights, in float32, ready for inference.

        Args:
            checkpoint: of this family.
            **options: what the family's synthesis takes besides its configuration.
        """
        with torch.device("meta"):  # no time lost on weights that are overwritten
            model = cls(checkpoint.config, **options)
        state = {name: torch.from_numpy(array) for name, array in checkpoint.tensors.items()}
        for name in checkpoint.config.filter_names:  # their sizes are the checkpoint's choice
            path, _, leaf = name.rpartition(".")
            model.get_submodule(path).register_buffer(leaf, state[name])
        model.load_state_dict(state, strict=True, assign=True)
        return model.eval().requires_grad_(False)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        truncation_psi: float | Tensor = 1.0,
        truncation_cutoff: int | None = None,
        **options: Any,
    ) -> Tensor:
        """Draw images [N, C, H, W] with a nominal range of [-1, 1] from z [N, z_dim].

        Args:
            z: the latents.
            c: the labels [N, c_dim] of a conditional generator.
            truncation_psi: 1 leaves w as it is, 0 makes it the average one.
            truncation_cutoff: the first layer that is not truncated, None = all are.
            **options: of the family's synthesis: `noise`, or `transform` of StyleGAN3.
        """
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        images: Tensor = self.synthesis(ws, **options)
        return images
