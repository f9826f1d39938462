"""Pictures are scaled by what training pictures hold, and what is not read of them is said."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.image import picture
from polymodal.modalities.image.corruptions.noise import Noise
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.modalities.image.forms.summary import Summary
from polymodal.modalities.image.image import Image as ImageKind
from polymodal.table.media import Media

RAMP = np.linspace(0, 1, 32 * 32).reshape(32, 32)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> Media:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return Media("row 3, column 'scan'", data=buffer.getvalue())


def grey(top: int, format: str) -> Media:
    return saved(Image.fromarray((RAMP * top).astype(np.uint16)), format)


def colours(top: int, codec: str) -> Media:
    """16 bits a channel, which Pillow cannot write."""
    writer = av.CodecContext.create(codec, "w")
    writer.width = writer.height = 32
    writer.pix_fmt, writer.time_base = "rgb48be" if codec == "png" else "rgb48le", Fraction(1, 25)
    pixels = np.repeat((RAMP * top).astype(np.uint16)[:, :, None], 3, 2)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format=writer.pix_fmt)
    frame.pts = 0
    packets = [*writer.encode(frame), *writer.encode(None)]
    return Media("row 3, column 'scan'", data=b"".join(bytes(packet) for packet in packets))


DEEP = {
    "10 bits": lambda: grey(1023, "PNG"),
    "12 bits": lambda: grey(4095, "PNG"),
    "12 bits in TIFF": lambda: grey(4095, "TIFF"),
    "14 bits": lambda: grey(16_383, "PNG"),
    "16 bits in part": lambda: saved(Image.fromarray((30_000 + 900 * RAMP).astype(np.uint16))),
    "16 bits": lambda: grey(65_535, "PNG"),
    "12 bits of colour": lambda: colours(4095, "png"),
    "12 bits of colour in TIFF": lambda: colours(4095, "tiff"),
    "real numbers": lambda: saved(Image.fromarray((0.02 * RAMP).astype(np.float32)), "TIFF"),
    "counts in an array": lambda: Media("a", values=(4095 * RAMP).astype(np.int64)),
    "below zero": lambda: Media("a", values=(2000 * RAMP - 1000).astype(np.int16)),
    "centred": lambda: Media("a", values=2 * RAMP - 1),
    "a mask": lambda: saved(Image.fromarray((5.99 * RAMP).astype(np.uint8))),
}


@pytest.mark.parametrize("case", DEEP)
def test_the_whole_range_of_brightness_is_used(case: str) -> None:
    cell = DEEP[case]()
    form = Pixels(size=32)
    form.fit(iter([cell] * 3))
    found = form.encode(cell)[:, :, 0].astype(float)
    assert found.min() <= 2 and found.max() >= 253
    far = 52 if case == "a mask" else 3  # it has six levels
    assert np.abs(found - 255 * RAMP).max() <= far
    again = Pixels(size=32)
    again.state = form.state
    np.testing.assert_array_equal(again.encode(cell), form.encode(cell))
    assert bool(form.state) == bool(form.notes) == (case != "16 bits")


def test_a_dead_pixel_is_not_white() -> None:
    scan = (4095 * RAMP).astype(np.uint16)
    scan[3, 3] = 65_535
    form = Pixels(size=32)
    form.fit([saved(Image.fromarray(scan))] * 2)
    assert np.ptp(form.encode(saved(Image.fromarray(scan)))) > 250


@pytest.mark.parametrize("cell", [saved(Image.fromarray((255 * RAMP).astype(np.uint8)))])
def test_ordinary_pictures_are_left_as_they_are(cell: Media) -> None:
    form = Pixels(size=32)
    form.fit([cell])
    assert form.state == {} and form.notes == []
    assert form.fingerprint == Pixels(size=32).fingerprint


def test_twelve_bits_can_be_learned_from() -> None:
    """Flat in 8 bits of 16, every class looks alike."""
    rng = np.random.default_rng(0)

    def scan(lying: bool) -> Media:
        lines = np.zeros((32, 32)) + 1500
        lines[rng.integers(4, 28) :][:4] += 60
        lines = lines if lying else lines.T
        return saved(Image.fromarray((lines + rng.normal(0, 10, lines.shape)).astype(np.uint16)))

    cells = [scan(i % 2 == 0) for i in range(60)]
    form = Summary()
    form.fit(cells[:30])
    x, y = np.stack([form.encode(cell) for cell in cells]), np.arange(60) % 2
    from sklearn.linear_model import RidgeClassifier

    assert RidgeClassifier().fit(x[:30], y[:30]).score(x[30:], y[30:]) > 0.95


def test_corruptions_parts_and_drawings_use_the_same_levels() -> None:
    cell = grey(4095, "PNG")
    form = Pixels(size=32)
    form.fit([cell])
    noise = Noise()
    noise.fit(form, [cell])
    worse = form.encode(noise(cell, 0.01, np.random.default_rng(0)))
    assert np.abs(worse.astype(float) - form.encode(cell)).mean() < 20
    whole, _ = ImageKind().parts(cell, [form], iter([cell]))
    np.testing.assert_array_equal(form.encode(whole), form.encode(cell))
    mask = saved(Image.fromarray((5.99 * RAMP).astype(np.uint8)))
    form.fit([mask])
    whole, _ = ImageKind().parts(mask, [form], iter([mask]))
    np.testing.assert_array_equal(form.encode(whole), form.encode(mask))
    draw = ImageKind().drawing(lambda: iter([cell]))
    assert draw(cell) != ImageKind().drawing(lambda: iter([]))(cell)


def sketch(colour: int, mode: str = "RGBA") -> Media:
    """A drawing of one colour on nothing."""
    pixels = np.full((32, 32, 4), colour, np.uint8)
    pixels[:, :, 3] = np.where(RAMP > 0.5, 255, 0)
    return saved(Image.fromarray(pixels).convert(mode))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("colour", "backdrop"), [(255, "black"), (0, "white"), (250, "black")])
def test_what_would_vanish_is_put_over_another_colour(
    colour: int, backdrop: str, mode: str
) -> None:
    form = Pixels(size=32)
    form.fit([sketch(colour, mode)] * 3)
    assert form.levels.backdrop == backdrop
    assert np.ptp(form.encode(sketch(colour, mode))) > 200
    assert any("vanish" in note for note in form.notes) == (backdrop == "black")


def test_white_and_black_drawings_are_put_over_grey() -> None:
    form = Pixels(size=32)
    form.fit([sketch(255), sketch(0), sketch(255)])
    assert form.levels.backdrop == "grey"


def pages(format: str) -> Media:
    frames = [Image.fromarray(np.full((16, 16, 3), i * 60, np.uint8)) for i in range(3)]
    return saved(frames[0], format, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_pages_after_the_first_are_said(format: str) -> None:
    assert Pixels().was_truncated(pages(format))
    assert not Pixels().was_truncated(saved(Image.new("RGB", (16, 16)), format))
    assert "pages" in Pixels().beyond


def test_a_bomb_of_scans_is_refused_before_it_is_decoded() -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    picture.read(Media("a", data=content), 64)
    last = content.rindex(b"\xff\xda")
    bomb = content[:-2] + content[last:-2] * 1000 + content[-2:]
    with pytest.raises(UserError, match="scans"):
        picture.read(Media("row 7", data=bomb), 64)


def test_clips_in_arrays_are_scaled_too() -> None:
    from polymodal.modalities.video.forms.frames import Frames

    clip = Media("a", values=np.stack([(4095 * RAMP)[:, :, None].astype(np.int32)] * 4))
    form = Frames(frames=2, size=32)
    form.fit([clip])
    assert np.ptp(form.encode(clip)) == 255 and "4090" in form.notes[0]
