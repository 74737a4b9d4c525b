"""The model `front` of a Triton repository: it turns a request into the inputs of both graphs.

Engines know no optional inputs, so this model fills in what a request leaves out. It is copied into
the repository as it is, and runs in Triton's python backend, where StyleRT need not be installed:
it imports NumPy alone. What a seed, a psi, a class and a noise seed mean is what they mean in
`Generator.generate`; the tests hold it to that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["TritonPythonModel"]

_MAX_SEED = 2**32 - 1
_NOISE_STREAM = 1  # keeps the noise of a seed apart from the z of the same seed
_UNIFORM = "noise"  # the input that is uniform in [0, 1); the others, noise_*, are normal
_STYLE_OFFSET = "style_offset"  # the input that moves styles
_FARTHEST = 1000.0  # of a transform: beyond it, float32 loses the phase of the waves


class TritonPythonModel:
    """What the python backend runs: one process for each instance, called by one thread."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the defaults from the model's configuration, and the noise from beside this file."""
        import triton_python_backend_utils as backend_utils

        self._backend = backend_utils
        config = json.loads(args["model_config"])
        # [dimensions behind the batch] of each output, the noise in the order of the layers.
        self._shapes = {o["name"]: [int(size) for size in o["dims"]] for o in config["output"]}
        parameters = {key: entry["string_value"] for key, entry in config["parameters"].items()}
        psi = float(parameters["truncation_psi"])
        self._default_psi = np.full(self._shapes["truncation_psi"], psi, np.float32)  # [num_ws]
        if "truncation_cutoff" in parameters:
            self._default_psi[int(parameters["truncation_cutoff"]) :] = 1
        self._classes: list[str] = json.loads(parameters.get("classes", "[]"))
        self._apart = "classes_apart" in parameters
        names = [name for name in self._shapes if name.startswith("noise")]
        self._own_noise = {}
        if names:
            with np.load(Path(__file__).with_name("noise.npz"), allow_pickle=False) as arrays:
                self._own_noise = {name: arrays[name] for name in names}  # [1, 1, h, w]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request by itself: one that is wrong does not spoil the others."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        backend = self._backend
        given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            tensors = self._make_tensors(given)
        except ValueError as error:
            wrong = backend.TritonError(str(error), backend.TritonError.INVALID_ARG)
            return backend.InferenceResponse(error=wrong)
        return backend.InferenceResponse(
            [backend.Tensor(name, np.ascontiguousarray(a)) for name, a in tensors.items()]
        )

    def _make_tensors(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inputs of both graphs, from those of the request. All have the batch in front."""
        z = self._read_z(given)
        batch = len(z)
        tensors = {"z": z, "truncation_psi": self._read_psi(given.get("truncation_psi"), batch)}
        if "c" in self._shapes:
            tensors["c"] = self._read_labels(given)
        if self._own_noise:
            tensors |= self._read_noise(given.get("noise_seed"), batch)
        if "transform" in self._shapes:
            tensors["transform"] = self._read_transform(given.get("transform"), batch)
        if _STYLE_OFFSET in self._shapes:  # styles stay as they are
            tensors[_STYLE_OFFSET] = np.zeros((batch, *self._shapes[_STYLE_OFFSET]), np.float32)
        return tensors

    def _read_z(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """The latents [N, z_dim]: as they are, or of seeds [N, 1]."""
        if ("z" in given) == ("seed" in given):
            got = "both" if "z" in given else "neither"
            raise ValueError(f"z, seed: got {got}, expected one of them.")
        if "z" in given:
            return _check_finite("z", given["z"])
        seeds = _read_integers("seed", given["seed"], _MAX_SEED)
        rows = [np.random.RandomState(seed).randn(*self._shapes["z"]) for seed in seeds]
        return np.stack(rows).astype(np.float32)

    def _read_psi(self, psi: np.ndarray | None, batch: int) -> np.ndarray:
        """Truncation [N, num_ws]: of every layer, one for all layers, or the family's own."""
        num_ws = len(self._default_psi)
        if psi is None:
            return np.tile(self._default_psi, (batch, 1))
        if psi.shape[1:] not in ((1,), (num_ws,)):
            raise ValueError(
                f"truncation_psi: got {psi.shape[1]} numbers an image, expected 1 or {num_ws}."
            )
        return np.broadcast_to(_check_finite("truncation_psi", psi), (batch, num_ws))

    def _read_labels(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Labels [N, c_dim]: as they are, or of classes [N, 1]; else a seed's class is its own."""
        (c_dim,) = self._shapes["c"]
        kinds = [kind for kind in ("class_idx", "class_name", "labels") if kind in given]
        expected = f"a class of 0 to {c_dim - 1}, or {c_dim} numbers."
        if len(kinds) > 1:
            raise ValueError(f"{', '.join(kinds)}: got both, expected one of them: {expected}")
        if kinds == ["labels"]:
            labels = _check_finite("labels", given["labels"])
            if self._apart and not (np.sort(labels, axis=1) == np.eye(c_dim)[-1]).all():
                raise ValueError("labels: got a mix of classes, expected one class, a 1 among 0.")
            return labels
        if kinds == ["class_name"]:
            classes = [self._find_class(name) for name in given["class_name"].ravel()]
        elif kinds == ["class_idx"]:
            classes = _read_integers("class_idx", given["class_idx"], c_dim - 1)
        elif "seed" in given:
            classes = [seed % c_dim for seed in _read_integers("seed", given["seed"], _MAX_SEED)]
        else:
            raise ValueError(f"class_idx, labels: got neither, expected one of them: {expected}")
        return np.eye(c_dim, dtype=np.float32)[classes]

    def _find_class(self, name: Any) -> int:
        text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        if text not in self._classes:
            known = ", ".join(self._classes[:6]) + (", ..." if len(self._classes) > 6 else "")
            raise ValueError(f"class_name: got {text!r:.40}, expected one of {known}.")
        return self._classes.index(text)

    def _read_noise(self, seeds: np.ndarray | None, batch: int) -> dict[str, np.ndarray]:
        """Noise [N, 1, h, w] of each layer: of seeds [N, 1], or the checkpoint's own."""
        own = self._own_noise.items()
        fields = {name: np.broadcast_to(a, (batch, *a.shape[1:])) for name, a in own}
        if seeds is None:
            return fields
        fields = {name: np.empty(a.shape, np.float32) for name, a in fields.items()}
        for i, seed in enumerate(_read_integers("noise_seed", seeds, _MAX_SEED)):
            generator = np.random.RandomState([seed, _NOISE_STREAM])
            for name, field in fields.items():
                uniform = name == _UNIFORM
                draw = generator.random_sample if uniform else generator.standard_normal
                field[i] = draw(field[i].shape)
        return fields

    def _read_transform(self, matrices: np.ndarray | None, batch: int) -> np.ndarray:
        """The inverse of what happens to the pictures [N, 3, 3], by default nothing."""
        if matrices is None:
            return np.tile(np.eye(3, dtype=np.float32), (batch, 1, 1))
        if (_check_finite("transform", matrices)[:, 2] != (0, 0, 1)).any():
            raise ValueError("transform: got another last row than 0 0 1, expected plane motions.")
        if (np.abs(matrices) > _FARTHEST).any():
            raise ValueError(
                f"transform: got {np.abs(matrices).max():.3g}, expected up to {_FARTHEST:g}."
            )
        return matrices


def _read_integers(name: str, values: np.ndarray, largest: int) -> list[int]:
    """The one integer of each image, from [N, 1]."""
    wrong = values[(values < 0) | (values > largest)]
    if wrong.size:
        raise ValueError(f"{name}: got {wrong[0]}, expected 0 to {largest}.")
    return [int(value) for value in values[:, 0]]


def _check_finite(name: str, values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: got NaN or infinity, expected finite numbers.")
    return values
