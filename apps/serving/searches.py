"""Pictures that texts tell of: searched as jobs, with a pair of networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stylert.apps.serving.handles import read_handle, write_handle
from stylert.apps.serving.jobs import Job
from stylert.apps.serving.search_request import SearchRequest
from stylert.apps.serving.workshop import Workshop
from stylert.apps.words import Pair, SearchSettings, check_gradient, search_text
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput

__all__ = ["Searches"]

_CHANNELS = (1, 3, 4)  # that a pair can see


class Searches:
    """Searches by words, in a workshop.

    Args:
        workshop: where they are done.
        pair: of networks for pictures and texts; None = the service has none.
    """

    def __init__(self, workshop: Workshop, pair: Pair | None) -> None:
        self._workshop = workshop
        self._pair = pair

    @property
    def offered(self) -> bool:
        """Whether this service searches by words."""
        known = self._workshop.shown.spec.img_channels in _CHANNELS
        return self._pair is not None and known and self._workshop.settings.max_jobs > 0

    def start(self, request: SearchRequest) -> Job:
        """Start to look for the pictures that a text tells of.

        Raises:
            InvalidInput: the service has no pair, an empty text, a class that is not there, steps
                without a gradient, or too much of something.
            Overloaded: there are too many jobs.
            ShuttingDown: the service ends.
        """
        pair = self._pair
        if pair is None:
            raise InvalidInput(
                "This service has no networks that know words. Start it with some: "
                "stylert serve BUNDLE --clip FOLDER"
            )
        if not request.text.strip():
            raise InvalidInput(f"text: got {shown(request.text)}, expected words.")
        generator = self._workshop.shown
        if request.class_idx is not None:
            generator.classes.make_labels(request.class_idx, None, batch=1)
        names = SearchRequest.model_fields.keys() - {"text", "start"}
        settings = SearchSettings(**{name: getattr(request, name) for name in names})
        if settings.steps:
            check_gradient(generator, settings.steps)
        begun = self._read_start(request)
        self._workshop.check_job("search", generations=settings.generations, steps=settings.steps)

        def run(job: Job, step: Callable[[str, int, int], None]) -> None:
            found = search_text(
                self._workshop.open(),
                pair,
                request.text,
                settings,
                start=begun,
                progress=step,
                warn=job.notes.append,
            )
            job.w = [write_handle(w) for w in found.ws]
            job.similarity = [round(float(similarity), 4) for similarity in found.similarity]
            job.pictures = list(found.images)

        return self._workshop.jobs.start("search", run)

    def _read_start(self, request: SearchRequest) -> np.ndarray | None:
        """The styles [N, num_ws, w_dim] that a search starts from, if it does from some."""
        if request.start is None:
            return None
        if request.results != 1:
            raise InvalidInput(
                f"results: got {request.results} with a start, which gives one for each of its w."
            )
        spec = self._workshop.shown.spec
        return np.stack([read_handle(handle, spec) for handle in request.start])
