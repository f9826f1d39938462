"""Parquet and Arrow files, and saved Hugging Face data sets, without holding their media in memory.

Encoded media inside an Arrow file are not read: their cells become `{"path", "offset", "size"}`,
the place in the file where the bytes lie. Parquet is compressed, so there is no such place; large
binary columns are copied once to an uncompressed Arrow file in the cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from polymodal.base import files, sealed
from polymodal.base.arrow import holds_binary
from polymodal.base.errors import UserError
from polymodal.base.files import whole
from polymodal.table.readers._spelled import MOST_BYTES

# Binary columns of a Parquet file up to this size are simply read.
SPOOL_BYTES = 256 * 2**20
_BUFFER_BYTES = 2**20
# A batch of large pictures must stay small.
_SPOOL_ROWS = 16
# What pyarrow raises at a damaged file.
_BROKEN = (pa.ArrowException, ValueError, OSError)
_POINTER = pa.struct([("path", pa.string()), ("offset", pa.int64()), ("size", pa.int64())])


def read_parquet(path: Path, cache: Path | None) -> tuple[pa.Table, Path]:
    """One Parquet file; large binary columns go through an Arrow file in `cache`, if given.

    Returns:
        The table, and the file that its cells may point into.

    Raises:
        UserError: the file is broken, or the cache has no room.
    """
    try:
        with pq.ParquetFile(path) as file:
            _refuse_bomb(path, file.metadata)
            repeating = _repeating(file.metadata)
        with pq.ParquetFile(
            path, pre_buffer=False, buffer_size=_BUFFER_BYTES, read_dictionary=repeating
        ) as file:
            if cache is None or _binary_bytes(file) <= SPOOL_BYTES:
                return class_names(_sound(file.read())), path
            unpacked = _spool(path, file, cache)
            return read_arrow(unpacked), unpacked
    except _BROKEN as error:
        raise _broken(path, "Parquet", error) from error


def _refuse_bomb(path: Path, metadata: pq.FileMetaData) -> None:
    """UserError if a file says that it holds far more rows, or lists, than its size can mean."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    # Of lists these are all that stands in them.
    held = sum(group.column(i).num_values for group in groups for i in range(group.num_columns))
    cells = max(held, metadata.num_rows * max(1, metadata.num_columns))
    if cells * 8 > max(MOST_BYTES, 1000 * path.stat().st_size):
        raise UserError(
            f"{path} says that it holds {metadata.num_rows:,} rows with {cells:,} values in "
            f"{path.stat().st_size:,} bytes",
            expected="a file whose size is that of its rows",
            do="check where it comes from",
        )


def _repeating(metadata: pq.FileMetaData) -> list[str]:
    """Columns of texts whose few values might be far more memory than they take in the file.

    They are read as they are stored, codes and values, and measured before they are spelled out.
    """
    found = set()
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        for k in range(group.num_columns):
            column = group.column(k)
            coded = any("DICTIONARY" in encoding for encoding in column.encodings)
            most = column.num_values * column.total_uncompressed_size
            if coded and column.physical_type == "BYTE_ARRAY" and most > MOST_BYTES:
                found.add(column.path_in_schema)
    return sorted(found)


def read_arrow(path: Path) -> pa.Table:
    """One Arrow file (IPC file or stream, Feather 2), memory-mapped.

    Raises:
        UserError: the file is broken.
    """
    try:
        mapped = pa.memory_map(str(path))
        whole = mapped.read_buffer(mapped.size())
        mapped.seek(0)
        is_file = whole[:6].to_pybytes() == b"ARROW1"
        reader = ipc.open_file(mapped) if is_file else ipc.open_stream(mapped)
        table = _sound(reader.read_all())
    except _BROKEN as error:
        raise _broken(path, "Arrow", error) from error
    for i, field in enumerate(table.schema):
        if holds_binary(field.type):
            column = _point(table.column(i), whole, str(path.resolve()))
            table = table.set_column(i, field.name, column)
    return class_names(table)


def dataset_files(folder: Path) -> list[Path] | None:
    """The Arrow files of a data set saved by `datasets`, in order; None if `folder` is none.

    Raises:
        UserError: the folder holds several splits.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _told(folder / "dataset_dict.json", lambda told: [str(s) for s in told["splits"]])
        raise UserError(
            f"{folder} holds several splits",
            expected="one of them",
            got=", ".join(splits),
            do=f"name one, for example {folder / splits[0]}",
        )
    if not (folder / "state.json").is_file():
        return None
    names = _told(
        folder / "state.json", lambda told: [str(o["filename"]) for o in told["_data_files"]]
    )
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(
                f"{folder} names a file that is not in it",
                expected="Arrow files of its own folder",
                got=repr(name)[:200],
                do="save the data set again",
            )
    return [folder / name for name in names]


def _told(path: Path, names: Callable[[Any], list[str]]) -> list[str]:
    """Names out of what `datasets` says of a folder; UserError unless there are some."""
    try:
        found = names(files.read_json(path))
        if not found:
            raise ValueError("it names nothing")
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{path} is not what `datasets` writes",
            got=f"{type(error).__name__}: {error}"[:200],
            do="save the data set again",
        ) from error
    return found


def class_names(table: pa.Table) -> pa.Table:
    """Hugging Face ClassLabel codes, alone or in lists, as the names that the metadata gives."""
    described = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(described)["info"]["features"] if described else {}
        for name, feature in features.items():
            if name in table.column_names and isinstance(feature, Mapping):
                names = _names(feature)
                if names is not None:
                    i = table.column_names.index(name)
                    decoded = [_decode(chunk, names) for chunk in table.column(i).chunks]
                    if decoded:
                        table = table.set_column(i, name, pa.chunked_array(decoded))
    except (*_BROKEN, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            "The table's Hugging Face features are not those of its columns",
            expected="features as `datasets` writes them",
            got=f"{type(error).__name__}: {error}"[:200],
            do="write the table again, or without its metadata",
        ) from error
    return table.replace_schema_metadata(None)


def _sound(table: pa.Table) -> pa.Table:
    """The table, checked: pyarrow trusts a file's offsets and may crash on wrong ones later."""
    table.validate(full=True)
    return table


