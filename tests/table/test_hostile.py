"""Tables that lie about themselves, or that no reader expects: one clear error, soon and small."""

from __future__ import annotations

import http.server
import io
import json
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.table.read import read
from polymodal.table.readers.separated import check_names

LINES = {
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 100_000,
    "deep and closed": '{"a": ' + "[" * 900 + "]" * 900 + "}",
    "a level too deep": '{"a": ' + "[" * 20 + "1" + "]" * 20 + "}",
    "5000 digits": '{"a": ' + "9" * 5000 + "}",
    "400 digits": '{"a": ' + "9" * 400 + "}",
    "half a character": '{"a": "x\\ud800"}',
    "half in a name": '{"x\\udfff": 1}',
    "half in a list": '{"a": ["\\ud800"]}',
    "a NUL": "\0",
    "no object": "1",
    "a string": '"a"',
    "structs and numbers": '{"a": {"b": 1}}\n{"a": 2}',
    "numbers and lists": '{"a": 1}\n{"a": ["b"]}',
    "types in a struct": '{"a": {"b": 1}}\n{"a": {"b": "c"}}',
    "types in a list": '{"a": [1, "b"]}',
    "names of numbers": '[{"a": 1}, {"a": [{}]}]',
    "nothing": "[]",
    "cut": '{"a": 1}\n{"a": ',
}


@pytest.mark.parametrize("what", LINES)
def test_hostile_json_is_one_clear_error(what: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(LINES[what])
    with pytest.raises(UserError) as found:
        read(path)
    assert len(str(found.value)) < 2000
    if what not in ("a NUL", "no object", "a string", "nothing", "cut") and "deep" not in what:
        rows = [json.loads(line) for line in LINES[what].splitlines()] if "5000" not in what else []
        with pytest.raises(UserError):
            read(rows if "[{" not in LINES[what] else json.loads(LINES[what]))


def bomb(rows: int, value: str, **how: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        codes = pa.array(np.zeros(rows, np.int32))
        column = pa.DictionaryArray.from_arrays(codes, pa.array([value]))
        table = pa.table({"a": column})
        if path.suffix == ".parquet":
            pq.write_table(table, path, compression="zstd", **how)
        else:
            feather.write_feather(table, path, compression="zstd")

    return write


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_column_that_would_fill_the_memory_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{suffix}"
    bomb(200_000, "x" * 100_000)(path)  # 20 GB
    assert path.stat().st_size < 30_000
    start = time.process_time()
    with pytest.raises(UserError, match=r"far more memory|in .* bytes"):
        read(path)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("inside", ["lists", "structs", "lists of structs"])
def test_codes_in_lists_and_structs_are_measured_too(
    inside: str, suffix: str, tmp_path: Path
) -> None:
    codes = pa.array(np.zeros(200_000, np.int32))
    cells: pa.Array = pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 100_000]))
    if "structs" in inside:
        cells = pa.StructArray.from_arrays([cells], ["k"])
    if "lists" in inside:
        cells = pa.ListArray.from_arrays(pa.array(range(0, 200_001, 100), pa.int32()), cells)
    path = tmp_path / f"t{suffix}"
    table = pa.table({"a": cells})
    if suffix == ".parquet":
        pq.write_table(table, path, compression="zstd")
    else:
        feather.write_feather(table, path, compression="zstd")
    with pytest.raises(UserError, match=r"far more memory|in .* bytes"):
        read(path)


def test_few_codes_in_lists_are_labels(tmp_path: Path) -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1]), pa.array(["a", "b"]))
    table = pa.table({"s": pa.ListArray.from_arrays(pa.array([0, 2, 2, 4]), codes)})
    feather.write_feather(table, tmp_path / "t.arrow")
    assert read(tmp_path / "t.arrow").cells("s") == [["a", "b"], [], [None, "b"]]


def test_lists_that_a_file_only_claims_are_refused(tmp_path: Path) -> None:
    ends = np.linspace(0, 70_000_000, 5, dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(np.zeros(70_000_000, np.int8)))
    pq.write_table(pa.table({"a": lists}), tmp_path / "t.parquet", compression="zstd")
    with pytest.raises(UserError, match="4 rows with 70,000,000 values"):
        read(tmp_path / "t.parquet")


def test_what_repeats_is_read_as_ever(tmp_path: Path) -> None:
    texts = [f"text {i % 7}" * 50 for i in range(20_000)]
    table = pa.table({"t": texts, "b": pa.array([b"x" * (i % 5) for i in range(20_000)])})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").cells("t") == texts


def test_rows_that_a_file_only_claims_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    schema = pa.schema([(f"c{i}", pa.int8()) for i in range(200)])
    nothing = pa.table({n: pa.nulls(500_000, pa.int8()) for n in schema.names}, schema=schema)
    pq.write_table(nothing, path, compression="zstd")
    with pytest.raises(UserError, match=r"says that it holds 500,000 rows"):
        read(path)


