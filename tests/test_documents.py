"""The documents tell the truth: commands exist, code compiles, links lead somewhere, guides run.

The blocks ```sh and ```python of README and of each guide docs/*.md are run in the order of the
page, in one empty folder, so that a block can use what an earlier one made. Only lines that start
with `stylert` or `python cli.py` are run; `make` lines are checked against the Makefile, and others
(pip, git) are left alone. A checkpoint that a page names and the project does not have is a golden
under that name. A block that cannot run is marked, on the line before it, with its reason:

    <!-- test: skip because it needs a GPU -->
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from stylert.cli import app

ROOT = Path(__file__).parents[1]
GUIDES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
DOCUMENTS = (*GUIDES, "CONTRIBUTING.md")
BLOCK = re.compile(
    r"^(?P<marker><!--[^\n]*-->)?\n*^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SKIP = re.compile(r"<!-- test: skip because (?P<reason>\S.*) -->")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
BUNDLE = "ffhq-bundle"  # what the guides draw from; it is there in a page that does not export it
STAND_IN = ROOT / "tests" / "goldens" / "sg2-fp16-64.pkl"


@dataclass(frozen=True)
class Block:
    place: str  # file:line of its fence
    language: str
    text: str
    skipped: str  # why it is not run, '' if it is

    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a shell block."""
        joined = self.text.replace("\\\n", " ")
        for line in joined.splitlines():
            words: list[str] = []
            for word in [*shlex.split(line.removeprefix("$ "), comments=True), "&&"]:
                if word not in ("&&", "|", ";"):
                    words.append(word)
                elif words:
                    yield words
                    words = []


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        marker = match["marker"] or ""
        skip = SKIP.fullmatch(marker)
        assert skip or "test:" not in marker, f"{document}:{line}: cannot read {marker}"
        reason = skip["reason"] if skip else ""
        found.append(Block(f"{document}:{line}", match["language"], match["text"], reason))
    return found


def stylert_arguments(words: Sequence[str]) -> list[str] | None:
    """What follows `stylert` or `python cli.py` in a command, None if it is another one."""
    if words[0] == "stylert":
        return list(words[1:])
    if len(words) > 1 and Path(words[0]).name in ("python", "python3") and words[1] == "cli.py":
        return list(words[2:])
    return None


def all_commands() -> list[Any]:
    return [
        pytest.param(words, id=f"{block.place} {' '.join(words[:3])}")
        for document in DOCUMENTS
        for block in blocks(document)
        if block.language == "sh"
        for words in block.commands()
    ]


def test_the_reader_of_blocks() -> None:
    block = Block("x", "sh", "$ cd a && stylert export n.pkl \\\n  --out b  # why\n\nmake\n", "")
    assert list(block.commands()) == [
        ["cd", "a"],
        ["stylert", "export", "n.pkl", "--out", "b"],
        ["make"],
    ]
    assert stylert_arguments(["stylert", "info"]) == ["info"]
    assert stylert_arguments([".venv/bin/python", "cli.py", "info"]) == ["info"]
    assert stylert_arguments(["python", "-m", "venv"]) is None


def test_readme_shows_commands_and_code() -> None:
    languages = {block.language for block in blocks("README.md")}
    assert {"sh", "python"} <= languages


@pytest.mark.parametrize("words", all_commands())
def test_commands_exist(words: list[str]) -> None:
    arguments = stylert_arguments(words)
    if arguments is not None:
        _check_stylert(arguments)
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in [word for word in words[1:] if "=" not in word]:
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def _check_stylert(arguments: Sequence[str]) -> None:
    """The subcommand is there, and so is each option that the command line names."""
    group: Any = typer.main.get_command(app)
    command = group
    for argument in arguments:
        if argument in getattr(command, "commands", {}):
            command = command.commands[argument]
        elif not argument.startswith("-"):
            break
    assert command is not group or all(a.startswith("-") for a in arguments), arguments
    known = {"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}
    # A number below zero is a value and not an option.
    used = {a.partition("=")[0] for a in arguments if re.match(r"--?[a-zA-Z]", a)}
    assert used <= known, f"{sorted(used - known)}: there are {sorted(known)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_blocks_compile(document: str) -> None:
    for block in blocks(document):
        if block.language == "python":
            ast.parse(block.text, block.place)


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    page = ROOT / document
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{document} links to {target}"


@pytest.mark.parametrize("document", GUIDES)
def test_guides_run(
    document: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bundle_of: Callable[[str], Path],
) -> None:
    monkeypatch.chdir(tmp_path)
    if f"--out {BUNDLE}" not in (ROOT / document).read_text(encoding="utf-8"):
        shutil.copytree(bundle_of(STAND_IN.stem), BUNDLE)
    ran = 0
    for block in blocks(document):
        if block.skipped:
            continue
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
            ran += 1
        elif block.language == "sh":
            for words in block.commands():
                arguments = stylert_arguments(words)
                if arguments is not None:
                    _run_stylert(arguments, block.place)
                    ran += 1
    assert ran >= 2, f"{document} shows nothing that can be run"


def _run_stylert(arguments: Sequence[str], place: str) -> None:
    for argument in arguments:
        if Path(argument).suffix in (".pkl", ".pt") and not Path(argument).exists():
            ours = ROOT / argument
            Path(argument).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ours if ours.is_file() else STAND_IN, argument)
    result = CliRunner().invoke(app, list(arguments))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, f"{place}: stylert {' '.join(arguments)}\n{result.output}"
