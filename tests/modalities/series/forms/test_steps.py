from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.modalities.series.forms.steps import Steps
from polymodal.table.media import Media
from polymodal.table.resolve import resolve

WANTED = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)


def cell(value: Any, base: Path | None = None) -> Media:
    media = resolve(value, str(base) if base else None, "row 3, column 's'")
    assert media is not None
    return media


def fitted(*values: Any, **options: Any) -> Steps:
    form = Steps(**options)
    form.fit([cell(value) for value in values])
    return form


def npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("value", ['[0.5, "high", 0.25]', ["0.5", "high", "0.25"]])
def test_a_word_among_numbers_is_named(value: Any) -> None:
    with pytest.raises(UserError) as caught:
        fitted([1.0, 2.0]).encode(cell(value))
    assert "row 3, column 's' is not a series of numbers" in caught.value.what
    assert caught.value.got == "'high', of 3 values on 1 axes"


@pytest.mark.parametrize(
    "value",
    [
        WANTED.tolist(),
        WANTED,
        WANTED.astype(np.int64),
        json.dumps(WANTED.tolist()),
        npy(WANTED),
        b"1,2\n3,4\n5,6\n",
        b"left;right\n1;2\n3;4\n5;6",
        b"\xef\xbb\xbfx\ty\r\n1\t2\r\n3\t4\r\n5\t6\r\n",
        b"1 2\n3 4\n5 6",
        json.dumps(WANTED.tolist()).encode(),
    ],
    ids=["list", "array", "ints", "JSON", "npy", "csv", "header", "tsv", "spaces", "JSON file"],
)
def test_every_way_to_store_a_series(value: Any) -> None:
    found = fitted(value, layout="steps_first").encode(cell(value))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, WANTED)


def test_files_by_path(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", WANTED)
    (tmp_path / "a.csv").write_text("1,2\n3,4\n5,6\n")
    for name in ("a.npy", "a.csv"):
        media = cell(name, tmp_path)
        form = Steps()
        form.fit([media])
        np.testing.assert_array_equal(form.encode(media), WANTED)


@pytest.mark.parametrize("value", [[1, 2, 3], np.arange(1.0, 4.0), "[1, 2, 3]", b"1\n2\n3\n"])
def test_one_list_is_one_channel(value: Any) -> None:
    form = fitted(value)
    assert form.channels == 1
    np.testing.assert_array_equal(form.encode(cell(value)), [[1], [2], [3]])


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 9), st.booleans())
def test_the_shared_length_is_the_channels(
    lengths: list[int], channels: int, transposed: bool
) -> None:
    arrays = [np.arange(n * channels, dtype=float).reshape(n, channels) for n in lengths]
    form = fitted(*(a.T if transposed else a for a in arrays))
    if len(set(lengths)) > 1:
        assert form.channels == channels
        for array in arrays:
            stored = array.T if transposed else array
            np.testing.assert_array_equal(form.encode(cell(stored)), array)
    else:
        assert form.channels == min(lengths[0], channels)


def test_a_few_odd_cells_do_not_decide() -> None:
    good = [np.zeros((3, n)) for n in (10, 12, 14, 16)]
    form = fitted(*good, np.zeros((4, 9)), [1, [2]], b"not numbers")
    assert form.state == {"channels": 3, "transposed": True}
    with pytest.raises(UserError, match="another number of channels"):
        form.encode(cell(np.zeros((4, 9))))


def test_a_table_of_text_has_a_line_a_step() -> None:
    lines = b"1,2,3\n4,5,6\n"  # fewer steps than channels
    form = fitted(lines, lines)
    assert form.encode(cell(lines)).shape == (2, 3)


def test_layout_overrules() -> None:
    square = np.arange(9.0).reshape(3, 3)
    np.testing.assert_array_equal(fitted(square).encode(cell(square)), square)
    turned = fitted(square, layout="channels_first")
    np.testing.assert_array_equal(turned.encode(cell(square)), square.T)
    assert fitted(square).fingerprint != turned.fingerprint
    with pytest.raises(UserError, match="did you mean 'channels_first'"):
        Steps(layout="channel_first")


def test_limit_cuts_and_tells() -> None:
    long, short = np.zeros((9, 2)), np.zeros((5, 2))
    form = fitted(long, short, limit=5)
    assert form.encode(cell(long)).shape == form.encode(cell(short)).shape == (5, 2)
    assert form.was_truncated(cell(long)) and not form.was_truncated(cell(short))
    assert form.fingerprint != fitted(long, short).fingerprint
    with pytest.raises(UserError):
        Steps(limit=0)


