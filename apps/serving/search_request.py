"""The body of a request for the pictures that a text tells of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stylert.apps.serving.requests import Class, Handle, Number, Seed

__all__ = ["SearchRequest"]


class SearchRequest(BaseModel):
    """What a text tells of, as `stylert search`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"text": "a blue flower", "seeds_start": 8, "generations": 1}]
        },
    )

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1000,
            description="What to look for. Words beyond those that the networks read are cut off, "
            "which the `notes` of the job tell.",
        ),
    ]
    class_idx: Annotated[
        Class | None, Field(description="Class of the samples; by default all, in turns.")
    ] = None
    truncation_psi: Annotated[
        Number | None, Field(description="Of the samples; by default the network's own.")
    ] = None
    seeds_start: Annotated[
        int, Field(ge=1, le=1000, description="Samples, of which the best are where it starts.")
    ] = 256
    first_seed: Annotated[Seed, Field(description="Of the first sample: others, other finds.")] = 0
    generations: Annotated[
        int, Field(ge=0, description="Of CMA-ES from there, up to `job_steps` of /info.")
    ] = 30
    steps: Annotated[
        int,
        Field(
            ge=0,
            description="By gradients after that, up to `job_steps` of /info; the bundle needs a "
            "gradient.",
        ),
    ] = 0
    results: Annotated[int, Field(ge=1, le=4, description="Pictures, the best first.")] = 1
    start: Annotated[
        Annotated[list[Handle], Field(min_length=1, max_length=4)] | None,
        Field(
            description="Where it starts, in the place of samples: a picture for each, in their "
            "order; `results` stays 1."
        ),
    ] = None
