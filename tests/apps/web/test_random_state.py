"""Seeds in the browser: the numbers of NumPy's RandomState, by JavaScript."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps import web

SOURCE = Path(web.__file__).parent / "page" / "random_state.js"
SEEDS = [int(seed) for seed in np.linspace(0, 2**32 - 1, 1000)]
COUNT = 33  # odd, so that one of a pair is left


def run(program: str) -> Any:
    """What a program prints as JSON that has RandomState."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js (Debian: apt install nodejs)")
    source = SOURCE.read_text(encoding="utf-8") + f"\nconsole.log(JSON.stringify({program}));"
    command = [node, "--input-type=module", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_normal_numbers_of_1000_seeds() -> None:
    got = run(f"{SEEDS}.map((seed) => Array.from(new RandomState(seed).normals({COUNT})))")
    expected = [np.random.RandomState(seed).randn(COUNT).astype(np.float32) for seed in SEEDS]
    np.testing.assert_array_equal(np.float32(got), expected)


def test_noise_of_seeds_is_seeded_by_two_numbers() -> None:
    seeds = SEEDS[::50]
    got = run(f"{seeds}.map((seed) => Array.from(new RandomState([seed, 1]).normals({COUNT})))")
    expected = [np.random.RandomState([seed, 1]).randn(COUNT).astype(np.float32) for seed in seeds]
    np.testing.assert_array_equal(np.float32(got), expected)


def test_uniform_numbers_are_the_same_bit_for_bit() -> None:
    got = run(
        "(() => { const random = new RandomState(7);"
        " return Array.from({ length: 2000 }, () => random.random()); })()"
    )
    np.testing.assert_array_equal(got, np.random.RandomState(7).random_sample(2000))
    rounded = run("Array.from(new RandomState(8).uniforms(9))")
    expected = np.random.RandomState(8).random_sample(9).astype(np.float32)
    np.testing.assert_array_equal(np.float32(rounded), expected)


def test_more_seeds_than_the_state_has_words() -> None:
    seeds = list(range(700))
    got = run(f"Array.from(new RandomState({seeds}).normals(5))")
    expected = np.random.RandomState(seeds).randn(5).astype(np.float32)
    np.testing.assert_array_equal(np.float32(got), expected)
