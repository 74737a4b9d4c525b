"""What a pickled generator says that it was made with, compared with what its tensors make.

What was left at its default is not recorded, and the repositories have different defaults: so the
arguments never tell the architecture, but those that are there must agree with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.foreign import refuse_foreign_values
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["list_sources", "check_arguments", "find_unknown"]

_POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")

# Arguments that change nothing which the tensors and attributes do not tell.
_SETTLED = frozenset(
    (
        "mapping_kwargs",
        "mapping_kwargs.activation",
        "mapping_kwargs.embed_features",
        "mapping_kwargs.layer_features",
        "mapping_kwargs.lr_multiplier",
        "mapping_kwargs.num_layers",
        "mapping_kwargs.rand_embedding",
        "mapping_kwargs.w_avg_beta",
        "synthesis_kwargs",
    )
)


def list_sources(modules: Modules) -> dict[str, Mapping[str, Any]]:
    """Where a generator says what it is, by the name of the place.

    Raises:
        CheckpointError: its arguments are no dict.
    """
    return {
        "_init_kwargs": _read_arguments(modules),
        "the generator's attributes": modules.objects[""].state,
    }


def check_arguments(source: str, given: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Compare arguments with those that would make what the tensors and layers are.

    Args:
        source: where they were given, for the message.
        given: what was given.
        made: what would make this network; other arguments are not compared.

    Raises:
        CheckpointError: one of them differs.
    """
    for key, expected in made.items():
        value = given.get(key, expected)
        if value is None and key.startswith("mapping_kwargs."):
            continue  # None = the width of w
        if type(value) not in (bool, int, float, str, type(None)) or value != expected:
            raise CheckpointError(
                f"{key} is {quote(value)} in {source}, but the tensors and layers make "
                f"{quote(expected)}"
            )


def find_unknown(modules: Modules, known: Collection[str]) -> list[str]:
    """Arguments that the generator was made with, and that we do not know."""
    known = {*_SETTLED, *_POSITIONAL, *known}
    return [key for key in _read_arguments(modules) if key not in known]


def _read_arguments(modules: Modules) -> dict[str, Any]:
    """What the generator was made with, as one flat dict."""
    network = modules.objects[""]
    positional = network.state.get("_init_args", ())
    named = network.state.get("_init_kwargs", {})
    if type(positional) is not tuple or type(named) is not dict:
        raise CheckpointError("_init_args or _init_kwargs of the generator are none")
    flat = dict(zip(_POSITIONAL, positional, strict=False))
    flat.update(named)
    for key, prefix in (("mapping_kwargs", "mapping_kwargs."), ("synthesis_kwargs", "")):
        nested = named.get(key)
        if type(nested) is dict:
            flat.update({f"{prefix}{quote(k)[1:-1]}": v for k, v in nested.items()})
    refuse_foreign_values(flat, "_init_kwargs")
    return flat
