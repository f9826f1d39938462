"""Whether a target is to be classified, regressed, labelled by several names, or word by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from polymodal.base.arrow import depth, holds_binary, is_list, is_text
from polymodal.base.errors import UserError
from polymodal.contract.kind import Guess, readers, worded
from polymodal.table import values
from polymodal.table._kinds import guess, lengths
from polymodal.table.read import Table
from polymodal.table.schema import Column

KINDS = ("category", "number", "set", "tags")
# Of the kinds that no modality reads what their cells are, in words.
CELLS = {"tags": "lists of labels"}
# A target of whole numbers with so many values at most is a choice among them.
CLASSES = 30


def target(
    table: Table, name: str, declared: Mapping[str, str], reads: Sequence[str] = ()
) -> Column:
    """The column to predict, as declared or as its cells say. UserError if it cannot be one.

    Args:
        reads: further kinds that its task predicts, which takes the column for the first of them
            where it could else be no target.
    """
    check_present(table, name)
    if name in declared:
        column = Column(name, declared[name])
    else:
        guessed = _guess_target(table, name)
        column = Column(name, guessed.kind, guessed.reason)
    if column.kind not in (*KINDS, *reads) and reads and name not in declared:
        column = Column(name, reads[0], "what its task predicts")
    if column.kind not in (*KINDS, *reads):
        raise UserError(
            f"The column '{name}' cannot be a target: {column.reason}",
            expected=f"one of the kinds {', '.join((*KINDS, *reads))}",
            got=column.kind,
            do=f"if it is one of them, say so: `kind` {name}=category",
        )
    return column


def check_present(table: Table, name: str) -> None:
    """UserError if a target has no values at all."""
    if table.data.column(name).null_count == len(table):
        raise UserError(
            f"The target '{name}' has no values in {table.source}",
            got=f"{len(table):,} missing cells",
            do="name another `target`, or fill the column in",
        )


def _guess_target(table: Table, name: str) -> Guess:
    column = table.data.column(name)
    if is_list(column.type):
        return _guess_lists(table, name)
    if pa.types.is_struct(column.type) or holds_binary(column.type):
        return guess(table, name)
    if pa.types.is_boolean(column.type):
        return Guess("category", "true or false: to classify")
    cells = [cell for cell in column.to_pylist() if cell is not None]
    found = values.numbers(cells)
    if found is not None:
        different = len(np.unique(found))
        repeated = different <= len(found) / 2 or different == 1
        if values.is_date(cells[0]):
            return Guess("number", "dates, as seconds since 1970: to regress")
        if different <= CLASSES and repeated and np.all(found == np.floor(found)):
            return Guess(
                "category",
                f"only {different} different whole numbers: to classify "
                f"(`kind` {name}=number to regress)",
            )
        return Guess(
            "number",
            f"{different:,} different numbers: to regress (`kind` {name}=category to classify)",
        )
    different = len({values.category(cell) for cell in cells})
    if different > len(cells) / 2 and different > 1:
        return Guess(worded(), f"{different:,} different texts in {len(cells):,} cells")
    return Guess("category", f"{different:,} different values: to classify")


def _guess_lists(table: Table, name: str) -> Guess:
    levels, inner = depth(table.data.column(name).type)
    if levels != 1 or pa.types.is_floating(inner) or pa.types.is_boolean(inner):
        return guess(table, name)
    others = [other for other in table.names if other != name]
    if any(_is_aligned(table, name, other) for other in others):
        return Guess("tags", "a list of labels, one a word")
    return Guess("set", "lists of labels: any number a row")


def _is_aligned(table: Table, tags: str, words: str) -> bool:
    """Whether a column has as many words as another has tags, in nearly all rows with both.

    Nearly: a stray miscounted sentence is a mistake to report, not a reason to take tags for sets.
    """
    column, other = table.data.column(tags), table.data.column(words)
    levels, inner = depth(other.type)
    if levels > 1 or not is_text(inner):
        return False
    ours, theirs = lengths(column), lengths(other)
    both = (ours >= 0) & (theirs >= 0)
    # A set of one label beside a column of single words is no sequence.
    equal = np.mean(ours[both] == theirs[both]) if both.any() else 0.0
    return bool(equal >= values.NEARLY_ALL and ours.max() > 1)


def tagged(table: Table, tags: str, inputs: Mapping[str, Column]) -> str:
    """The column whose words a tag target labels: lists of words before texts cut at spaces."""
    known = readers()
    found = [
        name
        for name, column in inputs.items()
        if not (column.kind in known and known[column.kind].media)
        and _is_aligned(table, tags, name)
    ]
    if not found:
        raise UserError(
            f"No column has as many words as '{tags}' has tags",
            expected="a column of word lists as long as the tags, row by row",
            got=f"columns {', '.join(inputs) or 'none'}",
            do="add the words that the tags belong to as a column of lists",
        )
    return min(found, key=lambda name: not is_list(table.data.column(name).type))
