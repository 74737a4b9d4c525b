"""What the networks of a TensorFlow pickle were made with: `static_kwargs`, judged one by one.

Some arguments must agree with the variables, some have one value that we know how to compute, some
change nothing in inference. Those that nobody here knows are told to the user, never fatal: files
of forks have many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.export.checkpoints.tensorflow.networks import TensorFlowGenerator
from stylert.runtime.errors import CheckpointError

__all__ = ["check_agreement", "check_fixed", "read_number", "find_unknown"]

# Arguments that change the function, and the one value of each that is known here.
_FIXED: dict[str, Any] = {
    "blur_filter": [1, 2, 1],
    "const_input_layer": True,
    "dtype": "float32",
    "normalize_latents": True,
    "use_instance_norm": True,
    "use_pixel_norm": False,
    "use_styles": True,
    "use_wscale": True,
}

# Arguments that are read elsewhere, or compared with what the variables make.
_READ = frozenset(
    (
        "architecture",
        "conv_clamp",
        "dlatent_broadcast",
        "dlatent_size",
        "fused_scale",
        "label_fmaps",
        "label_size",
        "latent_size",
        "mapping_fmaps",
        "mapping_layers",
        "mapping_lrmul",
        "mapping_nonlinearity",
        "nonlinearity",
        "num_channels",
        "num_fp16_res",
        "resample_kernel",
        "resolution",
        "structure",
        "use_noise",
    )
)

# Arguments of training, of speed, or that the shapes of the variables tell.
_HARMLESS = frozenset(
    (
        "conditioning",
        "dlatent_avg_beta",
        "fmap_base",
        "fmap_decay",
        "fmap_max",
        "fmap_min",
        "force_clean_graph",
        "fused_modconv",
        "is_template_graph",
        "is_training",
        "is_validation",
        "mapping_func",
        "randomize_noise",
        "return_dlatents",
        "style_mixing_prob",
        "synthesis_func",
        "truncation_cutoff",
        "truncation_cutoff_val",
        "truncation_psi",
        "truncation_psi_val",
        "w_avg_beta",
    )
)


def check_fixed(generator: TensorFlowGenerator) -> None:
    """Refuse arguments that make another function than the one known here.

    Raises:
        CheckpointError: there is one.
    """
    for key, expected in _FIXED.items():
        value = generator.arguments.get(key, expected)
        value = list(value) if type(value) is tuple else value
        if type(value) is not type(expected) or value != expected:
            raise CheckpointError(
                f"not supported: {key} {_show(value)}, expected {_show(expected)}"
            )


def check_agreement(generator: TensorFlowGenerator, found: Mapping[str, Any]) -> None:
    """Compare arguments with what the variables make; None leaves the choice to the network.

    Raises:
        CheckpointError: they differ.
    """
    for key, expected in found.items():
        value = generator.arguments.get(key)
        if value is not None and (type(value) is not type(expected) or value != expected):
            raise CheckpointError(
                f"{key} is {quote(value)} in static_kwargs, but the variables make "
                f"{quote(expected)}"
            )


def read_number(generator: TensorFlowGenerator, key: str, default: float | None) -> float | None:
    """A number among the arguments, or None.

    Raises:
        CheckpointError: it is neither.
    """
    value = generator.arguments.get(key, default)
    if value is None:
        return None
    if type(value) not in (int, float):
        raise CheckpointError(f"{key} is {quote(value)} in static_kwargs, expected a number")
    return float(value)


def find_unknown(generator: TensorFlowGenerator) -> list[str]:
    """The arguments that are not known here, each as 'name=value'."""
    known = _READ | _HARMLESS | _FIXED.keys()
    unknown = {key: value for key, value in generator.arguments.items() if key not in known}
    return [f"{quote(key)[1:-1]}={_show(value)}"[:120] for key, value in unknown.items()]


def _show(value: Any) -> str:
    """A value for a message: short, on one line."""
    if type(value) in (tuple, list) and len(value) <= 8:
        return f"[{', '.join(map(quote, value))}]"
    return quote(value)