FEATURES: list[Any] = [
    {"a": {"_type": "ClassLabel", "names": ["x"]}},  # codes are larger
    {"a": {"_type": "ClassLabel", "names": 3}},
    {"a": {"_type": "ClassLabel", "names": [1, "b"]}},
    {"a": {"_type": "ClassLabel"}},
    {"t": {"_type": "ClassLabel", "names": ["x", "y", "z"]}},  # a column of texts
    {"a": {"_type": "Sequence", "feature": {"_type": "ClassLabel", "names": None}}},
    [1],
    "a",
    7,
]


@pytest.mark.parametrize("features", FEATURES, ids=str)
def test_features_that_lie_are_an_error(features: Any, tmp_path: Path) -> None:
    described = json.dumps({"info": {"features": features}}).encode()
    table = pa.table({"a": [0, 1, 2], "t": ["u", "v", "w"]})
    for metadata in (described, b"{", b"[]", b"null", b'{"info": 1}', b"[" * 100_000, b"\xff"):
        told = table.replace_schema_metadata({"huggingface": metadata})
        with pytest.raises(UserError):
            read(told)


STATES = [
    "[]",
    "{",
    '{"_data_files": 1}',
    '{"_data_files": []}',
    '{"_data_files": [{}]}',
    '{"_data_files": [{"filename": "../t.arrow"}]}',
    '{"_data_files": [{"filename": "/etc/hosts"}]}',
    '{"_data_files": [{"filename": "none.arrow"}]}',
    "[" * 100_000,
]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
def test_a_saved_data_set_names_its_own_files(name: str, state: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    feather.write_feather(pa.table({"a": [1]}), tmp_path / "t.arrow")
    (folder / name).write_text(state)
    with pytest.raises(UserError):
        read(folder)


def test_wide_headers_take_no_time() -> None:
    names = [f"column {i}" for i in range(100_000)]
    start = time.process_time()
    check_names(names, "t")
    with pytest.raises(UserError, match="'column 7' 2 times"):
        check_names([*names, "column 7"], "t")
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "cell",
    ["[" + "-" * 100_000 + "1]", "[" * 100_000 + "]" * 100_000, "[" + "9" * 5000 + "]", "[1e999]"],
)
def test_text_in_brackets_is_text(cell: str) -> None:
    assert len(read({"a": [cell, cell]})) == 2


# -- addresses -----------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of this machine that serves a table, and errors."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0]
            if name == "/away.csv":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.2:9/t.csv")
                self.end_headers()
                return
            body = b"a,b\n1,x.png\n2,y.png\n"
            if name.endswith(".parquet"):
                stream = io.BytesIO()
                pd.DataFrame({"a": ["1", "2"], "b": ["x.png", "y.png"]}).to_parquet(stream)
                body = stream.getvalue()
            self.send_response(200 if name.startswith("/data/t.") else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_may_lie_behind_an_address(
    suffix: str, cached: bool, server: str, tmp_path: Path
) -> None:
    url = f"http://me:secret@{server}/data/t.{suffix}?key=secret"
    table = read(url, cache=tmp_path if cached else None)
    assert [str(cell) for cell in table.cells("a")] == ["1", "2"]
    assert "secret" not in table.source and table.base == f"http://me:secret@{server}/data"


@pytest.mark.parametrize("name", ["none.csv", "away.csv"])
def test_an_address_that_answers_no_table_is_one_error(name: str, server: str) -> None:
    with pytest.raises(UserError, match="cannot be fetched") as found:
        read(f"http://me:secret@{server}/{name}?key=secret")
    assert "secret" not in str(found.value)


# -- anything ------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(JSON | st.dictionaries(st.text(max_size=3), JSON, max_size=3), max_size=4))
def test_any_json_is_a_table_or_an_error(rows: list[Any], tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    for source in (path, rows):
        try:
            table = read(source)
        except UserError:
            continue
        for name in table.names:
            table.cells(name)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "jsonl"])
def test_any_damage_is_a_table_or_an_error(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(9), "t": ["one", "two", "three"] * 3, "b": [b"xy"] * 9})
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "arrow":
        feather.write_feather(frame, path, compression="uncompressed")
    elif suffix == "csv":
        frame[["a", "t"]].to_csv(path, index=False)
    else:
        frame[["a", "t"]].to_json(path, orient="records", lines=True)
    whole, rng = path.read_bytes(), random.Random(0)
    tracemalloc.start()
    for _ in range(150):
        spoilt = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.unlink()  # a mapped file must not change
        path.write_bytes(spoilt[: rng.choice([len(spoilt), rng.randrange(len(spoilt))])])
        try:
            table = read(path)
            for name in table.names:
                table.cells(name)
        except UserError:
            pass
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()
