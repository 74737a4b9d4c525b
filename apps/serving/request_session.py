"""The session of one request: its calls are drawn in batches with those of other requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stylert.apps.serving.batcher import Batcher, Ticket
from stylert.runtime import Bundle, EngineError
from stylert.runtime.feeds import Feeds
from stylert.runtime.session import ANY_BATCH, Graphs

__all__ = ["RequestSession"]


class RequestSession:
    """A `Session` that draws by way of a `Batcher`; for `Generator.share`.

    Args:
        batcher: what draws.
        ticket: of the request.
        alone: share no call with other requests, so that the same arguments give the same bits.
        describe: of the session that the batcher runs.
    """

    max_batch = ANY_BATCH  # the batcher splits what is too large

    def __init__(
        self,
        batcher: Batcher,
        ticket: Ticket,
        *,
        alone: bool = False,
        describe: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._batcher = batcher
        self._ticket = ticket
        self._alone = alone
        self.describe = describe

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> list[np.ndarray]:
        """Wait until the images are drawn; see `Session.run`. They always come to the host."""
        (output,) = outputs
        future = self._batcher.submit(graphs, feeds, output, self._ticket, alone=self._alone)
        return [future.result()]

    def refit(self, bundle: Bundle) -> None:
        """It cannot: the others would be drawn with new weights, too."""
        raise EngineError("refit: a shared generator cannot; refit the one that it shares.")

    def close(self) -> None:
        """Nothing to free: the session belongs to all requests."""
