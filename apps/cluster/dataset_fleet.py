"""The actors of a job on a Ray cluster: they are compared, given shards, and replaced."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stylert.apps.cluster.connection import one_line, raise_cause
from stylert.apps.cluster.dataset_actor import OpenedActor, ShardActor
from stylert.apps.cluster.dataset_size import ActorSize
from stylert.runtime.errors import EngineError

__all__ = ["Fleet", "count_images"]

TELL_SECONDS = 0.5  # between two questions for the progress
OTHERS_SECONDS = 60.0  # that the first actor waits for the others, so that all are compared
MOST_DEATHS = 5  # of actors, without a shard that was finished between them


def count_images(
    progress: Callable[[int, int], None],
    sizes: Sequence[int],
    *,
    complete: int,
    there: int,
    total: int,
) -> Callable[[list[int], int], None]:
    """What `Fleet.write` tells, as numbers of images that never fall.

    An actor that was lost takes images with it, which are drawn again.

    Args:
        progress: called with the images that are there, and all.
        sizes: images of each shard.
        complete: images that are there in other shards than those that are to be written.
        there: images that are there at first.
        total: all images.
    """
    most = there

    def tell(written: list[int], running: int) -> None:
        nonlocal most
        most = max(most, complete + sum(sizes[number] for number in written) + running)
        progress(most, total)

    return tell


@dataclass(eq=False)
class _Member:
    """An actor, and what it does."""

    handle: Any
    task: Any  # the reference to what it was asked for, None = it is free
    shard: int | None = None  # that it writes
    facts: OpenedActor | None = None  # once its session is open


class Fleet:
    """Actors that write the shards of one data set, each shard by one of them at a time.

    Args:
        ray: connected.
        size: of an actor.
        arguments: of the actors.
        actor: their class: `ShardActor`, or another one with its `open`, `write` and `done`.
        options: of the actors, too.

    Attributes:
        deaths: actors that were lost, and replaced.
    """

    def __init__(
        self,
        ray: ModuleType,
        size: ActorSize,
        *arguments: Any,
        actor: type[Any] = ShardActor,
        **options: Any,
    ) -> None:
        self.deaths = 0
        self._recent_deaths = 0  # since a shard was finished
        self._ray = ray
        self._size = size
        self._new: Callable[[], Any] = lambda: (
            ray.remote(actor)
            .options(
                num_cpus=size.cpus,
                num_gpus=size.gpus,
                max_restarts=0,
                max_concurrency=2,  # it is asked for the progress while it writes
            )
            .remote(*arguments, **options)
        )
        self._members: list[_Member] = []
        self._first: OpenedActor | None = None  # as which all others have to draw

    @property
    def choice(self) -> str:
        """What runs where, and why, as one line."""
        assert self._first is not None, "the actors are gathered"
        facts = [member.facts for member in self._open()]
        machines = len({fact.machine for fact in facts if fact is not None})
        return (
            f"{len(facts)} {'actor' if len(facts) == 1 else 'actors'} of {self._size} on "
            f"{machines} {'machine' if machines == 1 else 'machines'}: {self._first.choice}"
        )

    def gather(self, count: int) -> None:
        """Start actors, and wait until they are open; or until some are and others had time.

        Raises:
            BundleError, InvalidInput: see `OpenedActor.check_draws_as`.
            MissingExtra, EngineError: see `Generator.open`; or they die again and again.
        """
        for _ in range(count):
            self._add()
        end = None
        while any(member.facts is None for member in self._members):
            self._wait()
            if self._open():
                end = end or time.monotonic() + OTHERS_SECONDS
                if time.monotonic() > end:
                    break

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of one of the actors gives."""
        handle = self._open()[0].handle
        try:
            return self._ray.get(getattr(handle, method).remote(*arguments))
        except Exception as error:
            raise_cause(error)

    def write(self, shards: Sequence[int], tell: Callable[[list[int], int], None]) -> None:
        """Have shards written, whatever becomes of single actors.

        Args:
            shards: their numbers.
            tell: told now and then which shards are written, and the images that are there of
                those that are being written.

        Raises:
            InvalidInput, EngineError, OSError: see `ShardActor.write`; or actors die again and
                again.
        """
        waiting = deque(shards)
        written: list[int] = []
        told = 0.0
        while len(written) < len(shards):
            for member in self._open():
                if member.task is None and waiting:
                    member.shard = waiting.popleft()
                    member.task = member.handle.write.remote(member.shard)
            for shard, is_written in self._wait():
                if is_written:
                    written.append(shard)
                    self._recent_deaths = 0
                else:
                    waiting.appendleft(shard)
            if time.monotonic() - told > TELL_SECONDS:
                tell(written, self._count_running_images())
                told = time.monotonic()

    def end(self) -> None:
        """End the actors, whatever they do: their journals tell what is there."""
        for member in self._members:
            self._ray.kill(member.handle)

    def _add(self) -> None:
        handle = self._new()
        self._members.append(_Member(handle, handle.open.remote()))

    def _open(self) -> list[_Member]:
        return [member for member in self._members if member.facts is not None]

    def _wait(self) -> list[tuple[int, bool]]:
        """Wait a little for actors. Gives the shards that they are done with, written or lost."""
        by_task = {member.task: member for member in self._members if member.task is not None}
        ready, _ = self._ray.wait(list(by_task), timeout=TELL_SECONDS)
        done = []
        for member in map(by_task.__getitem__, ready):
            shard = member.shard
            try:
                result = self._ray.get(member.task)
            except self._ray.exceptions.RayActorError as error:
                self._replace(member, error)
                result = error
            except Exception as error:
                raise_cause(error)
            if shard is not None:
                done.append((shard, result is None))
            elif isinstance(result, OpenedActor):
                self._first = self._first or result
                result.check_draws_as(self._first)
                member.facts = result
            member.task = member.shard = None
        return done

    def _replace(self, member: _Member, error: Exception) -> None:
        self._ray.kill(member.handle)  # it may be out of reach alone, and still run
        self._members.remove(member)
        self.deaths += 1
        self._recent_deaths += 1
        if self._recent_deaths == MOST_DEATHS:
            raise EngineError(
                f"{MOST_DEATHS} actors died one after the other, the last one so: "
                f"{one_line(error)} Ray's logs may say why, such as too little memory: "
                "/tmp/ray/session_latest/logs. To go on, run the same again."
            )
        self._add()

    def _count_running_images(self) -> int:
        asked = [
            member.handle.done.remote() for member in self._members if member.shard is not None
        ]
        answers, _ = self._ray.wait(asked, num_returns=len(asked), timeout=1) if asked else ([], [])
        total = 0
        for answer in answers:
            try:
                total += self._ray.get(answer)
            except self._ray.exceptions.RayActorError:  # `_wait` hears of it, too
                continue
        return total
