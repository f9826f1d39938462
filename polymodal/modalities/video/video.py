"""Video: clips in files, or arrays of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

from polymodal.base.errors import UserError
from polymodal.contract.block import Block
from polymodal.contract.form import Form, plain
from polymodal.contract.parts import PARTS, Parts, numbered, spans
from polymodal.modalities import _drawing
from polymodal.modalities._levelled import levels
from polymodal.modalities._media import CELLS, Medium
from polymodal.modalities.image import picture
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.modalities.video import decode
from polymodal.modalities.video.corruptions import dropped_frames
from polymodal.nn.blocks import Descriptors
from polymodal.table.media import Media

_MAGIC = (
    *(b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"FLV\x01"),
    *(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x06\x0e\x2b\x34", b"\xb7\xd8\x00\x20"),
)


@final
class Video(Medium):
    """Clips: files, or arrays `(frames, height, width, 3)`; sound in them is not read."""

    columns: ClassVar = {"video": CELLS}
    order: ClassVar[int] = 30
    suffixes: ClassVar = (
        *("mp4", "m4v", "mov", "qt", "avi", "divx", "mkv", "webm", "mpg", "mpeg", "mpe"),
        *("m2v", "mpv", "vob", "ts", "mts", "m2ts", "m2t", "3gp", "3gpp", "3g2", "ogv"),
        *("ogm", "ogx", "flv", "f4v", "wmv", "asf", "wtv", "mxf", "dv"),
    )
    axes: ClassVar = (4,)
    accepts: ClassVar[str] = "video/*"
    # Of all frames together; the packets of none are decoded to count them.
    most: ClassVar = (64 * 25e6, "64 frames of 25 million pixels, or as many smaller ones")
    encoder: ClassVar[str] = "cnn"
    raw: ClassVar[str] = "patch"
    sampled: ClassVar[bool] = True
    described: ClassVar[str | None] = "summary"

    def opens(self, head: bytes) -> bool:
        avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
        # Kinds asked before know the brands of the same container that are theirs.
        mp4 = head[4:8] == b"ftyp"
        # Packets of 188 bytes, some with a time of 4 before each.
        transport = (
            head[:1] == b"G"
            and len(head) >= 4
            and not head[1] & 0x80
            and head[3] & 0xF0 in (0x10, 0x30)
        )
        theora = head[:4] == b"OggS" and b"theora" in head
        return bool(avi or mp4 or theora or transport) or head.startswith(_MAGIC)

    def measure(self, cell: Media) -> float:
        return decode.pixels(cell)

    def block(self, form: Form, most: int) -> Block:
        return Descriptors()

    def parts(
        self, cell: Media, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """The frames that the forms take, each replaced by the one before; of at most 224 pixels a
        side, in the whole cell too."""
        most = max(form.settings.get("frames", dropped_frames.FRAMES) for form in plain(forms))
        clip = dropped_frames.load(cell, most, next(map(levels, forms), PLAIN))
        labels, covered = [], []
        for start, end in spans(len(clip), PARTS):
            other = clip.copy()
            beside = start - 1 if start else end
            # A part that is the whole clip has no neighbour.
            other[start:end] = clip[beside] if beside < len(clip) else 0
            covered.append(Media(cell.label, values=other))
            labels.append(numbered("frame", start, end))
        replaced_by = "the frame before (the first: the one after; a single one: black)"
        whole = Media(cell.label, values=clip)
        return whole, [Parts("frames", replaced_by, labels, covered, "along")]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        learned = picture.learn(cell for cell in sample() if cell.values is not None)
        return lambda cell: _draw(cell, learned)


def _draw(cell: Media, learned: Levels) -> str:
    """Its middle frame."""
    frame = next(iter(decode.choose(cell, 1, learned)), None)
    if frame is None:
        raise UserError(f"{cell.label} has no frame that can be decoded")
    return _drawing.thumbnail(frame)
