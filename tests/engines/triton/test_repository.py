"""Writing and checking repositories."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.engines.triton import Recipe, check_repository, write_repository
from stylert.engines.triton.schema import format_message, parse_config
from stylert.runtime.backends.tensorrt.plans import Plan
from stylert.runtime.backends.tensorrt.trust import UntrustedEngine
from stylert.runtime.bundle import hash_file, sealed
from stylert.runtime.errors import BundleError, EngineError, InvalidInput, MissingExtra
from stylert.runtime.machine import Gpu

AddPlans = Callable[..., tuple[Plan, Plan]]
Refuses = Callable[..., AbstractContextManager[None]]
RANGE = ((1, 4, 8),)
FROM_NOTHING = Recipe("python", "cpu", "fp32", 8).to_json() | {"max_batch": 0}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def configs(prefix: str = "") -> set[str]:
    models = ("front", "mapping", "stylegan", "synthesis")
    return {"stylert.json", *(f"{prefix}{model}/config.pbtxt" for model in models)}


@pytest.fixture
def repository(own_bundle: Path, tmp_path: Path) -> Path:
    """A repository for the backend 'python'."""
    write_repository(own_bundle, tmp_path / "repository", backend="python")
    return tmp_path / "repository"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives the machine GPUs of these compute capabilities."""

    def give(*capabilities: tuple[int, int]) -> None:
        found = [Gpu(i, "NVIDIA Test", one) for i, one in enumerate(capabilities)]
        monkeypatch.setattr("stylert.engines.triton.checking.visible_gpus", lambda: found)

    return give


# --- Writing.


def test_with_plans(own_bundle: Path, add_plans: AddPlans, tmp_path: Path) -> None:
    pairs = [add_plans(own_bundle, gpu, batches=RANGE) for gpu in ("8.9", "9.0")]
    lines: list[str] = []
    written = write_repository(own_bundle, tmp_path / "r", say=lines.append)
    assert written.models == ("stylegan", "front", "mapping", "synthesis")
    plans = {f"{plan.graph}/1/{plan.name}.plan" for pair in pairs for plan in pair}
    assert files(tmp_path / "r") == configs() | plans | {
        "stylegan/1/.keep",
        "front/1/model.py",
        "front/1/noise.npz",
    }
    assert lines == [
        "Backend tensorrt: engines of TensorRT 10.13.0.35 for compute capability 8.9, 9.0."
    ]


def test_with_plans_of_others(
    own_bundle: Path, add_plans: AddPlans, tmp_path: Path, refuses: Refuses, no_record: None
) -> None:
    pair = add_plans(own_bundle, "8.9", batches=RANGE, own=False)
    with refuses("trust_engines=True", error=UntrustedEngine):
        write_repository(own_bundle, tmp_path / "r", backend="tensorrt")
    assert not (tmp_path / "r").exists()
    write_repository(own_bundle, tmp_path / "r", backend="tensorrt", trust_engines=True)
    assert {f"{plan.graph}/1/{plan.name}.plan" for plan in pair} <= files(tmp_path / "r")
    check_repository(own_bundle, tmp_path / "r")  # which runs none of them


def test_with_onnx_graphs(own_bundle: Path, tmp_path: Path) -> None:
    write_repository(own_bundle, tmp_path / "r", backend="onnxruntime", version=7, prefix="a-")
    assert files(tmp_path / "r") == configs("a-") | {
        "a-stylegan/7/.keep",
        "a-front/7/model.py",
        "a-front/7/noise.npz",
        "a-mapping/7/mapping.onnx",
        "a-synthesis/7/synthesis.fp16.onnx",
    }
    for name in ("mapping.onnx", "synthesis.fp16.onnx"):
        (copy,) = (tmp_path / "r").rglob(name)
        assert hash_file(copy) == hash_file(own_bundle / name)


