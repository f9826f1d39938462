"""Audio: sounds in files, or arrays of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa

from polymodal.contract.block import Block
from polymodal.contract.form import Form, plain
from polymodal.contract.kind import Guess, Seen
from polymodal.contract.parts import SPANS, Parts, spans
from polymodal.modalities import _drawing
from polymodal.modalities._media import CELLS, Medium
from polymodal.modalities.audio import decode
from polymodal.modalities.audio.corruptions import _samples
from polymodal.nn.blocks import Descriptors
from polymodal.table.media import Media

# Of a sound that is drawn: samples a second and seconds that are read.
RATE, SECONDS = 8000, 30.0
# Second bytes of an MP3 or AAC frame.
_MPEG = b"\xfb\xfa\xf3\xf2\xe3\xe2\xfd\xfc\xf5\xf4\xf1\xf9\xf0\xf8"
_MAGIC = (
    *(b"fLaC", b"OggS", b"ID3", b"FORM", b"#!AMR", b".snd", b"caff", b"wvpk", b"MAC ", b"TTA1"),
    *(b"riff\x2e\x91\xcf\x11", b"Creative Voice", b"MPCK", b"DSD ", b"\x0b\x77"),
    *(b"\xff" + bytes([b]) for b in _MPEG),
)


@final
class Audio(Medium):
    """Sounds: files, or `{"array", "sampling_rate"}`; an array of samples only where declared."""

    columns: ClassVar = {"audio": CELLS}
    order: ClassVar[int] = 20
    suffixes: ClassVar = (
        *("wav", "wave", "flac", "ogg", "oga", "opus", "spx", "mp3", "mp2", "mpga"),
        *("m4a", "m4b", "m4r", "aac", "aif", "aiff", "aifc", "amr", "awb", "wma", "au"),
        *("snd", "caf", "3ga", "mka", "weba", "ac3", "eac3", "w64", "rf64", "bwf", "voc"),
        *("wv", "ape", "tta", "mpc", "dsf"),
    )
    accepts: ClassVar[str] = "audio/*"
    most: ClassVar = (600.0, "10 minutes")
    speaks: ClassVar[bool] = True
    encoder: ClassVar[str] = "cnn"
    raw: ClassVar[str] = "patch"
    sampled: ClassVar[bool] = True
    described: ClassVar[str | None] = "summary"

    def sniff(self, column: Seen) -> Guess | None:
        kind = column.data.type
        if pa.types.is_struct(kind) and "array" in kind.names:
            return Guess(self.name, "sampled sound")
        return None

    def opens(self, head: bytes) -> bool:
        wave = head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"
        m4a = head[4:8] == b"ftyp" and head[8:12] in (b"M4A ", b"M4B ", b"M4P ")
        # The first page of an Ogg file says what it holds.
        film = head[:4] == b"OggS" and b"theora" in head
        return wave or m4a or (head.startswith(_MAGIC) and not film)

    def measure(self, cell: Media) -> float:
        return decode.header(cell).seconds if cell.values is None else 0.0

    def block(self, form: Form, most: int) -> Block:
        return Descriptors()

    def parts(
        self, cell: Media, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """SPANS spans of what the forms read, replaced by silence."""
        samples, own = _samples.load(cell)
        forms = list(plain(forms))
        # An array's samples are taken to be at the rate that its form asks for.
        asked = (form.settings["rate"] for form in forms if "rate" in form.settings)
        rate = own or next(asked, 1)
        longest = max(form.settings.get("seconds", decode.LONGEST) for form in forms)
        samples = samples[: ceil(longest * rate)]
        labels, covered = [], []
        for start, end in spans(len(samples), SPANS):
            other = samples.copy()
            other[start:end] = 0
            covered.append(_samples.save(cell, other, own))
            labels.append(f"{start / rate:.2f}–{end / rate:.2f} s")
        whole = _samples.save(cell, samples, own)
        return whole, [Parts("seconds", "silence", labels, covered, "along")]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        return _draw


def _draw(cell: Media) -> str:
    """The highest and lowest sample in each of POINTS parts."""
    samples = decode.waveform(cell, RATE, SECONDS)
    parts = np.array_split(samples, min(_drawing.POINTS, len(samples)))
    peak = float(np.abs(samples).max()) or 1.0
    path = "".join(
        f"M{i} {16 - 15 * part.max() / peak:.1f}V{16.5 - 15 * part.min() / peak:.1f}"
        for i, part in enumerate(parts)
    )
    return _drawing.curves(len(parts), f'<path d="{path}"/>')
