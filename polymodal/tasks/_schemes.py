"""How tags mark entities: the schemes people use, read as IOB2 and written back.

IOB2 has B-X for the first word of an entity of type X, I-X for its others and O outside. Ramshaw
and Marcus 1995, "Text Chunking using Transformation-Based Learning" (IOB1); Ratinov and Roth 2009,
"Design Challenges and Misconceptions in Named Entity Recognition" (BILOU).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Tags = Sequence[str | None]

# What entities without a type are called inside.
UNTYPED = "span"
# A tag that marks entities: what it says, how it is joined to the type, and the type.
_TAG = re.compile(r"([BIMELSUW])(?:([-_])(.+))?", re.DOTALL)
_STARTS, _ENDS = "BSUW", "ELSUW"


class Letters(NamedTuple):
    """Of a scheme: the letters of an entity's first, inner and last word, and of an only one."""

    first: str
    inner: str
    last: str
    only: str


# A scheme that asks for fewer letters comes first.
SCHEMES = {
    "IOB2": Letters("B", "I", "I", "B"),
    "IOE2": Letters("I", "I", "E", "E"),
    "IOBES": Letters("B", "I", "E", "S"),
    "BILOU": Letters("B", "I", "L", "U"),
    "BMES": Letters("B", "M", "E", "S"),
    "BMEWO": Letters("B", "M", "E", "W"),
}
# Begins an entity with B only where one of the same type goes before.
IOB1 = "IOB1"


@dataclass(frozen=True)
class Scheme:
    """How a column's tags mark entities.

    Attributes:
        name: of SCHEMES, or IOB1.
        mark: between letter and type, "-" or "_"; "" where there are no types.
        mended: entities that begin otherwise than the scheme says, and are read as beginning there.
    """

    name: str
    mark: str
    mended: int = 0

    @property
    def plain(self) -> bool:
        """Whether tags are IOB2 as they stand."""
        return self.name == "IOB2" and self.mark == "-" and not self.mended


def scheme(sequences: Sequence[Tags]) -> Scheme | None:
    """The scheme that tags are in; None if they do not mark entities, or not all of them do."""
    tags = {tag for sequence in sequences for tag in sequence if tag not in (None, "O")}
    found = [_TAG.fullmatch(str(tag)) for tag in tags]
    matches = [match for match in found if match is not None]
    letters, marks = {match[1] for match in matches}, {match[2] or "" for match in matches}
    # "S" and "E" alone may be anything.
    if not matches or len(matches) < len(found) or len(marks) > 1 or not letters & {"B", "I"}:
        return None
    mark = marks.pop()
    if not mark and not ("B" in letters and letters & set("IMEL")):
        return None
    name = next((n for n, known in SCHEMES.items() if letters <= set(known)), None)
    if name is None:
        return None
    lone, needless = _strays(sequences)
    if name == "IOB2" and lone and not needless:
        return Scheme(IOB1, mark)
    return Scheme(name, mark, 0 if name == "IOE2" else lone)


def read(tags: Tags) -> list[str | None]:
    """Tags of any scheme as IOB2; those that mark no entity stay as they are."""
    found: list[str | None] = []
    for tag, kind, begins in _steps(tags):
        found.append(tag if kind is None else f"{'B' if begins else 'I'}-{kind}")
    return found


def written(tags: Tags, given: Scheme) -> list[str | None]:
    """IOB2 tags in another scheme."""
    found: list[str | None] = []
    for i, tag in enumerate(tags):
        if tag is None or tag == "O":
            found.append(tag)
            continue
        kind = tag[2:]
        before = tags[i - 1] if i else None
        after = tags[i + 1] if i + 1 < len(tags) else None
        begins = tag[0] == "B" or before not in (f"B-{kind}", f"I-{kind}")
        letter = _letter(given.name, begins, after != f"I-{kind}", (before or "")[2:] == kind)
        found.append(f"{letter}{given.mark}{kind}" if given.mark else letter)
    return found


def _letter(name: str, begins: bool, ends: bool, touches: bool) -> str:
    if name == IOB1:
        return "B" if begins and touches else "I"
    letters = SCHEMES[name]
    if begins:
        return letters.only if ends else letters.first
    return letters.last if ends else letters.inner


def _strays(sequences: Sequence[Tags]) -> tuple[int, int]:
    """How many entities begin without a letter that begins one; and how many with a B that IOB1
    has no need of."""
    lone = needless = 0
    for sequence in sequences:
        before: str | None = None
        for tag, kind, begins in _steps(sequence):
            if tag is not None and kind is not None and begins:
                lone += tag[0] not in _STARTS
                needless += tag[0] in _STARTS and before != kind
            before = kind
    return lone, needless


def _steps(tags: Tags) -> Iterator[tuple[str | None, str | None, bool]]:
    """Each tag, the type of its entity (None outside), and whether it begins one."""
    before: str | None = "O"
    for tag in tags:
        match = None if tag is None or tag == "O" else _TAG.fullmatch(tag)
        if match is None:
            yield tag, None, False
        else:
            kind = match[3] or UNTYPED
            last = None if before is None else _TAG.fullmatch(before)
            # What follows an unknown tag cannot be judged.
            goes_on = before is None or (
                last is not None and (last[3] or UNTYPED) == kind and last[1] not in _ENDS
            )
            yield tag, kind, match[1] in _STARTS or not goes_on
        before = tag
