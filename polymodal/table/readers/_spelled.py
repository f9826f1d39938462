"""Columns stored as codes and values, at any depth, spelled out: measured before they are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polymodal.base.arrow import holds_binary, is_list, is_text
from polymodal.base.errors import UserError

# What a compressed column may grow to: this, or so many times what is stored of it.
MOST_BYTES = 512 * 2**20
EXPANSION = 50


def spelled_out(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column without dictionaries, inside lists and structs neither.

    Raises:
        UserError: a few values, named over and over, are far more memory than the column is.
    """
    kind = _without(column.type)
    if kind == column.type:
        return column
    size = int(sum(_bytes(chunk).sum() for chunk in column.chunks))
    if size > max(MOST_BYTES, EXPANSION * column.nbytes):
        raise UserError(
            "A column takes far more memory than its file",
            expected=f"at most {MOST_BYTES / 2**20:,.0f} MiB, or {EXPANSION} times what is stored",
            got=f"{size / 2**20:,.0f} MiB",
            do="shorten the values that occur over and over",
        )
    if pa.types.is_dictionary(column.type):  # Arrow casts none whose values are lists
        taken = [chunk.dictionary.take(chunk.indices) for chunk in column.chunks]
        return spelled_out(pa.chunked_array(taken, column.type.value_type))
    return column.cast(kind)


def _without(kind: pa.DataType) -> pa.DataType:
    """A type with the values' in the place of dictionaries."""
    if pa.types.is_dictionary(kind):
        return _without(kind.value_type)
    if pa.types.is_struct(kind):
        fields = [field.with_type(_without(field.type)) for field in kind]
        return kind if fields == list(kind) else pa.struct(fields)
    if is_list(kind) and _without(kind.value_type) != kind.value_type:
        inner = kind.value_field.with_type(_without(kind.value_type))
        if pa.types.is_fixed_size_list(kind):
            return pa.list_(inner, kind.list_size)
        return pa.large_list(inner) if pa.types.is_large_list(kind) else pa.list_(inner)
    return kind


def _bytes(array: pa.Array) -> np.ndarray:
    """The bytes of each cell once it is spelled out: `(cells,)` int64; of a missing one 0."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        # The last stands for missing codes.
        return np.append(_bytes(array.dictionary), 0)[codes]
    if is_text(kind) or (holds_binary(kind) and not pa.types.is_struct(kind)):
        return pc.fill_null(pc.binary_length(array), 0).to_numpy(False).astype(np.int64)
    if pa.types.is_struct(kind):
        parts = (_bytes(array.field(i)) for i in range(kind.num_fields))
        return sum(parts, np.zeros(len(array), np.int64))
    if is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(False)
        ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        inside = np.concatenate([[0], np.cumsum(_bytes(array.flatten()))])
        return np.diff(inside[ends])
    return np.full(len(array), 8, np.int64)
