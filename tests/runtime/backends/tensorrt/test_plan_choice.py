"""Which plans are chosen, and what is said when none fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.backends.tensorrt.plan_choice import Choice, choose_plans
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError, MissingExtra
from stylert.runtime.machine import Gpu, visible_gpus

INSTALLED = {"tensorrt": "11.4.0.106"}
BOTH = ("image", "img")


@pytest.fixture
def choose(bundle_copy: Path) -> Callable[..., Choice]:
    def call(
        installed: dict[str, str] | None = None,
        *,
        precision: str = "auto",
        compute_capability: tuple[int, int] = (8, 9),
        index: int = 0,
    ) -> Choice:
        packages = INSTALLED if installed is None else installed

        def version_of(name: str) -> str:
            if name not in packages:
                raise MissingExtra(f"{name} does not load here: no module")
            return packages[name]

        return choose_plans(
            Bundle.open(bundle_copy),
            gpu=Gpu(index, "NVIDIA L4", compute_capability),
            precision=precision,
            version_of=version_of,
        )

    return call


def test_the_pair_that_fits(choose: Any, bundle_copy: Path, add_plans: Any) -> None:
    add_plans(bundle_copy, version="11.2.0.1")
    add_plans(bundle_copy, compute_capabilities=("9.0",))
    mapping, synthesis = add_plans(bundle_copy)
    choice = choose()
    assert (choice.mapping, choice.synthesis) == (mapping, synthesis)
    assert (choice.package, choice.version) == ("tensorrt", "11.4.0.106")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": "11.2.0.1"}, ["needs version 11.2.0.1, installed is tensorrt 11.4.0.106"]),
        ({"compute_capabilities": ("9.0", "8.0")}, ["for compute capability 9.0, 8.0"]),
        ({"onnx_sha256": "0" * 64}, ["another bundle's graph"]),
        ({"version": "12.0.0", "options": {"version_compatible": True}}, ["version 12.0.0"]),
        ({"version": "9.3.0", "options": {"version_compatible": True}}, ["version 9.3.0"]),
    ],
)
def test_none_fits(
    choose: Any,
    bundle_copy: Path,
    add_plans: Any,
    refuses: Any,
    fields: dict[str, Any],
    words: list[str],
) -> None:
    add_plans(bundle_copy, **fields)
    command = f"stylert build-engine {bundle_copy} --compiler tensorrt"
    with refuses("NVIDIA L4, 8.9", *words, command, error=EngineError):
        choose()


def test_no_plan_at_all(choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any) -> None:
    command = f"stylert build-engine {bundle_copy} --compiler tensorrt"
    with refuses("has no engine", command, error=EngineError):
        choose()
    add_plans(bundle_copy)
    with refuses("has no fp16 engine", f"{command} --precision fp16", error=EngineError):
        choose(precision="fp16")


def test_no_mapping_of_the_same_kind(
    choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any
) -> None:
    add_plans(bundle_copy, "synthesis", batches=((1, 1, 1),))
    add_plans(bundle_copy, "mapping", batches=((1, 2, 4),))
    add_plans(bundle_copy, "mapping", batches=((1, 1, 1),), compute_capabilities=("7.5",))
    with refuses("no mapping plan of the same kind and batches", error=EngineError):
        choose()


@pytest.mark.parametrize(
    ("built", "runs"),
    [("11.0.0.1", True), ("10.16.1.11", True), ("11.4.0.107", False), ("9.3.0", False)],
)
def test_version_compatible_plans(
    choose: Any, bundle_copy: Path, add_plans: Any, built: str, runs: bool
) -> None:
    add_plans(bundle_copy, version=built, options={"version_compatible": True})
    if runs:
        assert choose().package == "tensorrt"
        assert choose({"tensorrt_lean": "11.4.0.106"}).package == "tensorrt_lean"
    else:
        with pytest.raises(EngineError):
            choose()


def test_the_lean_runtime_runs_nothing_else(
    choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any
) -> None:
    add_plans(bundle_copy)
    with refuses("installed is tensorrt_lean 11.4.0.106", error=EngineError):
        choose({"tensorrt_lean": "11.4.0.106"})


@pytest.mark.parametrize(("capability", "runs"), [((12, 0), True), ((7, 5), False)])
def test_hardware_compatible_plans(
    choose: Any, bundle_copy: Path, add_plans: Any, capability: tuple[int, int], runs: bool
) -> None:
    add_plans(bundle_copy, options={"hardware_compatible": True})
    if runs:
        assert choose(compute_capability=capability).package == "tensorrt"
    else:
        with pytest.raises(EngineError, match=r"compute capability 8\.9"):
            choose(compute_capability=capability)


def test_the_best_goes_first(choose: Any, bundle_copy: Path, add_plans: Any) -> None:
    packages = {**INSTALLED, "tensorrt_rtx": "1.7.1.116"}
    add_plans(bundle_copy, compiler="tensorrt_rtx", version="1.7.1.116")
    assert choose(packages).package == "tensorrt_rtx"
    assert choose({"tensorrt_rtx": "1.7.1.116"}).package == "tensorrt_rtx"
    add_plans(bundle_copy, version="11.3.0.1", options={"version_compatible": True})
    assert choose(packages).synthesis.version == "11.3.0.1"
    add_plans(bundle_copy, batches=((1, 1, 1),))
    assert choose(packages).synthesis.version == "11.4.0.106"
    add_plans(bundle_copy, batches=((1, 1, 1), (8, 8, 8)))
    assert choose(packages).synthesis.batches[-1] == (8, 8, 8)


def test_rtx_plans_name_the_sm_to_build_for(
    choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any
) -> None:
    add_plans(bundle_copy, compiler="tensorrt_rtx", version="1.7.1.116")
    with refuses("--compiler tensorrt-rtx --sm 120", error=EngineError):
        choose({"tensorrt_rtx": "1.7.1.116"}, compute_capability=(12, 0))


@pytest.mark.parametrize("capability", [(9, 0), (10, 0), (7, 5)])
def test_where_tensorrt_rtx_builds_nothing_the_other_compiler_is_named(
    choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any, capability: tuple[int, int]
) -> None:
    """An H100 that gets a bundle for desktop cards."""
    add_plans(bundle_copy, compiler="tensorrt_rtx", version="1.7.1.116")
    command = f"Build one: stylert build-engine {bundle_copy} --compiler tensorrt --gpu 2"
    with refuses(command, "for compute capability 8.9", error=EngineError):
        choose({"tensorrt_rtx": "1.7.1.116"}, compute_capability=capability, index=2)


def test_another_gpu_of_the_same_kind_is_told(
    choose: Any, bundle_copy: Path, add_plans: Any
) -> None:
    """TensorRT timed the kernels on the other one."""
    other = add_plans(bundle_copy, gpu="NVIDIA L40S", batches=((1, 1, 1), (8, 8, 8)))
    choice = choose(index=1)
    assert choice.synthesis == other[1]
    assert choice.note == (
        f"{other[1].name} was built on NVIDIA L40S and runs on NVIDIA L4, perhaps not with its "
        f"best kernels. For this GPU: stylert build-engine {bundle_copy} --compiler tensorrt "
        "--gpu 1 --precision fp32"
    )
    own = add_plans(bundle_copy, gpu="NVIDIA L4")
    choice = choose(index=1)
    assert ([choice.mapping, choice.synthesis], choice.note) == (own, "")


@pytest.mark.parametrize(
    "fields", [{"gpu": None}, {"gpu": "NVIDIA L40S", "options": {"hardware_compatible": True}}]
)
def test_engines_for_many_gpus_are_not_told_of(
    choose: Any, bundle_copy: Path, add_plans: Any, fields: dict[str, Any]
) -> None:
    add_plans(bundle_copy, **fields)
    assert choose().note == ""


def test_nothing_is_installed(choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any) -> None:
    add_plans(bundle_copy)
    with refuses("tensorrt does not load here", error=MissingExtra):
        choose({})


def test_int8_is_taken_by_name_alone(
    int8_bundle: Path, tmp_path: Path, add_plans: Any, refuses: Any
) -> None:
    path = shutil.copytree(int8_bundle, tmp_path / "int8")
    bundle = Bundle.open(path)

    def choose(precision: str, plan: str | None = None) -> str:
        gpu = Gpu(0, "NVIDIA L4", (8, 9))
        chosen = choose_plans(
            bundle, gpu=gpu, precision=precision, plan=plan, version_of=lambda name: "11.4.0.106"
        )
        return chosen.synthesis.precision

    _, int8 = add_plans(path, precision="int8")
    with refuses("has no engine", error=EngineError):
        choose("auto")
    add_plans(path, precision="fp32")
    assert choose("auto") == choose("fp32") == "fp32"
    assert choose("int8") == choose("auto", int8.name) == "int8"


def test_half_goes_before_single(
    bundle_of: Callable[[str], Path], tmp_path: Path, add_plans: Any
) -> None:
    path = shutil.copytree(bundle_of("sg2-fp16-64"), tmp_path / "half")
    bundle = Bundle.open(path)
    assert bundle.precisions == ("fp32", "fp16")
    add_plans(path, batches=((8, 8, 8),))
    add_plans(path, batches=((1, 1, 1),), precision="fp16")
    for precision, expected in (("auto", "fp16"), ("fp16", "fp16"), ("fp32", "fp32")):
        choice = choose_plans(
            bundle,
            gpu=Gpu(0, "NVIDIA L4", (8, 9)),
            precision=precision,
            version_of=INSTALLED.get,  # type: ignore[arg-type]
        )
        assert choice.synthesis.precision == expected
        assert choice.mapping.batches == choice.synthesis.batches


def test_a_damaged_sidecar(choose: Any, bundle_copy: Path, add_plans: Any, refuses: Any) -> None:
    plan = add_plans(bundle_copy)[0]
    file = bundle_copy / "engines" / f"{plan.name}.json"
    right = file.read_text()
    for wrong in (right.replace('"schema": 1', '"schema": 99'), "[]", " " * 2**20 + right):
        file.write_text(wrong)
        with refuses("is damaged", error=EngineError):
            choose()
    file.unlink()
    file.symlink_to("/dev/zero")  # it has no end, and its size is 0
    with refuses("is damaged (it is no regular file)", error=EngineError):
        choose()


def test_the_plans_of_the_real_compiler(
    choose: Any, bundle_copy: Path, refuses: Any, fakes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real packages, but the fake GPU
    rtx = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    from stylert.engines import build_engine

    built = build_engine(
        bundle_copy, compiler="tensorrt-rtx", precision="fp32", batch="1,2", output="both", sm="89"
    )
    installed = {"tensorrt_rtx": rtx.__version__}
    choice = choose(installed)
    assert [choice.mapping.name, choice.synthesis.name] == sorted(plan.name for plan in built)
    assert choice.synthesis.batches == ((1, 1, 1), (2, 2, 2))
    with refuses("for compute capability 8.9", "--sm 120", error=EngineError):
        choose(installed, compute_capability=(12, 0))
    if not visible_gpus():  # it is read, checked, and then refused for want of a driver
        with refuses("deserialize_cuda_engine of tensorrt_rtx", error=EngineError):
            fakes.open(bundle_copy)
