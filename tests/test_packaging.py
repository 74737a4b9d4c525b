"""The wheel: what is in it, and that it runs where there is nothing but its own requirements."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
FLOORS = ("apps", "commands", "engines", "export", "runtime")
BDIST = f"bdist.{sysconfig.get_platform()}"  # where setuptools puts a wheel together
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")

DRAW = """
import importlib.util, sys
import numpy as np
import stylert

for name in ("torch", "onnx", "tensorrt", "scipy"):
    assert importlib.util.find_spec(name) is None, name
assert stylert.__file__.startswith(sys.prefix), stylert.__file__
with stylert.open(sys.argv[1]) as generator:
    images = generator.generate([0, 1])
assert images.shape == (2, 32, 32, 3), images.shape
assert images.dtype == np.uint8, images.dtype
assert (images[0] != images[1]).mean() > 0.5

from stylert.apps.demo import write_demo

write_demo("demo")
with stylert.open("demo") as generator:
    images = generator.generate([0, 1], class_idx="cat")
assert images.shape == (2, 64, 64, 3), images.shape
assert (images[0] != images[1]).mean() > 0.5
print("drawn")
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Output of a command; its errors are the test's."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_QUIET")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def project_files() -> list[Path]:
    """The files that git knows or would add: what a fresh clone has."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT)
    paths = {Path(name) for name in listed.split("\0") if name}
    return sorted(path for path in paths if (ROOT / path).is_file())


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the tree, since building leaves files behind."""
    tree = tmp_path_factory.mktemp("tree")
    for path in project_files():
        if path.parts[0] != "tests":
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tree / path)
    shutil.copytree(ROOT / "tests" / "runtime", tree / "tests" / "runtime")  # must be left out
    for left in (tree / "build" / "lib", tree / "build" / BDIST / "wheel"):  # by an older build
        (left / "stylert" / "runtime").mkdir(parents=True)
        (left / "stylert" / "runtime" / "removed_since.py").write_text("1 / 0")
    out = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", out, tree),
        cwd=out,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [p for p in archive.namelist() if p.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    sources = [path for path in project_files() if path.suffix == ".py"]
    packages = [path for path in sources if path.parts[0] in FLOORS]
    root = [Path("__init__.py"), Path("cli.py"), Path("py.typed")]
    folders = (
        Path("apps/serving/page"),
        Path("apps/demo/bundle"),
        Path("apps/demo/words"),
        Path("apps/web/page"),
    )
    data = [path for path in project_files() if path.parent in folders]
    data += [Path("apps/web/offline.js")]
    assert {folders[0] / "index.html", folders[1] / "manifest.json"} <= {*data}
    expected = {f"stylert/{path.as_posix()}" for path in [*packages, *data, *root]}
    with zipfile.ZipFile(wheel) as archive:
        got = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert got == expected


def test_every_package_folder_has_an_init() -> None:
    folders = {path.parent for path in project_files() if path.suffix == ".py"}
    for folder in folders:
        if folder.parts and folder.parts[0] in FLOORS:
            assert (ROOT / folder / "__init__.py").is_file(), folder


def test_no_other_python_file_at_the_root() -> None:
    root = [path.name for path in project_files() if len(path.parts) == 1 and path.suffix == ".py"]
    assert root == ["__init__.py", "cli.py"]  # each one would ship as stylert/NAME


def test_the_console_script_and_the_licence(wheel: Path, metadata: Message) -> None:
    scripts = ConfigParser()
    scripts.read_string(read(wheel, "entry_points.txt"))
    assert dict(scripts["console_scripts"]) == {"stylert": "stylert.cli:main"}
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in read(wheel, "licenses/LICENSE")


def test_one_version_everywhere(metadata: Message) -> None:
    import stylert

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert newest, "CHANGELOG.md has no '## [X.Y.Z] - YYYY-MM-DD'"
    assert metadata["Version"] == newest[1]
    assert metadata["Version"] == importlib.metadata.version("stylert")  # else run make setup
    assert metadata["Version"] == stylert.__version__


def test_the_constraints_are_exact_and_name_each_requirement(metadata: Message) -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    for pin in pins:
        assert re.fullmatch(r'[A-Za-z0-9._-]+==[0-9][^ ;+]*(; python_version (<|>=) "3\.11")?', pin)
    pinned = {_normal(pin.partition("==")[0]) for pin in pins}
    wanted = {
        _normal(re.split(r"[^A-Za-z0-9._-]", requirement)[0])
        for requirement in metadata.get_all("Requires-Dist", [])
        if not re.search(r"extra == .(gpu|rtx).", requirement)  # those follow the user's driver
    }
    assert wanted <= pinned


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_the_wheel_alone_draws_with_no_torch_on_the_machine(
    wheel: Path, metadata: Message, bundle: Path, tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=tmp_path)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # Our own pip, and nothing is compiled that is not imported: each would take some seconds.
    install = ("--python", python, "install", "--quiet", "--no-compile", "--no-deps")
    run(sys.executable, *PIP, *install, wheel, cwd=tmp_path)
    (site,) = {path.parent for path in (tmp_path / "venv").rglob("stylert")} - {python.parent}
    for name in required(metadata.get_all("Requires-Dist", []), "cpu"):
        put_into(site, name)
    assert run(python, "-I", "-W", "error", "-c", DRAW, bundle, cwd=tmp_path) == "drawn\n"
    stylert = python.with_name("stylert")
    assert "generate" in run(stylert, "--help", cwd=tmp_path)


def required(requirements: list[str], extra: str = "") -> set[str]:
    """All distributions that these requirements bring, by what is installed here."""
    found = {}
    for text in requirements:
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            there = importlib.metadata.distribution(one.name)
            assert there.version in one.specifier, (text, there.version)
            found[one.name] = there.requires or []
    return {*found}.union(*(required(behind) for behind in found.values()))


def put_into(site: Path, distribution: str) -> None:
    """Link all that a distribution has installed here into a folder for packages."""
    there = importlib.metadata.distribution(distribution)
    tops = {file.parts[0] for file in there.files or []} - {"..", "__pycache__"}
    for top in tops:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(there.locate_file(top))))
