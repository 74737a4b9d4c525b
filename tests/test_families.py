"""docs/families.md: which family can do what, every cell of it, and one row as it is today."""

from __future__ import annotations

from pathlib import Path

from stylert.tests.loading import load_file

DOCS = Path(__file__).parents[1] / "docs"
PROGRAM = load_file(DOCS / "build_families.py")
TABLE = PROGRAM.read_table(DOCS / "families.md")
ROW = "StyleGAN2 of rosinality"
QUICK = ("FP16", "OpenVINO", "gradient", "encoder", "blending", "one file", "browser")


def test_no_cell_is_empty() -> None:
    assert list(TABLE) == list(PROGRAM.FAMILIES)
    for family, cells in TABLE.items():
        assert list(cells) == list(PROGRAM.CAPABILITIES), family
        for cell in cells.values():
            assert cell == PROGRAM.YES or len(cell.removeprefix("no: ")) > 5, (family, cell)


def test_row_is_as_the_table_says() -> None:
    chosen = {name: PROGRAM.CAPABILITIES[name] for name in QUICK}
    with PROGRAM.open_network(ROW) as network:
        cells = PROGRAM.try_family(network, chosen)
    assert cells == [TABLE[ROW][name] for name in QUICK]


def test_reason_is_told_without_places_of_this_machine(tmp_path: Path) -> None:
    network = PROGRAM.Network(tmp_path / "no.pkl", tmp_path / "no", tmp_path)
    (cell,) = PROGRAM.try_family(network, {"FP16": PROGRAM.CAPABILITIES["FP16"]})
    assert cell.startswith("no: ")
    assert str(tmp_path) not in cell
