"""Packages that are not there, and the command that brings them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from stylert.runtime import packages
from stylert.runtime.errors import MissingExtra
from stylert.runtime.packages import import_extra, install_command, need

ROOT = Path(__file__).parents[2]


def test_need(refuses: Callable[..., AbstractContextManager[None]]) -> None:
    need("json", "numpy", extra="export")
    message = f"no_such_a, no_such_b: not installed. Install: {install_command('serve')}"
    with refuses(message, error=MissingExtra):
        need("json", "no_such_a", "no_such_b", extra="serve")


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ({"url": "{here}", "dir_info": {}}, "pip install '{path}[cpu]'"),
        ({"url": "{here}", "dir_info": {"editable": True}}, "pip install -e '{path}[cpu]'"),
        ({"url": "{here}", "archive_info": {}}, "pip install '{path}[cpu]'"),
        (
            {"url": "https://a/b.git", "vcs_info": {"vcs": "git", "commit_id": "f00"}},
            "pip install 'stylert[cpu] @ git+https://a/b.git@f00'",
        ),
        (
            {"url": "https://a/stylert-1-py3-none-any.whl", "archive_info": {}},
            "pip install 'stylert[cpu] @ https://a/stylert-1-py3-none-any.whl'",
        ),
        ({"url": "file:///is/gone", "dir_info": {}}, f"pip install '{ROOT}[cpu]'"),
        (None, f"pip install '{ROOT}[cpu]'"),
    ],
)
def test_the_command_names_what_was_installed(
    origin: dict[str, Any] | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a clone"
    place.mkdir()

    class Distribution:
        @staticmethod
        def read_text(name: str) -> str | None:
            assert name == "direct_url.json"
            return origin and json.dumps(origin).replace("{here}", place.as_uri())

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Distribution)
    command = install_command("cpu")
    assert command == expected.replace("{path}", str(place))
    assert shlex.split(command)[:2] == ["pip", "install"]


def test_without_a_clone_it_says_where_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr("stylert.runtime.packages.__file__", "/nowhere/stylert/runtime/packages.py")
    assert install_command("cpu") == "pip install '.[cpu]' in a clone of StyleRT"


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a package there that pip lists as 2.3.1, and whose import runs some code."""

    def install(code: str) -> None:
        (tmp_path / "brk").mkdir()
        (tmp_path / "brk" / "__init__.py").write_text(code)
        metadata = tmp_path / "brk_dist-2.3.1.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text("Metadata-Version: 2.1\nName: brk-dist\nVersion: 2.3.1\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


@pytest.mark.parametrize("code", ["raise ImportError", "raise ImportError from error"])
def test_ctrl_c_while_a_package_loads_stays_that(broken: Callable[[str], None], code: str) -> None:
    """What is written in C tells it as a failure of its own: 'initialization failed'."""
    broken(f"try:\n    raise KeyboardInterrupt\nexcept KeyboardInterrupt as error:\n    {code}")
    with pytest.raises(KeyboardInterrupt):
        import_extra("brk", "brk-dist", extra="serve")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('libx.so.3: cannot open\\nmore')", "libx.so.3: cannot open"),
        ("raise OSError('no such symbol.')", "no such symbol"),
        ("raise RuntimeError", "RuntimeError"),
        ("import brk.inner", "No module named 'brk.inner'"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_package_that_does_not_load(
    broken: Callable[[str], None],
    refuses: Callable[..., AbstractContextManager[None]],
    code: str,
    reason: str,
) -> None:
    broken(code)
    message = f"brk-dist 2.3.1 does not load: {reason}. Install it anew: pip install --upgrade "
    with refuses(message, "--force-reinstall brk-dist", error=MissingExtra):
        import_extra("brk", "brk-dist", extra="serve")


@pytest.mark.parametrize("floor", ["2.4", "3", "2.3.2", "2.3.1.1", "10"])
def test_a_package_that_is_too_old(
    broken: Callable[[str], None],
    refuses: Callable[..., AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
    floor: str,
) -> None:
    broken("raise SystemExit")  # it is not even tried
    monkeypatch.setitem(packages.OLDEST, "brk-dist", (floor,))
    message = f"brk-dist is too old: got 2.3.1, expected >= {floor}. "
    with refuses(message, f"Install: {install_command('serve')}", error=MissingExtra):
        import_extra("brk", "brk-dist", extra="serve")


@pytest.mark.parametrize("floor", ["", "2", "2.3", "2.3.1", "2.3.1.0", "1.9.9"])
def test_a_package_that_is_new_enough(
    broken: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, floor: str
) -> None:
    broken("answer = 42")
    monkeypatch.setitem(packages.OLDEST, "brk-dist", (floor,))
    assert import_extra("brk", "brk-dist", extra="serve").answer == 42
    sys.modules.pop("brk")


@pytest.mark.parametrize("module", ["no_such", "no_such.inner", "json.no_such"])
def test_a_package_that_is_not_there(
    refuses: Callable[..., AbstractContextManager[None]], module: str
) -> None:
    message = f"no-such is not installed. Install: {install_command('serve')}"
    with refuses(message, error=MissingExtra):
        import_extra(module, "no-such", extra="serve")


def test_the_oldest_versions_are_those_of_the_extras() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = (
        "0.9 1.1.1 1.2.0 1.2.2 2.0 12 12.8.0 12.9.2 12.9.3 12.10 13.0.0 13.0.1 13.0.2 13.5 14.0"
    )
    for distribution in packages.OLDEST:
        (admitted,) = {*re.findall(rf'"{distribution}([>=!~][^"]*)"', text)}
        for version in versions.split():
            told = packages.tell_too_old(distribution, version)
            assert bool(told) != SpecifierSet(admitted).contains(version), (distribution, version)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("11.8", "12.9.3"),
        ("12.9.2", "12.9.3"),
        ("13.0.1", "13.0.2"),
        ("13.0.2rc1", ""),
        ("?", "12.9.3"),
    ],
)
def test_the_oldest_of_the_same_major_version_is_told(version: str, told: str) -> None:
    assert packages.tell_too_old("cuda-bindings", version) == told


def test_the_gpus_onnxruntime_brings_its_libraries() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.findall(r"onnxruntime-gpu([^>]*)>=", text)
    assert found == ["[cuda,cudnn]"] * 2


def test_onnxruntime_writes_no_identifier_and_sends_nothing(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    """Its wheel does both as it is imported, asked by nobody."""
    code = f"import stylert; stylert.open({str(tiny_bundle)!r}, provider='cpu').close()"
    plain = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    env = {**plain, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    subprocess.run(command, env=env, check=True, cwd=tmp_path)
    assert not list(tmp_path.rglob("deviceid"))
    assert not list(tmp_path.rglob("onnxruntime.db"))


def test_who_wants_telemetry_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, expected in (("0", "0"), (None, "1")):
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
        if said is not None:
            monkeypatch.setenv("ORT_DISABLE_TELEMETRY", said)
        packages.keep_silent()
        assert os.environ["ORT_DISABLE_TELEMETRY"] == expected
