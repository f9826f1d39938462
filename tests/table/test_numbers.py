"""Columns of numbers and dates as people write them: known answers, and what is none."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.table import dates, numerals
from polymodal.table.columns import read_column
from polymodal.table.numbers import find
from polymodal.table.reading import Reading
from polymodal.table.units import Units

ROWS = 60
RANDOM = random.Random(0)
MONTHS = range(1, 13)


def column(cells: list[Any], kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(cells, kind or pa.large_string())])


def read(cells: list[Any], **said: Any) -> list[Any]:
    """The cells as the reading found from them reads them, once it was saved and loaded."""
    data = column(cells)
    found = find(data, **said)
    assert found is not None
    loaded = Reading.from_json(json.loads(json.dumps(found.reading.to_json())))
    assert loaded == found.reading
    return list(read_column(data, loaded)[0].to_pylist())


@pytest.mark.parametrize(
    ("first", "means", "others"),
    [
        ("1.234,50 €", 1234.5, lambda i: f"{i},25 €"),
        ("$1,234.50", 1234.5, lambda i: f"${i}.25"),
        ("USD 5", 5, lambda i: f"USD {i}"),
        ("6,174", 6174, lambda i: f"{i}.5"),
        ("6,174", 6.174, lambda i: f"{i},5"),
        ("6.174", 6174, lambda i: f"{i},5"),
        ("1 234 567", 1234567, lambda i: f"{i}"),
        ("1\u202f234,5", 1234.5, lambda i: f"{i},5"),
        ("1'234.5", 1234.5, lambda i: f"{i}.5"),
        ("12,34,567", 1234567, lambda i: f"{i},000"),
        ("12.5 %", 12.5, lambda i: f"{i}%"),
        ("(0.12)", -0.12, lambda i: f"{i}.5"),
        ("($1,200)", -1200, lambda i: f"${i}"),
        ("−0.3", -0.3, lambda i: f"{i}.5"),
        ("5-", -5, lambda i: f"{i}"),
        ("+4.5", 4.5, lambda i: f"{i}"),
        ("69k", 69000, lambda i: f"{i}"),
        ("1.5M", 1.5e6, lambda i: f"{i}K"),
        ("12.5kg", 12.5, lambda i: f"{i}kg"),
        ("500 g", 0.5, lambda i: f"{i} kg"),
        ("<5", 5, lambda i: f"{i}"),
        ("≥ 3 mg", 3, lambda i: f"{i} mg"),
        ("ca. 7", 7, lambda i: f"{i}"),
        ("3 rooms", 3, lambda i: f"{i} room{'s' * (i > 1)}"),
        ("3rd", 3, lambda i: f"{i}th"),
        ("1,5e-3", 0.0015, lambda i: f"{i},5"),
        ("٣٫٥", 3.5, lambda i: f"{i}.5"),
        ("１２", 12, lambda i: f"{i}"),
        ("120/80", [120, 80], lambda i: f"{100 + i}/{60 + i}"),
        ("10–20", [10, 20], lambda i: f"{i}–{i + 9}"),
        ("52.52, -13.4", [52.52, -13.4], lambda i: f"{i}.5, {i}.25"),
        ("52.52S 13.4E", [-52.52, 13.4], lambda i: f"{i}.5N {i}.25W"),
        ("10x20x30 cm", [10, 20, 30], lambda i: f"{i}x{i}x{i} cm"),
        ("2h 30min", 9000, lambda i: f"{i}h {i}min"),
        ("36:15", 130500, lambda i: f"{i}:15"),
        ("08:29", datetime.time(8, 29), lambda i: f"{i % 24:02}:15"),
        ("8:29 PM", datetime.time(20, 29), lambda i: f"{1 + i % 12}:15 AM"),
        ("CHF 9’426.—", 9426, lambda i: f"CHF {i}’250.50"),
        ("12,- €", 12, lambda i: f"{i},50 €"),
        ("5.50 DR", -5.5, lambda i: f"{i}.25 CR"),
        ("0.5D+02", 50, lambda i: f"{i}.5D+00"),
        ("5'6\"", 5.5, lambda i: f"{i}'3\""),
        ("5 ft 6 in", 5.5, lambda i: f"{i} ft 3 in"),
        ("6 lb 8 oz", 6.5, lambda i: f"{i} lb 4 oz"),
        ("11 st 7 lb", 11.5, lambda i: f"{i} st 3 lb"),
        ("1m80", 1.8, lambda i: f"1m{60 + i}"),
        ("3 years, 6 months", 3.5, lambda i: f"{i} years, 2 months"),
        ("50°F", 10, lambda i: f"{i} °C"),
        ("10℃", 50, lambda i: f"{60 + i} °F"),
        ("14h05", datetime.time(14, 5), lambda i: f"{i % 24:02}h15"),
        ("15 февраля 2023 г.", datetime.datetime(2023, 2, 15), lambda i: f"{i} мая 2023 г."),
        ("11/mar/2023", datetime.datetime(2023, 3, 11), lambda i: f"{1 + i % 28}/fev/2023"),
        ("Mar 5, 2024", datetime.datetime(2024, 3, 5), lambda i: f"Jul {1 + i % 28}, 2023"),
        ("Mar 2024", datetime.datetime(2024, 3, 1), lambda i: f"Mar {1990 + i}"),
        ("05/2023", datetime.datetime(2023, 5, 1), lambda i: f"{1 + i % 12:02}/2022"),
        ("7/Oct/2023:05:38:44 +0000", datetime.datetime(2023, 10, 7, 5, 38, 44),
         lambda i: f"{1 + i % 28}/Nov/2023:05:38:44 +0000"),
        ("31.01.2024", datetime.datetime(2024, 1, 31), lambda i: f"{1 + i % 28}.12.2023"),
        ("1/31/2024", datetime.datetime(2024, 1, 31), lambda i: f"12/{1 + i % 28}/2023"),
        ("31/1/24 14:05", datetime.datetime(2024, 1, 31, 14, 5), lambda i: f"{i}/2/23 1:00"),
        ("31 Jan 2024", datetime.datetime(2024, 1, 31), lambda i: f"{1 + i % 28} Dec 2023"),
        ("2024-01-31T10:00+02:00", datetime.datetime(2024, 1, 31, 8), lambda i: f"2023-01-{i:02}"),
        ("20240131", datetime.datetime(2024, 1, 31), lambda i: f"202312{1 + i % 28:02}"),
        ("2024年1月31日", datetime.datetime(2024, 1, 31), lambda i: f"2023年12月{1 + i % 28}日"),
    ],
)  # fmt: skip
def test_what_a_cell_means_among_its_like(
    first: str, means: Any, others: Callable[[int], str]
) -> None:
    found = read([first, *map(others, range(1, 29))])[0]
    assert found == (pytest.approx(means) if isinstance(means, int | float | list) else means)


@pytest.mark.parametrize(
    "word",
    [
        "?",
        "-",
        "n/a",
        "NA",
        "None",
        "nan",
        "unknown",
        "#DIV/0!",
        "k.A.",
        "refused",
        "—",
        "…",
        "..",
        "нет данных",
        "0000-00-00",
        "not stated",
    ],
)
def test_a_word_among_numbers_is_a_missing_cell(word: str) -> None:
    cells = [word if i % 8 == 0 else f"{i / 7:.3f}" for i in range(ROWS)]
    found = find(column(cells))
    assert found is not None and sum(found.words.values()) == 8 and not found.odd
    assert f"'{word}' in 8 cells" in found.said()
    assert read(cells).count(None) == 8


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"{i:03}",
        lambda i: f"train_{i}",
        lambda i: f"{200 + i}-{300 + i}-{4000 + i}",
        lambda i: f"0{20 + i} {300 + i} {100 + i}",
        lambda i: f"{RANDOM.randint(10**4, 10**5)}-{RANDOM.randint(1000, 9999)}",
        lambda i: f"{i}.{i}.{i}",
        lambda i: f"10.0.{i}.1",
        lambda i: f"{RANDOM.getrandbits(64):016x}",
        lambda i: f"{i} {RANDOM.choice(['Main', 'Oak', 'Elm'])} Street",
        lambda i: RANDOM.choice(["1a", "1b", "2a", "2b"]),
        lambda i: RANDOM.choice(["1", "2", "3", "other"]),
        lambda i: f"it cost {i} euros and was late",
        lambda i: RANDOM.choice(["None", "NA", "null", "red"]),
        lambda i: f"{RANDOM.getrandbits(28):07x}",
        lambda i: f"AB{1001 + i}",
        lambda i: f"CA-{12 + i}",
        lambda i: f"{i}<{i + 1}",
        lambda i: f"LED {2700 + 100 * (i % 4)}",
        lambda i: f"Set {1234 + i}",
        lambda i: f"Pro {1000 + i}",
        lambda i: f"{1 + i % 9} sets {10 + i % 20}",
        lambda i: f"Model {1 + i % 9} Jan 2024",
        lambda i: f"Sample 2024-01-{1 + i % 28:02}",
        lambda i: f"4.{i % 5 + 1}.{i % 20 + 1}",
        lambda i: f"4.{i % 5 + 1}.{10 + i % 20}",
        lambda i: f"{3 + i % 3} {4 + i % 5} {12 + i % 9}",
        lambda i: ["5", "6", "7", "9", "2024-01-31"][i % 5],
        lambda i: ["5 B", "8", "7"][i % 3],
        lambda i: ["500 Mb", "1 MB"][i % 2],
        lambda i: f"P{1 + i % 12}M",
    ],
)
def test_what_is_no_number(make: Callable[[int], str]) -> None:
    assert find(column([make(i) for i in range(ROWS)])) is None


@pytest.mark.parametrize(
    ("cells", "means"),
    [
        (["10~20", "20~30", "5~9"], [[10, 20], [20, 30], [5, 9]]),
        (["12±3", "10+-3", "9 +/- 1"], [[12, 3], [10, 3], [9, 1]]),
        (["1.80 m", "1.75 m", "1.6", "1.92 m"], [1.8, 1.75, 1.6, 1.92]),
        (["5 mm", "8"], [5, 8]),
        (["1.5M", "20"], [1.5e6, 20]),
        (["500 mW", "1 W", "2 W", "3 W"], [0.5, 1, 2, 3]),
        (["1 MW", "500 W", "300 W"], [1e6, 500, 300]),
        (["5 mPa", "1 Pa", "2 MPa", "2 Pa"], [0.005, 1, 2e6, 2]),
        (["2 x 100", "3 x 200"], [[2, 100], [3, 200]]),
        (["2 x 10^3", "3x10^-2", "1e4"], [2000, 0.03, 10000]),
        (["P1DT2H", "PT5M", "PT90S"], [93600, 300, 90]),
        ([f"{i:02}/05/2024" for i in MONTHS], [datetime.datetime(2024, 5, i) for i in MONTHS]),
        ([f"{i:02}/01/2024" for i in MONTHS], [datetime.datetime(2024, i, 1) for i in MONTHS]),
        (["set/2024", "out/2024"], [datetime.datetime(2024, 9, 1), datetime.datetime(2024, 10, 1)]),
        (["12 mars 2024", "12/03/2024"], [datetime.datetime(2024, 3, 12)] * 2),
    ],
)  # fmt: skip
def test_what_a_whole_column_means(cells: list[str], means: list[Any]) -> None:
    found = read(cells * 10)[: len(cells)]
    assert found == (means if isinstance(means[0], datetime.datetime) else [
        pytest.approx(value) for value in means
    ])  # fmt: skip


@pytest.mark.parametrize("cell", ["2x10400", "2 x 10^400", "7e4526b", "1e999", "9" * 400])
def test_what_no_float_holds_is_a_missing_cell(cell: str) -> None:
    data = column(["1", cell])
    assert read_column(data, Reading())[0].to_pylist() == [1, None]
    assert 1 in read_column(data, Reading())[1]


def test_part_numbers_with_an_e_are_no_crash() -> None:
    find(column([f"{i}E{100 + 9 * i}A" for i in range(10, 100)]))
    find(column([f"{RANDOM.getrandbits(28):07x}" for _ in range(2000)]))


def test_metres_in_a_column_of_bare_numbers_are_no_millions() -> None:
    with pytest.raises(ValueError):
        Reading().value("5 m")
    assert Reading().value("5k") == 5000


@pytest.mark.parametrize("kind", [pa.float64(), pa.int64(), pa.int32()])
def test_dates_of_digits_are_read_alike_from_numbers(kind: pa.DataType) -> None:
    date = Reading("date", order="ymd")
    read = read_column(column([20240104, None], kind), date)
    assert read[0].to_pylist() == [datetime.datetime(2024, 1, 4), None] and not read[1]
    cells, odd = read_column(column([1706659200, 20240104], kind), date)
    assert cells[0].as_py() is None and list(odd) == [0]
    found = find(column([20240104, 20240204, None], kind))
    assert found is not None and found.reading.what == "date"
    many, unread = read_column(column([1.7e12], pa.float64()), date)
    assert many.to_pylist() == [None] and list(unread) == [0]


def test_long_texts_are_told_at_once_and_not_kept() -> None:
    numerals.tidy.cache_clear()
    for text in ("ab" + " " * 4000 + "x1", "1" + " " * 9000 + "x", "1," * 9000):
        assert numerals.marks(text) is None and numerals.unit(text) is None
        assert numerals.span(text) is None and dates.clock(text) is None
        assert dates.moment(text, "dmy") is None and not numerals.pieces(text)
        assert dates.places(text) is None
    assert not numerals.tidy.cache_info().currsize


def test_typed_columns_say_what_they_are() -> None:
    days = [datetime.date(2024, 1, 1 + i) for i in range(9)]
    for cells, kind, what in (
        ([1.5, 2.0], pa.float64(), "number"),
        ([20240101, 20240215], pa.int64(), "date"),
        (days, pa.date32(), "date"),
        ([datetime.time(8, 29)], pa.time64("us"), "clock"),
        ([datetime.timedelta(1)], pa.duration("s"), "span"),
    ):
        found = find(column(cells, kind))
        assert found is not None and found.reading.what == what
    numbers = column([20240101, 20240215], pa.int64())
    found = find(numbers)
    assert found is not None
    assert read_column(numbers, found.reading)[0].to_pylist()[1] == datetime.datetime(2024, 2, 15)


def test_what_is_said_overrules() -> None:
    ambiguous = ["01/02/2024", "03/04/2024"]
    assert read(ambiguous)[0] == datetime.datetime(2024, 2, 1)
    assert read(ambiguous, order="mdy")[0] == datetime.datetime(2024, 1, 2)
    assert read(["24_01_31"], order="%y_%m_%d")[0] == datetime.datetime(2024, 1, 31)
    thousands = ["6,174", "5,250"]
    assert read(thousands) == [6174, 5250]
    assert read(thousands, decimal=",") == [6.174, 5.25]


def test_one_row_is_read_as_the_training_rows_were() -> None:
    found = find(column([f"{i},5 €" for i in range(ROWS)]))
    assert found is not None
    for cell, means in (
        ("7,25 €", 7.25),
        ("7.25", 7.25),
        (7.25, 7.25),
        ("?", None),
        ("1.234", 1234),
    ):
        assert found.reading.value(cell) == means
    with pytest.raises(ValueError, match="neither a number nor a date"):
        found.reading.value("dear")


@given(st.floats(-1e9, 1e9).map(lambda x: round(x, 2)))
def test_a_number_survives_its_spelling(value: float) -> None:
    german = f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")
    one = Units({}, open=True).factor
    assert numerals.one(german + " €", ",", one) == pytest.approx(value)
    assert numerals.one(f"${value:,.2f}".replace("$-", "-$"), ".", one) == pytest.approx(value)


@given(st.text(max_size=30))
def test_no_text_is_too_strange(text: str) -> None:
    find(column([text, text + "1", "2"]))
    for order in (*dates.ORDERS, "%d"):
        dates.moment(text, order)
    dates.clock(text)
    numerals.several(text, ".", Units({}).factor)


@given(st.from_regex(r"\A[(<]?\d+[eExX]?[-+]?\d*[a-zA-Z%]?\Z"))
def test_no_part_number_is_too_strange(text: str) -> None:
    find(column([text, text + "1", "2"]))
    value = numerals.one(text, ".", Units({}, open=True).factor)
    assert value is None or abs(value) < float("inf")


def test_a_moment_before_the_first_year_is_none() -> None:
    assert dates.moment("0001-01-01 +0500", "%Y-%m-%d %z") is None


@given(st.datetimes(datetime.datetime(1971, 1, 1), datetime.datetime(2030, 1, 1)))
def test_a_date_survives_its_spelling(moment: datetime.datetime) -> None:
    moment = moment.replace(microsecond=0)
    for order, shape in (
        ("dmy", "%d.%m.%Y %H:%M:%S"),
        ("mdy", "%m/%d/%Y %I:%M:%S %p"),
        ("dmy", "%d %B %Y %H:%M:%S"),
        ("dmy", "%a, %d %b %Y %H:%M:%S +0000"),
        ("dmy", "%Y/%m/%d %H:%M:%S"),
        ("dmy", "%a %b %d %H:%M:%S %Y"),
    ):
        assert dates.moment(moment.strftime(shape), order) == moment