def test_weights_beside_a_graph_come_along(own_bundle: Path, tmp_path: Path) -> None:
    (own_bundle / "synthesis.onnx.data").write_bytes(b"weights")
    manifest = json.loads((own_bundle / "manifest.json").read_text())
    manifest["files"]["synthesis.onnx.data"] = {
        "bytes": 7,
        "sha256": hash_file(own_bundle / "synthesis.onnx.data"),
    }
    (own_bundle / "manifest.json").write_text(json.dumps(sealed(manifest)))
    write_repository(own_bundle, tmp_path / "r", device="cpu")
    assert "synthesis/1/synthesis.onnx.data" in files(tmp_path / "r")


def test_with_the_runtime(repository: Path, own_bundle: Path) -> None:
    got = files(repository)
    assert {"mapping/1/mapping.onnx", "mapping/1/model.py", "synthesis/1/model.py"} <= got
    copied = {name for name in got if name.startswith("synthesis/1/bundle/")}
    assert copied == {f"synthesis/1/bundle/{name}" for name in files(own_bundle)}


def test_a_generator_without_noise(bundle_of: Callable[[str], Path], tmp_path: Path) -> None:
    write_repository(bundle_of("sg3-t-64"), tmp_path / "r", backend="onnxruntime")
    assert "front/1/noise.npz" not in files(tmp_path / "r")


def test_what_exists_is_left_as_it_is(
    own_bundle: Path, repository: Path, refuses: Refuses, tmp_path: Path
) -> None:
    before = (repository / "stylert.json").stat()
    with refuses("exists. Pass force=True to replace it"):
        write_repository(own_bundle, repository)
    assert (repository / "stylert.json").stat() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with refuses("exists and is no Triton repository of StyleRT's: it is left as it is"):
        write_repository(own_bundle, tmp_path / "other", force=True)
    assert files(tmp_path / "other") == {"mine.txt"}


def test_force_replaces_all_of_it(own_bundle: Path, repository: Path) -> None:
    write_repository(own_bundle, repository, backend="onnxruntime", prefix="b-", force=True)
    assert configs("b-") < files(repository)
    assert not (repository / "synthesis").exists()
    assert check_repository(own_bundle, repository).recipe.prefix == "b-"


def test_the_current_folder_is_not_replaced(
    own_bundle: Path, repository: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "front")
    with refuses("is the current folder, or one above it"):
        write_repository(own_bundle, repository, force=True)


def test_a_changed_plan_leaves_nothing(
    own_bundle: Path, add_plans: AddPlans, refuses: Refuses, tmp_path: Path
) -> None:
    _, synthesis = add_plans(own_bundle, "8.9", batches=RANGE)
    (own_bundle / "engines" / f"{synthesis.name}.plan").write_bytes(b"other")
    with refuses(synthesis.name, "was changed since it was made", error=EngineError):
        write_repository(own_bundle, tmp_path / "new" / "r")
    assert not (tmp_path / "new").exists()


def test_a_failure_keeps_the_old_repository(
    own_bundle: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(repository)
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_repository(own_bundle, repository, force=True)
    assert caught.value.filename == str(repository)
    assert files(repository) == before
    assert [path.name for path in repository.parent.iterdir() if path.name[0] == "."] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instances": 0}, "instances: got 0, expected an integer of 1 to 64."),
        ({"fronts": 65}, "fronts: got 65"),
        ({"queue_delay": -1.0}, "queue_delay: got -1.0, expected 0 to 10000 milliseconds."),
        ({"queue_delay": float("nan")}, "queue_delay: got nan"),
        ({"threads": 0}, "threads: got 0"),
        ({"version": 0}, "version: got 0"),
        ({"max_inflight": -1}, "max_inflight: got -1"),
        ({"prefix": "a b"}, "prefix: got 'a b', expected letters, digits, - and _."),
        ({"prefix": "../x"}, "prefix: got '../x'"),
    ],
)
def test_options_out_of_range(
    options: dict[str, Any], message: str, own_bundle: Path, refuses: Refuses, tmp_path: Path
) -> None:
    with refuses(message):
        write_repository(own_bundle, tmp_path / "r", backend="python", **options)
    assert not (tmp_path / "r").exists()


