"""An asyncio app: many tasks ask for pictures, and the event loop never waits for a drawing.

`stylert.open_async` draws in a thread of its own. A call that is cancelled before its turn, as by
`asyncio.timeout`, is never drawn.

python examples/asyncio_app.py BUNDLE --clients 8
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

import stylert


async def client(name: int, generate: Callable[[int], Awaitable[np.ndarray]]) -> None:
    """Ask for one picture, as a connection of a chat or a game would."""
    (image,) = await generate(name)
    print(f"client {name}: {image.shape}, mean {image.mean():.1f}")


async def heartbeat(ticks: list[float]) -> None:
    """What else the loop has to do."""
    while True:
        ticks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.001)


async def main() -> None:
    """Serve the clients together, then walk from one seed to the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()

    ticks: list[float] = []
    async with stylert.open_async(arguments.bundle) as generator:
        beating = asyncio.create_task(heartbeat(ticks))
        await asyncio.gather(*(client(i, generator.generate) for i in range(arguments.clients)))
        frames = [frame async for frame in generator.interpolate([1, 2], frames=8, loop=True)]
        beating.cancel()
    print(f"{len(frames)} frames of a walk; the loop went on {len(ticks)} times meanwhile")


if __name__ == "__main__":
    asyncio.run(main())