def _names(feature: Mapping[str, Any]) -> pa.Array | None:
    if feature.get("_type") in ("Sequence", "List", "LargeList"):
        inner = feature.get("feature")
        return _names(inner) if isinstance(inner, Mapping) else None
    return pa.array(feature["names"]) if feature.get("_type") == "ClassLabel" else None


def _decode(chunk: pa.Array, names: pa.Array) -> pa.Array:
    if pa.types.is_list(chunk.type) or pa.types.is_large_list(chunk.type):
        lengths = pc.list_value_length(chunk)
        ends = np.cumsum(lengths.fill_null(0).to_numpy(zero_copy_only=False))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        values = _decode(chunk.flatten(), names)
        return pa.ListArray.from_arrays(offsets, values, mask=chunk.is_null())
    # -1 stands for a label that is not known.
    codes = pc.if_else(pc.less(chunk, 0), pa.scalar(None, chunk.type), chunk)
    return names.take(codes)


def _point(column: pa.ChunkedArray, whole: pa.Buffer, path: str) -> pa.ChunkedArray:
    """A binary column of a memory-mapped file as the places of its values in that file."""
    chunks = [_point_chunk(chunk, whole, path) for chunk in column.chunks]
    if any(chunk is None for chunk in chunks):
        return column
    return pa.chunked_array(chunks, _POINTER)


def _point_chunk(chunk: pa.Array, whole: pa.Buffer, path: str) -> pa.Array | None:
    paths = pa.nulls(len(chunk), pa.string())
    if pa.types.is_struct(chunk.type):
        fields = dict(zip(chunk.type.names, chunk.flatten(), strict=True))
        paths, chunk = fields.get("path", paths), fields["bytes"]
    _, offsets, data = chunk.buffers()
    if data is None:  # nothing but nulls
        start = size = np.zeros(len(chunk), np.int64)
    else:
        if not whole.address <= data.address < whole.address + max(whole.size, 1):
            return None  # decompressed into memory
        width = np.int64 if pa.types.is_large_binary(chunk.type) else np.int32
        ends = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1]
        start, size = ends[:-1] + (data.address - whole.address), np.diff(ends)
    here = chunk.is_valid()
    nothing = pa.scalar(None, pa.int64())
    return pa.StructArray.from_arrays(
        [
            pc.if_else(here, path, paths),
            pc.if_else(here, pa.array(start, pa.int64()), nothing),
            pc.if_else(here, pa.array(size, pa.int64()), nothing),
        ],
        fields=list(_POINTER),
    )


def _binary_bytes(file: pq.ParquetFile) -> int:
    """Uncompressed size of the columns that hold encoded files."""
    binary = {field.name for field in file.schema_arrow if holds_binary(field.type)}
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    return sum(
        column.total_uncompressed_size
        for column in columns
        if column.path_in_schema.split(".")[0] in binary
    )


def _spool(path: Path, file: pq.ParquetFile, cache: Path) -> Path:
    """A Parquet file as an uncompressed Arrow file in the cache, written once for each content.

    It is called by the hashes of both: one that has been spoilt since is written again.
    """
    folder, content = cache / "tables", sealed.hashed(path)
    for found in folder.glob(f"{content}-*.arrow"):
        if found.stem == f"{content}-{sealed.hashed(found)}":
            return found
        found.unlink(missing_ok=True)
    unpacked = folder / f"{content}.arrow"
    try:
        with whole(unpacked) as temporary:
            _write(_batches(file), file.schema_arrow, str(temporary))
        return unpacked.rename(folder / f"{content}-{sealed.hashed(unpacked)}.arrow")
    except UserError as error:
        raise UserError(
            f"{path} cannot be unpacked into the cache {cache} ({error.got})",
            do="set POLYMODAL_CACHE to a folder on a disk with room that you may write to",
        ) from error


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(_SPOOL_ROWS)
    except OSError as error:  # it is not the disk written to that is at fault
        raise ValueError(str(error)) from error


def _write(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, ipc.new_file(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _broken(path: Path, kind: str, error: Exception) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(f"{path} may not be read (permission denied)")
    return UserError(
        f"{path} is not a whole {kind} file ({str(error)[:200]})",
        do="write or download it again",
    )


def from_datasets(source: Any) -> pa.Table:
    """A `datasets.Dataset`, its media not decoded."""
    if isinstance(source, Mapping):
        raise UserError(
            "The given DatasetDict holds several splits",
            expected="one of them",
            got=", ".join(source),
            do=f"pass data['{next(iter(source), 'train')}']",
        )
    if not hasattr(source, "num_rows"):
        raise UserError(
            f"A {type(source).__name__} has no known number of rows",
            expected="a datasets.Dataset",
            do="load it without streaming=True",
        )
    return class_names(source.with_format("arrow")[:])
