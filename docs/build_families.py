"""What works with which family: runs every capability on a network of each, and writes the table.

    python docs/build_families.py docs/families.md      # or: make families
    python docs/build_families.py docs/families.md StyleGAN-XL       # one row
    python docs/build_families.py docs/families.md WebGPU            # one column

Every cell is a command of the command line, or what stands behind it, on a golden of the tests. A
cell that does not work has the reason, in the words that a user would read.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert import cli
from stylert.apps.web import write_site
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import read_checkpoint
from stylert.export.checkpoints.native import write_native
from stylert.export.encoders.native import write_encoder
from stylert.export.encoders.untrained import make_untrained_encoder
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.style_space import read_style_space
from stylert.runtime.errors import StylertError
from stylert.runtime.images import save_image

__all__ = ["CAPABILITIES", "FAMILIES", "read_table", "try_family"]

ROOT = Path(__file__).parents[1]
GOLDENS = ROOT / "tests" / "goldens"
WEBGPU = ROOT / "docs" / "results" / "webgpu-goldens.json"
FIRST, LAST = "<!-- table -->", "<!-- end of the table -->"
YES = "yes"

FAMILIES = {
    "StyleGAN 1": "sg1-tf-32.pkl",
    "StyleGAN2, original": "sg2-orig-32.pkl",
    "StyleGAN2, residual": "sg2-resnet-32.pkl",
    "StyleGAN2-ADA, classes": "sg2-cond-32.pkl",
    "StyleGAN2 of rosinality": "rosinality-32.pt",
    "StyleGAN2 of lucidrains": "field/luci16.pt",
    "StyleGAN3-T": "sg3-t-64.pkl",
    "StyleGAN3-R": "sg3-r-64.pkl",
    "StyleGAN-XL": "field/xl-cond.pkl",
}


@dataclass(frozen=True)
class Network:
    """A network to try: its checkpoint, its bundle, and a folder for what comes out."""

    checkpoint: Path
    bundle: Path
    folder: Path

    def run(self, *words: Any) -> None:
        """Run a command line.

        Raises:
            StylertError: it failed, with what it said.
        """
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                cli.main([str(word) for word in words])
            except SystemExit as ended:
                code = ended.code
        if code:
            line = said.getvalue().strip().splitlines()[-1]
            raise StylertError(line.removeprefix("error: "))

    def draw(self, *options: Any) -> None:
        """Draw two pictures."""
        out = self.folder / "drawn"
        self.run("generate", self.bundle, "--seeds", "0-1", "--out", out, "--force", *options)

    def draw_photo(self) -> Path:
        """A picture that the network has drawn, as a photo to look for."""
        photo = self.folder / "photo.png"
        words = ("--seeds", "0", "--grid", "1x1", "--out", photo, "--force")
        self.run("generate", self.bundle, *words)
        return photo


def _export_half(network: Network) -> None:
    if "fp16" not in Bundle.open(network.bundle).precisions:
        raise StylertError("the proof of half precision fails in every block")
    network.draw("--precision", "fp16")


def _store(weights: str) -> Callable[[Network], None]:
    def export(network: Network) -> None:
        out = network.folder / weights
        network.run("export", network.checkpoint, "--out", out, "--weights", weights)

    return export


def _quantize(network: Network) -> None:
    network.run("quantize", network.bundle, "--force")
    network.draw("--precision", "int8", "--backend", "openvino")


def _read_webgpu(network: Network) -> None:
    """Whether the golden passed on WebGPU; to draw on a software adapter takes a minute."""
    rows = {row["golden"]: row for row in json.loads(WEBGPU.read_text())["goldens"]}
    row = rows.get(network.checkpoint.stem)
    if row is None:
        raise StylertError("not tried")
    if not all(scene["proven"] for scene in row["scenes"].values()):
        raise StylertError("the proof fails")


def _build_engine(network: Network) -> None:
    words = ("--compiler", "tensorrt-rtx", "--sm", "89", "--batch", "1", "--force")
    network.run("build-engine", network.bundle, *words)


def _add_gradient(network: Network) -> None:
    network.run("gradient", network.bundle, "--force")


def _project(network: Network) -> None:
    _add_gradient(network)
    words = ("--steps", "2", "--seeds-start", "4", "--force")
    out = network.folder / "w.npz"
    network.run("project", network.bundle, network.draw_photo(), "--out", out, *words)


def _inpaint(network: Network) -> None:
    _add_gradient(network)
    photo = network.draw_photo()
    spec = Bundle.open(network.bundle).spec
    mask = np.full((spec.img_height, spec.img_width, 1), 255, np.uint8)
    mask[: len(mask) // 2] = 0
    place = network.folder / "mask.png"
    save_image(mask, place)
    words = ("--steps", "2", "--seeds-start", "4", "--force")
    out = network.folder / "filled.png"
    network.run("inpaint", network.bundle, photo, place, "--out", out, *words)


def _encode(network: Network) -> None:
    path = network.folder / "encoder.safetensors"
    path.unlink(missing_ok=True)
    spec = Bundle.open(network.bundle).spec
    encoder = make_untrained_encoder(spec.num_ws, spec.w_dim)
    write_encoder(encoder, path, trained="random weights")
    network.run("encoder", network.bundle, path, "--force")
    out = network.folder / "inverted.npz"
    network.run("invert", network.bundle, network.draw_photo(), "--out", out, "--force")


def _blend(network: Network) -> None:
    native = network.folder / "native.safetensors"
    write_native(read_checkpoint(network.checkpoint), native, overwrite=True)
    out = network.folder / "blend.safetensors"
    network.run("blend", network.checkpoint, native, "--level", "16", "--out", out, "--force")


def _move_styles(network: Network) -> None:
    out, strip = network.folder / "space", network.folder / "strip.png"
    words = ("--style-space", "--gradient", "--verify-seeds", "1", "--force")
    network.run("export", network.checkpoint, "--out", out, *words)
    space = read_style_space(Bundle.open(out))
    assert space is not None
    channel = f"{space.layers[0].name}:0=3"
    words = ("--seed", "0", "--direction", channel, "--strengths", "0,1", "--force")
    network.run("edit", out, *words, "--out", strip)


def _write_one_file(network: Network) -> None:
    out = network.folder / "one.onnx"
    network.run("one-file", network.bundle, "--out", out, "--force")


def _write_site(network: Network) -> None:
    write_site(network.bundle, network.folder / "site", {}, force=True)


CAPABILITIES: Mapping[str, Callable[[Network], None]] = {
    "FP16": _export_half,
    "weights int16": _store("int16"),
    "weights int8": _store("int8"),
    "INT8": _quantize,
    "OpenVINO": lambda network: network.draw("--backend", "openvino"),
    "WebGPU": _read_webgpu,
    "TensorRT-RTX": _build_engine,
    "gradient": _add_gradient,
    "projection": _project,
    "inpainting": _inpaint,
    "encoder": _encode,
    "blending": _blend,
    "style space": _move_styles,
    "one file": _write_one_file,
    "browser": _write_site,
}


@contextlib.contextmanager
def open_network(family: str) -> Iterator[Network]:
    """A family's network, exported into a folder that goes when the block ends."""
    checkpoint = GOLDENS / FAMILIES[family]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_bundle(read_checkpoint(checkpoint), folder / "bundle", verify_seeds=1)
        yield Network(checkpoint, folder / "bundle", folder)


