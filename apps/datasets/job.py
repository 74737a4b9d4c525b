"""The job of a data set: which images, how they are drawn, and what they are stored as."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stylert.apps.datasets.names import LAYOUTS, SUFFIXES, image_name
from stylert.apps.datasets.seeds import Seeds
from stylert.runtime.arguments import check_choice, check_integer, shown
from stylert.runtime.bundle import GeneratorSpec
from stylert.runtime.drawing_options import (
    DrawingOptions,
    PictureOptions,
    StyleOptions,
    refuse_unknown,
)
from stylert.runtime.errors import InvalidInput
from stylert.runtime.images import FILE_QUALITY, holds_channels
from stylert.runtime.labels import Classes

if TYPE_CHECKING:
    from stylert.runtime import Generator

__all__ = ["CONTAINERS", "DatasetJob", "StyleFile"]

CONTAINERS = ("folder", "zip", "webdataset")
DTYPES = ("uint8", "float32")
LOSSY = ("jpeg", "webp")

_COMPRESSION = 1  # of PNG: a third of the time of Pillow's 6, for 5 % more bytes of a photo
_METHOD = 2  # of WebP: half the time of Pillow's 4, for as many bytes and 0.2 dB less


@dataclass(frozen=True)
class StyleFile:
    """The styles of a file: row i is drawn as image i.

    Attributes:
        name: of the file, for job.json and the manifest.
        sha256: of the file.
        ws: [N, num_ws, w_dim] floats, None = only the name is known, and nothing can be drawn.
    """

    name: str
    sha256: str
    ws: np.ndarray | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return 0 if self.ws is None else len(self.ws)

    def take(self, places: range) -> np.ndarray:
        """The styles of some images: [n, num_ws, w_dim].

        Raises:
            InvalidInput: only the name is known.
        """
        if self.ws is None:
            raise InvalidInput(f"ws: got only the name of {self.name}, expected its styles, too.")
        return self.ws[places.start : places.stop]


@dataclass(frozen=True, kw_only=True)
class DatasetJob:
    """What to draw and how to store it. Whatever is None has the default that it says.

    Image i, counted from 0 over all seeds, gets class `class_idx[i % len(class_idx)]`, so every
    image and every shard can be made alone.

    Raises:
        InvalidInput: an unknown container or format, or a number out of range. What depends on the
            generator is checked by `for_generator`, and when it draws.
    """

    seeds: Seeds  # or of `ws`: its rows, from 0 on
    ws: StyleFile | None = None  # styles of a file, which are drawn instead of seeds
    container: str = "folder"  # 'folder', 'zip' or 'webdataset': tar shards
    image_format: str = "png"  # 'png', 'jpeg', 'webp', 'tiff' or 'npy': an array [H, W, C]
    dtype: str = "uint8"  # or 'float32', nominal range [-1, 1], as npy
    quality: int | None = None  # of JPEG and WebP, 1 to 100, None = 95
    compression: int | None = None  # of PNG, 0 to 9, None = 1; the pixels are the same
    shard_size: int = 1000  # images of a WebDataset shard
    layout: str | None = None  # 'huggingface' or 'stylegan': a file more, which tells the labels
    # How they are drawn: what holds for all images. Several class_idx: the images take turns.
    # None: the seed mod c_dim.
    options: DrawingOptions = field(default_factory=lambda: DrawingOptions())

    # Of the generator, filled in by `for_generator`.
    classes: Classes = field(default_factory=lambda: Classes(0))
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        refuse_unknown(self.options, DrawingOptions)
        if self.options.get("noise") is not None:
            raise InvalidInput("noise: got arrays, expected a noise_mode: a data set keeps none.")
        if self.options.get("style_offset") is not None:
            raise InvalidInput("style_offset: got an array, expected None: a data set keeps none.")
        # NumPy's numbers as Python's, for JSON; what is None is as if it was not there.
        options = {k: _plain(v) for k, v in self.options.items() if v is not None}
        if "truncation_psi" in options:
            options["truncation_psi"] = _psi(options["truncation_psi"])
        object.__setattr__(self, "options", options)
        check_choice("container", self.container, CONTAINERS)
        check_choice("image_format", self.image_format, tuple(SUFFIXES))
        check_integer("shard_size", self.shard_size, 1)
        check_choice("dtype", self.dtype, DTYPES)
        if self.dtype != "uint8" and self.image_format != "npy":
            raise InvalidInput(
                f"dtype: got {self.dtype} for {self.image_format}, expected image_format='npy'."
            )
        self._check_layout()
        self._check_styles()
        lossy = self.image_format in LOSSY
        if self.quality is not None:
            check_integer("quality", self.quality, 1, 100)
            if not lossy:
                kind = self.image_format.upper()
                raise InvalidInput(
                    f"quality: got one for {kind}, which loses nothing; expected None."
                )
        if self.compression is not None:
            check_integer("compression", self.compression, 0, 9)
            if self.image_format != "png":
                advice = " Pass a quality." if lossy else ""
                raise InvalidInput(
                    f"compression: got one for {self.image_format}, expected PNG.{advice}"
                )

    def _check_layout(self) -> None:
        """Refuse a layout whose readers do not read these images."""
        if self.layout is None:
            return
        check_choice("layout", self.layout, tuple(LAYOUTS))
        if self.container == "webdataset":
            raise InvalidInput(
                f"layout: got {shown(self.layout)} for WebDataset shards, whose samples have their "
                "labels. Leave it out, or choose the container 'folder' or 'zip'."
            )
        if self.image_format == "npy":
            raise InvalidInput(
                f"layout: got {shown(self.layout)} for npy, which its readers do not read. Choose "
                "another image_format."
            )

    def _check_styles(self) -> None:
        """Refuse what styles of a file have already."""
        if self.ws is None:
            return
        for name in StyleOptions.__annotations__:
            if name in self.options:
                raise InvalidInput(f"{name}: got one for ws of a file, expected seeds.")
        if self.ws.ws is not None and self.seeds != Seeds.of(range(len(self.ws))):
            rows = f"0-{len(self.ws) - 1}"
            raise InvalidInput(
                f"seeds: got {self.seeds} for ws of a file, expected its rows: {rows}."
            )

    def for_generator(self, spec: GeneratorSpec, classes: Classes) -> DatasetJob:
        """The job with all defaults filled in: what its images are made of, to the digit.

        Raises:
            InvalidInput: classes or labels that the generator does not have, or more channels than
                the image format holds.
        """
        if not holds_channels(self.image_format.upper(), spec.img_channels):
            fitting = "png" if holds_channels("PNG", spec.img_channels) else "npy"
            raise InvalidInput(
                f"image_format: got {self.image_format} for images of {spec.img_channels} "
                f"channels, expected {fitting}."
            )
        job = replace(
            self,
            quality=self.quality or FILE_QUALITY if self.image_format in LOSSY else None,
            compression=self._find_compression(),
            classes=classes if self.ws is None else Classes(0),
            width=spec.img_width,
            height=spec.img_height,
        )
        return job if self.ws is not None else replace(job, options=self._fill_in(spec, classes))

    def _find_compression(self) -> int | None:
        if self.image_format != "png":
            return None
        return _COMPRESSION if self.compression is None else self.compression

    def _fill_in(self, spec: GeneratorSpec, classes: Classes) -> DrawingOptions:
        """The options with the defaults of styles."""
        options, labels = self.options, self.options.get("labels")
        class_idx = options.get("class_idx")
        batch = len(class_idx) if isinstance(class_idx, tuple) else 1
        rows = classes.make_labels(class_idx, labels, batch=batch, seeds=[0])
        if rows is not None and isinstance(labels, Mapping):
            labels = tuple(rows[0].tolist())
        if class_idx is not None:
            numbers = tuple(classes.find(class_idx))
            class_idx = numbers if isinstance(class_idx, tuple) else numbers[0]
        psi, cutoff = options.get("truncation_psi"), options.get("truncation_cutoff")
        if psi is None:
            psi = float(spec.truncation_psi)
            cutoff = spec.truncation_cutoff if cutoff is None else cutoff
        style: dict[str, Any] = {
            "truncation_psi": psi,
            "truncation_cutoff": cutoff,
            "class_idx": class_idx,
            "labels": labels,
        }
        return cast(DrawingOptions, {**options, **style})

    @property
    def encoding(self) -> dict[str, Any]:
        """Arguments of `encode_image`."""
        return {
            "kind": self.image_format.upper(),
            "quality": self.quality,
            "compression": self.compression,
            "method": _METHOD if self.image_format == "webp" else None,
        }

    @property
    def layout_file(self) -> str | None:
        """The file of labels for other tools, if there is one."""
        return None if self.layout is None else LAYOUTS[self.layout]

    @property
    def shards(self) -> int:
        """How many files or folders hold the images: 1, or the number of WebDataset shards."""
        return -(-len(self.seeds) // self.shard_size) if self.container == "webdataset" else 1

    def shard(self, number: int) -> range:
        """The places of a shard's images among all images."""
        if self.container != "webdataset":
            return range(len(self.seeds))
        start = number * self.shard_size
        return range(start, min(start + self.shard_size, len(self.seeds)))

    def batches(self, number: int, size: int) -> Iterator[range]:
        """The places of the images that are drawn together, from the first of the shard on.

        An image is always drawn with the same others: their number decides how a backend rounds.
        """
        places = self.shard(number)
        for start in range(places.start, places.stop, size):
            yield range(start, min(start + size, places.stop))

    def find_batch(self, place: int, size: int) -> range:
        """The batch of an image, see `batches`."""
        shard = self.shard(place // self.shard_size if self.container == "webdataset" else 0)
        start = place - (place - shard.start) % size
        return range(start, min(start + size, shard.stop))

    def find_class(self, place: int) -> Any:
        """The class of an image, None without classes."""
        class_idx = self.options.get("class_idx")
        if isinstance(class_idx, tuple):
            return class_idx[place % len(class_idx)]
        if class_idx is None and self.classes.count and "labels" not in self.options:
            (seed,) = self.seeds.between(place, place + 1)
            return seed % self.classes.count
        return class_idx

    def draw(self, generator: Generator, places: range) -> np.ndarray:
        """Draw images together: [N, H, W, C] of `dtype`."""
        return self.arrange(self.make_call(generator, places)())

    def make_call(self, generator: Generator, places: range) -> Callable[[], np.ndarray]:
        """The call of a generator that draws images together, for `arrange`."""
        output: Any = "image" if self.dtype == "uint8" else "img"
        if self.ws is None:
            return partial(generator.generate, **self.make_arguments(places), output=output)
        options = self._make_picture_options(places)
        return partial(generator.synthesize, self.ws.take(places), output=output, **options)

    def arrange(self, drawn: np.ndarray) -> np.ndarray:
        """What a generator gave, as [N, H, W, C]."""
        return drawn if self.dtype == "uint8" else drawn.transpose(0, 2, 3, 1)

    def name_image(self, place: int) -> str:
        """Name of an image in a folder or a zip file: 'seed0012.png', or 'ws0012.png'."""
        (seed,) = self.seeds.between(place, place + 1)
        return image_name(seed, self.image_format, of=self.drawn_of)

    @property
    def drawn_of(self) -> str:
        """What the names of images begin with: 'seed' or 'ws'."""
        return "seed" if self.ws is None else "ws"

    def _make_picture_options(self, places: range) -> PictureOptions:
        """Options of `Generator.synthesize`; seeded noise is by row, as else by seed."""
        options = cast(PictureOptions, self.options)
        if options.get("noise_mode") == "seeded" and "noise_seed" not in options:
            return {**options, "noise_seed": list(places)}
        return options

    def make_arguments(self, places: range) -> dict[str, Any]:
        """What `Generator.generate` takes to draw images together, of seeds."""
        arguments = {"seeds": self.seeds.between(places.start, places.stop), **self.options}
        if isinstance(self.options.get("class_idx"), tuple):
            arguments["class_idx"] = [self.find_class(place) for place in places]
        return arguments

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> DatasetJob:
        """The job that `settings` told of.

        Raises:
            ValueError, TypeError, AttributeError, KeyError: what no job has told.
        """
        told = dict(settings)
        own = {f.name: told.pop(f.name) for f in fields(cls) if f.name in told}
        own["seeds"] = Seeds.parse(own["seeds"])
        classes = own.pop("classes", 0)
        names = tuple(classes) if isinstance(classes, list) else ()
        own["classes"] = Classes(len(names) or classes, names)
        if "ws" in own:
            own["ws"] = StyleFile(**own["ws"])
        job = cls(options=cast(DrawingOptions, told), **own)
        if job.settings() != settings:
            raise InvalidInput(f"settings: got {shown(settings)}, expected those of a job.")
        return job

    def settings(self) -> dict[str, Any]:
        """What distinguishes this job from others, as plain JSON types."""
        settings: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        settings |= {"seeds": str(self.seeds), **settings.pop("options")}
        settings["classes"] = self.classes.names or self.classes.count
        if self.container != "webdataset":
            del settings["shard_size"]
        if self.ws is not None:
            settings["ws"] = {"name": self.ws.name, "sha256": self.ws.sha256}
        for name, default in (("classes", 0), ("layout", None), ("ws", None), ("dtype", "uint8")):
            if settings[name] == default:
                del settings[name]
        return {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}


def _psi(psi: Any) -> float | dict[str, float]:
    """A psi as JSON keeps it; by layers in their order, as a later one replaces an earlier one."""
    if not isinstance(psi, Mapping):
        return _number(psi)
    by_layers: dict[str, float] = {}
    for layers, value in psi.items():
        several = isinstance(layers, tuple)
        name = ",".join(map(str, layers)) if several else str(layers)
        by_layers.pop(name, None)  # an index as text, and again as a number
        by_layers[name] = _number(value)
    return by_layers


def _number(psi: Any) -> float:
    try:
        if isinstance(psi, numbers.Real) and not isinstance(psi, bool):
            return float(psi)
    except OverflowError:  # a huge integer
        pass
    raise InvalidInput(
        f"truncation_psi: got {shown(psi)}, expected one number for all images, or one by layers."
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value
