"""A site of `stylert web` in Chromium, in turns with the runtime on one thread.

    python tests/benchmarks/browser_speed.py docs/results/browser-cpu.json --runtime FOLDER

Of each network: milliseconds a picture in the browser, from the settings to the PNG, and in the
runtime; the time to the first picture from loopback; the longest times that the page's own thread
was busy in one piece (`--tasks`: these alone, the rest of the file stays); the most memory that
the page's process has held.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.apps.demo import SOURCE
from stylert.apps.web import find_runtime, write_site
from stylert.apps.web.preview import make_server
from stylert.apps.web.runtime_files import VERSION
from stylert.tests.loading import load_file

VIEW = load_file(Path(__file__).parents[1] / "apps" / "page_view.py")
TASKS = load_file(Path(__file__).with_name("page_tasks.py"))
PATIENCE = 600_000  # milliseconds
OPEN = """async () => {
    const { Service } = await import("./page/service.js");
    const { defaults } = await import("./page/settings.js");
    window.service = new Service();
    window.info = await service.info(() => {}, () => {});
    window.settings = defaults(info);
}"""
DRAW = """async (seed) => {
    const started = performance.now();
    await service.draw({ ...settings, seed }, info);
    return performance.now() - started;
}"""


def measure(bundle: Path, runtime: Any, rounds: int) -> dict[str, Any]:
    """The figures of a bundle; without rounds, of its page's tasks alone."""
    with tempfile.TemporaryDirectory() as folder:
        site = write_site(bundle, Path(folder) / "site", runtime)
        with make_server(site.path, 0) as server, VIEW.launched() as browser:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/?backend=wasm"
            row: dict[str, Any] = {"tasks": TASKS.measure_tasks(browser, address)}
            if rounds:
                row |= {"first_visit_bytes": site.first_visit} | visit(browser, address)
                row |= draw_in_turns(browser, address, bundle, rounds)
            server.shutdown()
    return row


def visit(browser: Any, address: str) -> dict[str, Any]:
    """Open the page as a visitor does, and play with it."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("#picture:visible")
    first = time.perf_counter() - started
    page.wait_for_selector("#frame[aria-busy=false]")
    for _ in range(5):
        page.click("#seed-next")
        page.wait_for_selector("#frame[aria-busy=false]")
    # Before the turns, which open a second generator beside the page's own.
    row = {"first_picture_s": first, "peak_memory_mb": peak_of_renderers()}
    page.close()
    return row


def draw_in_turns(browser: Any, address: str, bundle: Path, rounds: int) -> dict[str, Any]:
    """Pictures in the browser and in the runtime, one after the other."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector("#picture:visible")
    page.evaluate(OPEN)
    samples: dict[str, list[float]] = {"browser_ms": [], "runtime_ms": []}
    with stylert.open(bundle, backend="onnxruntime", provider="cpu", threads=1) as generator:
        options = {"class_idx": 0} if generator.spec.c_dim else {}
        for seed in range(rounds + 2):
            took = page.evaluate(DRAW, seed)
            started = time.perf_counter()
            generator.generate([seed], **options)
            runtime = (time.perf_counter() - started) * 1000
            if seed >= 2:  # the first ones warm both
                samples["browser_ms"].append(took)
                samples["runtime_ms"].append(runtime)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    row = medians | {"samples": samples}
    page.close()
    return row | {"speed_over_runtime": medians["runtime_ms"] / medians["browser_ms"]}


def add_tasks(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What a file has, with newer tasks, and the machine that they were measured on."""
    networks = before["networks"]
    for name, row in found["networks"].items():
        networks[name] = networks.get(name, {}) | row
    return before | {"machine_of_tasks": found["machine"]}


def peak_of_renderers() -> float:
    """The most memory in MB that a page's process of the browser has held."""
    peaks = [0.0]
    for process in psutil.Process().children(recursive=True):
        if "--type=renderer" in process.cmdline():
            status = Path(f"/proc/{process.pid}/status").read_text()
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            peaks.append(int(line.split()[1]) / 1000)
    return max(peaks)


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--runtime", required=True, help="as of stylert web")
    parser.add_argument("--networks", nargs="*", default=["stylegan2-256"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tasks", action="store_true", help="measure only how long tasks are")
    given = parser.parse_args()
    runtime = find_runtime(given.runtime)
    rounds = 0 if given.tasks else given.rounds
    rows = {"demo": measure(SOURCE, runtime, rounds)}
    with tempfile.TemporaryDirectory() as folder:
        for network in given.networks:
            out = Path(folder) / network
            command = [sys.executable, "cli.py", "export", f"untrained:{network}", "--out", out]
            command += ["--weights", "int16", "--half", "none", "--verify-seeds", "1"]
            subprocess.run([str(word) for word in command], check=True)
            rows[network] = measure(out, runtime, rounds)
    found = {"machine": describe_machine(), "onnxruntime-web": VERSION, "networks": rows}
    if given.tasks:
        found = add_tasks(json.loads(given.out.read_text(encoding="utf-8")), found)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
