"""Cells are decoded once, gathered as they were encoded, and bad ones are counted."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.form import Form
from polymodal.modalities.table.forms.cells import Cells
from polymodal.prepared import cache as cache_module
from polymodal.prepared import encode as encode_module
from polymodal.prepared.cells import cells
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import Column


class Letters(Form):
    """Each letter as its code and a constant: ragged `(letters, 2)`."""

    kind = "text"
    dtype = "int32"
    ragged = True
    encoded: list[str]

    def __init__(self, *, plus: int = 0, limit: int = 1000) -> None:
        self.plus, self.limit, self.encoded = plus, limit, []

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        self.encoded.append(cell)
        if "!" in cell:
            raise UserError("a cell that shouts")
        letters = [[ord(c) + self.plus, 7] for c in cell[: self.limit]]
        return np.array(letters, np.int32).reshape(-1, 2)

    def was_truncated(self, cell: Any) -> bool:
        return len(cell) > self.limit


class Bytes(Form):
    """A file's first bytes as a square of uint8."""

    kind = "image"
    dtype = "uint8"
    ragged = False

    def __init__(self, *, side: int = 2) -> None:
        self.side, self.encoded = side, 0

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        self.encoded += 1
        content = np.frombuffer(cell.bytes(), np.uint8)
        if len(content) < self.side**2:
            raise UserError(f"{cell.label} is truncated")
        return content[: self.side**2].reshape(self.side, self.side)


class Steps(Form):
    """A series as it is: ragged `(steps, channels)`."""

    kind = "series"
    dtype = "float64"
    ragged = True

    def encode(self, cell: Any) -> np.ndarray[Any, Any]:
        return np.asarray(cell.values)


TEXT, IMAGE = Column("t", "text"), Column("i", "image")


def texts(values: Sequence[Any]) -> Table:
    return Table(pa.table({"t": pa.array(values)}), None, "texts.csv")


def files(folder: Path, contents: Sequence[bytes | None]) -> Table:
    names = [None if c is None else f"{i}.bin" for i, c in enumerate(contents)]
    for name, content in zip(names, contents, strict=True):
        if name is not None and content is not None:
            (folder / name).write_bytes(content)
    return Table(pa.table({"i": pa.array(names, pa.string())}), str(folder), "images.csv")


def run(table: Table, column: Column, form: Form, cache: Path, **options: Any) -> Prepared:
    ledger = options.pop("ledger", Ledger())
    return prepare(table, [column], form, cache=cache, ledger=ledger, **options)


def test_ragged_cells_come_back_padded(tmp_path: Path) -> None:
    prepared = run(texts(["abc", None, "", "z"]), TEXT, Letters(), tmp_path)
    assert len(prepared) == 4
    assert prepared.present.tolist() == [True, False, True, True]
    assert prepared.lengths.tolist() == [3, 0, 0, 1]
    assert prepared.shape == (2,)
    field = prepared.gather(np.array([3, 0, 1, 2]))
    assert field.mask is not None and field.data.dtype == torch.int32
    assert field.present.tolist() == [True, True, False, True]
    assert field.mask.tolist() == [[True, False, False], [True] * 3, [False] * 3, [False] * 3]
    assert field.data[..., 0].tolist() == [[122, 0, 0], [97, 98, 99], [0] * 3, [0] * 3]
    assert field.data[..., 1].tolist() == [[7, 0, 0], [7, 7, 7], [0] * 3, [0] * 3]


def test_a_batch_without_any_position_still_has_one_masked(tmp_path: Path) -> None:
    field = run(texts(["abc", None]), TEXT, Letters(), tmp_path).gather(np.array([1]))
    assert field.data.shape == (1, 1, 2) and field.mask is not None and not field.mask.any()


