"""Files that would run code: nothing in them runs. Most are refused, with one line that says why.

A payload in the generator is refused; one beside a good generator is passed over, and named.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
HOSTILE = GOLDENS / "hostile"
EXPECTED = json.loads((HOSTILE / "manifest.json").read_text())["files"]

# What a message has to say.
SAYS = {
    "evil_reduce.pkl": "refuses 'posix.system'",
    "evil_nested.pkl": "refuses 'posix.system'",
    "evil_torch_legacy.pkl": "refuses 'posix.system'",
    "evil_tf_variable.pkl": "is no StyleGAN generator.*'posix.system'",
    "evil_pt.pt": "refuses 'posix.system'",
    "evil_pt_legacy.pt": "refuses 'posix.system'",
    "evil_tensor.pkl": "synthesis.b8.conv0.weight: refuses 'posix.system'",
    "evil_tf_incomplete.pkl": "it has no networks 'mapping' and 'synthesis'",
    "truncated.pkl": "ends early",
    "truncated_tail.pkl": "ends early",
    "wrong_shapes.pkl": r"b8.conv1.weight: got shape \[8, 7, 3, 3\], expected \[8, 8, 3, 3\]",
    "missing_key.pkl": "synthesis.b8.conv1.weight is missing",
    "nan_weights.pkl": "synthesis.b4.conv1.weight: 1 of 576 values are NaN or infinite",
    "huge_claim.pkl": "claims 1000000000000 elements of float32, and 64 bytes",
    "stride_oob.pkl": "synthesis.b8.conv1.weight: reaches outside its data",
    "offset_oob.pkl": "synthesis.b8.conv1.weight: reaches outside its data",
    "discriminator_only.pkl": r"no network 'G_ema' in the file; it has D \('Discriminator'\)",
    "empty.pkl": "is empty",
    "random.bin": "unknown format",
    "text.txt": "text file",
    "html_error_page.pkl": "web page",
    "other_dict.pkl": "a dict with the keys 'a', 'b'",
    "deep_nesting.pkl": "it is a pickle of a list",
}
LOADS = {
    "evil_module_src.pkl": (8, 8),  # its channels
    "evil_tf_build_src.pkl": (6, 6),
    "trailing_garbage.pkl": (8, 8),
    "evil_beside.pkl": (6, 5),
    "evil_beside.pt": (32, 32),
    "evil_chain.pkl": (6, 5),
    "evil_hook.pkl": (6, 5),
}
NAMED = {"evil_beside.pkl", "evil_beside.pt", "evil_chain.pkl", "evil_hook.pkl"}

# Reads all files after this process was told to report imports, code, processes and pickles.
WATCHED = """
import sys
from pathlib import Path
from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.errors import CheckpointError
good, hostile = map(Path, sys.argv[1:])
files = [path for path in sorted(hostile.iterdir()) if path.suffix != ".json"]
read_checkpoint(good)
seen = set()
watched = ("import", "exec", "compile", "pickle.", "marshal.", "os.", "subprocess.", "socket.")
sys.addaudithook(lambda event, arguments: seen.add(event) if event.startswith(watched) else None)
results = []
for path in [*files, good]:
    try:
        read_checkpoint(path)
        results.append("read")
    except CheckpointError:
        results.append("refused")
loaded = {"torch", "torch_utils", "dnnlib", "tensorflow", "training"} & sys.modules.keys()
print(sorted(seen), sorted(loaded), results.count("read"), results.count("refused"))
exec("")
print(*sorted(seen))  # the hook works
"""


def test_every_file_has_its_expectation() -> None:
    assert {path.name for path in HOSTILE.iterdir()} == {*EXPECTED, "manifest.json"}
    assert {*SAYS, *LOADS} == set(EXPECTED)
    assert {name for name, file in EXPECTED.items() if file["expect"] == "reject"} <= set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=SAYS[name]) as caught:
        read_checkpoint(HOSTILE / name)
    message = str(caught.value)
    assert message.startswith("Cannot read ")
    assert message.count(name) == 1
    assert len(message.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(LOADS))
def test_loaded_without_running(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = read_checkpoint(HOSTILE / name)
    assert checkpoint.config.channels == LOADS[name]
    assert any("'posix.system'" in note for note in checkpoint.notes) is (name in NAMED)
    assert list(tmp_path.iterdir()) == []


def test_ignored_bytes_are_mentioned() -> None:
    notes = read_checkpoint(HOSTILE / "trailing_garbage.pkl").notes
    assert notes == ("64 bytes behind the end of the pickle were ignored",)


def test_reading_runs_imports_and_starts_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WATCHED, str(GOLDENS / "sg2-cond-32.pkl"), str(HOSTILE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"[] [] {len(LOADS) + 1} {len(SAYS)}", "compile exec"]
    assert list(tmp_path.iterdir()) == []
