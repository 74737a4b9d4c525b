"""A bundle appears whole or not at all, and says what is in it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

from stylert.export import lowering
from stylert.export.bundle_writer import check_target, export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.runtime.bundle import MANIFEST, SCHEMA, Bundle
from stylert.runtime.errors import InvalidInput, ParityError
from stylert.runtime.generator import Generator


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: the bytes of files, the targets of links, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def export(checkpoint: Checkpoint, out: str | Path, **options: Any) -> None:
    export_bundle(checkpoint, out, **{"verify_seeds": 0, **options})


@pytest.mark.parametrize("seeds", [-1, 1.5, "many", True])
def test_the_pictures_to_compare_are_a_number(
    seeds: Any, tmp_path: Path, make_checkpoint: Callable[..., Checkpoint]
) -> None:
    with pytest.raises(InvalidInput, match=f"verify_seeds: got {seeds!r}, expected an integer"):
        export(make_checkpoint(), tmp_path / "bundle", verify_seeds=seeds)
    assert not list(tmp_path.iterdir())


# ---- Failures --------------------------------------------------------------------------------


def full_disk(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_in_noise(patch: pytest.MonkeyPatch) -> None:
    def savez(path: Path, **arrays: np.ndarray) -> None:
        path.write_bytes(b"half")
        full_disk()

    patch.setattr(np, "savez", savez)


def fail_in_graph(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    def apply(patch: pytest.MonkeyPatch) -> None:
        calls = []
        save = onnx_ir.save

        def limited(model: onnx_ir.Model, path: Path, **options: Any) -> None:
            calls.append(path)
            if len(calls) == number:
                Path(path).write_bytes(b"half")
                full_disk()
            save(model, path, **options)

        patch.setattr(onnx_ir, "save", limited)

    return apply


def fail_in_manifest(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", full_disk)


def fail_in_publishing(patch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            full_disk()
        return rename(path, target)

    patch.setattr(Path, "rename", refused)


FAILURES = {
    "first graph": fail_in_graph(1),
    "second graph": fail_in_graph(2),
    "noise": fail_in_noise,
    "manifest": fail_in_manifest,
    "publishing": fail_in_publishing,
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("existing", ["nothing", "missing parents", "empty folder", "bundle"])
def test_a_full_disk_leaves_all_as_it_was(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str, existing: str
) -> None:
    out = tmp_path / ("a/b/bundle" if existing == "missing parents" else "bundle")
    if existing == "empty folder":
        out.mkdir()
    if existing == "bundle":
        export(tiny, out)
    before = snapshot(tmp_path)
    with monkeypatch.context() as patch:
        FAILURES[failure](patch)
        with pytest.raises(OSError, match="No space left on device") as caught:
            export(tiny, out, force=True)
        assert caught.value.filename == str(out)
    assert snapshot(tmp_path) == before
    export(tiny, out, force=True)
    Generator.open(out).close()


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("exists", [True, False])
def test_an_interrupt_leaves_all_as_it_was(
    tiny: Checkpoint, tmp_path: Path, step: int, *, exists: bool
) -> None:
    if exists:
        export(tiny, tmp_path / "bundle")
    before = snapshot(tmp_path)
    calls = []

    def progress(stage: str, done: int, total: int) -> None:
        calls.append(stage)
        if len(calls) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tiny, tmp_path / "bundle", force=True, verify_seeds=1, progress=progress)
    assert snapshot(tmp_path) == before


def test_wrong_algebra_is_not_published(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tiny, tmp_path / "bundle")
    before = snapshot(tmp_path)
    right = lowering.fold_demodulation
    monkeypatch.setattr(
        lowering,
        "fold_demodulation",
        lambda weight, *, gain, channels: right(weight, gain=gain * 1.001),
    )
    with pytest.raises(
        ParityError, match=r"^Parity failed in \d+ of \d+ rows. Worst: fp32 img "
    ) as e:
        export(tiny, tmp_path / "bundle", force=True, verify_seeds=1)
    assert not e.value.report.passed
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "tensor", ["mapping.fc0.weight", "synthesis.b8.conv0.weight", "synthesis.b8.conv1.bias"]
)
def test_nan_in_the_weights_is_not_published(tiny: Checkpoint, tmp_path: Path, tensor: str) -> None:
    array = tiny.tensors[tensor].copy()
    array.flat[1] = np.nan
    damaged = replace(tiny, tensors={**tiny.tensors, tensor: array})
    with pytest.raises(ParityError, match="Parity failed") as caught:
        export(damaged, tmp_path / "bundle", verify_seeds=1)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == {}


def number_of_the_dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system for processes of POSIX")
def test_what_a_killed_export_left_is_removed(tiny: Checkpoint, tmp_path: Path) -> None:
    dead, alive = number_of_the_dead(), os.getppid()
    gone = [f".bundle.{dead}.partial", f".bundle.{dead}.old", f".bundle.{os.getpid()}.old"]
    kept = [
        *(f".bundle.{alive}.partial", f".bundle.{alive}.old", f".other.{dead}.partial"),
        *(f"bundle.{dead}.partial", ".bundle.x.partial", f".bundle.{dead}.txt"),
    ]
    for name in (*gone, *kept):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mapping.onnx").write_bytes(b"mine")
    export(tiny, tmp_path / "bundle")  # an old bundle may be the only one: it stays until then
    assert {*os.listdir(tmp_path)} == {"bundle", *gone[1:], *kept}
    export(tiny, tmp_path / "bundle", force=True)
    assert {*os.listdir(tmp_path)} == {"bundle", *kept}


# ---- Where it may go -------------------------------------------------------------------------


def test_a_bundle_is_replaced_only_with_force(tiny: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export(tiny, out)
    (out / "engines").mkdir()  # what belongs to the old bundle must not stay
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="Pass force=True to replace it"):
        export(tiny, out)
    assert snapshot(tmp_path) == before
    export(replace(tiny, notes=("new",)), out, force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle"}
    assert not (out / "engines").exists()
    assert Bundle.open(out).manifest["provenance"]["notes"] == ["new"]


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("kind", ["folder", "file", "link to a folder", "link to a file"])
def test_what_is_no_bundle_is_left_alone(
    tiny: Checkpoint, tmp_path: Path, kind: str, *, force: bool
) -> None:
    thing = tmp_path / "thing"
    if kind.endswith("folder"):
        thing.mkdir()
        (thing / "photo.png").write_bytes(b"mine")
    else:
        thing.write_bytes(b"mine")
    out = thing
    if kind.startswith("link"):
        out = tmp_path / "link"
        out.symlink_to(thing)
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="is no bundle: it is left as it is"):
        export(tiny, out, force=force)
    with pytest.raises(InvalidInput, match="is no bundle"):
        check_target(out, force=force)
    assert snapshot(tmp_path) == before


def test_another_programs_manifest_makes_no_bundle(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/manifest.json").write_text('{"name": "an app", "icons": []}')
    (tmp_path / "web/photo.png").write_bytes(b"mine")
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="is no bundle: it is left as it is"):
        export(tiny, tmp_path / "web", force=True)
    assert snapshot(tmp_path) == before


def test_a_damaged_bundle_can_be_replaced(tiny: Checkpoint, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    export(tiny, out)
    (out / MANIFEST).write_bytes(b"cut o")
    export(tiny, out, force=True)
    assert Bundle.open(out)


def test_goes_into_missing_folders(tiny: Checkpoint, tmp_path: Path) -> None:
    export(tiny, tmp_path / "a/b/bundle")
    Generator.open(tmp_path / "a/b/bundle").close()
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["bundle"]


@pytest.mark.parametrize("force", [True, False])
def test_fills_an_empty_folder(tiny: Checkpoint, tmp_path: Path, *, force: bool) -> None:
    (tmp_path / "bundle").mkdir()
    export(tiny, tmp_path / "bundle", force=force)
    Generator.open(tmp_path / "bundle").close()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("out", ["bundle", "bundle/", "./bundle", "a/../bundle", "a/.././bundle//"])
def test_takes_relative_paths(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    export(tiny, out)
    export(tiny, out, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Generator.open("bundle").close()


@pytest.mark.parametrize("out", [".", "..", "../inside", "../inside/."])
def test_does_not_replace_the_current_folder(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="Choose another name"):
        export(tiny, out, force=True)
    assert snapshot(tmp_path) == before


def test_goes_where_a_link_points(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/bundle")
    export(tiny, tmp_path / "link")  # nothing there yet
    with pytest.raises(InvalidInput, match="Pass force=True"):
        export(tiny, tmp_path / "link")
    export(tiny, tmp_path / "link", force=True)
    assert os.readlink(tmp_path / "link") == "disk/bundle"
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "link"}
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["bundle"]
    Generator.open(tmp_path / "link").close()


def test_a_folder_that_is_a_file_is_an_oserror(tiny: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OSError, match="file"):
        export(tiny, tmp_path / "file/bundle")
    assert snapshot(tmp_path) == {"file": b"mine"}


# ---- What is in it ---------------------------------------------------------------------------


def test_manifest_is_strict_json(tiny_bundle: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    text = (tiny_bundle / "manifest.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text, parse_constant=refuse)["schema"] == SCHEMA


def test_manifest_describes_the_generator(tiny: Checkpoint, tiny_bundle: Path) -> None:
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    assert manifest["family"] == "stylegan2"
    assert manifest["config"] == tiny.config.to_json()
    assert manifest["generator"] == {
        "z_dim": 8,
        "c_dim": 0,
        "w_dim": 8,
        "num_ws": 4,
        "img_channels": 3,
        "img_height": 8,
        "img_width": 8,
        "truncation_psi": 1.0,
        "truncation_cutoff": None,
    }
    assert np.array_equal(np.float32(manifest["w_avg"]), tiny.tensors["mapping.w_avg"])
    assert manifest["statistics"]["parameters"] == tiny.num_parameters
    assert set(manifest["statistics"]["multiply_adds"]) == {"mapping", "synthesis"}
    strengths = [t.item() for name, t in tiny.tensors.items() if name.endswith("noise_strength")]
    assert manifest["statistics"]["noise_strength"] == max(map(abs, strengths))
    assert [t["name"] for t in manifest["graphs"]["mapping"]["inputs"]] == ["z", "truncation_psi"]
    assert {
        t["name"]: (t["dtype"], t["shape"]) for t in manifest["graphs"]["synthesis"]["outputs"]
    } == {
        "img": ("float32", ["N", 3, 8, 8]),
        "image": ("uint8", ["N", 8, 8, 3]),
    }


def test_manifest_has_the_checksum_of_every_file(tiny_bundle: Path) -> None:
    files = json.loads((tiny_bundle / "manifest.json").read_text())["files"]
    assert set(files) == {file.name for file in tiny_bundle.iterdir()} - {"manifest.json"}
    for name, entry in files.items():
        data = (tiny_bundle / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_manifest_says_where_it_came_from(tiny: Checkpoint, tiny_bundle: Path) -> None:
    provenance = json.loads((tiny_bundle / "manifest.json").read_text())["provenance"]
    assert provenance["source"] == vars(tiny.source)
    assert provenance["notes"] == ["The weights are random."]
    assert datetime.fromisoformat(provenance["exported"]).utcoffset() is not None
    assert set(provenance["tools"]) >= {"stylert", "numpy", "onnx", "torch"}
    assert all(provenance["tools"].values())


def test_manifest_has_every_row_of_the_proof(tiny: Checkpoint, tmp_path: Path) -> None:
    report = export_bundle(tiny, tmp_path / "bundle", verify_seeds=2)
    assert report is not None
    parity = json.loads((tmp_path / "bundle/manifest.json").read_text())["parity"]
    assert parity == json.loads(json.dumps(report.to_json()))
    assert parity["passed"] is True
    assert parity["tolerances"]["fp32"] == {"rms": 4e-6, "max_abs": 1e-4, "psnr_db": None}
    assert parity["tolerances"]["fp16"] == {"rms": None, "max_abs": None, "psnr_db": 60}
    assert {row["precision"] for row in parity["rows"]} == {"fp32", "fp16"}
    assert len(parity["rows"]) == len(report.rows) > 10
    assert all(row["images"] == 2 for row in parity["rows"])


def test_without_a_check_the_manifest_says_so(tiny: Checkpoint, tmp_path: Path) -> None:
    assert export_bundle(tiny, tmp_path / "bundle", verify_seeds=0) is None
    assert json.loads((tmp_path / "bundle/manifest.json").read_text())["parity"] is None


def test_noise_file_holds_the_checkpoints_noise(tiny: Checkpoint, tiny_bundle: Path) -> None:
    with np.load(tiny_bundle / "noise.npz") as file:
        noise = dict(file)
    assert list(noise) == ["noise_b4_conv1", "noise_b8_conv0", "noise_b8_conv1"]
    for name, field in noise.items():
        tensor = f"synthesis.{name.removeprefix('noise_').replace('_', '.')}.noise_const"
        assert field.dtype == np.float32
        assert np.array_equal(field, tiny.tensors[tensor][None, None])


def test_a_network_without_noise_has_no_noise_file(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    export(make_checkpoint(use_noise=False), tmp_path / "bundle")
    assert not (tmp_path / "bundle/noise.npz").exists()
    assert Bundle.open(tmp_path / "bundle").noise_inputs == ()


def test_progress_ends_at_its_total(tiny: Checkpoint, tmp_path: Path) -> None:
    steps: dict[str, list[tuple[int, int]]] = {}
    export(
        tiny,
        tmp_path / "bundle",
        verify_seeds=3,
        progress=lambda stage, done, total: steps.setdefault(stage, []).append((done, total)),
    )
    assert set(steps) == {"measuring activations", "writing the graphs", "comparing with PyTorch"}
    for counts in steps.values():
        done = [count for count, _ in counts]
        assert done == sorted(done)
        assert len({total for _, total in counts}) == 1
        assert counts[-1][0] == counts[-1][1]
