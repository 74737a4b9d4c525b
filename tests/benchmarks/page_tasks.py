"""How long the page of a site keeps its own thread busy in one piece: read from Chromium's trace.

Of each part of a visit the longest task, on the clock and in time of its thread. The clock also
counts what the thread waits for a processor that others use; the thread's time does not.
The driver's own scripts are kept out: it looks at nothing while the page is traced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline", "blink.user_timing"]
PATIENCE = 600_000  # milliseconds
QUIET = 1000  # milliseconds: what comes after the first picture
EMPTY = "data:text/html,<!doctype html><title>-</title>"
TEXT = f"{EMPTY}<p>A line of text"

# Marks in the trace: the controls are shown, a picture is there. The driver hears of the latter.
MARK = """
const seen = new MutationObserver(() => {
    const main = document.getElementById("main");
    const frame = document.getElementById("frame");
    if (!frame || main.classList.contains("closed")) return;
    if (!performance.getEntriesByName("part:controls").length) performance.mark("part:controls");
    if (frame.ariaBusy === "true" || document.getElementById("picture").hidden) return;
    seen.disconnect();
    performance.mark("part:first picture");
    console.log("picture");
});
seen.observe(document, { subtree: true, childList: true, attributes: true });
"""

# What a visitor does, one after the other; all of it in the page.
PLAY = """async (quiet) => {
    const element = (id) => document.getElementById(id);
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const until = async (holds) => { while (!holds()) await pause(50); };
    const settled = () => until(() => element("frame").ariaBusy !== "true");
    const slide = async (id) => {
        const slider = element(id);
        for (let step = 0; step <= 30; step++) {
            slider.value = Number(slider.min) + ((slider.max - slider.min) * step) / 30;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await pause(16);
        }
    };
    const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key }));
    const film = async (kind) => {
        const labels = [...element("video-kinds").children];
        labels.find((label) => label.textContent === kind).click();
        element("walk-save").click();
        await until(() => element("walk-save").textContent !== "Stop");
    };
    const acts = {
        sliders: async () => {
            await slide("psi-slider");
            await slide("seed-slider");
            await slide("cutoff-slider");
        },
        directions: async () => {
            element("more-directions").click();
            await pause(quiet);
            await slide(`${element("directions").children[0].querySelector("[type=range]").id}`);
        },
        classes: async () => {
            const list = element("class_idx");
            const radios = element("class-row")?.querySelectorAll?.("input") ?? [];
            for (const radio of radios) { radio.click(); await settled(); }
            if (list) { list.selectedIndex = 3; list.dispatchEvent(new Event("change")); }
        },
        mix: async () => {
            for (const button of element("layers").children) { button.click(); await pause(50); }
        },
        walk: async () => {
            for (const key of ["r", "a", "r", "a"]) { press(key); await pause(50); }
            element("seconds-slider").value = element("seconds-slider").min;
            element("seconds-slider").dispatchEvent(new Event("input", { bubbles: true }));
            press("p");
            await pause(2 * quiet);
            press("p");
        },
        webm: () => film("WEBM"),
        zip: () => film("ZIP"),
        sheet: async () => {
            press("s");
            await pause(2 * quiet);
            element("sheet-close").click();
        },
        panels: async () => {
            for (const panel of document.querySelectorAll("details")) {
                panel.open = !panel.open;
                await pause(50);
            }
        },
        picture: () => { press("d"); press("c"); press("z"); },
    };
    for (const [name, act] of Object.entries(acts)) {
        performance.mark(`part:${name}`);
        await pause(0); // what it does is a task that begins after the mark
        await act();
        await settled();
        await pause(quiet / 5);
    }
}"""


def measure_tasks(browser: Any, address: str) -> dict[str, dict[str, float]]:
    """The longest task of each part of a visit, and of pages that have next to nothing."""
    rows = {}
    for name, simple in [("an empty page", EMPTY), ("a line of text", TEXT)]:
        with opened(browser) as page, traced(browser, page) as events:
            page.goto(simple)
            page.wait_for_timeout(QUIET)
        rows[name] = describe_longest(events)
    with opened(browser) as page:
        page.add_init_script(MARK)
        with traced(browser, page) as events:
            with page.expect_console_message(lambda message: message.text == "picture"):
                page.goto(address)
            page.wait_for_timeout(QUIET)
        for name, part in split_at_marks(events).items():
            rows[f"load: {name or 'page'}"] = describe_longest(part)
        with traced(browser, page) as events:
            page.evaluate(PLAY, QUIET)
        for name, part in split_at_marks(events).items():
            if name:  # before the first one, the driver hands the script over
                rows[f"use: {name}"] = describe_longest(part)
    return rows


@contextmanager
def opened(browser: Any) -> Iterator[Any]:
    """A page of a visitor who was never here."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()


@contextmanager
def traced(browser: Any, page: Any) -> Iterator[list[dict[str, Any]]]:
    """Gives a list, in which afterwards is what the page's own thread did: tasks and marks."""
    events: list[dict[str, Any]] = []
    browser.start_tracing(page=page, categories=CATEGORIES)
    yield events
    found = json.loads(browser.stop_tracing())["traceEvents"]
    threads = [(e["pid"], e["tid"]) for e in found if e["name"] == "RunTask"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in found if e["name"] == "thread_name"}
    mine = max(
        (thread for thread, name in names.items() if name == "CrRendererMain"), key=threads.count
    )
    events += [e for e in found if (e["pid"], e["tid"]) == mine]


def split_at_marks(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The tasks that begin after each mark and before the next one, by the mark's name."""
    name, parts = "", {"": []}
    for event in sorted(events, key=lambda event: event["ts"]):
        if event["name"].startswith("part:"):
            name = event["name"].removeprefix("part:")
        parts.setdefault(name, []).append(event)
    return parts


def describe_longest(events: list[dict[str, Any]]) -> dict[str, float]:
    """The longest task in milliseconds: on the clock, and in time of its thread."""
    tasks = [e for e in events if e["name"] == "RunTask" and e["ph"] == "X"]
    return {
        "wall_ms": max((e["dur"] for e in tasks), default=0) / 1000,
        "thread_ms": max((e.get("tdur", 0) for e in tasks), default=0) / 1000,
    }