def test_no_rows_make_an_empty_batch(tmp_path: Path) -> None:
    none = np.arange(0)
    field = run(texts(["abc"]), TEXT, Letters(), tmp_path).gather(none)
    assert field.data.shape == (0, 1, 2) and len(field.present) == 0


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(st.none() | st.text("abc", max_size=6), min_size=1, max_size=12).filter(
        lambda v: any(x is not None for x in v)
    ),
    data=st.data(),
)
def test_gather_equals_encode_for_any_rows(
    values: list[str | None], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prepared = run(texts(values), TEXT, Letters(), tmp_path_factory.mktemp("cache"))
    rows = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=9))
    field = prepared.gather(np.array(rows))
    assert field.mask is not None
    for i, row in enumerate(rows):
        value = values[row]
        assert bool(field.present[i]) == (value is not None)
        expected = Letters().encode(value or "")
        assert torch.equal(field.data[i][field.mask[i]], torch.from_numpy(expected))
        assert not field.data[i][~field.mask[i]].any()


def test_fixed_shapes_come_back_with_zeros_for_absent_rows(tmp_path: Path) -> None:
    table = files(tmp_path, [b"abcd", None, b"efgh"])
    prepared = run(table, IMAGE, Bytes(), tmp_path / "cache")
    assert prepared.lengths.tolist() == [1, 0, 1] and prepared.shape == (2, 2)
    field = prepared.gather(np.array([2, 1, 0]))
    assert field.mask is None and field.present.tolist() == [True, False, True]
    assert field.data.tolist() == [
        [[101, 102], [103, 104]],
        [[0, 0], [0, 0]],
        [[97, 98], [99, 100]],
    ]


def test_the_second_fit_decodes_nothing_and_duplicates_are_decoded_once(tmp_path: Path) -> None:
    table = texts(["one", "two", "one", None, "one"])
    first, second = Letters(), Letters()
    a = run(table, TEXT, first, tmp_path)
    b = run(table, TEXT, second, tmp_path)
    assert sorted(first.encoded) == ["one", "two"] and second.encoded == []
    rows = np.arange(5)
    assert torch.equal(a.gather(rows).data, b.gather(rows).data)


def test_only_what_is_new_is_decoded(tmp_path: Path) -> None:
    run(texts(["one", "two"]), TEXT, Letters(), tmp_path)
    form = Letters()
    run(texts(["two", "three"]), TEXT, form, tmp_path)
    assert form.encoded == ["three"]


def test_another_setting_misses(tmp_path: Path) -> None:
    run(texts(["one"]), TEXT, Letters(), tmp_path)
    form = Letters(plus=1)
    field = run(texts(["one"]), TEXT, form, tmp_path).gather(np.array([0]))
    assert form.encoded == ["one"] and int(field.data[0, 0, 0]) == ord("o") + 1


def test_a_changed_byte_misses(tmp_path: Path) -> None:
    table = files(tmp_path, [b"abcd", b"efgh"])
    run(table, IMAGE, Bytes(), tmp_path / "cache")
    (tmp_path / "1.bin").write_bytes(b"efgH")
    form = Bytes()
    prepared = run(table, IMAGE, form, tmp_path / "cache")
    assert form.encoded == 1
    assert prepared.gather(np.array([1])).data.flatten().tolist() == list(b"efgH")


def test_words_and_the_text_they_spell_are_different_cells(tmp_path: Path) -> None:
    form = lookup.build("modalities/text/forms", "words")
    words = Table(pa.table({"t": [["a b", "c"]]}), None, "w")
    a = run(words, TEXT, form, tmp_path)
    b = run(texts(["a b c"]), TEXT, form, tmp_path)
    assert a.lengths.tolist() == [2] and b.lengths.tolist() == [3]


def test_bad_cells_fail_with_a_count_and_the_first_five(tmp_path: Path) -> None:
    table = texts(["ok"] * 3 + [f"no{i}!" for i in range(7)])
    with pytest.raises(UserError) as caught:
        run(table, TEXT, Letters(), tmp_path, max_bad_rows=6)
    message = str(caught.value)
    assert "7 of 10 cells" in message and "'t' of texts.csv" in message
    assert "row 3: a cell that shouts" in message and "row 7:" in message
    assert "row 8" not in message and "2 more" in message
    assert "at most 6, as max_bad_rows says" in message and message.count("max_bad_rows") == 1
    with pytest.raises(UserError, match="take them as missing: max_bad_rows=7"):
        run(table, TEXT, Letters(), tmp_path)


