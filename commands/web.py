"""`stylert web`: a site that draws in the visitor's browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from stylert.commands import console
from stylert.commands.idle import refuse_idle
from stylert.commands.options import AsJson, BundleFolder, Force, in_output, in_panel
from stylert.runtime.packages import need

__all__ = ["web"]

in_web = in_panel("Site")


def web(
    bundle: BundleFolder,
    *,
    out: Annotated[Path, in_output("Folder to write.")],
    runtime: Annotated[
        str | None,
        in_web("Where onnxruntime-web is: the folder of its npm package, or npm to fetch it."),
    ] = None,
    serve: Annotated[bool, in_web("Show the site on this machine, until Ctrl-C.")] = False,
    port: Annotated[
        int | None,
        in_web("Port of --serve, 8000 by default; 0 = any that is free.", min=0, max=65535),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a site that draws in the visitor's own browser: files for any web host, and no server.

    Example: stylert web ffhq-bundle --out site --runtime npm
    """
    if not serve:
        refuse_idle("without --serve, which it belongs to", port=port)
    need("onnx", extra="web")
    from stylert.apps.web import find_runtime, write_site
    from stylert.apps.web.preview import serve_site

    site = write_site(bundle, out, find_runtime(runtime), force=force)
    for note in site.notes:
        console.warn(note)
    console.tell_result(
        {
            "files": [str(site.path)],
            "first_visit_bytes": site.first_visit,
            "graphics_bytes": site.graphics,
        },
        f"Wrote {site.path}: {site.first_visit / 1e6:.1f} MB for a first visit, compressed; with a "
        f"graphics card up to {site.graphics / 1e6:.1f} MB more. Copy the folder to a web host.",
        as_json=as_json,
    )
    if serve:
        serve_site(
            out,
            port=8000 if port is None else port,
            ready=lambda address: console.say(f"Open {address} (Ctrl-C ends it)"),
        )
