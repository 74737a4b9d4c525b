"""A site on WebGPU: drawn by a software adapter, which is taken because the address asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import stylert
from stylert.tests.loading import load_file

HERE = load_file(Path(__file__).with_name("conftest.py"), "web_conftest")
ADAPTER = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
SHADERS = 120_000  # milliseconds: compiling them takes seconds


def test_picture_is_that_of_the_runtime(site_of: Callable[[Path], Path], tiny_bundle: Path) -> None:
    with HERE.serving(site_of(tiny_bundle)) as address, HERE.VIEW.launched(*ADAPTER) as browser:
        view = HERE.VIEW.View(browser)
        view.page.set_default_timeout(SHADERS)
        view.page.goto(f"{address}?backend=webgpu#seed=3&psi=0.5")
        got = view.settled()
        assert str(view.page.get_attribute("#facts", "title")).endswith(", WebGPU")
    with stylert.open(tiny_bundle, backend="onnxruntime", provider="cpu") as generator:
        expected = generator.generate([3], truncation_psi=0.5)[0]
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1
