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
from collections.abc import Callable
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
    find_edits,
    find_sampled_table,
    find_table,
    find_text_direction,
    make_table,
    sample_table,
    search_text,
)
from stylert.tests.apps.words.demo_reader import COLOURS, read_pictures

EDITED = range(800_000, 800_050)
TRIED = 8  # pictures in which each channel is tried
STRENGTHS = [0.5, 1, 1.5, 2, 3, 4, 5, 6, 8]
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


def turn_pictures(generator: Any, turn: Callable[[np.ndarray, str, str], Any]) -> dict[str, Any]:
    """How many of 50 pictures have the asked colour after an edit, and are what they were."""
    names, rows, start = generator.classes.names, [], time.process_time()
    for i, seed in enumerate(EDITED):
        own = names[i % len(names)]
        ws = generator.styles([seed], class_idx=own)
        ((name, colour),) = read_pictures(generator.synthesize(ws))
        asked = [other for other in COLOURS if other != colour][7 * i % (len(COLOURS) - 1)]
        text = f"a{'n' * (asked[0] in 'aeiou')} {asked} {own}"
        ((after, hue),) = read_pictures(turn(ws, text, f"a {own}"))
        rows.append([text, name, colour, after, hue, hue == asked, after == name])
        print(*rows[-1], flush=True)
    return {
        "changed as asked": np.mean([row[-2] for row in rows]),
        "class kept": np.mean([row[-1] for row in rows]),
        "processor seconds a picture": round((time.process_time() - start) / len(rows), 2),
        "pictures": rows,
    }


def measure_searches(generator: Any, pair: Pair) -> dict[str, Any]:
    """Edits by a search that starts at the picture."""

    def turn(ws: np.ndarray, text: str, neutral: str) -> np.ndarray:
        return search_text(generator, pair, text, start=ws).images

    return turn_pictures(generator, turn)


def measure_edits(generator: Any, pair: Pair, beta: float | None) -> dict[str, Any]:
    """Edits by channels; of the strip of strengths the picture that the pair finds nearest."""
    table = find_table(generator, pair)
    if table is None:
        table = make_table(generator, pair, pictures=TRIED, progress=print)

    def turn(ws: np.ndarray, text: str, neutral: str) -> np.ndarray:
        direction = find_text_direction(pair, text, neutral)
        channels = find_channels(generator, table, direction, beta=beta)
        offset = generator.make_style_offset(channels, STRENGTHS)
        strip = np.repeat(ws, len(STRENGTHS), axis=0)
        img = np.asarray(generator.synthesize(strip, style_offset=offset, output="img"))
        best = int((pair.embed_images(img) @ pair.embed_texts([text])[0]).argmax())
        return np.asarray(generator.synthesize(ws, style_offset=offset[best : best + 1]))

    return {"beta": beta, "strengths": STRENGTHS, **turn_pictures(generator, turn)}


def measure_sampled(generator: Any, pair: Pair) -> dict[str, Any]:
    """Edits by channels of the table of samples, each from the picture itself."""
    table = find_sampled_table(generator, pair)
    if table is None:
        table = sample_table(generator, pair)

    def turn(ws: np.ndarray, text: str, neutral: str) -> np.ndarray:
        (channels,) = find_edits(generator, pair, table, ws[:1], text)
        offset = generator.make_style_offset(channels)
        return np.asarray(generator.synthesize(ws, style_offset=offset))

    return turn_pictures(generator, turn)


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
    parser.add_argument("--parts", default="prompts,searches", help="what is measured anew")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    result: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    result |= {"machine": describe_machine(), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        bundle, words = Path(folder) / "bundle", Path(folder) / "words"
        write_demo(bundle, words=words)
        pair = Pair.open(arguments.clip or words, threads=1)
        with stylert.open(bundle, threads=1) as generator:
            if "prompts" in parts:
                result["prompts"] = measure_prompts(generator, pair)
                result["unknown"] = measure_unknown(generator, pair)
            if "searches" in parts:
                result["edits by search --start"] = measure_searches(generator, pair)
        if arguments.styled:
            with stylert.open(arguments.styled, threads=1) as generator:
                result["edits by edit --text"] = measure_sampled(generator, pair)
                if "neutral" in parts:
                    found = [measure_edits(generator, pair, beta) for beta in (None, 0.0)]
                    result["edits by edit --text --neutral"] = found
    if arguments.large:
        with stylert.open(arguments.large, threads=1) as generator:
            result["share of generator and towers at 256 px"] = measure_share(generator, pair)
    arguments.out.write_text(json.dumps(result, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
