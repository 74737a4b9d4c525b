"""The files of the page at /, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import stylert

PAGE = Path(stylert.__file__).parent / "apps" / "serving" / "page"
MOST_LINES = 400


def test_the_page_names_no_outside_address() -> None:
    for file in PAGE.iterdir():
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(?i)\b(https?|wss?|ftp):|[\"'(]//|@import", text), file


def test_the_page_fits_a_strict_policy() -> None:
    html = (PAGE / "index.html").read_text()
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", html, re.DOTALL) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    for file in PAGE.glob("*.js"):
        assert not re.search(
            r"\beval\(|new Function|innerHTML|setAttribute\(.style", file.read_text()
        )


def test_scripts_find_what_they_look_for() -> None:
    html = (PAGE / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for file in PAGE.glob("*.js"):
        script = file.read_text()
        named = re.findall(r'\b(?:element|instance)\("([^"]+)"\)', script)
        named += re.findall(r'\b(?:number|seed)\("([^"]+)"', script)
        assert set(named) <= set(ids), file
        radios = re.findall(r'\b(?:radios|choices)\("([^"]+)"', script)
        assert all(f'name="{name}"' in html for name in radios), file
        for module in re.findall(r' from "\./([^"]+)"', script):
            assert (PAGE / module).is_file(), (file, module)
    for path in re.findall(r'(?:src|href)="page/([^"]+)"', html):
        assert (PAGE / path).is_file(), path
    assert set(re.findall(r'\b(?:for|aria-describedby)="([^"]+)"', html)) <= set(ids)


def test_files_are_short() -> None:
    for file in PAGE.iterdir():
        assert len(file.read_text().splitlines()) <= MOST_LINES, file