def test_state_is_all_that_fit_learned() -> None:
    form = fitted(WANTED.T, WANTED[:2].T)
    again = Steps()
    again.state = json.loads(json.dumps(form.state))
    assert again.channels == 2 and again.fingerprint == form.fingerprint
    np.testing.assert_array_equal(again.encode(cell(WANTED.T)), WANTED)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "ragged.*\n.*\n.*1 to 2 numbers"),
        ([1, [2, 3]], "ragged"),
        (["a", "b"], "not a series of numbers"),
        ([1.0, "high"], "not a series of numbers"),
        ([[1, None], [2, None]], "no number in one channel"),
        (b"1;2\n3;high\n", "'high' in step 1 of column '1' is no number"),
        ("[1. 2. ... 8. 9.]", "NumPy left them out"),
        (np.zeros((2, 2, 2)), "3 axes"),
        ([], "no steps"),
        ([[], []], "no steps"),
        (b"a,b\n", "no steps"),
        (b"1,2\n3\n", "cannot be read as a series"),
        (b"1,2\n3,x\n", "'x'"),
        (b"\xff\xfe\x00", "cannot be read as a series"),
        (b"[1, 2", "cannot be read as a series"),
        ([[1, 2], [3, float("inf")]], "inf at step 1, channel 1"),
        ([[1, 2], [3, float("inf")], [-float("inf"), 1]], "inf at step 1, channel 1, and 1 more"),
        ([[1, 2], [3, 1e300]], "inf at step 1, channel 1"),
        ([[1, 2, 3], [4, 5, 6]], "another number of channels"),
        ([1, 2, 3], "another number of channels"),
    ],
    ids=str,
)
def test_bad_series_are_named_and_explained(value: Any, message: str) -> None:
    form = fitted(WANTED, WANTED[:2])
    with pytest.raises(UserError, match=message) as error:
        form.encode(cell(value))
    assert "row 3, column 's'" in str(error.value)


def test_broken_npy_file(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(WANTED)[:-5])
    with pytest.raises(UserError, match=r"a broken \.npy file"):
        fitted(WANTED).encode(cell("a.npy", tmp_path))
    np.save(tmp_path / "b.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"a broken \.npy file"):
        fitted(WANTED).encode(cell("b.npy", tmp_path))


def test_nothing_to_learn_from() -> None:
    form = fitted([1, [2]])
    with pytest.raises(UserError, match="No training row"):
        _ = form.channels


@pytest.mark.parametrize(
    "value",
    [
        "[[1. 2.]\n [3. 4.]\n [5. 6.]]",
        "array([[1., 2.], [3., 4.], [5., 6.]])",
        "tensor([[1., 2.],\n        [3., 4.],\n        [5., 6.]])",
        "1;2\n3;4\n5;6",
        "1 2\n3 4\n5 6",
        "1,0;2,0\n3,0;4,0\n5,0;6,0",
        "[[1, 2], [null, 4], [5, 6]]",
        [[1, 2], [None, 4], [5, 6]],
        [[None, None], [1, 2], [3, 4], [5, 6], [None, None]],
        b"1,0;2,0\n3,0;4,0\n5,0;6,0\n",
        b"1,0 2,0\n3,0 4,0\n5,0 6,0\n",
        b"1|2|\n3|4|\n5|6|\n",
        b"# by hand\n1 2\n3 4\n5 6\n",
        b"time,x,y\n0.0,1,2\n0.5,3,4\n0.7,5,6\n",
        b"2024-01-01 10:00,1,2\n2024-01-01 10:01,3,4\n2024-01-01 10:02,5,6\n",
        b"Datum;a;b\n01.02.2024;1,0;2,0\n02.02.2024;3,0;4,0\n03.02.2024;5,0;6,0\n",
        b",x,y\n0,1,2\n1,3,4\n2,5,6\n",
        b"10:00:00\t1\t2\n10:00:01\t3\t4\n10:00:02\t5\t6\n",
        b"x,y\n1,2\n,4\n5,6\n,\n,\n",
        b"x,y\n1,2\nNA,4\n5,6\n",
        b"[[1. 2.]\n [3. 4.]\n [5. 6.]]",
        b'"a","b"\n"1,0","2,0"\n"3,0","4,0"\n"5,0","6,0"\n',
        "x;y\n1;2\n3;4\n5;6\n".encode("utf-16"),
    ],
    ids=str,
)
def test_series_as_people_store_them(value: Any) -> None:
    found = fitted(value, layout="steps_first").encode(cell(value))
    np.testing.assert_array_equal(found, WANTED)


@pytest.mark.parametrize(
    "value",
    ["[1. 2. 3.]", "1 2 3", "1;2;3", "1,0;2,0;3,0", "1, 2, 3", "1|2|3", "[1, nan, 3]", "(1, 2, 3)"],
)
def test_texts_that_list_numbers_are_one_channel(value: str) -> None:
    np.testing.assert_array_equal(fitted(value).encode(cell(value)), [[1], [2], [3]])


def test_evenly_rising_numbers_before_others_are_times() -> None:
    timed = b"0.0,5\n0.1,3\n0.2,9\n0.3,1\n"
    np.testing.assert_array_equal(fitted(timed).encode(cell(timed)), [[5], [3], [9], [1]])
    for kept in (b"0,0\n1,2\n2,4\n3,6\n", b"0,5\n1,3\n4,9\n5,1\n", b"u,x\n0,5\n1,3\n2,9\n3,1\n"):
        assert fitted(kept).encode(cell(kept)).shape == (4, 2)


def test_gaps_are_bridged() -> None:
    value = [None, 1, None, None, 4, float("nan"), 2, None]
    np.testing.assert_array_equal(fitted(value).encode(cell(value))[:, 0], [1, 2, 3, 4, 3, 2])
    both = [[None, 1], [2, None], [None, 3]]
    np.testing.assert_array_equal(fitted(both).encode(cell(both)), [[2, 1], [2, 2], [2, 3]])


def test_the_first_reason_is_told() -> None:
    form = fitted(b"1;2\n3;high\n", [1, [2]])
    with pytest.raises(UserError, match=r"(?s)of the first, row 3.*'high' in step 1") as error:
        _ = form.channels
    assert "No training row" in str(error.value)
    with pytest.raises(UserError, match="is ragged"):
        form.encode(cell([1, [2]]))
