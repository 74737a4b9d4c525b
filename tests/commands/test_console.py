"""What people see of texts that strangers wrote."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from stylert import cli
from stylert.commands import console

STEERING = "a\x1b[2Jb\r\x07\x9b31m\udc80 é ✓"
SHOWN = r"a\x1b[2Jb\r\x07\x9b31m\udc80 é ✓"


def test_no_text_steers_the_terminal(capsys: Any) -> None:
    console.say(STEERING)
    console.warn(STEERING)
    console.print_table([{"what": "note", "value": STEERING}], title=STEERING)
    seen = capsys.readouterr()
    assert (seen.out.count(SHOWN), seen.err.count(SHOWN)) == (3, 1)
    assert "\x1b" not in seen.out + seen.err


def test_a_warning_is_told_once_in_a_command(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A bundle that is opened twice warns from two lines, which Python takes for two warnings."""
    monkeypatch.setattr("warnings.showwarning", None)  # so that it is put back
    for _ in range(2):
        with pytest.raises(SystemExit):
            cli.main(["verify", str(tmp_path / "none")])
        capsys.readouterr()
        for line in (1, 1, 2):
            warnings.showwarning(UserWarning("no VNNI"), UserWarning, "x.py", line)
        assert capsys.readouterr().err == "warning: no VNNI\n"
