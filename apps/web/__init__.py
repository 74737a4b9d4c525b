"""A site that draws in the visitor's own browser: static files for any web host, and no server."""

from stylert.apps.web.runtime_files import Runtime, find_runtime
from stylert.apps.web.site import Site, write_site

__all__ = ["Runtime", "Site", "find_runtime", "write_site"]
