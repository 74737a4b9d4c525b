"""The API reference has every public name with its docstring, and its links lead somewhere."""

from __future__ import annotations

import html
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pdoc.doc
import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    path for floor in ("engines", "export", "runtime") for path in (ROOT / floor).rglob("*.py")
]
READ = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]

ID = re.compile(r'\bid="([^"]+)"')
SCRIPT = re.compile(r"<script.*?</script>", re.DOTALL)
HREF = re.compile(r'\bhref="([^"]+)"')
LOADED = re.compile(r'<(?:script|img|link)\b[^>]*\b(?:src|href)="([^"]+)"')
UNLINKED = re.compile(r"<code>([\w.]+)</code>")  # pdoc puts its links within the <code>
LINKED = re.compile(r"<a [^>]*><code>[^<]*</code></a>")
CLASS = re.compile(r"^ *class (\w+)", re.MULTILINE)
IMPORT = re.compile(r"^ *(?:from|import) (stylert[\w.]*)", re.MULTILINE)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """docs/build_api.py"""
    spec = importlib.util.spec_from_file_location("build_api", ROOT / "docs" / "build_api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def modules(script: ModuleType, folder: Path) -> dict[str, pdoc.doc.Module]:
    """The public modules, after they were written to the folder; a warning is an error."""
    built: dict[str, pdoc.doc.Module] = script.build(folder)
    return built


@pytest.fixture(scope="module")
def pages(modules: Any, folder: Path) -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_every_public_name_is_there(
    modules: dict[str, pdoc.doc.Module], pages: dict[Path, str], folder: Path
) -> None:
    for name, module in modules.items():
        page = pages[folder / f"{name.replace('.', '/')}.html"]
        for member in module.obj.__all__:
            assert f'id="{member}"' in page, f"{name}.{member}"


def test_everything_has_a_docstring(modules: dict[str, pdoc.doc.Module]) -> None:
    bare = []
    for module in modules.values():
        bare += [] if module.docstring else [module.fullname]
        for member in module.flattened_own_members:
            parts = member.own_members if isinstance(member, pdoc.doc.Class) else [member]
            bare += [
                part.fullname
                for part in [member, *parts]
                if not isinstance(part, pdoc.doc.Variable)  # a constant, or a field of a class
                and not part.name.startswith("_")
                and not part.docstring.strip()
            ]
    assert not bare


def test_generator_has_all_that_it_can_do(modules: dict[str, pdoc.doc.Module]) -> None:
    generator = modules["stylert"].members["Generator"]
    assert isinstance(generator, pdoc.doc.Class)
    shown = {member.name for member in generator.own_members}
    assert {"open", "generate", "mix", "interpolate", "edit", "pca", "load_ws"} <= shown


def test_links_lead_somewhere(pages: dict[Path, str]) -> None:
    ids = {path: set(ID.findall(page)) for path, page in pages.items()}
    for path, page in pages.items():
        for link in map(html.unescape, HREF.findall(SCRIPT.sub("", page))):
            if not re.match(r"[a-z]+:", link):
                target, _, anchor = link.partition("#")
                linked = (path.parent / target).resolve() if target else path
                assert linked in pages, f"{path.name} links to {link}"
                assert not anchor or anchor in ids[linked], f"{path.name} links to {link}"


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, str]) -> None:
    for page in pages.values():
        assert not [address for address in LOADED.findall(page) if re.match("https?:", address)]


def test_our_names_are_links(pages: dict[Path, str]) -> None:
    ours = {"stylert", "engines", "export", "runtime"}
    for source in SOURCES:
        ours.update(CLASS.findall(source.read_text(encoding="utf-8")))
    for path, page in pages.items():
        words = UNLINKED.findall(LINKED.sub("", page))
        left = {word for word in words if word.split(".")[0] in ours}
        assert not left - {"export"}, f"{path.name}: name it in full, or add its module to PUBLIC"


def test_what_people_read_uses_public_modules_alone(script: ModuleType) -> None:
    used = {name for path in READ for name in IMPORT.findall(path.read_text(encoding="utf-8"))}
    assert "stylert" in used
    assert used <= set(script.PUBLIC)
