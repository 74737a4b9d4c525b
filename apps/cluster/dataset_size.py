"""How large an actor is, and how many of them a cluster has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stylert.runtime.arguments import shown
from stylert.runtime.errors import EngineError, InvalidInput

__all__ = ["ActorSize", "size_actors"]


@dataclass(frozen=True)
class ActorSize:
    """What an actor takes of a machine."""

    cpus: float
    gpus: float  # a part of one, too

    def __str__(self) -> str:
        parts = [_counted(self.gpus, "GPU")] if self.gpus else []
        return " and ".join([*parts, _counted(self.cpus, "CPU")])

    def room(self, machines: Sequence[Mapping[str, float]]) -> int:
        """How many actors fit onto machines, whose resources are counted as Ray does."""
        return sum(
            min(
                int(machine.get(name, 0.0) / taken + 1e-6)
                for name, taken in (("CPU", self.cpus), ("GPU", self.gpus))
                if taken
            )
            for machine in machines
        )


def size_actors(
    machines: Sequence[Mapping[str, float]],
    *,
    cpus: float | None,
    gpus: float | None,
    threads: int | None,
    provider: str,
) -> ActorSize:
    """The size that is asked for, or else one that makes use of whole machines.

    A GPU for each actor, with its share of the machine's CPUs; without GPUs, a machine for each.

    Args:
        machines: their resources as Ray counts them: 'CPU', 'GPU'.
        cpus: of an actor, None = see above.
        gpus: of an actor, None = see above.
        threads: of a session on the CPU, which are its CPUs; None = see above.
        provider: 'cpu' takes no GPU.

    Raises:
        InvalidInput: a number that is none of these.
        EngineError: no machine has room for one actor.
    """
    for name, number, least in (("cpus", cpus, 0.01), ("gpus", gpus, 0.0)):
        if number is not None and not least <= number <= 1024:
            raise InvalidInput(f"{name}: got {shown(number)}, expected {least:g} to 1024.")
    if gpus is None:
        gpus = 1.0 if provider != "cpu" and any(m.get("GPU") for m in machines) else 0.0
    if cpus is None:
        cpus = float(threads) if threads else _share(machines, gpus)
    size = ActorSize(float(cpus), float(gpus))
    if not size.room(machines):
        raise EngineError(
            f"No machine of the cluster has room for an actor of {size}. Ask for less, or add "
            "machines: ray start --address HOST:PORT"
        )
    return size


def _share(machines: Sequence[Mapping[str, float]], gpus: float) -> float:
    """CPUs of an actor where the machines are shared out; at least 1."""
    needed = "GPU" if gpus else "CPU"
    useful = [machine for machine in machines if machine.get(needed, 0) >= 1]
    shares = (m.get("CPU", 0.0) * (gpus / m["GPU"] if gpus else 1.0) for m in useful)
    return float(max(1, int(min(shares, default=1.0))))


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number <= 1 else f"{number:g} {unit}s"
