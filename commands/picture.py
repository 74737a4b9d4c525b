"""`Picture`: the options that say how pictures are drawn. A new one is added here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from stylert.commands.options import in_panel
from stylert.commands.text.numbers import parse_numbers
from stylert.commands.text.seeds import parse_classes
from stylert.commands.text.styles import parse_psi
from stylert.runtime.drawing_options import DrawingOptions, PictureOptions, StyleOptions
from stylert.runtime.errors import InvalidInput

__all__ = ["Picture", "in_picture"]

in_picture = in_panel("Picture")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How pictures are drawn; each field is one of `DrawingOptions`."""

    truncation_psi: Annotated[
        Any,
        in_picture(
            "Truncation: 1 = as trained, 0 = the mean picture, or by layers: coarse=0.5,fine=1; by "
            "default the network's own.",
            read=parse_psi,
        ),
    ] = None
    truncation_cutoff: Annotated[
        int | None, in_picture("First layer that is not truncated; by default all are.", min=0)
    ] = None
    class_idx: Annotated[
        Any,
        in_picture(
            "Class, or several: 0-9, or names; else by seed.", "--class", read=parse_classes
        ),
    ] = None
    labels: Annotated[
        Any, in_picture("Soft labels: a weight for each class, as 0.5,0.5,0.", read=parse_numbers)
    ] = None
    noise_mode: Annotated[
        str, in_picture("Noise: const (the network's own), none, or seeded.", "--noise")
    ] = "const"
    noise_seed: Annotated[int | None, in_picture("Seed of seeded noise, for all pictures.")] = None
    translate: Annotated[
        Any,
        in_picture(
            "Move by X,Y sides of the picture, right and down; StyleGAN3 only.", read=parse_numbers
        ),
    ] = None
    rotate: Annotated[
        float | None, in_picture("Turn by degrees, counter-clockwise; StyleGAN3 only.")
    ] = None

    def to_options(self) -> DrawingOptions:
        """Those that were given."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return cast(DrawingOptions, given)

    def to_style_options(self, *sources: object) -> StyleOptions:
        """Those of styles, unless all sources are files of ws, which are styles."""
        options = self._pick(StyleOptions)
        if options and all(isinstance(source, Path) for source in sources):
            raise InvalidInput(f"{next(iter(options))}: got one for ws of a file, expected seeds")
        return cast(StyleOptions, options)

    def to_image_options(self) -> PictureOptions:
        """Those of `Generator.synthesize`."""
        return cast(PictureOptions, self._pick(PictureOptions))

    def _pick(self, kind: type) -> dict[str, Any]:
        return {k: v for k, v in self.to_options().items() if k in kind.__annotations__}
