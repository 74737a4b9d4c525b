"""The commands that go beyond one machine, as far as no cluster is needed.

What runs on a cluster is in tests/apps/cluster/test_connection.py.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from stylert import cli


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return int(ended.value.code or 0), done.out, done.err


def test_no_cluster_at_the_address(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    out = tmp_path / "out"
    for arguments in (
        ("generate", bundle, "--shard-size", 4, "--ray", address, "--out", out),
        ("ray", bundle, "--address", address),
    ):
        code, _, told = run(capsys, *arguments)
        assert code == 1
        assert told.count("\n") == 1
        assert told.startswith(f"error: No Ray cluster at {address}. Start one")
    assert not out.exists()


def test_what_is_not_written_on_a_cluster(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, words in (
        ("grid.png", "one picture"),
        ("set.zip", "zip"),
        ("folder", "--container webdataset"),
    ):
        code, _, told = run(capsys, "generate", bundle, "--ray", "local", "--out", tmp_path / out)
        assert code == 2
        assert told.count("\n") == 1
        assert words in told
    assert not list(tmp_path.iterdir())


def test_the_file_for_serve_deploy(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "serve.yaml"
    command = ("ray", bundle, "--gpus", 0.5, "--replicas", "1:16", "--port", 9000, "--out", out)
    code, told, _ = run(capsys, *command)
    assert (code, told) == (0, f"Wrote {out}. Deploy it: serve deploy {out}\n")
    content = yaml.safe_load(out.read_text())
    (deployment,) = content["applications"][0]["deployments"]
    assert deployment["autoscaling_config"]["max_replicas"] == 16
    assert deployment["ray_actor_options"] == {"num_cpus": 1.0, "num_gpus": 0.5}
    code, _, told = run(capsys, *command)
    assert (code, told) == (
        2,
        f"error: {out} exists. Pass --force to replace it, or choose another name.\n",
    )
    assert run(capsys, *command, "--force")[0] == 0
    code, _, told = run(capsys, "ray", tmp_path / "none", "--out", tmp_path / "other")
    assert (code, told.count("\n")) == (1, 1)
    assert "No bundle at" in told


@pytest.mark.usefixtures("warm_python")
def test_a_plan_for_many_images(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timing = ("bench", bundle, "--batch", 2, "--rounds", 1, "--threads", 1)
    plan = ("--plan", 1_000_000, "--price", 2, "--hours", 3)
    code, told, _ = run(capsys, *timing, *plan, "--json")
    assert code == 0
    content = json.loads(told)
    assert content["plan"]["images"] == 1_000_000
    rate = max(row["images_per_second"] for row in content["summary"])
    assert content["plan"]["pace"]["images_per_second"] == rate
    assert content["plan"]["fitting"]["hours"] <= 3
    assert content["plan"]["image_bytes"] > 500


@pytest.mark.usefixtures("warm_python")
@pytest.mark.filterwarnings("ignore:No class was chosen")
def test_a_plan_for_images_of_classes(
    named_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timing = ("bench", named_bundle, "--batch", 2, "--rounds", 1, "--threads", 1)
    timing += ("--backends", "onnxruntime")
    code, told, _ = run(capsys, *timing, "--plan", 1000, "--class", "cat", "--json")
    assert code == 0
    content = json.loads(told)
    assert content["plan"]["image_bytes"] > 500
    (candidate,) = content["candidates"]
    assert candidate["options"]["class_idx"] == 2
    code, told, _ = run(capsys, *timing, "--plan", 1000)
    assert code == 0
    assert "As timed: onnxruntime, batch 2" in told
    code, _, told = run(capsys, *timing, "--class", "9")
    assert (code, told.count("\n")) == (2, 1)
    assert told.startswith("error: --class: got 9, expected ")
    code, _, told = run(capsys, *timing, "--class", "0-2")
    assert code == 2
    assert "'--class': got '0-2', expected one class" in told


def test_a_price_without_a_plan(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, told = run(capsys, "bench", bundle, "--price", 1)
    assert code == 2
    assert "--price and --hours go with --plan" in told