def test_bad_cells_within_the_allowance_are_absent_and_counted(tmp_path: Path) -> None:
    contents = [b"abcd", b"x", b"efgh", b"", None]
    table = files(tmp_path, contents)
    ledger = Ledger()
    prepared = run(table, IMAGE, Bytes(), tmp_path / "cache", max_bad_rows=2, ledger=ledger)
    assert prepared.bad.tolist() == [1, 3]
    assert prepared.present.tolist() == [True, False, True, False, False]
    assert list(ledger.to_json()["incomplete"].values()) == [2]
    # A second form of the column meets the same cells.
    run(table, IMAGE, Bytes(side=1), tmp_path / "cache", max_bad_rows=2, ledger=ledger)
    assert list(ledger.to_json()["incomplete"].values()) == [2]


def test_rows_that_share_a_bad_cell_are_all_bad(tmp_path: Path) -> None:
    prepared = run(texts(["no!", "yes", "no!"]), TEXT, Letters(), tmp_path, max_bad_rows=2)
    assert prepared.bad.tolist() == [0, 2]


def test_a_missing_file_and_a_cell_that_is_no_media_are_bad_cells(tmp_path: Path) -> None:
    table = files(tmp_path, [b"abcd", b"efgh"])
    (tmp_path / "1.bin").unlink()
    with pytest.raises(UserError, match=r"row 1, column 'i': 1.bin does not exist"):
        run(table, IMAGE, Bytes(), tmp_path / "cache")
    numbers = Table(pa.table({"i": [1, 2]}), None, "numbers")
    with pytest.raises(UserError, match=r"2 of 2 cells[\s\S]*not media"):
        run(numbers, IMAGE, Bytes(), tmp_path / "cache")


def test_all_cells_missing_is_an_error_unless_the_shape_is_known(tmp_path: Path) -> None:
    empty = texts(pa.array([None, None], pa.string()))
    with pytest.raises(UserError, match=r"No cell of column 't' of texts.csv[\s\S]*drop=\['t'\]"):
        run(empty, TEXT, Letters(), tmp_path)
    field = run(empty, TEXT, Letters(), tmp_path, shape=(2,)).gather(np.arange(2))
    assert field.data.shape == (2, 1, 2) and not field.present.any()


def series(values: Sequence[Any]) -> Table:
    return Table(pa.table({"s": pa.array(values)}), None, "series.csv")


def test_rows_of_another_shape_than_most_or_than_training_are_bad(tmp_path: Path) -> None:
    column, form = Column("s", "series"), Steps()
    two, three = [[1.0, 2.0]] * 9, [[1.0, 2.0, 3.0]] * 9
    with pytest.raises(UserError, match=r"row 2 has the shape \(3,\), where \(2,\) was expected"):
        run(series([two, two, three]), column, form, tmp_path)
    with pytest.raises(UserError, match=r"row 0 has the shape \(3,\), where \(2,\) was expected"):
        run(series([three]), column, form, tmp_path, shape=(2,))


def test_rows_that_were_cut_are_counted_and_counted_again_from_the_cache(tmp_path: Path) -> None:
    long = texts(["abcdef", "ab", "abcde", None, "abcdef", "fedcba"])
    for _ in range(2):
        ledger = Ledger()
        form = Letters(limit=5)
        run(long, TEXT, form, tmp_path, ledger=ledger)
        assert list(ledger.to_json()["truncated"].values()) == [3]  # "abcde" fits exactly
    assert not form.encoded


