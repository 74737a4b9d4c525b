"""The documents tell the truth: commands exist, code runs, links lead somewhere.

A reader follows README, CHANGELOG and each guide docs/*.md from its top to its end, in one empty
folder, so that a block can use what an earlier one made:

- A ```python block runs as a program of its own.
- A ```sh block runs line by line. `stylert` and `python cli.py` run in this process; `stylert
  serve` in one of its own on a free port, which addresses of port 8000 then mean, until another one
  or the end of the page. Lines that make a machine ready (SET_UP) are left alone, and all others
  run in bash.
- Blocks of other languages (SHOWN) are there to be read.

What a page names and nobody can have here is stood in for: checkpoints, their bundles, latents
(STAND_INS, LATENTS). Commands that compare or time do so with fewer images (SHORTER), and those
that search or compile do less of it than the page says (LESS), unless the page shows what they
find, and w is measured in a tenth of its samples. A data set has a fifth of its pictures, and a
plan times one backend (FEWER). What a page exports in the words of an earlier page is what that
one got. A picture that a page shows is the one that its commands make.
A block that cannot run is marked, on the line before it, with its reason:

    <!-- test: skip because it needs a GPU -->
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from filelock import FileLock
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from stylert.apps.bench import tuning
from stylert.apps.projection import latent_statistics
from stylert.cli import app
from stylert.commands import feature_losses
from stylert.runtime.generator import Generator

ROOT = Path(__file__).parents[1]
USES = tuple(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))
FOLLOWED = ("README.md", "CHANGELOG.md", *USES)
DOCUMENTS = (*FOLLOWED, "CONTRIBUTING.md", "SECURITY.md", "docs/results/README.md")
SHOWN = {"ini", "json", "nginx", "text", "yaml"}
SET_UP = {"make", "pip", "cd", "python3", "."}

BLOCK = re.compile(
    r"^(?P<marker><!--[^\n]*-->)?\n*^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
CODE = re.compile(r"`([^`\n]+)`")
ROOT_PATH = re.compile(r"(?:commands|docs|engines|examples|export|runtime|tests)/[\w/.-]+\w")
KEPT = re.compile(r"find_(?:cache|data)_folder\(\) / f?\"([\w-]+)")
FENCE = re.compile(r"^ *(```|~~~)", re.MULTILINE)
SKIP = re.compile(r"<!-- test: skip because (?P<reason>\S.*) -->")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
UNMADE = {"page.png", "photos.jpg", "one-picture-style.png", "text-style.png"}  # skipped blocks
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

STAND_INS = {"ffhq": "sg2-fp16-64", "afhqv2": "sg3-t-64", "cifar10": "sg2-cond-32"}
LATENTS = ("projected_w.npz", "latents.pt")
DEMO = "examples/demo.safetensors"
W_DIM = 128  # of the demo's network
SHORTER = {
    "export": ["--verify-seeds", "1"],
    "verify": ["--seeds", "1"],
    "bench": ["--rounds", "1", "--max-seconds", "1", "--threads", "1"],
    "evaluate": ["--samples", "12"],
}
LESS = {  # in place of what the page says, where it says something
    "export": {"--verify-seeds": "1"},
    "project": {"--steps": "3", "--seeds-start": "4"},
    "inpaint": {"--steps": "3", "--seeds-start": "4"},
    "search": {"--generations": "1", "--seeds-start": "8"},
    "build-engine": {"--sm": "89", "--batch": "1"},
    "bench": {"--batch": "1"},
    "video": {"--seconds": "0.5"},
}
FEWER = {
    "0-199": "0-39",
    "--shard-size 50": "--shard-size 10",
    "shard_size=50": "shard_size=10",
    "batched(25)": "batched(5)",
    "--plan 1000000": "--plan 1000000 --backends onnxruntime",
}
SERVED = "127.0.0.1:8000"  # what pages call the service
# It would load torch, where that is there, to ask whether an array is one of torch's.
POLYGRAPHY = """import sys
sys.modules["torch"] = None
from polygraphy.tools import main
main()
"""
SERVE = "from stylert.cli import main; main()"


@dataclass(frozen=True)
class Block:
    place: str  # file:line of its fence
    language: str
    text: str
    skipped: str  # why it is not run, '' if it is

    def lines(self) -> Iterator[str]:
        """The lines of a shell block, without comments."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line

    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a shell block."""
        for line in self.lines():
            words: list[str] = []
            for word in [*shlex.split(line, comments=True), "&&"]:
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


def all_commands() -> Iterator[tuple[str, list[str]]]:
    """With the places where they stand."""
    for document in DOCUMENTS:
        for block in blocks(document):
            if block.language == "sh":
                yield from ((block.place, words) for words in block.commands())


def test_the_reader_of_blocks() -> None:
    block = Block(
        "x", "sh", "cd a && stylert export n.pkl \\\n  --out b  # why\n\n# so\nmake\n", ""
    )
    assert list(block.commands()) == [
        ["cd", "a"],
        ["stylert", "export", "n.pkl", "--out", "b"],
        ["make"],
    ]
    assert len(list(block.lines())) == 2
    assert stylert_arguments(["stylert", "info"]) == ["info"]
    assert stylert_arguments([".venv/bin/python", "cli.py", "info"]) == ["info"]
    assert stylert_arguments(["python", "-m", "venv"]) is None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_block_escapes(document: str) -> None:
    found = blocks(document)
    assert {block.language for block in found} <= {"sh", "python"} | SHOWN
    fences = FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
    assert len(fences) == 2 * len(found), "a fence without a language, or that is not closed"


def test_readme_shows_commands_and_code() -> None:
    languages = {block.language for block in blocks("README.md")}
    assert {"sh", "python"} <= languages


def test_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for place, words in all_commands():
        arguments = stylert_arguments(words)
        if arguments is not None:
            _check_stylert(arguments, place)
        elif words[0] == "make":
            for target in [word for word in words[1:] if "=" not in word]:
                found = re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)
                assert found, f"{place}: {target}"


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def test_the_demo_runs_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line for line in makefile.splitlines() if line.startswith("\t$(PY) cli.py")]
    assert len(lines) > 5
    for line in lines:
        _check_stylert(shlex.split(line)[2:], "Makefile")


def _check_stylert(arguments: Sequence[str], place: str) -> None:
    """The subcommand is there, and so is each option that the command line names."""
    group = command = _command_line()
    for argument in arguments:
        if argument in getattr(command, "commands", {}):
            command = command.commands[argument]
        elif not argument.startswith("-"):
            break
    assert command is not group or all(a.startswith("-") for a in arguments), (place, arguments)
    known = {"--help", *(o for p in command.params for o in (*p.opts, *p.secondary_opts))}
    # A number below zero is a value and not an option.
    used = {a.partition("=")[0] for a in arguments if re.match(r"--?[a-zA-Z]", a)}
    assert used <= known, f"{place}: {sorted(used - known)}: there are {sorted(known)}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_blocks_compile(document: str) -> None:
    for block in blocks(document):
        if block.language == "python":
            ast.parse(block.text, block.place)


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    page = ROOT / document
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{document} links to {target}"
        if anchor:
            headings = HEADING.findall(linked.read_text(encoding="utf-8"))
            assert anchor in map(_anchor, headings), f"{document} links to {target}#{anchor}"


@pytest.mark.parametrize("document", [*USES, "README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_what_prose_names_is_there(document: str, generator: Generator) -> None:
    """Attributes of a generator, and files of the repository."""
    prose = BLOCK.sub("", (ROOT / document).read_text(encoding="utf-8"))
    for code in CODE.findall(prose):
        for name in re.findall(r"^generator\.(?!onnx$|py$)(\w+)", code):
            assert hasattr(generator, name), f"{document}: {code}"
        if (path := ROOT_PATH.fullmatch(code)) and not code.startswith("docs/api/"):
            assert (ROOT / path[0]).exists(), f"{document}: {code}"


def test_all_commands_are_on_their_page() -> None:
    arguments = (
        stylert_arguments(words)
        for block in blocks("docs/command-line.md")
        for words in block.commands()
    )
    assert {found[0] for found in arguments if found} == set(_command_line().commands)


def test_what_is_kept_on_the_machine_is_told() -> None:
    """All that lies in the cache and data folders of the user, by the sources."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([\w-]+)", page, re.MULTILINE))
    found = {feature_losses.FOLDER}
    for room in ("apps", "commands", "engines", "export", "runtime"):
        for file in (ROOT / room).rglob("*.py"):
            found |= set(KEPT.findall(file.read_text(encoding="utf-8")))
    assert len(found) > 5
    assert found <= told


