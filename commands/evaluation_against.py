"""`stylert evaluate --against`: the other way to draw the same seeds."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from stylert.commands.export import ReadAs, need_export
from stylert.commands.options import WhereHere
from stylert.commands.wording import renamed
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.generator import Generator

if TYPE_CHECKING:
    from stylert.apps.evaluation import Drawer

__all__ = ["open_other"]

PRECISIONS = ("fp32", "fp16", "int8")


def open_other(
    stack: ExitStack,
    bundle: Path,
    against: str,
    where: WhereHere,
    generator: Generator,
    read_as: ReadAs,
) -> Drawer:
    """Open it.

    Args:
        stack: closes what is opened.
        bundle: of the generator.
        against: what was asked for.
        where: as the generator was asked for.
        generator: what is judged.
        read_as: of a checkpoint.

    Raises:
        InvalidInput, BundleError, CheckpointError, MissingExtra, EngineError: it does not open, or
            is of another architecture, or is what draws already.
    """
    from stylert.apps.evaluation import GeneratorDrawer

    if against in PRECISIONS:
        read_as.refuse_any("it goes with a checkpoint")
        backend = "auto" if against == "int8" else where.backend
        with renamed(precision="against"):
            other = stack.enter_context(where.open(bundle, precision=against, backend=backend))
    elif against == "engine":
        try:
            other = stack.enter_context(where.open(bundle, backend="tensorrt", precision="auto"))
        except EngineError as error:  # which speaks of --backend
            reason = str(error).replace("; else pass backend='onnxruntime'", "")
            raise EngineError(f"against='engine': {reason}") from None
    elif (Path(against) / "manifest.json").is_file():
        other = stack.enter_context(where.open(Path(against)))
        if other.spec != generator.spec:
            raise InvalidInput(f"against: got {against}, of another architecture than {bundle}")
    elif not (Path(against).exists() or ":" in against):
        raise InvalidInput(
            f"against: got {against!r}, expected {', '.join(PRECISIONS)}, engine, a checkpoint or "
            "a bundle"
        )
    else:
        need_export()
        from stylert.apps.evaluation.torch_drawer import TorchDrawer

        return TorchDrawer(read_as.read(against), generator)
    if (other.bundle.path, other.describe()) == (generator.bundle.path, generator.describe()):
        raise InvalidInput(
            f"against: got {against}, which is what draws already: {generator.choice}. Choose what "
            "is judged, as with precision='fp16'"
        )
    return GeneratorDrawer(other)
