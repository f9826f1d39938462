"""Pictures in every shape people have them."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.table.media import Media

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(picture: Image.Image, format: str = "PNG", **options: object) -> Media:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return Media("row 3, column 'photo'", data=buffer.getvalue())


def encode(cell: Media, size: int = 16, resize: str = "pad") -> np.ndarray:
    encoded = Pixels(size=size, resize=resize).encode(cell)
    assert encoded.shape == (size, size, 3) and encoded.dtype == np.uint8
    return encoded


def noise(height: int = 16, width: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_a_picture_of_the_right_size_comes_through_unchanged(format: str) -> None:
    pixels = np.where(noise() > 127, 255, 0).astype(np.uint8)
    options = {"lossless": True} if format == "WEBP" else {}
    assert (encode(saved(Image.fromarray(pixels), format, **options)) == pixels).all()


@pytest.mark.parametrize(("format", "far"), [("JPEG", 6), ("WEBP", 6)])
def test_lossy_formats_come_close(format: str, far: int) -> None:
    smooth = np.linspace(0, 255, 16).astype(np.uint8)[None, :, None].repeat(16, 0).repeat(3, 2)
    encoded = encode(saved(Image.fromarray(smooth), format, quality=95))
    assert np.abs(encoded.astype(int) - smooth).max() <= far


def test_greyscale_becomes_three_equal_channels() -> None:
    grey = noise()[:, :, 0]
    assert (encode(saved(Image.fromarray(grey))) == grey[:, :, None]).all()


def test_sixteen_bit_greyscale_keeps_its_brightness() -> None:
    deep = noise()[:, :, 0].astype(np.uint16) * 257
    assert (encode(saved(Image.fromarray(deep))) == noise()[:, :, :1]).all()


def test_integer_pictures_are_sixteen_bit_or_refused() -> None:
    wide = noise()[:, :, 0].astype(np.int32) * 257
    assert (encode(saved(Image.fromarray(wide), "TIFF")) == noise()[:, :, :1]).all()
    with pytest.raises(UserError, match="no brightness"):
        encode(saved(Image.fromarray(wide - 1), "TIFF"))


def test_one_bit_pictures_are_black_and_white() -> None:
    bits = noise()[:, :, 0] > 127
    assert (encode(saved(Image.fromarray(bits)))[:, :, 0] == bits * 255).all()


def test_cmyk_is_converted() -> None:
    cell = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(encode(cell).astype(int) - RED).max() < 40


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_places_are_white(mode: str) -> None:
    picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 8, 16))
    if mode == "P":
        picture = picture.quantize(4)
    encoded = encode(saved(picture.convert(mode)))
    assert (encoded[:, :8] == 0).all() and (encoded[:, 8:] == 255).all()


def test_half_transparent_red_over_white_is_pink() -> None:
    encoded = encode(saved(Image.new("RGBA", (16, 16), (*RED, 128))))
    assert np.abs(encoded.astype(int) - (255, 127, 127)).max() <= 1


def test_exif_orientation_is_applied() -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the top is the picture's right
    encoded = encode(saved(Image.fromarray(pixels), exif=exif))
    assert (encoded[:, 12:] == 255).all() and (encoded[:, :12] == 0).all()


def test_pad_keeps_the_aspect_ratio_and_continues_the_edges() -> None:
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:4], wide[4:] = RED, WHITE
    encoded = encode(saved(Image.fromarray(wide)))
    assert (encoded[:6] == RED).all() and (encoded[10:] == WHITE).all()


def test_stretch_fills_the_square() -> None:
    wide = np.zeros((8, 32, 3), np.uint8)
    wide[:, 16:] = 255
    encoded = encode(saved(Image.fromarray(wide)), resize="stretch")
    assert (encoded[:, :6] == 0).all() and (encoded[:, 10:] == 255).all()


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    inside = encode(saved(Image.fromarray(stripes)))[1:-1, 1:-1]
    assert np.abs(inside.astype(int) - 127).max() <= 3


def test_a_large_jpeg_looks_like_the_same_picture_as_png() -> None:
    y, x = np.mgrid[:900, :1200]
    smooth = np.stack([x * 255 // 1199, y * 255 // 899, (x + y) * 255 // 2098], 2).astype(np.uint8)
    jpeg = encode(saved(Image.fromarray(smooth), "JPEG", quality=95), size=32)
    png = encode(saved(Image.fromarray(smooth)), size=32)
    assert np.abs(jpeg.astype(int) - png).max() <= 6


def test_an_animated_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, WHITE)]
    cell = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (encode(cell) == RED).all()


@given(arrays(np.uint8, (16, 16, 3)))
def test_arrays_and_files_agree(pixels: np.ndarray) -> None:
    from_file = encode(saved(Image.fromarray(pixels)))
    assert (from_file == pixels).all()
    assert (encode(Media("a", values=pixels)) == pixels).all()
    assert (encode(Media("a", values=pixels.astype(np.int64))) == pixels).all()
    assert (encode(Media("a", values=pixels / 255)) == pixels).all()


def test_arrays_of_one_two_or_four_dimensions_of_colour() -> None:
    grey = noise()[:, :, 0]
    expected = grey[:, :, None].repeat(3, 2)
    assert (encode(Media("a", values=grey)) == expected).all()
    assert (encode(Media("a", values=grey[:, :, None])) == expected).all()
    assert (encode(Media("a", values=grey > 127)) == np.where(expected > 127, 255, 0)).all()
    clear = np.zeros((16, 16, 4), np.uint8)
    assert (encode(Media("a", values=clear)) == 255).all()


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["pad", "stretch"]))
def test_any_shape_of_one_colour_stays_that_colour(height: int, width: int, resize: str) -> None:
    encoded = encode(Media("a", values=np.full((height, width, 3), 77, np.uint8)), resize=resize)
    assert (encoded == 77).all()


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds nothing."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(header))
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + check
        + struct.pack(">I", 9)
        + b"IDAT"
    )


PNG = saved(Image.fromarray(noise(64, 64))).data or b""
JPEG = saved(Image.fromarray(noise(64, 64)), "JPEG").data or b""
GIF = saved(Image.fromarray(noise(64, 64)), "GIF").data or b""
BAD_FILES = {
    "text": (b"this is text, whatever its name says\n", "not an image"),
    "empty": (b"", "empty"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "half a PNG": (PNG[: len(PNG) // 2], "truncated"),
    "half a JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "a PNG's header alone": (png_header(10, 10), "truncated"),
    "51 Mpixel": (png_header(51_000, 1000), "too large"),
    "100 Mpixel": (png_header(10_000, 10_000), "too large"),
    "a billion pixels": (png_header(50_000, 50_000), "too large"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_the_users_error(name: str) -> None:
    content, reason = BAD_FILES[name]
    with pytest.raises(UserError, match=reason) as caught:
        encode(Media("row 3, column 'photo'", data=content))
    assert "row 3, column 'photo'" in str(caught.value)


@given(st.sampled_from([PNG, JPEG, GIF]), st.data())
def test_a_damaged_file_gives_a_picture_or_the_users_error(
    whole: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UserError):
        encode(Media("a", data=bytes(damaged)))


BAD_ARRAYS = {
    "channels first": (np.zeros((3, 16, 16), np.uint8), "no picture"),
    "one dimension": (np.zeros(16, np.uint8), "no picture"),
    "no pixels": (np.zeros((0, 16, 3), np.uint8), "no picture"),
    "floats to 255": (np.full((4, 4), 200.0), "no brightness"),
    "negative": (np.full((4, 4), -1), "no brightness"),
    "NaN": (np.full((4, 4), np.nan), "no brightness"),
    "strings": (np.full((4, 4), "a"), "not of numbers"),
    "ragged": ([[1, 2], [3]], "ragged"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays_are_the_users_error(name: str) -> None:
    values, reason = BAD_ARRAYS[name]
    with pytest.raises(UserError, match=reason) as caught:
        encode(Media("row 3, column 'photo'", values=values))
    assert "row 3, column 'photo'" in str(caught.value)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 5000}, {"resize": "crop"}])
def test_bad_options_are_the_users_error(options: dict) -> None:
    with pytest.raises(UserError):
        Pixels(**options)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(28, 28)] * 5, {"size": 28, "resize": "stretch"}),
        ([(400, 100)] * 5, {"size": 64, "resize": "stretch"}),
        ([(40, 30), (30, 40), (40, 30), (30, 40)], {"size": 40, "resize": "pad"}),
        ([], {}),
    ],
)
def test_suggested_options_suit_the_pictures(shapes: list, expected: dict) -> None:
    cells = [saved(Image.new("RGB", shape)) for shape in shapes]
    assert Pixels.suggest(cells) == expected
    arrays = [Media("a", values=np.zeros((h, w, 3), np.uint8)) for w, h in shapes]
    assert Pixels.suggest([*arrays, Media("broken", data=b"text")]) == expected


def test_pictures_turned_by_exif_count_as_they_are_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new("RGB", (40, 30))
    cells = [saved(picture, "JPEG"), saved(picture, "JPEG", exif=exif)] * 3
    assert Pixels.suggest(cells)["resize"] == "pad"


def test_a_larger_limit_is_used_where_pictures_have_the_pixels() -> None:
    cells = [saved(Image.new("RGB", (200, 150)))]
    assert Pixels.suggest(cells, largest=96)["size"] == 96


def test_every_option_changes_the_fingerprint() -> None:
    prints = {Pixels(**o).fingerprint for o in ({}, {"size": 32}, {"resize": "stretch"})}
    assert len(prints) == 3
