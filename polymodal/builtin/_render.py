"""Facts to pixels, samples and steps, and those to the bytes of files; same in, same bytes out."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, Any]

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = {
    "red": (214, 48, 44),
    "green": (46, 150, 62),
    "blue": (44, 84, 204),
    "yellow": (232, 190, 36),
}
RATE = 8000
BEEP_SECONDS = 0.1
# Pictures are drawn this many times larger and averaged down, which smooths their edges.
SUPERSAMPLING = 4

_ARM = 0.38
_OUTLINES = {
    "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    "triangle": ((0.0, -1.1), (1.05, 0.8), (-1.05, 0.8)),
    "cross": (
        *((-_ARM, -1.1), (_ARM, -1.1), (_ARM, -_ARM), (1.1, -_ARM), (1.1, _ARM), (_ARM, _ARM)),
        *((_ARM, 1.1), (-_ARM, 1.1), (-_ARM, _ARM), (-1.1, _ARM), (-1.1, -_ARM), (-_ARM, -_ARM)),
    ),
}


@dataclass(frozen=True)
class Thing:
    """One object of a picture.

    Attributes:
        shape: one of SHAPES.
        colour: one of COLOURS.
        x, y: centre, as fractions of the picture's side, from the top left.
        radius: as a fraction of the side.
        angle: turn in radians.
    """

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float = 0.0


def around(thing: Thing) -> tuple[float, float, float, float]:
    """The smallest upright box around a thing: left, top, width, height, as fractions."""
    middle = np.array([[thing.x, thing.y]])
    reach = thing.radius * np.array([[-1, -1], [1, 1]])
    points = middle + reach if thing.shape == "circle" else _corners(thing)
    low, high = points.min(0), points.max(0)
    left, top, width, height = (float(number) for number in (*low, *(high - low)))
    return left, top, width, height


def picture(
    things: Sequence[Thing], size: int, rng: np.random.Generator, speckle: float = 0.0
) -> Array:
    """Things on a plain pale ground, uint8 `(size, size, 3)`.

    Args:
        rng: varies the ground's shade and every thing's tone a little.
        speckle: standard deviation of the noise added to every pixel, in grey levels.
    """
    side = size * SUPERSAMPLING
    shade = int(rng.integers(225, 256))
    canvas = Image.new("RGB", (side, side), (shade, shade, shade))
    pen = ImageDraw.Draw(canvas)
    for thing in things:
        toned = np.clip(np.array(COLOURS[thing.colour]) + rng.integers(-18, 19, 3), 0, 255)
        _draw(pen, thing, side, (int(toned[0]), int(toned[1]), int(toned[2])))
    pixels = np.asarray(canvas.reduce(SUPERSAMPLING))
    return speckled(pixels, speckle, rng) if speckle else pixels


def speckled(pixels: Array, deviation: float, rng: np.random.Generator) -> Array:
    """uint8 pixels with normal noise added to each."""
    noisy = pixels + rng.normal(0, deviation, pixels.shape)
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


def beeps(
    hertz: float, starts: Sequence[float], seconds: float, rng: np.random.Generator, hiss: float
) -> Array:
    """Equal short beeps over white noise, float `(samples,)` in [-1, 1] at RATE.

    Args:
        hertz: their pitch.
        starts: when each begins, in seconds.
        seconds: how long the sound is.
        rng: varies loudness, timbre (a second harmonic) and phase, and makes the noise.
        hiss: standard deviation of the noise.
    """
    samples = rng.normal(0, hiss, round(seconds * RATE))
    time = np.arange(round(BEEP_SECONDS * RATE)) / RATE
    loudness, harmonic = rng.uniform(0.35, 0.6), rng.uniform(0, 0.25)
    for start in starts:
        phase = 2 * np.pi * (hertz * time + rng.uniform())
        beep = loudness * np.hanning(len(time)) * (np.sin(phase) + harmonic * np.sin(2 * phase))
        first = round(start * RATE)
        samples[first : first + len(time)] += beep
    return np.clip(samples, -1, 1)


def drift(direction: Sequence[float], steps: int, rng: np.random.Generator, noise: float) -> Array:
    """Velocity of something that moves once, float32 `(steps, len(direction))`, roughly in m/s.

    Args:
        direction: what the velocity points to while it moves.
        rng: varies when, how long and how fast it moves, and makes the noise.
        noise: standard deviation of the noise in every channel.
    """
    length = int(rng.integers(steps // 3, 2 * steps // 3))
    start = int(rng.integers(0, steps - length + 1))
    speed = np.zeros(steps)
    speed[start : start + length] = rng.uniform(0.8, 1.2) * np.hanning(length)
    moved = speed[:, None] * np.asarray(direction, float)
    return (moved + rng.normal(0, noise, moved.shape)).astype(np.float32)


def disc(x: float, y: float, radius: float, size: int, shades: tuple[int, int]) -> Array:
    """One disc with a soft edge, uint8 `(size, size)`: a frame of a clip.

    Args:
        x, y, radius: as fractions of the side.
        shades: grey levels of the ground and of the disc.
    """
    centres = (np.arange(size) + 0.5) / size
    distance = np.hypot(centres[None, :] - x, centres[:, None] - y)
    inside = np.clip((radius - distance) * size + 0.5, 0, 1)
    return np.rint(shades[0] + inside * (shades[1] - shades[0])).astype(np.uint8)


def png(pixels: Array) -> bytes:
    """uint8 `(height, width[, 3])` to a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(samples: Array) -> bytes:
    """Float `(samples,)` in [-1, 1] at RATE to a 16-bit mono WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def npy(values: Array) -> bytes:
    """Any array to a NumPy file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def mp4(frames: Array, rate: int = 10) -> bytes:
    """uint8 `(frames, height, width)` in grey levels to an MP4 file; sides must be even.

    MPEG-4 at its finest keeps a grey level to within a few. One thread and no dates, as the bytes
    must depend on nothing else.

    Args:
        rate: frames a second.
    """
    import av

    file = io.BytesIO()
    bare = {"fflags": "+bitexact"}
    with av.open(file, "w", format="mp4", container_options=bare) as container:
        stream = container.add_stream("mpeg4", rate=rate, options={"qmin": "1", "qmax": "2"})
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return file.getvalue()


def _draw(pen: ImageDraw.ImageDraw, thing: Thing, side: int, colour: tuple[int, int, int]) -> None:
    x, y, radius = thing.x * side, thing.y * side, thing.radius * side
    if thing.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        return
    pen.polygon([(float(a), float(b)) for a, b in side * _corners(thing)], fill=colour)


def _corners(thing: Thing) -> Array:
    """The corners of anything but a circle `(n, 2)`, as fractions of the side."""
    turn = np.array(
        [
            [np.cos(thing.angle), np.sin(thing.angle)],
            [-np.sin(thing.angle), np.cos(thing.angle)],
        ]
    )
    corners: Array = thing.radius * np.array(_OUTLINES[thing.shape]) @ turn + (thing.x, thing.y)
    return corners
