"""Reading: every format gives the same table, and every broken file one clear error."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Callable
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.table.read import Table, read
from polymodal.table.readers import columnar, delimited
from polymodal.table.readers import plain as plain_module

MARKS = set(plain_module.MARKS)

ROWS = [
    {"text": "None of them, she said\n\"no\"", "age": 31, "score": 0.5, "tags": ["a", "b"]},
    {"text": None, "age": 7, "score": None, "tags": []},
    {"text": "žluťoučký kůň; 猫\t!", "age": None, "score": -2.0, "tags": None},
]  # fmt: skip


def fails(source: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(source, **options)
    return str(caught.value)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_csv(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], **options)
        writer.writeheader()
        for row in rows:
            cells = {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()}
            writer.writerow({k: "" if v is None else v for k, v in cells.items()})
    return path


def write_arrow(path: Path, table: pa.Table, new: Callable[..., Any] = ipc.new_file) -> Path:
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


# -- one table, many formats -----------------------------------------------------------------


def typed_sources(folder: Path) -> dict[str, Any]:
    table = pa.Table.from_pylist(ROWS)
    write(folder / "a.jsonl", "\n\n".join(json.dumps(row) for row in ROWS) + "\n")
    write(folder / "a.json", json.dumps(ROWS, indent=1))
    pq.write_table(table, folder / "a.parquet")
    feather.write_feather(table, folder / "a.feather")
    write_arrow(folder / "file.arrow", table)
    write_arrow(folder / "stream.arrow", table, ipc.new_stream)
    names = ("a.jsonl", "a.json", "a.parquet", "a.feather", "file.arrow", "stream.arrow")
    return {
        **{name: folder / name for name in names},
        "rows": ROWS,
        "columns": {name: [row[name] for row in ROWS] for name in ROWS[0]},
        "arrow": table,
        "batch": table.to_batches()[0],
        "pandas": pd.DataFrame(ROWS),
        "table": Table(table, None, "x"),
    }


def test_every_typed_source_gives_the_same_cells(tmp_path: Path) -> None:
    for name, source in typed_sources(tmp_path).items():
        table = read(source)
        assert table.names == list(ROWS[0]), name
        assert len(table) == 3
        for column in table.names:
            assert table.cells(column) == [row[column] for row in ROWS], (name, column)


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("a.csv", ","), ("b.csv", ";"), ("c.csv", "\t"), ("d.tsv", "\t"), ("e.TAB", "\t")],
)
def test_csv_gives_strings_and_lists(tmp_path: Path, name: str, delimiter: str) -> None:
    table = read(write_csv(tmp_path / name, ROWS, delimiter=delimiter))
    assert table.cells("text") == [row["text"] for row in ROWS]
    assert table.cells("tags") == [row["tags"] for row in ROWS]
    assert table.cells("age") == ["31", "7", None]
    assert table.cells("score") == ["0.5", None, "-2.0"]
    assert table.base == str(tmp_path)


def test_csv_details(tmp_path: Path) -> None:
    content = "\ufeff,a , b\r\n0,007,\r\n\r\n1,None of them, x\r\n2,<NA>,null"
    table = read(write(tmp_path / "a.csv", content))
    assert table.names == ["column_0", "a", "b"]
    assert table.cells("a") == ["007", "None of them", None]
    assert table.cells("b") == [None, " x", "null"]


def test_csv_across_batches_and_with_a_cell_longer_than_the_csv_module_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_BATCH", 2)
    limit = csv.field_size_limit()
    long = [float(i) for i in range(40_000)]
    rows = [{"i": i, "tags": long if i == 3 else [i]} for i in range(5)]
    table = read(write_csv(tmp_path / "a.csv", rows))
    assert table.cells("i") == list("01234")
    assert table.cells("tags") == [row["tags"] for row in rows]
    assert csv.field_size_limit() == limit


@settings(max_examples=50)
@given(
    st.lists(
        st.fixed_dictionaries({k: st.text(st.characters(exclude_categories=["Cs"])) for k in "ab"}),
        min_size=1,
    )
)
def test_csv_text_survives(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    table = read(write_csv(path, rows))
    for name in "ab":
        expected = [None if row[name] in MARKS else row[name] for row in rows]
        if not all(c is None or (c.strip()[:1] == "[" and c.strip()[-1:] == "]") for c in expected):
            assert table.cells(name) == expected


def test_strings_that_are_all_lists_become_lists() -> None:
    def cells(*strings: Any) -> list[Any]:
        return read({"x": list(strings)}).cells("x")

    assert cells("[1, 2.5]", None, "[]") == [[1, 2.5], None, []]
    assert cells("['a', \"b's\"]", " ['c'] ") == [["a", "b's"], ["c"]]
    assert cells("[[1, 2],\n [3, 4]]") == [[[1, 2], [3, 4]]]
    for text in (["[1]", "[citation needed]"], ["[1]", "one"], ['[1, "a"]'], ["[" * 5000 + "]"]):
        assert cells(*text) == text


def test_missing_cells_have_one_spelling() -> None:
    table = read(pd.DataFrame({"a": [1.5, np.nan], "b": ["", "x"], "c": [pd.NaT, pd.Timestamp(0)]}))
    assert [table.cells(name)[i] for i, name in ((1, "a"), (0, "b"), (0, "c"))] == [None] * 3
    assert read({"a": [float("nan"), 1.0]}).cells("a") == [None, 1.0]
    assert read([{"a": 1}, {"b": 2}]).cells("a") == [1, None]


def test_frames_with_types_of_their_own() -> None:
    frame = pd.DataFrame(
        {"k": pd.Categorical(["u", None, "v"]), "n": pd.array([1, None, 3], "Int64")}
    )
    table = read(frame.set_index(pd.Index([5, 5, 5])))
    assert table.names == ["k", "n"]
    assert table.cells("k") == ["u", None, "v"]
    assert table.cells("n") == [1, None, 3]


def test_arrays_pictures_and_sounds_in_memory() -> None:
    from PIL import Image

    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    row = {
        "array": array,
        "wave": np.arange(3.0),
        "picture": Image.fromarray(array),
        "sound": {"array": np.zeros((2, 5)), "sampling_rate": 8000, "path": None},
        "path": Path("a.png"),
    }
    for source in ([row], {name: [value] for name, value in row.items()}, pd.DataFrame([row])):
        table = read(source)
        first = {name: next(table.media(name)) for name in table.names}
        np.testing.assert_array_equal(first["array"].values, array)
        assert first["wave"].values.tolist() == [0, 1, 2]
        assert first["picture"].bytes().startswith(b"\x89PNG")
        assert first["sound"].bytes().startswith(b"RIFF")
        assert table.cells("path") == ["a.png"]


SHAPED = {"x": [0.5, 0.25, 1.5], "y": ["u", "v", "u"]}


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SHAPED),
        *(pd.DataFrame(SHAPED).to_json(orient=way) for way in ("columns", "index", "split")),
        pd.DataFrame(SHAPED).to_json(orient="records"),
        pd.DataFrame(SHAPED).to_json(orient="table"),
        json.dumps({"count": 3, "rows": pd.DataFrame(SHAPED).to_dict(orient="records")}),
    ],
)  # fmt: skip
def test_every_shape_of_a_json_file(tmp_path: Path, content: str) -> None:
    table = read(write(tmp_path / "a.json", content))
    assert table.cells("x") == SHAPED["x"] and table.cells("y") == SHAPED["y"]


def test_one_object_may_be_one_row(tmp_path: Path) -> None:
    for row in ({"s": [0.5, 0.25]}, {"s": [0.5, 0.25], "x": 1}, {"x": 1, "y": "u"}):
        assert read(write(tmp_path / "a.json", json.dumps(row))).data.to_pylist() == [row]
    lines = '{"s": [1, 2], "t": [3, 4]}\n{"s": [5, 6], "t": [7, 8]}\n'
    assert len(read(write(tmp_path / "a.json", lines))) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html></html>", "a web page"),
        (b"PK\x03\x04rest", "call it .xlsx"),
        (b"\x1f\x8brest", "gunzip"),
        (b"PAR1rest", "call it .parquet"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    for suffix in ("csv", "jsonl"):
        assert said in fails(write(tmp_path / f"a.{suffix}", content))


def test_what_to_do_with_files_of_other_suffixes(tmp_path: Path) -> None:
    for suffix, said in {"csv.gz": "unpack", "txt": ".tsv", "xls": "xlsx", "pkl": "pandas"}.items():
        assert said in fails(write(tmp_path / f"a.{suffix}", "x"))


def test_an_encoding_is_told_by_more_than_its_first_letter(tmp_path: Path) -> None:
    text = "x,色,y\n" + "1,とても良い,u\n" * 5
    assert "encoding='shift_jis'" in fails(write(tmp_path / "a.csv", text.encode("shift_jis")))


def test_what_python_has_of_its_own_is_read() -> None:
    colour = Enum("Colour", "RED BLUE")
    row = {
        "set": frozenset({"b", "a"}),
        "range": range(3),
        "enum": colour.RED,
        "share": Fraction(1, 4),
        "id": UUID(int=7),
        "path": PurePosixPath("a.png"),
    }
    table = read([{**row, "enum": colour.BLUE}, row])
    assert table.cells("set") == [["a", "b"]] * 2 and table.cells("range")[0] == [0, 1, 2]
    assert table.cells("enum") == ["BLUE", "RED"] and table.cells("share")[0] == 0.25
    assert table.cells("id")[0].endswith("-000000000007") and table.cells("path")[0] == "a.png"


# -- Hugging Face ----------------------------------------------------------------------------


def class_label_table() -> pa.Table:
    label = {"names": ["no", "yes"], "_type": "ClassLabel"}
    features = {"y": label, "tags": {"feature": label, "_type": "List"}, "s": {"_type": "Value"}}
    info = {"huggingface": json.dumps({"info": {"features": features}})}
    columns = {"y": [0, 1, -1, None], "tags": [[0, 1], [], None, [1]], "s": [0, 1, 0, 1]}
    return pa.table(columns).replace_schema_metadata(info)


def check_class_labels(table: Table) -> None:
    assert table.cells("y") == ["no", "yes", None, None]
    assert table.cells("tags") == [["no", "yes"], [], None, ["yes"]]
    assert table.cells("s") == [0, 1, 0, 1]


def test_class_labels_get_their_names(tmp_path: Path) -> None:
    table = class_label_table()
    pq.write_table(table, tmp_path / "a.parquet")
    write_arrow(tmp_path / "a.arrow", table)
    for source in (table, tmp_path / "a.parquet", tmp_path / "a.arrow"):
        check_class_labels(read(source))


def test_saved_data_sets(tmp_path: Path) -> None:
    saved = tmp_path / "set"
    saved.mkdir()
    files = ["b.arrow", "a.arrow"]
    for name, part in zip(files, (slice(0, 3), slice(3, 4)), strict=True):
        rows = class_label_table().slice(part.start, part.stop - part.start)
        write_arrow(saved / name, rows, ipc.new_stream)
    state = {"_data_files": [{"filename": name} for name in files]}
    write(saved / "state.json", json.dumps(state))
    check_class_labels(read(saved))
    write(tmp_path / "dataset_dict.json", json.dumps({"splits": ["set", "other"]}))
    assert f"for example {saved}" in fails(tmp_path)


@pytest.mark.filterwarnings("ignore")  # what `datasets` warns of is not ours
def test_datasets_objects(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features(
        {"y": datasets.ClassLabel(names=["no", "yes"]), "image": datasets.Image()}
    )
    columns = {"y": [0, 1, -1], "image": [{"bytes": b"1", "path": None}] * 3}
    data = datasets.Dataset.from_dict(columns, features=features)
    chosen = read(data.select([2, 0]))
    assert chosen.cells("y") == [None, "no"]
    assert next(chosen.media("image")).bytes() == b"1"
    data.save_to_disk(str(tmp_path / "saved"))
    saved = read(tmp_path / "saved")
    assert saved.cells("y") == ["no", "yes", None]
    assert [m.bytes() for m in saved.media("image")] == [b"1"] * 3
    assert "data['train']" in fails(datasets.DatasetDict(train=data))
    assert "streaming" in fails(data.to_iterable_dataset())


# -- encoded media inside tables -------------------------------------------------------------


def media_table(rows: int = 7) -> tuple[pa.Table, list[bytes | None]]:
    blobs = [None if i == 3 else bytes([i]) * (1000 + i) for i in range(rows)]
    structs = [None if blob is None else {"bytes": blob, "path": "p"} for blob in blobs]
    columns = {"i": range(rows), "raw": blobs, "large": pa.array(blobs, pa.large_binary())}
    return pa.table({**columns, "image": structs}), blobs


def blobs_of(table: Table, name: str) -> list[bytes | None]:
    return [media.bytes() if media else None for media in table.media(name)]


@pytest.mark.parametrize("new", [ipc.new_file, ipc.new_stream])
def test_arrow_files_are_pointed_into(tmp_path: Path, new: Callable[..., Any]) -> None:
    data, blobs = media_table()
    table = read(write_arrow(tmp_path / "a.arrow", data.slice(1), new))
    for name in ("raw", "large", "image"):
        assert pa.types.is_struct(table.data.schema.field(name).type), "bytes are in memory"
        assert blobs_of(table, name) == blobs[1:]
    assert table.data.nbytes < 3000
    path = {"bytes": None, "path": "b.bin"}
    write(tmp_path / "b.bin", b"outside")
    table = read(write_arrow(tmp_path / "b.arrow", pa.table({"image": [path]}).cast(
        pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    )))  # fmt: skip
    assert blobs_of(table, "image") == [b"outside"]


def test_compressed_arrow_files_are_read(tmp_path: Path) -> None:
    data, blobs = media_table()
    feather.write_feather(data, tmp_path / "a.feather", compression="zstd")
    table = read(tmp_path / "a.feather")
    assert blobs_of(table, "raw") == blobs_of(table, "image") == blobs


def test_large_parquet_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, blobs = media_table()
    pq.write_table(data, tmp_path / "a.parquet", row_group_size=3)
    small = read(tmp_path / "a.parquet", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr(columnar, "SPOOL_BYTES", 2000)
    monkeypatch.setattr(columnar, "_SPOOL_ROWS", 2)
    for _ in range(2):
        large = read(tmp_path / "a.parquet", cache=tmp_path / "cache")
        assert large.cells("i") == small.cells("i")
        for name in ("raw", "large", "image"):
            assert blobs_of(large, name) == blobs_of(small, name) == blobs
    assert len(list((tmp_path / "cache" / "tables").iterdir())) == 1
    pq.write_table(data.slice(2), tmp_path / "a.parquet")
    assert len(read(tmp_path / "a.parquet", cache=tmp_path / "cache")) == 5
    write(tmp_path / "full", "a file where a folder should be")
    assert "cannot be unpacked" in fails(tmp_path / "a.parquet", cache=tmp_path / "full")


def test_unpacked_media_are_those_of_the_content_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columnar, "SPOOL_BYTES", 0)
    path, cache = tmp_path / "a.parquet", tmp_path / "cache"
    for content in (b"one", b"two"):
        pq.write_table(pa.table({"raw": [content * 99]}), path, compression="none")
        os.utime(path, ns=(0, 0))
        assert blobs_of(read(path, cache=cache), "raw") == [content * 99]
    for file in (cache / "tables").iterdir():
        spoilt = file.read_bytes().replace(b"two", b"owt")
        file.write_bytes(spoilt)
    assert blobs_of(read(path, cache=cache), "raw") == [b"two" * 99]


# -- shards, folders, tars -------------------------------------------------------------------


def test_globs_and_folders_of_shards(tmp_path: Path) -> None:
    for i in range(3):
        pq.write_table(pa.table({"i": [i]}), tmp_path / f"part-{i}.parquet")
    assert read(tmp_path).cells("i") == [0, 1, 2]
    assert read(str(tmp_path / "part-*.parquet")).cells("i") == [0, 1, 2]
    assert read(tmp_path / "part-[12].parquet").cells("i") == [1, 2]
    assert "No file matches" in fails(tmp_path / "*.csv")
    pq.write_table(pa.table({"j": [1]}), tmp_path / "part-9.parquet")
    assert "other columns" in fails(tmp_path)


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("cats/1.jpg", "cats/deep/2.PNG", "dogs/1.png", "dogs/bark.wav", "dogs/.hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, name)
    table = read(tmp_path)
    assert table.cells("label") == ["cats", "cats", "dogs", "dogs"]
    assert table.cells("image") == ["cats/1.jpg", "cats/deep/2.PNG", "dogs/1.png", None]
    assert [m.bytes() for m in table.media("image") if m] == [
        b"cats/1.jpg",
        b"cats/deep/2.PNG",
        b"dogs/1.png",
    ]
    write(tmp_path / "dogs" / "notes.docx", "x")
    assert "dogs/notes.docx" in fails(tmp_path)


def test_a_folder_without_media(tmp_path: Path) -> None:
    assert "an empty folder" in fails(tmp_path)
    write(tmp_path / "readme.txt", "x")
    assert "readme.txt" in fails(tmp_path)


def write_tar(path: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "elsewhere"
            tar.addfile(info, io.BytesIO(content))
    return path


SAMPLES = {
    "a/000.jpg": b"\xff\xd8\xff first",
    "a/000.json": b'{"age": 3, "words": ["x"]}',
    "a/000.cls": b"7\n",
    "a/001.caption.txt": "größer".encode(),
    "a/001.left.png": b"\x89PNG second",
    "a/001.cls": b"8",
}


def test_tar_shards(tmp_path: Path) -> None:
    table = read(write_tar(tmp_path / "a.tar", SAMPLES))
    assert table.cells("__key__") == ["a/000", "a/001"]
    assert table.cells("cls") == ["7", "8"]
    assert table.cells("age") == [3, None]
    assert table.cells("words") == [["x"], None]
    assert table.cells("caption.txt") == [None, "größer"]
    assert blobs_of(table, "jpg") == [SAMPLES["a/000.jpg"], None]
    assert blobs_of(table, "left.png") == [None, SAMPLES["a/001.left.png"]]
    write_tar(tmp_path / "b.tar", SAMPLES)
    assert len(read(tmp_path)) == 4


@pytest.mark.parametrize(
    ("members", "kind", "said"),
    [
        ({"../a.png": b"x"}, tarfile.REGTYPE, "leaves the archive"),
        ({"/a.png": b"x"}, tarfile.REGTYPE, "leaves the archive"),
        ({"a.png": b""}, tarfile.SYMTYPE, "a link"),
        ({"a.png": b""}, tarfile.LNKTYPE, "a link"),
        ({"a.pickle": b"x"}, tarfile.REGTYPE, "unknown kind"),
        ({"a.json": b"{"}, tarfile.REGTYPE, "broken"),
        ({"a.txt": b"\xff"}, tarfile.REGTYPE, "broken"),
        ({"a.json": b'{"txt": 1}', "a.txt": b"x"}, tarfile.REGTYPE, "twice"),
    ],
)
def test_tars_that_are_refused(tmp_path: Path, members: dict, kind: bytes, said: str) -> None:
    assert said in fails(write_tar(tmp_path / "a.tar", members, kind))


def test_a_tar_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", SAMPLES).read_bytes()
    # Blocks of 512 bytes: header and content of each of the six members.
    for cut in (100, 512, 700, 1024, 1300, 512 * 12):
        message = fails(write(tmp_path / "cut.tar", whole[:cut]))
        assert "cut short" in message or "not a whole" in message, cut
    assert len(read(write(tmp_path / "cut.tar", whole[: 512 * 13]))) == 2


# -- errors ----------------------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a\n1")
    assert f"did you mean '{tmp_path / 'train.csv'}'?" in fails(tmp_path / "trian.csv")
    assert "is not there" in fails(tmp_path / "no" / "train.csv")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "arrow", "feather", "tar"])
def test_empty_files(tmp_path: Path, suffix: str) -> None:
    assert "is empty" in fails(write(tmp_path / f"a.{suffix}", ""))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "arrow", "feather", "tar"])
def test_files_of_garbage(tmp_path: Path, suffix: str) -> None:
    assert str(tmp_path) in fails(write(tmp_path / f"a.{suffix}", b"\0garbage" * 200))


def test_truncated_columnar_files(tmp_path: Path) -> None:
    data, _ = media_table(100)
    pq.write_table(data, tmp_path / "a.parquet")
    write_arrow(tmp_path / "a.arrow", data)
    for name in ("a.parquet", "a.arrow"):
        content = (tmp_path / name).read_bytes()
        write(tmp_path / name, content[: len(content) // 2])
        assert "is not a whole" in fails(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "file.arrow", "stream.arrow"])
def test_damaged_columnar_files_never_crash(tmp_path: Path, name: str) -> None:
    typed_sources(tmp_path)
    whole = (tmp_path / name).read_bytes()
    random, refused = np.random.default_rng(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=5):
            damaged[place] = random.integers(256)
        write(tmp_path / name, bytes(damaged))
        try:
            table = read(tmp_path / name)
        except UserError:
            refused += 1
        else:
            assert all(len(table.cells(column)) == len(table) for column in table.names)
    assert refused > 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n", "no rows"),
        ("a,b", "no rows"),
        ("\n\n", "header"),
        (",,\n1,2,3", "header"),
        ("a,b,a\n1,2,3", "'a' 2 times"),
        ("a,a \n1,2", "'a' 2 times"),
        ("a,b\n1,2\n3\n", "line 3: the row has 1 cells"),
        ('a,b\n1,"x\ny"\n3,4,5\n', "line 4: the row has 3 cells"),
        ('a,b\n1,"x\n2,y\n', "broken quotes"),
        ('a,b\n1,"x"y\n', "broken quotes"),
        (b"a,b\n1,x\n2,caf\xe9\n3,y\n", "byte 0xe9 at offset 13, in line 3"),
        ("a,b\n1,Müller\n".encode("cp1252"), "in cp1252 that line reads '1,Müller'"),
        ("a,b\n1,5 €\n".encode("cp1252"), "byte 0x80 at offset 8, in line 2"),
        ("a,b\n1,Привет\n".encode("cp1251"), "encoding='cp1251'"),
        ("a,b\n1,你好世界\n".encode("gb18030"), "encoding='gb18030'"),
    ],
)
def test_broken_csv(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in fails(write(tmp_path / "a.csv", content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": 1}\n{"a": 2\n', "line 2: broken JSON"),
        ('{"a": 1}\n\n[1, 2]\n', "row 1 is not a mapping"),
        (b'{"a": "caf\xe9"}\n', "line 1: broken JSON"),
        ('{"a": 1}\n{"a": ["x"]}\n', "mixes types of values"),
        ("\n", "no rows"),
        ("[]", "no rows"),
    ],
)
def test_broken_json(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in fails(write(tmp_path / "a.jsonl", content))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ([], "no rows"),
        ({}, "no rows"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' 2 times"),
        (pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), "'a' 2 times"),
        ({"a": [1, 2], "b": [1]}, "a: 2, b: 1"),
        ({"a": [1, b"x"]}, "row 1: b'x'"),
        (pd.DataFrame({"a": [1, b"x"]}), "row 1: b'x'"),
        ({"a": [[0.5], [0.25, "high"], [1.0]]}, "(row 1)"),
        ({"a": [1j, 2j]}, "holds values of a type that no table has"),
        ([{"a": 1}, 3], "row 1 is not a mapping"),
        (7, "cannot be read from the given int"),
    ],
)
def test_broken_memory(source: Any, said: str) -> None:
    assert said in fails(source)


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**60), 2**60),
            st.floats(allow_nan=True, allow_infinity=False),
            st.text("abc é", min_size=1).filter(str.strip),
        ),
        min_size=1,
    )
)
def test_numbers_among_texts_are_read_as_a_csv_of_them_is(values: list[Any]) -> None:
    frame = pd.DataFrame({"a": pd.Series([*values, "word"], dtype=object)})
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder) / "a.csv", index=False)
        wanted = read(Path(folder) / "a.csv").data.column("a").to_pylist()
    assert read(frame).data.column("a").to_pylist() == wanted


def test_unknown_suffix(tmp_path: Path) -> None:
    assert ".parquet" in fails(write(tmp_path / "a.xyz", "x"))


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(tarfile, "open", refuse)
    monkeypatch.setattr(pa, "memory_map", refuse)
    monkeypatch.setattr(pq, "ParquetFile", refuse)
    for suffix in ("csv", "jsonl", "tar", "arrow", "parquet"):
        (tmp_path / f"a.{suffix}").symlink_to(__file__)
        assert "permission denied" in fails(tmp_path / f"a.{suffix}")


# -- the table -------------------------------------------------------------------------------


def test_take_drop_and_media_rows(tmp_path: Path) -> None:
    table = read({"a": [1, 2, 3], "b": [b"x", None, b"z"]})
    taken = table.take(np.array([2, 0, 2]))
    assert taken.cells("a") == [3, 1, 3]
    assert table.drop(["a"]).names == ["b"]
    assert [m and m.bytes() for m in table.media("b", [2, 1])] == [b"z", None]
    assert next(table.media("b", [2])).label == "row 2, column 'b'"
    with pytest.raises(UserError, match="did you mean 'label'"):
        read({"label": [1]}).drop(["lable"])


def test_concat_finds_the_media_of_both_folders(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.png", name)
        write(tmp_path / name / "t.csv", "image,note\na.png,see a.png\ngone.png,x.png")
        tables.append(read(tmp_path / name / "t.csv"))
    both = tables[0].concat(tables[1])
    assert [m.bytes() for m in both.media("image", [0, 2])] == [b"one", b"two"]
    assert both.cells("image")[1] == "gone.png"
    assert both.cells("note") == ["see a.png", "x.png"] * 2
    same = tables[0].concat(tables[0])
    assert same.cells("image") == ["a.png", "gone.png"] * 2
    assert same.base == tables[0].base


def test_concat_of_tables_that_differ() -> None:
    left = read({"a": [1], "b": ["x"]})
    assert left.concat(read({"b": ["y"], "a": [2.5]})).cells("a") == [1, 2.5]
    assert left.concat(read({"a": [None], "b": [None]})).cells("b") == ["x", None]
    with pytest.raises(UserError, match="without b and with c"):
        left.concat(read({"a": [1], "c": [1]}))
    with pytest.raises(UserError, match="different types"):
        left.concat(read({"a": ["1"], "b": ["x"]}))


# -- as people save them -----------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_an_encoding_is_known_by_its_mark(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", "name,n\nMüller,1\n猫,2\n".encode(encoding))
    assert read(path).cells("name") == ["Müller", "猫"]


@pytest.mark.parametrize("encoding", ["iso2022_jp", "utf-7", "hz"])
def test_an_encoding_that_writes_all_letters_in_ascii(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", "name,n\n日本,1\n".encode(encoding))
    assert read(path, encoding=encoding).cells("name") == ["日本"]
    plain = write(tmp_path / "b.csv", b"name,n\nx,1\n")
    for said in (encoding, "utf-16", "utf-32"):
        assert read(plain, encoding=said).cells("name") == ["x"]


def test_an_encoding_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "name;price\nMüller;5 €\n".encode("cp1252"))
    assert read(path, encoding="cp1252").cells("price") == ["5 €"]
    plain = write(tmp_path / "b.csv", "name;price\nMüller;5 €\n")
    assert read(plain, encoding="cp1252").cells("price") == ["5 €"]
    assert "no encoding 'cp99'" in fails(path, encoding="cp99")


@pytest.mark.parametrize(
    "content",
    [
        "a|b|c\nx, y|1|p\nz|2|q\n",
        'a, b, c\n"x, y", 1, p\nz, 2, "q"\n',
        'sep=;\na;b;c\n"x, y";1;p\nz;2;q\n',
        "a;b;c\nx, y;1;p\nz;2;q\n",
        'a,b,c\n"x, y",1,p\nz,2,q\n',
    ],
)
def test_separators_and_blanks(tmp_path: Path, content: str) -> None:
    table = read(write(tmp_path / "a.csv", content))
    assert table.names == ["a", "b", "c"]
    assert [table.cells(name) for name in "abc"] == [["x, y", "z"], ["1", "2"], ["p", "q"]]


def test_a_quote_inside_a_cell_keeps_the_blanks_of_others(tmp_path: Path) -> None:
    rows = [{"a": 'she said, "no"', "b": " x"}]
    assert read(write_csv(tmp_path / "a.csv", rows)).cells("b") == [" x"]


def test_a_header_of_many_columns_is_read_in_linear_time(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(50_000)]
    start = time.process_time()
    table = read(write(tmp_path / "a.csv", ",".join(names) + "\n" + ",".join(names) + "\n"))
    assert len(table.names) == 50_000 and time.process_time() - start < 20


def test_words_that_may_be_names_are_kept_by_every_format(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    words = ["None", "NA", "null", "nan", "N/A", "", "<NA>", "red"]
    frame = pd.DataFrame({"word": words, "n": range(8)})
    expected = [None if word in ("", "<NA>") else word for word in words]
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "a.json", orient="records")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    for path in sorted(tmp_path.iterdir()):
        assert read(path).cells("word") == expected, path
    assert read(frame).cells("word") == expected


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["name", "price", "when", "mixed", None])
    book.active.append(["Müller", 1.5, datetime.datetime(2024, 1, 31), 1, None])
    book.active.append([None, 2, datetime.datetime(2024, 2, 1), "x", None])
    book.save(tmp_path / "a.xlsx")
    table = read(tmp_path / "a.xlsx")
    assert table.names == ["name", "price", "when", "mixed"]
    assert table.cells("price") == [1.5, 2.0]
    assert table.cells("when")[0] == datetime.datetime(2024, 1, 31)
    assert table.cells("mixed") == ["1", "x"]
    assert "no Excel workbook" in fails(write(tmp_path / "b.xlsx", "name,price\n"))


# -- what people hold in memory ----------------------------------------------------------------


def test_pandas_columns_of_every_sort_are_taken() -> None:
    frame = pd.DataFrame(
        {
            "interval": pd.cut([1, 5, 9], [0, 4, 10]),
            "plain_interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2, 3]),
            "period": pd.period_range("2024-01", periods=3, freq="M"),
            "sparse": pd.arrays.SparseArray([0, 0, 7]),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "string": pd.array(["a", pd.NA, "b"], dtype="string"),
            "when": [pd.Timestamp(0), pd.NaT, pd.Timestamp(0)],
            "objects": pd.Series([1.5, pd.NA, 2], dtype=object),
            "times": pd.Series(
                [np.datetime64("2024-01-31"), np.datetime64("NaT"), None], dtype=object
            ),
        }
    )
    table = read(frame)
    assert table.cells("interval") == ["(0, 4]", "(4, 10]", "(4, 10]"]
    assert table.cells("plain_interval")[0] == "(0, 1]"
    assert table.cells("period")[0] == "2024-01"
    assert table.cells("sparse") == [0, 0, 7]
    assert table.cells("nullable") == [1, None, 3]
    assert table.cells("flag") == [True, None, False]
    assert table.cells("string") == ["a", None, "b"]
    assert table.cells("when")[1] is None
    assert table.cells("objects") == [1.5, None, 2]
    assert table.cells("times")[1:] == [None, None]


def test_tensors_are_numbers_or_arrays() -> None:
    import torch

    table = read({"x": [torch.tensor(1.5), torch.tensor(2)], "s": [torch.ones(3), torch.zeros(2)]})
    assert table.cells("x") == [1.5, 2]
    assert table.cells("s") == [[1, 1, 1], [0, 0]]
    assert all(
        cell.startswith(b"\x93NUMPY") for cell in read({"p": [torch.ones(2, 2)] * 2}).cells("p")
    )


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "LA", "La", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"],
)
def test_pictures_of_every_mode_are_taken(mode: str) -> None:
    from PIL import Image

    cell = read({"p": [Image.new(mode, (4, 3))]}).cells("p")[0]
    assert cell.startswith(b"\x93NUMPY" if mode in "FI" else b"\x89PNG")


def test_arrow_types_that_no_model_reads_are_one_error() -> None:
    maps = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    assert "'m' holds what no model reads" in fails(pa.table({"m": maps, "x": [1]}))
    encoded = pa.table({"x": pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2])})
    assert read(encoded).cells("x") == [1, 1, 2]
