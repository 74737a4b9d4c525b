"""Writes the API reference from the docstrings, with pdoc: `make docs` puts it into docs/api.

pdoc reads Google docstrings, types and `__all__` as they are, needs no configuration, and writes
plain HTML with a search, so that there is nothing to keep up besides the docstrings.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pdoc
import pdoc.doc
import pdoc.render

from stylert import runtime

__all__ = ["PUBLIC", "build"]

ROOT = Path(__file__).parents[1]
ROOMS = ("control", "files", "proof")  # of the runtime

# What the guides use and what belongs to it. Everything else may change without notice. The runtime
# says itself what is public of it.
PUBLIC = (
    "stylert",
    "stylert.runtime",
    *(f"stylert.runtime.{name}" for name in runtime.PUBLIC_MODULES if name not in ROOMS),
    *(
        f"stylert.runtime.{room}.{path.stem}"
        for room in ("control", "proof")  # all of it is public
        for path in sorted((ROOT / "runtime" / room).glob("[a-z]*.py"))
    ),
    "stylert.runtime.async_style_generator",
    "stylert.runtime.backends.cuda.device_array",
    "stylert.runtime.backends.tensorrt.plans",
    "stylert.runtime.files.directions",
    "stylert.runtime.files.latent_files",
    "stylert.runtime.files.pictures",
    "stylert.runtime.files.publishing",
    "stylert.runtime.graph_inputs",
    "stylert.apps.bench",
    "stylert.apps.cluster.dataset_writing",
    "stylert.apps.datasets",
    "stylert.apps.evaluation",
    "stylert.apps.projection",
    "stylert.apps.serving.application",
    "stylert.apps.serving.server",
    "stylert.apps.serving.settings",
    "stylert.apps.video",
    "stylert.apps.video.ramps",
    "stylert.apps.video.walks",
    "stylert.apps.web",
    "stylert.apps.words",
    "stylert.commands.figures",
    "stylert.engines",
    "stylert.export",
    "stylert.export.adjoint.gradient",
    "stylert.export.blending",
    "stylert.export.bundle_writer",
    "stylert.export.checkpoints",
    "stylert.export.families",
    "stylert.export.latent_file",
    "stylert.export.models.generator",
    "stylert.export.one_file",
    "stylert.export.onnx_graph",
    "stylert.export.parity",
    "stylert.export.verification",
)


_CLASS = re.compile(r"<code>([A-Z][a-z]\w*(?:\.\w+)?)</code>")  # that is no link yet


class PublicModule(pdoc.doc.Module):
    """A module as pdoc sees it, with those below it that are public.

    A class is shown with what it has from our other classes, as `Generator` is made of several, and
    without what it has from Python's.
    """

    @cached_property
    def members(self) -> dict[str, pdoc.doc.Doc[Any]]:
        """What `__all__` names."""
        members = super().members
        for member in members.values():
            if isinstance(member, pdoc.doc.Class):
                all_of_it = member.members.values()
                member.own_members = [m for m in all_of_it if m.taken_from[0].startswith("stylert")]
                member.inherited_members = {}
        return members

    @cached_property
    def submodules(self) -> list[pdoc.doc.Module]:
        """The public modules below this one, with no other public one between."""
        return [public_module(name) for name in PUBLIC if _parent(name) == self.fullname]


def _parent(name: str) -> str:
    """The nearest public module above; '' if there is none."""
    above = name.rpartition(".")[0]
    return above if above in PUBLIC or not above else _parent(above)


def public_module(name: str) -> PublicModule:
    """Import a module for pdoc."""
    module = importlib.import_module(name)
    for member in getattr(
        module, "__all__", ()
    ):  # pdoc does not see what is looked up when it is asked for
        vars(module).setdefault(member, getattr(module, member))
    return PublicModule(module)


def build(out: Path) -> dict[str, pdoc.doc.Module]:
    """Write the reference.

    Args:
        out: folder that gets index.html, search.js and a page for each module.

    Returns:
        the modules as pdoc sees them, by name.
    """
    pdoc.render.configure(docformat="google", show_source=False, footer_text="StyleRT")
    modules: dict[str, pdoc.doc.Module] = {name: public_module(name) for name in PUBLIC}
    # A TypedDict keeps no trace of the one that a key is from.
    warnings.filterwarnings("ignore", "Cannot determine where stylert.*Options")
    for name, module in modules.items():
        page = out / _page(name)
        page.parent.mkdir(parents=True, exist_ok=True)
        html = pdoc.render.html_module(module, modules)
        page.write_text(_with_links(html, modules, up="../" * name.count(".")), encoding="utf-8")
    (out / "index.html").write_text(pdoc.render.html_index(modules), encoding="utf-8")
    (out / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")
    return modules


def _page(name: str) -> str:
    return f"{name.replace('.', '/')}.html"


def _with_links(html: str, modules: Mapping[str, pdoc.doc.Module], *, up: str) -> str:
    """Link `Generator.edit` from every page; pdoc links names within their module alone."""

    def linked(match: re.Match[str]) -> str:
        name = match[1]
        home = next((n for n, module in modules.items() if module.get(name)), None)
        return match[0] if home is None else f'<a href="{up}{_page(home)}#{name}">{match[0]}</a>'

    return _CLASS.sub(linked, html)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
