"""Where data and caches of the user lie, on each system."""

from __future__ import annotations

from pathlib import Path

import pytest

from stylert.runtime.files import user_folders
from stylert.runtime.files.user_folders import find_cache_folder, find_data_folder


@pytest.mark.parametrize(
    ("platform", "variables", "data", "cache"),
    [
        ("linux", {}, "home/.local/share/stylert", "home/.cache/stylert"),
        (
            "linux",
            {"XDG_DATA_HOME": "relative", "XDG_CACHE_HOME": ""},
            "home/.local/share/stylert",
            "home/.cache/stylert",
        ),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "home/.local/share/stylert", "/cache/stylert"),
        ("darwin", {}, "home/Library/Application Support/stylert", "home/Library/Caches/stylert"),
        (
            "darwin",
            {"XDG_DATA_HOME": "/data", "XDG_CACHE_HOME": "/cache"},
            "/data/stylert",
            "/cache/stylert",
        ),
        ("win32", {}, "home/AppData/Local/stylert", "home/AppData/Local/stylert/cache"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/stylert", "/local/stylert/cache"),
    ],
)
def test_where_they_lie(
    platform: str,
    variables: dict[str, str],
    data: str,
    cache: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.setattr(user_folders.sys, "platform", platform)
    assert find_data_folder() == tmp_path / data
    assert find_cache_folder() == tmp_path / cache


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(OSError, match="home directory"):
        find_cache_folder()
