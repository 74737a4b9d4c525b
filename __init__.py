"""StyleRT: from a StyleGAN checkpoint to something that an application can ship.

with stylert.open("bundle") as generator:
    images = generator.generate([1, 2, 3], truncation_psi=0.7)   # uint8 [3, H, W, C]
"""

from stylert.runtime import Generator

__all__ = ["Generator", "__version__", "open"]

open = Generator.open  # reads as `stylert.open`


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: the metadata take longer than the rest
        from importlib.metadata import version

        return version("stylert")
    raise AttributeError(f"module 'stylert' has no attribute {name!r}")