def test_without_tritonclient(
    own_bundle: Path, refuses: Refuses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    with refuses("[triton]'", error=MissingExtra):
        write_repository(own_bundle, tmp_path / "r")
    assert not (tmp_path / "r").exists()


# --- Checking.


@pytest.mark.parametrize("options", [{"backend": "python"}, {"device": "cpu", "version": 2}])
def test_a_fresh_one_passes(options: dict[str, Any], own_bundle: Path, tmp_path: Path) -> None:
    written = write_repository(own_bundle, tmp_path / "r", **options)
    assert check_repository(own_bundle, tmp_path / "r").recipe == written.recipe


def test_tuning_is_not_judged(own_bundle: Path, repository: Path) -> None:
    for file in repository.glob("*/config.pbtxt"):
        config = parse_config(file.read_text())
        config.max_batch_size = 4
        if file.parent.name == "synthesis":
            config.instance_group[0].count = 5
            config.dynamic_batching.max_queue_delay_microseconds = 123
            config.parameters["anything"].string_value = "1"
        file.write_text(format_message(config))
    check_repository(own_bundle, repository)


def test_a_step_that_takes_less_than_its_ensemble(
    own_bundle: Path, repository: Path, refuses: Refuses
) -> None:
    file = repository / "mapping" / "config.pbtxt"
    file.write_text(file.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    with refuses(
        "mapping/config.pbtxt has max_batch_size 4, expected at least the 8 of stylegan",
        error=BundleError,
    ):
        check_repository(own_bundle, repository)


def change(field: str) -> Callable[[Any], None]:
    changes: dict[str, Callable[[Any], None]] = {
        "name": lambda c: setattr(c, "name", "other"),
        "max_batch_size": lambda c: setattr(c, "max_batch_size", 9),
        "input": lambda c: c.input[0].dims.append(2),
        "output": lambda c: setattr(c.output[0], "name", "picture"),
        "backend": lambda c: setattr(c, "backend", "pytorch"),
        "default_model_filename": lambda c: setattr(c, "default_model_filename", "x.onnx"),
    }
    return changes[field]


@pytest.mark.parametrize(
    "field",
    ["name", "max_batch_size", "input", "output", "backend", "default_model_filename"],
)
def test_a_configuration_that_does_not_fit(
    field: str, own_bundle: Path, repository: Path, refuses: Refuses
) -> None:
    file = repository / "synthesis" / "config.pbtxt"
    config = parse_config(file.read_text())
    change(field)(config)
    file.write_text(format_message(config))
    with refuses(f"synthesis/config.pbtxt has {field} ", "--force", error=BundleError):
        check_repository(own_bundle, repository)


def test_an_ensemble_that_is_connected_otherwise(
    own_bundle: Path, repository: Path, refuses: Refuses
) -> None:
    file = repository / "stylegan" / "config.pbtxt"
    config = parse_config(file.read_text())
    config.ensemble_scheduling.max_inflight_requests = 7  # tuning
    file.write_text(format_message(config))
    check_repository(own_bundle, repository)
    config.ensemble_scheduling.step[2].input_map["ws"] = "front_z"
    file.write_text(format_message(config))
    with refuses("stylegan/config.pbtxt has ensemble_scheduling", error=BundleError):
        check_repository(own_bundle, repository)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "front" / "1" / "noise.npz").unlink(), "front/1/noise.npz is missing"),
        (
            lambda r: (r / "front" / "1" / "model.py").write_text("x"),
            "front/1/model.py is not what this bundle and this StyleRT give",
        ),
        (
            lambda r: (r / "mapping" / "1" / "mapping.onnx").write_bytes(b""),
            "mapping/1/mapping.onnx is not what",
        ),
        (
            lambda r: (r / "front" / "config.pbtxt").unlink(),
            "front/config.pbtxt cannot be read (No such file or directory)",
        ),
        (
            lambda r: (r / "front" / "config.pbtxt").write_text("nome: 'x'"),
            "front/config.pbtxt is no configuration of Triton (1:1",
        ),
        (lambda r: shutil.rmtree(r / "stylegan" / "1"), "stylegan/1 is missing"),
        (lambda r: shutil.rmtree(r / "front"), "front/config.pbtxt cannot be read"),
        (lambda r: (r / "stylert.json").write_text("{"), "cannot read stylert.json"),
        (lambda r: (r / "stylert.json").write_text("[]"), "stylert.json has schema None"),
        (
            lambda r: _edit(r / "stylert.json", "recipe", {}),
            "stylert.json is damaged ('plans')",
        ),
        (
            lambda r: _edit(r / "stylert.json", "recipe", FROM_NOTHING),
            "stylert.json is damaged (max_batch: got 0",
        ),
        (
            lambda r: _edit(r / "stylert.json", "bundle", "0"),
            "was written from another export than",
        ),
    ],
)
def test_damage_is_told(
    damage: Callable[[Path], object],
    message: str,
    own_bundle: Path,
    repository: Path,
    refuses: Refuses,
) -> None:
    damage(repository)
    with refuses(str(repository), message, error=BundleError):
        check_repository(own_bundle, repository)


