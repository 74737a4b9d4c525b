"""A live view: an endless walk from seed to seed in a window of tkinter, with psi on a slider.

python examples/live_view.py BUNDLE
python examples/live_view.py BUNDLE --frames 24 --offscreen   # without a display
"""

import argparse
import itertools
import tkinter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np

import stylert


def walk(generator: stylert.Generator, knobs: SimpleNamespace) -> Iterator[bytes]:
    """Frame after frame, each with the psi of its moment, as the PPM file that tkinter takes."""
    for seed in itertools.count():
        for t in np.linspace(0, 1, 60, endpoint=False):
            keyframes = [seed, seed + 1]
            ws = generator.styles_between(keyframes, t, truncation_psi=knobs.psi, curve="linear")
            (image,) = generator.synthesize(ws)
            H, W, C = image.shape
            yield b"P%d %d %d 255 " % (6 if C == 3 else 5, W, H) + image.tobytes()


def show(frames: Iterator[bytes], knobs: SimpleNamespace, pool: ThreadPoolExecutor) -> None:
    """Show them in a window; a thread draws one ahead, so that the window never waits."""
    window = tkinter.Tk(className="StyleRT")
    picture = tkinter.PhotoImage(master=window)
    tkinter.Label(window, image=picture).pack()
    slider = tkinter.Scale(window, label="psi", to=1, resolution=0.01, orient="horizontal")
    slider.set(knobs.psi)
    slider.pack(fill="x")

    def tick(drawn: Future[bytes]) -> None:
        knobs.psi = slider.get()
        if drawn.done():
            if not drawn.result():
                return window.destroy()  # no more frames
            picture.configure(data=drawn.result())
            drawn = pool.submit(next, frames, b"")
        window.after(5, tick, drawn)

    tick(pool.submit(next, frames, b""))
    window.mainloop()


parser = argparse.ArgumentParser()
parser.add_argument("bundle")
parser.add_argument("--frames", type=int)
parser.add_argument("--offscreen", action="store_true")
options = parser.parse_args()
knobs = SimpleNamespace(psi=0.7)
with stylert.open(options.bundle) as generator, ThreadPoolExecutor(1) as pool:
    frames = itertools.islice(walk(generator, knobs), options.frames)
    if options.offscreen:
        print(f"{sum(1 for _ in frames)} frames")
    else:
        show(frames, knobs, pool)