def try_family(
    network: Network, capabilities: Mapping[str, Callable[[Network], None]]
) -> list[str]:
    """The cells of a family: 'yes', or why not."""
    cells = []
    for capability in capabilities.values():
        try:
            capability(network)
        except StylertError as error:
            cells.append(f"no: {_shorten(str(error), network)}")
        else:
            cells.append(YES)
    return cells


def _shorten(reason: str, network: Network) -> str:
    """The reason without paths of this machine, and without what to do about it."""
    reason = reason.replace(f"{network.folder}/", "").replace("|", "/")
    return re.split(r"(?<=[a-z0-9)])[.;] ", reason)[0].rstrip(".")


def write_table(rows: Mapping[str, list[str]]) -> str:
    """The rows by family as a table of Markdown, a column for each capability."""
    lines = ["| | " + " | ".join(CAPABILITIES) + " |", "|---" * (1 + len(CAPABILITIES)) + "|"]
    notes: list[str] = []
    for family, cells in rows.items():
        shown = []
        for cell in cells:
            if cell != YES:
                if cell not in notes:
                    notes.append(cell)
                cell = f"no ({notes.index(cell) + 1})"
            shown.append(cell)
        lines.append(f"| {family} | " + " | ".join(shown) + " |")
    listed = [f"{i}. {note.removeprefix('no: ')}" for i, note in enumerate(notes, 1)]
    return "\n".join([*lines, "", *listed])


def read_table(document: Path) -> dict[str, dict[str, str]]:
    """What the table of a document says, by family and capability; reasons in place of numbers."""
    text = document.read_text(encoding="utf-8").partition(FIRST)[2].partition(LAST)[0]
    reasons = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = {}
    for family, *cells in rows[2:]:  # below the headings
        known = [re.sub(r"no \((\d+)\)", lambda m: f"no: {reasons[m[1]]}", c) for c in cells]
        table[family] = dict(zip(rows[0][1:], known, strict=True))
    return table


def main(document: Path, names: Collection[str]) -> None:
    """Try families, all or those named, and put the table into a document.

    Names may be of capabilities, too: then these alone are tried. Other cells stay as they are.
    """
    table = read_table(document)
    tried = {name: CAPABILITIES[name] for name in names if name in CAPABILITIES} or CAPABILITIES
    for family in [name for name in names if name in FAMILIES] or FAMILIES:
        print(family, flush=True)
        with open_network(family) as network:
            cells = try_family(network, tried)
        table.setdefault(family, {}).update(zip(tried, cells, strict=True))
    rows = {family: [cells[name] for name in CAPABILITIES] for family, cells in table.items()}
    text = document.read_text(encoding="utf-8")
    before, _, rest = text.partition(FIRST)
    after = rest.partition(LAST)[2]
    ordered = {family: rows[family] for family in FAMILIES}
    text = f"{before}{FIRST}\n\n{write_table(ordered)}\n\n{LAST}{after}"
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