def _edit(file: Path, key: str, value: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))


def test_what_is_no_repository(own_bundle: Path, tmp_path: Path, refuses: Refuses) -> None:
    with refuses("is no repository of 'stylert triton'", error=InvalidInput):
        check_repository(own_bundle, tmp_path / "nothing")


def test_plans_that_were_built_again(
    own_bundle: Path, add_plans: AddPlans, tmp_path: Path, refuses: Refuses
) -> None:
    _, synthesis = add_plans(own_bundle, "8.9", batches=RANGE)
    write_repository(own_bundle, tmp_path / "r")
    check_repository(own_bundle, tmp_path / "r")
    data = synthesis.to_json() | {"sha256": "0" * 64}
    sidecar = own_bundle / "engines" / f"{synthesis.name}.json"
    sidecar.write_text(json.dumps(data))
    with refuses(f"{synthesis.name}.plan is not what", error=BundleError):
        check_repository(own_bundle, tmp_path / "r")
    sidecar.unlink()
    with refuses(f"{synthesis.name} is not in the bundle", "force=True", error=EngineError):
        check_repository(own_bundle, tmp_path / "r")


def test_a_gpu_that_no_plan_is_for(
    own_bundle: Path,
    add_plans: AddPlans,
    tmp_path: Path,
    refuses: Refuses,
    gpus: Callable[..., None],
) -> None:
    add_plans(own_bundle, "8.9", batches=RANGE)
    add_plans(own_bundle, "9.0", batches=RANGE)
    write_repository(own_bundle, tmp_path / "r")
    gpus((8, 9), (9, 0))
    check_repository(own_bundle, tmp_path / "r")
    gpus((9, 0), (10, 0))
    with refuses(
        "its engines are for compute capability 8.9, 9.0, and the NVIDIA Test here has 10.0.",
        "--batch 1:4:8",
        error=EngineError,
    ):
        check_repository(own_bundle, tmp_path / "r")


def test_a_portable_plan_is_for_all_from_ampere_on(
    own_bundle: Path,
    add_plans: AddPlans,
    tmp_path: Path,
    refuses: Refuses,
    gpus: Callable[..., None],
) -> None:
    add_plans(own_bundle, "8.6", batches=RANGE, options={"hardware_compatible": True})
    write_repository(own_bundle, tmp_path / "r")
    gpus((10, 0))
    check_repository(own_bundle, tmp_path / "r")
    gpus((7, 5))
    with refuses("capability 8.0+, and the NVIDIA Test here has 7.5", error=EngineError):
        check_repository(own_bundle, tmp_path / "r")


def test_a_recipe_is_what_its_record_says(own_bundle: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        "tensorrt", "gpu", "fp16", 8, plans=("a", "b"), instances=2, threads=3, prefix="p-"
    )
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    with pytest.raises(ValueError, match="unexpected keyword"):
        Recipe.from_json(recipe.to_json() | {"colour": "red"})


def test_the_umask_decides_who_may_read_it(own_bundle: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_repository(own_bundle, tmp_path / "r", backend="python")
    finally:
        os.umask(before)
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "r" / "front" / "1" / "model.py").stat().st_mode & 0o777 == 0o644
