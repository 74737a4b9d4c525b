"""StyleGAN 1 of genforce: what its converter makes of TensorFlow's variables reads as these do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Assumptions, Checkpoint, read_checkpoint
from stylert.export.checkpoints.safe_pickle.allow_list import read_pickle
from stylert.export.checkpoints.tensorflow.networks import find_generator
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
State = dict[str, torch.Tensor]


def convert(name: str) -> State:
    """What genforce keeps of a TensorFlow network: other names, and PyTorch's layout."""
    value, _ = read_pickle(memoryview((GOLDENS / f"{name}.pkl").read_bytes()))
    variables = find_generator(value, None).variables
    lods = [int(v.split("_lod")[1].split("/")[0]) for v in variables if "ToRGB_lod" in v]
    state: State = {}
    for variable, array in variables.items():
        ours = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
        if variable.endswith("/weight") and "LabelConcat" not in variable:
            ours = ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours.T
        state[rename(variable, max(lods))] = torch.from_numpy(np.array(ours, order="C"))
    state["synthesis.layer2.blur.kernel"] = torch.tensor(
        np.tile(np.outer([1, 2, 1], [1, 2, 1]) / 16, (3, 1, 1, 1))
    )
    return {key: tensor for key, tensor in state.items() if key != "lod"}


def rename(variable: str, last: int) -> str:
    if variable == "dlatent_avg":
        return "truncation.w_avg"
    if variable == "lod":
        return "lod"
    scope, *rest = variable.split("/")
    if scope == "mapping":
        if rest[0] == "LabelConcat":
            return "mapping.label_weight"
        return f"mapping.{rest[0].lower()}.{rest[1]}"
    if rest[0] == "lod":
        return "synthesis.lod"
    if rest[0].startswith("noise"):
        return f"synthesis.layer{rest[0][5:]}.apply_noise.noise"
    if rest[0].startswith("ToRGB"):
        return f"synthesis.output{last - int(rest[0].split('_lod')[1])}.{rest[1]}"
    number = 2 * (int(rest[0].split("x")[0]).bit_length() - 3)
    number += rest[1] in ("Conv", "Conv1")
    leaf = ".".join(rest[2:]).replace("StyleMod", "style").replace("Noise", "apply_noise")
    return f"synthesis.layer{number}.{leaf}"


def read(value: Any, folder: Path, **options: Any) -> Checkpoint:
    torch.save(value, folder / "file.pth")
    return read_checkpoint(folder / "file.pth", **options)


@pytest.mark.parametrize("name", ["sg1-tf-32", "sg1-tf-256"])
def test_reads_as_the_file_that_it_was_converted_from(name: str, tmp_path: Path) -> None:
    expected, state = read_checkpoint(GOLDENS / f"{name}.pkl"), convert(name)
    got = read({"generator": state, "generator_smooth": state}, tmp_path)
    assert got.config == expected.config
    assert got.tensors.keys() == expected.tensors.keys()
    for key, tensor in expected.tensors.items():
        assert np.array_equal(got.tensors[key], tensor), key
    assert got.source.network == "generator_smooth"
    assert got.source.format == "state dict of genforce's StyleGAN 1"


def test_what_is_refused(tmp_path: Path) -> None:
    state = convert("sg1-tf-32")
    lr = read(state, tmp_path, assume=Assumptions(mapping_lr=0.1)).config.mapping_lr_multiplier
    assert lr == 0.1
    growing = {**state, "synthesis.lod": torch.tensor(1.5)}
    with pytest.raises(CheckpointError, match="progressive growing had not finished"):
        read(growing, tmp_path)
    other = {**state, "synthesis.layer2.blur.kernel": torch.ones(3, 1, 3, 3) / 9}
    with pytest.raises(CheckpointError, match=r"another filter than \[1, 2, 1\]"):
        read(other, tmp_path)
    with pytest.raises(CheckpointError, match=r"unknown to StyleGAN 1: mapping\.gate"):
        read({**state, "mapping.gate": torch.ones(2)}, tmp_path)
    for name in state:
        if ".output" in name or "kernel" in name or "lod" in name or "noise" in name:
            continue
        with pytest.raises(CheckpointError) as caught:
            read({key: tensor for key, tensor in state.items() if key != name}, tmp_path)
        assert len(str(caught.value).splitlines()) == 1, name
