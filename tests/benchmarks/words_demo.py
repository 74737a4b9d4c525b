"""Searching the demo by words: 60 prompts, judged by a reader that no search has met.

    stylert export examples/demo.safetensors --out styled --style-space
    python tests/benchmarks/words_demo.py docs/results/words-demo.json --styled styled

Each prompt names a class and a colour: 'a blue flower'. The fixed reader of tests/apps/words says
what the picture that was found shows. Texts of things that the pair does not know tell how near
they come. Edits by words: 50 pictures, each to another colour than it has; the reader says whether
they have it then, and are still what they were. Time is that of the processor: other programs may
run beside.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.apps.demo import write_demo
from stylert.apps.words import (
    Pair,
    SearchSettings,
    find_channels,
    find_table,
    find_text_direction,
    make_table,
    search_text,
)
from stylert.tests.apps.words.demo_reader import COLOURS, read_pictures

EDITED = range(800_000, 800_050)
TRIED = 8  # pictures in which each channel is tried
STRENGTH = 8.0
UNKNOWN = (
    "a steam locomotive",
    "the president of France",
    "an aircraft carrier",
    "two people playing tennis",
    "a bowl of noodles",
    "my grandmother's spectacles",
    "a skyscraper at dusk",
    "an octopus",
    "a violin concerto",
    "zwkqvx",
    "quantum field theory",
    "a muddy football pitch",
)


def measure_prompts(generator: Any, pair: Pair, **options: Any) -> dict[str, Any]:
    """What is read in the best picture of each prompt."""
    rows, start = [], time.process_time()
    classes = generator.classes.names
    for name in classes:
        for colour in COLOURS:
            text = f"a{'n' * (colour[0] in 'aeiou')} {colour} {name}"
            found = search_text(generator, pair, text, SearchSettings(**options))
            ((seen, hue),) = read_pictures(found.images)
            started, reached = (round(float(s[0]), 3) for s in (found.started, found.similarity))
            rows.append([text, seen, hue, started, reached])
            print(*rows[-1], seen == name, hue == colour, flush=True)
    asked = [(name, colour) for name in classes for colour in COLOURS]
    return {
        "options": options,
        "class": np.mean([row[1] == a[0] for row, a in zip(rows, asked, strict=True)]),
        "colour": np.mean([row[2] == a[1] for row, a in zip(rows, asked, strict=True)]),
        "least similarity of the best sample": min(row[3] for row in rows),
        "processor seconds a search": round((time.process_time() - start) / len(rows), 2),
        "prompts": rows,
    }


def measure_unknown(generator: Any, pair: Pair) -> dict[str, float]:
    """The similarity of the best sample to texts of other worlds."""
    found = {}
    for text in UNKNOWN:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            samples = SearchSettings(generations=0)
            best = search_text(generator, pair, text, samples).similarity[0]
        found[text] = round(float(best), 3)
    return found


def measure_edits(generator: Any, pair: Pair, strength: float) -> dict[str, Any]:
    """How many of 50 pictures have the asked colour after an edit, and are what they were."""
    table = find_table(generator, pair)
    if table is None:
        table = make_table(generator, pair, pictures=TRIED, progress=print)
    names, rows = generator.classes.names, []
    for i, seed in enumerate(EDITED):
        ws = generator.styles([seed], class_idx=i % len(names))
        ((name, colour),) = read_pictures(generator.synthesize(ws))
        asked = [other for other in COLOURS if other != colour][7 * i % (len(COLOURS) - 1)]
        neutral = f"a {names[i % len(names)]}"
        text = f"a{'n' * (asked[0] in 'aeiou')} {asked} {names[i % len(names)]}"
        direction = find_text_direction(pair, text, neutral)
        channels = find_channels(generator, table, direction)
        offset = generator.make_style_offset(channels, strength)
        ((after, hue),) = read_pictures(generator.synthesize(ws, style_offset=offset))
        rows.append([text, len(channels), name, colour, after, hue, hue == asked, after == name])
    return {
        "strength": strength,
        "changed as asked": np.mean([row[-2] for row in rows]),
        "class kept": np.mean([row[-1] for row in rows]),
        "pictures": rows,
    }


def measure_share(generator: Any, pair: Pair) -> float:
    """The share of a search's time that generator and towers take."""
    spent = 0.0

    def timed(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal spent
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent += time.process_time() - start

        return call

    own = timed(generator._run)
    vars(generator)["_run"] = own
    tower = pair._image
    vars(pair)["_image"] = type("Timed", (), {"run": staticmethod(timed(tower.run))})
    start = time.process_time()
    search_text(generator, pair, "a blue flower", SearchSettings(seeds_start=16, generations=4))
    total = time.process_time() - start
    vars(pair)["_image"] = tower
    del vars(generator)["_run"]
    return round(spent / total, 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--styled", type=Path, help="the demo with a style space, for edits")
    parser.add_argument("--large", type=Path, help="bundle of 256 px, whose time is shared out")
    parser.add_argument("--clip", type=Path, help="another pair than the demo's")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle, words = Path(folder) / "bundle", Path(folder) / "words"
        write_demo(bundle, words=words)
        pair = Pair.open(arguments.clip or words)
        with stylert.open(bundle) as generator:
            result: dict[str, Any] = {
                "machine": describe_machine(),
                "load": os.getloadavg(),
                "prompts": measure_prompts(generator, pair),
                "unknown": measure_unknown(generator, pair),
            }
        if arguments.styled:
            with stylert.open(arguments.styled) as generator:
                result["edits"] = measure_edits(generator, pair, STRENGTH)
    if arguments.large:
        with stylert.open(arguments.large) as generator:
            result["share of generator and towers at 256 px"] = measure_share(generator, pair)
    arguments.out.write_text(json.dumps(result, indent=1, default=float) + "\n")
    result["prompts"].pop("prompts")
    print(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main()
