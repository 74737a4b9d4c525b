"""What tools of others read: the CI of GitHub, hooks, the citation. They name what is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def find_in_project(key: str) -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")  # no tomllib in Python 3.10
    found = re.search(rf'^{key} = "(.*)"$', text, re.MULTILINE)
    assert found
    return found[1]


def list_steps() -> list[str]:
    jobs = load(".github/workflows/ci.yml")["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_workflow_makes_what_ci_makes() -> None:
    ours = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = [step.removeprefix("make ") for step in list_steps() if step.startswith("make ")]
    assert targets == ["setup", "check", "test", "lowest"]
    assert all(re.search(rf"\b{target}\b", ours) for target in targets[:3])


def test_its_pythons_are_the_first_and_a_late_one() -> None:
    pythons = load(".github/workflows/ci.yml")["jobs"]["linux"]["strategy"]["matrix"]["python"]
    assert find_in_project("requires-python") == f">={pythons[0]}"
    assert len(pythons) == 2


@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("step", [step for step in list_steps() if step.startswith("stylert ")])
def test_its_commands_run_here(step: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stylert.cli", *step.split()[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_hooks_run_what_make_check_runs() -> None:
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    checked = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(PY)", ".venv/bin/python")
    format_, lint, check = (hook["entry"] for hook in repository["hooks"])
    assert format_ in checked
    assert lint in checked
    assert check == "make check"


def test_the_citation_is_of_this_version() -> None:
    citation = load("CITATION.cff")
    version = find_in_project("version")
    assert citation["version"] == version
    assert citation["license"] == find_in_project("license")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{version}] - {citation['date-released']}" in changelog
