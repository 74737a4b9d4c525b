"""Damaged files: the result is a checkpoint or a CheckpointError, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
GENUINE = GOLDENS / "hostile" / "evil_module_src.pkl"  # small, and genuine but for its source
GENUINE_TENSORFLOW = GOLDENS / "hostile" / "evil_tf_build_src.pkl"


def outcome(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        return "refused" if len(str(error).splitlines()) == 1 else "refused with many lines"
    assert isinstance(checkpoint, Checkpoint)
    assert all(np.isfinite(tensor).all() for tensor in checkpoint.tensors.values())
    return "read"


@pytest.mark.parametrize(
    "name", ["sg2-cond-32.pkl", "sg2-skip-32.pkl", "sg1-tf-32.pkl", "sg3-r-64.pkl"]
)
def test_cut_files_are_refused(name: str, tmp_path: Path) -> None:
    data = (GOLDENS / name).read_bytes()
    cuts = np.linspace(0, len(data) - 1, 12, dtype=int)
    assert {outcome(data[:cut], tmp_path / "cut.pkl") for cut in cuts} == {"refused"}


@pytest.mark.parametrize("genuine", [GENUINE, GENUINE_TENSORFLOW])
def test_changed_bytes(genuine: Path, tmp_path: Path) -> None:
    data = genuine.read_bytes()
    random = np.random.RandomState(0)
    outcomes = []
    for _ in range(80):
        changed = bytearray(data)
        changed[random.randint(len(data))] = random.randint(256)
        outcomes.append(outcome(bytes(changed), tmp_path / "changed.pkl"))
    assert {"read", "refused"} == set(outcomes)  # some bytes are names or numbers, some are source


def test_changed_native_files(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    write_native(read_checkpoint(GENUINE), path)
    data = path.read_bytes()
    random = np.random.RandomState(0)
    outcomes = []
    for _ in range(200):
        changed = bytearray(data)
        changed[random.randint(6000)] = random.randint(256)  # the header, mostly
        outcomes.append(outcome(bytes(changed), path))
    outcomes += [outcome(data[:cut], path) for cut in np.linspace(0, len(data) - 1, 30, dtype=int)]
    assert set(outcomes[-30:]) == {"refused"}
    assert "refused" in outcomes[:200]
