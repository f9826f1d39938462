"""Arrow types by what they hold."""

from __future__ import annotations

import pyarrow as pa


def is_list(kind: pa.DataType) -> bool:
    """True for every Arrow type of lists."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def depth(kind: pa.DataType) -> tuple[int, pa.DataType]:
    """How deep lists are nested, and the type of what they hold."""
    levels = 0
    while is_list(kind):
        levels, kind = levels + 1, kind.value_type
    return levels, kind


def is_number(kind: pa.DataType) -> bool:
    """True for Arrow types of numbers and truth values."""
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_boolean(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """True for every Arrow type of strings."""
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def holds_binary(kind: pa.DataType) -> bool:
    """True for encoded files: bytes, or a struct with "bytes"."""
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and holds_binary(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_plain(kind: pa.DataType) -> bool:
    """True for one value a cell: no list, no struct, no encoded file."""
    return not (is_list(kind) or pa.types.is_struct(kind) or holds_binary(kind))