@pytest.mark.parametrize("golden", ["sg3-t-64", "sg2-cond-32"])
def test_the_page_of_the_bundle_names_its_files(
    golden: str, bundle_of: Callable[[str], Path]
) -> None:
    page = (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE))
    for folder in (bundle_of(golden), ROOT / "apps" / "demo" / "bundle"):
        assert {path.name for path in folder.iterdir() if path.is_file()} <= named


def test_every_guide_can_be_found() -> None:
    linked = {target for use in USES for target, _ in LINK.findall((ROOT / use).read_text("utf-8"))}
    assert {Path(use).name for use in USES} - {"README.md"} <= linked


class Reader:
    """Someone who follows a page, in the working directory."""

    def __init__(self, exports: Path, shown: set[str]) -> None:
        self.followed = 0  # commands and programs
        self._shown = shown  # names of pictures
        self._exports = exports / "guides"
        self._server: subprocess.Popen[str] | None = None
        self._address = SERVED
        self._environment = dict(os.environ)
        folders = (exports.parent / "bin", Path(sys.executable).parent, os.environ["PATH"])
        self._environment["PATH"] = os.pathsep.join(map(str, folders))
        _write_program(exports.parent / "bin" / "polygraphy", POLYGRAPHY)

    def follow(self, block: Block) -> None:
        if block.language == "python":
            self._run_python(block)
        elif block.language == "sh":
            for line in block.lines():
                self._run_line(_replace_all(line, FEWER), block.place)

    def close(self) -> None:
        """Stop the service as Ctrl-C does."""
        if self._server is not None:
            with self._server as server:
                server.send_signal(signal.SIGINT)
                said, _ = server.communicate(timeout=60)
            self._server = None
            assert server.returncode == 0, said

    def _run_python(self, block: Block) -> None:
        text = _replace_all(block.text, FEWER).replace(SERVED, self._address)
        exec(compile(text, block.place, "exec"), {"__name__": "__main__"})
        self.followed += 1

    def _run_line(self, line: str, place: str) -> None:
        words = shlex.split(line, comments=True)
        arguments = stylert_arguments(words)
        if words[0] in SET_UP:
            return
        if words[0] == "export":  # of the shell, for the lines that follow
            name, _, value = words[1].partition("=")
            self._environment[name] = value
        elif arguments is None or "|" in words:
            self._run_bash(line, place)
        elif arguments[0] == "serve":
            self._serve(arguments)
        elif arguments[0] == "export" and arguments[1] == DEMO:
            self._export_once(arguments, place)
        else:
            _run_stylert(arguments, place, LESS if self._shown.isdisjoint(arguments) else {})
        self.followed += 1

    def _export_once(self, arguments: Sequence[str], place: str) -> None:
        """Run a command that exports the demo, or copy what it gave on an earlier page."""
        at = arguments.index("--out") + 1
        words = [*arguments[:at], *arguments[at + 1 :]]
        kept = self._exports / hashlib.sha256(shlex.join(words).encode()).hexdigest()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{kept}.lock"):
            if kept.exists():
                shutil.copytree(kept, arguments[at])
            else:
                _run_stylert(arguments, place)
                shutil.copytree(arguments[at], kept)

    def _run_bash(self, line: str, place: str) -> None:
        if line.startswith("curl") and shutil.which("curl") is None:
            pytest.skip("not installed: curl, which the guides ask a service with")
        command = ["bash", "-c", f"set -o pipefail\n{line.replace(SERVED, self._address)}"]
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{place}: {line}\n{done.stdout}{done.stderr}"

    def _serve(self, arguments: Sequence[str]) -> None:
        self.close()
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVE, *_listen_here(arguments)],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._server.stdout is not None
        said = []
        for line in self._server.stdout:
            said.append(line)
            if found := re.search(r"http://(127\.0\.0\.1:\d+)", line):
                self._address = found[1]
                break
        else:
            raise AssertionError("".join(said))
        with urllib.request.urlopen(f"http://{self._address}/healthz", timeout=30) as answer:
            assert answer.status == 200


