"""Options of the official scripts: what each is called here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from stylert import cli
from stylert.commands.official_options import OFFICIAL_OPTIONS, explain_official

COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
GUIDE = Path(__file__).parents[2] / "docs" / "artist.md"
OPTIONS = ("bundle", "--out", "--seeds", "--noise", "--truncation-psi", "photos")


@pytest.mark.parametrize(("theirs", "ours"), OFFICIAL_OPTIONS.items())
def test_ours_are_there_and_theirs_are_not(theirs: str, ours: str) -> None:
    options = {name: [o for p in c.params for o in p.opts] for name, c in COMMANDS.items()}
    having = [known for known in options.values() if ours in known]
    assert having
    assert not any(theirs in known for known in having)


@pytest.mark.parametrize(("theirs", "ours"), OFFICIAL_OPTIONS.items())
def test_the_guide_has_the_table(theirs: str, ours: str) -> None:
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if re.search(rf"`{theirs}[ `]", line)]
    assert len(rows) == 1
    assert f"`{ours}" in rows[0].split("|")[2]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--outdir o", "--outdir is --out here."),
        ("--outdir=o --outdir=o", "--outdir is --out here."),
        ("--noise-mode=random", "--noise-mode is --noise here (random is seeded)."),
        ("--network", "--network is the argument BUNDLE here: export it first: stylert export "),
        ("--network --seeds=1", "stylert export CHECKPOINT --out BUNDLE."),
        (
            "--network ftp://a//b.pkl",
            "download ftp://a//b.pkl first, and export it: stylert export ",
        ),
        (
            "--network=https://a/my%20net.pkl?download=1",
            "net.pkl?download=1 first, and export it: stylert export 'my net.pkl' --out BUNDLE.",
        ),
        ("--network=tests", "--network is the argument BUNDLE here: pass tests without it."),
        ("--target p.png", "--target is the argument PHOTO here: pass p.png without it."),
        ("--num-keyframes=3", "--num-keyframes is --seeds here (a keyframe for each)."),
    ],
)
def test_what_is_told(line: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GUIDE.parents[1])
    assert expected in (explain_official(line.split(), OPTIONS) or "")


@pytest.mark.parametrize(
    "line", ["", "--wrong", "--cols 3", "--styles=0-6", "-- --outdir=o", "outdir", "--out=--trunc"]
)
def test_what_is_left_to_click(line: str) -> None:
    assert explain_official(line.split(), OPTIONS) is None


def test_the_name_of_a_network_is_our_own_option() -> None:
    assert explain_official(["--network", "G"], ["--network"]) is None
    assert "pass a.PKL without it" in (explain_official(["--network=a.PKL"], ["--network"]) or "")
    address = explain_official(["--network=https://a/b.pkl"], ["--network"])
    assert "download it first, and pass the file without it" in (address or "")
