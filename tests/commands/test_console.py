"""What people see of texts that strangers wrote."""

from __future__ import annotations

from typing import Any

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
