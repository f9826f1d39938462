"""Text: strings, or lists of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa

from polymodal.base import arrow, words
from polymodal.contract.block import Block
from polymodal.contract.form import Form
from polymodal.contract.kind import Guess, Kind, Seen, Weights
from polymodal.contract.parts import PARTS, Parts, spans
from polymodal.modalities import _drawing
from polymodal.modalities.text.block import Ngrams
from polymodal.modalities.text.corruptions import _words
from polymodal.modalities.text.corruptions.dropped_words import BLANK
from polymodal.modalities.text.hashing import split
from polymodal.table import chat

# Texts shorter than this many words repeat without coming from one source.
LONG_TEXT = 10
# Texts that fewer rows than this share, on average, are no stock phrases.
SELDOM = 10
# So many texts at most show how many words they share; fewer than FEW may share none by chance; in
# fewer than this share of them a word that comes again, n-grams have nothing to learn from.
SAMPLE, FEW, SHARED = 2000, 20, 0.5
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@final
class Text(Kind):
    """Texts, cut into words by `base.words` or given as lists of words."""

    columns: ClassVar = {"text": "strings or lists of words", chat.KIND: "conversations"}
    # What no other kind claims is text.
    order: ClassVar[int] = 90
    words: ClassVar[bool] = True
    encoder: ClassVar[str] = "ngrams"
    raw: ClassVar[str] = "embedding"
    by_word: ClassVar[str | None] = "transformer"
    described: ClassVar[str | None] = "ngrams"
    scored: ClassVar[bool] = True
    # Trees cannot split on thousands of n-grams.
    split: ClassVar[bool] = False
    # A question may be asked of another picture; the picture itself was seen.
    seen_again: ClassVar[str] = "info"
    hub: ClassVar = (
        Weights("MiniLM", MINILM, "", "Apache-2.0", "English sentences"),
        Weights("E5", "intfloat/multilingual-e5-small", "", "MIT", "sentences of many languages"),
    )

    def given(self, column_kind: str) -> tuple[str, ...]:
        return "string", "strings"

    def sniff(self, column: Seen) -> Guess | None:
        if column.levels == 1 and arrow.is_text(column.inner):
            return Guess(self.name, "lists of words, some of them repeated", {"words": True})
        if not column.is_plain:
            return None
        cells = [str(cell) for cell in column.cells]
        if all(map(chat.is_written, cells)):
            return Guess(chat.KIND, "messages of people and an assistant")
        different, length = len(set(cells)), sum(map(words.count, cells)) / len(cells)
        found = f"{different:,} different values in {len(cells):,} cells"
        return Guess(self.name, f"{found}, {length:.1f} words on average")

    def fits(self, column_kind: str, cells: pa.DataType) -> bool:
        levels, inner = arrow.depth(cells)
        return arrow.is_text(inner) and levels <= (0 if column_kind == chat.KIND else 1)

    def doubt(self, column_kind: str, values: Sequence[Any]) -> str | None:
        """A vocabulary near empty: hardly a text has a word that another one has."""
        sample = values[:: max(1, len(values) // SAMPLE)]
        if len(sample) < FEW:
            return None
        texts = (" ".join(map(str, v)) if isinstance(v, list) else str(v) for v in sample)
        found = [set(words.words(text, marks=True)) | set(words.signed(text)) for text in texts]
        counts = Counter(word for text in found for word in text)
        shared = sum(any(counts[word] > 1 for word in text) for text in found)
        if shared >= SHARED * len(found):
            return None
        known = sum(count > 1 for count in counts.values())
        return f"only {known:,} words come in two of {len(found):,} texts or more"

    def read(self, value: Any) -> Any:
        return value if value is None or isinstance(value, list) else str(value)

    def is_rich(self, values: Sequence[Any], words: int | None = None) -> bool:
        return _is_long(values, LONG_TEXT if words is None else words)

    def groups(self, values: Sequence[Any]) -> bool:
        """Whether most texts are long and come several times, as captions of one scene in many
        pictures do."""
        counts = np.array(list(Counter(map(repr, values)).values()))
        return _is_long(values, LONG_TEXT) and float(np.mean(counts > 1)) > 0.5

    def block(self, form: Form, most: int) -> Block:
        return Ngrams(most)

    def parts(
        self, cell: Any, forms: Sequence[Form], sample: Iterable[Any]
    ) -> tuple[Any, list[Parts]]:
        """Words, each replaced by BLANK, so that their number stays."""
        pieces = split(cell)
        labels, covered = [], []
        for start, end in spans(len(pieces), PARTS):
            blanks = [BLANK] * (end - start)
            covered.append(_words.save(cell, [*pieces[:start], *blanks, *pieces[end:]]))
            labels.append(words.joined(pieces[start:end]))
        return cell, [Parts("words", f'"{BLANK}" for each word', labels, covered, "running")]

    def drawing(self, sample: Callable[[], Iterable[Any]]) -> Callable[[Any], str]:
        return lambda cell: f"<p>{_drawing.words(cell)}</p>"


def _is_long(values: Sequence[Any], least: int) -> bool:
    """Whether most texts are long and come seldom: "yes" repeats, an article does not."""
    known = [text for text in values if text is not None]
    present = [" ".join(text) if isinstance(text, list) else str(text) for text in known]
    lengths = [words.count(text) for text in present]
    seldom = len(set(present)) > len(present) / SELDOM
    # Where there is no text, there is none that comes seldom.
    return seldom and float(np.median(lengths)) >= least