def test_progress_reaches_the_number_of_new_cells(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    table = texts([str(i) for i in range(600)])
    run(table, TEXT, Letters(), tmp_path, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (600, 600) and seen == sorted(seen) and len(seen) > 1


def test_decoded_arrays_are_never_all_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "FLUSH_BYTES", 2**20)
    side = 256
    rng = np.random.default_rng(0)
    table = files(tmp_path, [rng.bytes(side**2) for _ in range(160)])
    tracemalloc.start()
    prepared = run(table, IMAGE, Bytes(side=side), tmp_path / "cache", workers=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20 < len(prepared) * side**2
    content = (tmp_path / "159.bin").read_bytes()
    assert prepared.gather(np.array([159])).data.numpy().tobytes() == content


@pytest.mark.slow
def test_worker_processes_give_the_same_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A form of the user's own, which no worker could import; its arrays tell the process.
    (tmp_path / "own.py").write_text(
        "import os\nimport numpy as np\nfrom polymodal.contract.form import Form\n"
        "from polymodal.base.errors import UserError\n\n"
        "class Own(Form):\n"
        "    kind, dtype, ragged = 'image', 'int64', False\n"
        "    def encode(self, cell):\n"
        "        content = cell.bytes()\n"
        "        if content[0] == 255:\n"
        "            raise UserError(f'{cell.label} is broken')\n"
        "        threads = int(os.environ.get('OMP_NUM_THREADS', 0))\n"
        "        return np.array([os.getpid(), content[0], threads])\n"
    )
    monkeypatch.setattr(encode_module, "POOL_SECONDS", 0.0)
    form = lookup.build("modalities/image/forms", f"{tmp_path / 'own.py'}:Own")
    table = files(tmp_path, [bytes([i]) for i in range(70)] + [b"\xff"])
    prepared = run(table, IMAGE, form, tmp_path / "cache", workers=2, max_bad_rows=1)
    data = prepared.gather(np.arange(70)).data
    assert data[:, 1].tolist() == list(range(70)) and prepared.bad.tolist() == [70]
    processes = data[:, 0].tolist()
    # Two chunks are encoded here, to see how long they take.
    here, elsewhere = set(processes[:32]), set(processes[32:])
    assert len(here) == 1 and not here & elsewhere
    assert set(data[32:, 2].tolist()) == {1}


TABLE = [Column("n", "number"), Column("c", "category")]


def test_table_columns_stay_in_memory_row_by_row(tmp_path: Path) -> None:
    table = Table(pa.table({"n": ["1.5", None, "3"], "c": ["a", None, None]}), None, "table.csv")
    form = Cells(columns=[{"name": c.name, "kind": c.kind} for c in TABLE])
    form.fit(cell for cell in cells(table, TABLE) if cell is not None)
    prepared = prepare(table, TABLE, form, cache=tmp_path / "cache", ledger=Ledger())
    assert prepared.present.tolist() == [True, False, True]
    field = prepared.gather(np.array([2, 0, 1]))
    assert field.data.tolist()[:2] == [[0.75, 0.0], [-0.75, 1.0]]
    assert field.data[2].tolist() == [0, 0] and field.mask is None
    assert not (tmp_path / "cache").exists()


def test_a_bad_number_is_reported_with_its_row(tmp_path: Path) -> None:
    table = Table(pa.table({"n": ["1", "1.2.3"], "c": ["a", "b"]}), None, "table.csv")
    form = Cells(columns=[{"name": c.name, "kind": c.kind} for c in TABLE])
    with pytest.raises(UserError, match=r"row 1: Column 'n' holds '1.2.3'"):
        prepare(table, TABLE, form, cache=tmp_path, ledger=Ledger())
    prepared = prepare(table, TABLE, form, cache=tmp_path, ledger=Ledger(), max_bad_rows=1)
    assert prepared.bad.tolist() == [1] and not prepared.present[1]


def test_cells_are_what_forms_take(tmp_path: Path) -> None:
    table = files(tmp_path, [b"abcd", None])
    found = list(cells(table, [IMAGE]))
    assert found[0].bytes() == b"abcd" and found[1] is None
    numbers = Table(pa.table({"t": [12, None]}), None, "numbers")
    assert list(cells(numbers, [TEXT])) == ["12", None]
    both = Table(pa.table({"n": [1, None], "c": ["a", None]}), None, "table")
    assert list(cells(both, TABLE, np.array([1, 0]))) == [None, {"n": 1, "c": "a"}]