def _write_program(file: Path, source: str) -> None:
    """Put a program of Python into a folder of the PATH; another worker may have done so."""
    file.parent.mkdir(exist_ok=True)
    made = file.with_name(f"{file.name}.{os.getpid()}")
    made.write_text(f"#!{sys.executable}\n{source}", encoding="utf-8")
    made.chmod(0o755)
    made.replace(file)


def _listen_here(arguments: Sequence[str]) -> list[str]:
    """The arguments of `stylert serve`, at a free port that only this machine reaches."""
    text = re.sub(r" --(host|port)[ =]\S+", "", shlex.join(arguments))
    return [*shlex.split(text), "--host", "127.0.0.1", "--port", "0"]


def _replace_all(text: str, replacements: Mapping[str, str]) -> str:
    for said, instead in replacements.items():
        text = text.replace(said, instead)
    return text


def _less_of(said: str, less: str) -> str:
    """What is less; numbers in commas are more than one."""
    return said if said.isdecimal() and less.isdecimal() and int(said) < int(less) else less


def _run_stylert(
    arguments: Sequence[str], place: str, less: Mapping[str, Mapping[str, str]] = LESS
) -> None:
    shorter = SHORTER.get(arguments[0], [])
    if arguments[0] == "verify" and "--checkpoint" not in arguments:  # files, and no pictures
        shorter = []
    shorter = [] if shorter and shorter[0] in arguments else shorter
    words = [*arguments, *shorter]
    for option, value in less.get(arguments[0], {}).items():
        if option in words:
            at = words.index(option) + 1
            words[at] = _less_of(words[at], value)
    result = CliRunner().invoke(app, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, f"{place}: stylert {' '.join(arguments)}\n{result.output}"


def pictures_of(document: str) -> list[Path]:
    """The pictures that a page shows."""
    page = ROOT / document
    return [page.parent / name for name in PICTURE.findall(page.read_text(encoding="utf-8"))]


def _same_picture(made: Path, shown: Path) -> bool:
    """The very same bytes, or what another processor makes of them by rounding in another way."""
    if made.read_bytes() == shown.read_bytes():
        return True
    with Image.open(made) as one, Image.open(shown) as other:
        if (one.size, _frames(one)) != (other.size, _frames(other)):
            return False
        pairs = zip(ImageSequence.Iterator(one), ImageSequence.Iterator(other), strict=True)
        gaps = [np.abs(np.asarray(a, np.int16) - np.asarray(b, np.int16)) for a, b in pairs]
    most = 1 if made.suffix == ".png" else 24  # WebP is lossy
    return max(gap.max() for gap in gaps) <= most and np.mean(gaps) < 0.05 * most


def _frames(image: Image.Image) -> int:
    return getattr(image, "n_frames", 1)


def _provide(text: str, bundle_of: Callable[[str], Path]) -> None:
    """Put into the working directory what a page takes for granted."""
    for name, golden in STAND_INS.items():
        if f"{name}.pkl" in text:
            shutil.copy(ROOT / "tests" / "goldens" / f"{golden}.pkl", f"{name}.pkl")
        if f"{name}-bundle" in text and f"--out {name}-bundle" not in text:
            shutil.copytree(bundle_of(golden), f"{name}-bundle")
    w = np.linspace(-1, 1, W_DIM, dtype=np.float32)[None, None]  # [1, 1, w_dim]: one for all layers
    if "examples/" in text:
        Path("examples").symlink_to(ROOT / "examples")
    if LATENTS[0] in text:
        np.savez(LATENTS[0], w=w)
    if LATENTS[1] in text:
        import torch

        torch.save(torch.from_numpy(w), LATENTS[1])


@pytest.fixture
def reader(
    document: str, tmp_path: Path, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path.parent / "cache"))  # of the datasets library
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path.parent / "data"))  # what `tune` notes
    monkeypatch.setattr(tuning, "MOST_TURNS", 3)
    monkeypatch.setattr(latent_statistics, "SAMPLES", 1000)
    one = Reader(exports, {picture.name for picture in pictures_of(document)})
    yield one
    one.close()


# webdataset leaves it to the garbage collector to close shards.
@pytest.mark.filterwarnings("ignore:This processor has no VNNI")
@pytest.mark.filterwarnings("ignore:text. no sample comes nearer")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("document", FOLLOWED)
@pytest.mark.filterwarnings("ignore:No class was chosen")
def test_pages_can_be_followed(
    document: str, reader: Reader, bundle_of: Callable[[str], Path]
) -> None:
    _provide((ROOT / document).read_text(encoding="utf-8"), bundle_of)
    to_run = [block for block in blocks(document) if not block.skipped]
    for block in to_run:
        reader.follow(block)
    runnable = {block.language for block in to_run} & {"sh", "python"}
    assert reader.followed or not runnable, f"{document} shows nothing that can be run"
    for shown in pictures_of(document):
        made = Path(shown.name)
        if made.exists():
            assert _same_picture(made, shown), f"{document}: {made} is not {shown}, make it again"
        else:
            assert shown.name in UNMADE, f"{document}: no command makes {shown}"
