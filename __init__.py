"""StyleRT: from a StyleGAN checkpoint to something that an application can ship.

    with stylert.open("bundle") as generator:
        images = generator.generate([1, 2, 3], truncation_psi=0.7)   # uint8 [3, H, W, C]

`Generator` is all that an application needs; `open_async` opens one for asyncio.
"""

from typing import TYPE_CHECKING, Any

from stylert.runtime import Generator

if TYPE_CHECKING:
    from stylert.runtime.async_style_generator import open_async

    __version__: str

__all__ = ["Generator", "__version__", "open", "open_async"]

open = Generator.open  # reads as `stylert.open`


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # Looked up when asked for: the metadata and asyncio take longer to load than the rest.
        if name == "__version__":
            from importlib.metadata import version

            return version("stylert")
        if name == "open_async":
            from stylert.runtime.async_style_generator import open_async

            return open_async
        raise AttributeError(f"module 'stylert' has no attribute {name!r}")
