"""Inference: small made-up columns, each with the kind a person would give it."""

from __future__ import annotations

import datetime
import io
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.prepared.cells import cells
from polymodal.table.infer import describe, infer, validate
from polymodal.table.read import Table, read
from polymodal.table.schema import Schema
from polymodal.table.typed import Stated, typed

ROWS = 400
RANDOM = random.Random(0)
WORDS = ["red", "green", "blue", "round", "square", "small", "large", "old", "new", "soft"]
WORDS += ["hard", "warm", "cold", "left", "right"]


def column(make: Any, rows: int = ROWS) -> list[Any]:
    return [make(i) for i in range(rows)]


def choice(*values: Any) -> list[Any]:
    return column(lambda i: RANDOM.choice(values))


def sentence(words: int = 8) -> str:
    return " ".join(RANDOM.choices(WORDS, k=words))


def unspaced(letters: str, count: int) -> str:
    return "".join(RANDOM.choices(letters, k=count))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def codes(count: int) -> list[int]:
    """Codes that keep coming back, some often, some seldom, in no order."""
    weights = [RANDOM.random() ** 3 + 0.01 for _ in range(count)]
    return RANDOM.choices(range(1, count + 1), weights, k=ROWS)


POISSON = np.random.default_rng(0).poisson(3, ROWS)
LABEL = choice("yes", "no")
HEXADECIMAL = column(lambda i: f"{RANDOM.getrandbits(64):016x}")
MANY_NAMES = column(lambda i: RANDOM.choice(WORDS) + RANDOM.choice(WORDS))

CITIES = [a + b for a in "北南东西上下广深" for b in "京海州圳山河"]
TEMPLATES = [unspaced("这个很好我用了不电池", 12) + "。" for _ in range(30)]
ALPHABETS = {
    "Chinese": "这个很好我用了不电池",
    "Japanese": "とてもよかったですね",
    "Thai": "กขคงจฉชซญด",
    "Khmer": "កខគឃងចឆជឈញ",
    "Burmese": "ကခဂဃငစဆဇဈည",
}
SCRIPTS: list[tuple[str, str, Sequence[Any], str, str]] = [
    *(
        ("a", "text", [f"{unspaced(letters, 20)}{i}" for i in range(ROWS)], "words", script)
        for script, letters in ALPHABETS.items()
    ),
    ("a", "text", choice(*TEMPLATES), "30 different", "Chinese templates"),
    (
        "a",
        "text",
        choice("好吗？这个怎么样？", "哪个比较好用呢？"),
        "2 different",
        "Chinese questions",
    ),
    ("城市", "category", choice(*CITIES), "48 different", "Chinese cities"),
    ("a", "category", choice("กรุงเทพ", "เชียงใหม่", "ภูเก็ต"), "3 different", "Thai cities"),
    ("a", "skip", column(lambda i: f"订单{i:05}"), "an id", "Chinese order numbers"),
]
LISTED = [
    [f"{np.array([i, 0.5, 2])}" for i in range(ROWS)],
    [f"{np.arange(i, i + 40) / 4}" for i in range(ROWS)],
    [" ".join(map(str, range(i, i + 9))) for i in range(ROWS)],
    [";".join(f"{k},5" for k in range(i, i + 4)) for i in range(ROWS)],
    [f"[{i}.0, nan, 2.0]" for i in range(ROWS)],
    [f"{np.ones((2, 2)) * i}" for i in range(ROWS)],
]
NOT_LISTED = [
    [f"48.{i}, 2.35" for i in range(ROWS)],
    [f"{100 + i % 40}/80" for i in range(ROWS)],
    [f"{i % 9};{i % 7};{i % 5}" for i in range(ROWS)],
    [f"0171 {1000 + i} {i}" for i in range(ROWS)],
    [f"12 0{i % 10}0" for i in range(ROWS)],
]
INPUTS: list[tuple[str, str, Sequence[Any], str, str]] = [
    # name, kind, cells, part of the reason, what it is about
    ("a", "image", column(lambda i: f"images/{i}.PNG"), "100%", "paths"),
    ("a", "image", [*column(lambda i: f"{i}.jpg", 390), *["n/a."] * 10], "98%", "some are not"),
    ("a", "image", column(lambda i: f"https://x.org/{i}.jpg?w=3"), "jpg", "URLs"),
    ("a", "audio", [None, *column(lambda i: f"{i}.wav", ROWS - 1)], "wav", "paths, one missing"),
    ("a", "video", column(lambda i: f"{i}.mp4"), "mp4", "paths"),
    ("a", "series", column(lambda i: f"{i}.npy"), "npy", "paths"),
    ("a", "skip", column(lambda i: f"{i}.{'png' if i % 2 else 'wav'}"), "audio and image", "mixed"),
    ("a", "image", column(lambda i: b"\x89PNG" + bytes([i % 99])), "image", "bytes"),
    ("a", "audio", column(lambda i: {"bytes": b"fLaC1", "path": None}), "audio", "HF structs"),
    ("a", "image", column(lambda i: {"bytes": None, "path": f"{i}.png"}), "image", "HF paths"),
    ("a", "image", column(lambda i: npy(np.zeros((4, 4, 3)))), "image", "pictures as arrays"),
    ("a", "image", column(lambda i: npy(np.zeros((4, 4), np.uint8))), "image", "grey arrays"),
    ("a", "video", column(lambda i: npy(np.zeros((2, 4, 4, 3)))), "video", "clips as arrays"),
    ("a", "series", column(lambda i: npy(np.zeros((4, 4)))), "series", "channels as arrays"),
    ("a", "skip", column(lambda i: b"who knows" + bytes([i % 99])), "no known", "bytes"),
    ("a", "skip", column(lambda i: {"left": i}), "with the fields 'left'", "objects"),
    ("a", "series", column(lambda i: [1.0] * (1 + i % 5)), "lists of numbers", "lists"),
    ("a", "series", column(lambda i: str([i, 2])), "lists of numbers", "JSON lists"),
    ("a", "series", column(lambda i: [[1.0, 2.0]] * (1 + i % 5)), "nested", "channels"),
    ("a", "image", column(lambda i: [[[1, 2, 3]]]), "3-fold", "pictures as lists"),
    ("a", "set", column(lambda i: RANDOM.sample(WORDS, 1 + i % 3)), "15 different", "labels"),
    ("a", "set", column(lambda i: str(RANDOM.sample(WORDS, 1 + i % 3))), "15", "printed lists"),
    ("a", "text", column(lambda i: sentence(20).split()), "words", "words without tags"),
    ("a", "skip", column(lambda i: [{"x": i}]), "nested", "lists of objects"),
    ("a", "skip", [[]] * ROWS, "empty lists", "empty lists"),
    ("a", "number", column(lambda i: RANDOM.random()), "decimal", "floats"),
    ("a", "number", column(lambda i: f"{RANDOM.gauss(0, 9):.2e}"), "decimal", "floats as strings"),
    ("a", "number", choice(0.5, 1.0, 1.5), "decimal", "few floats"),
    ("age", "number", column(lambda i: RANDOM.randint(18, 90)), "whole", "ages"),
    ("age", "number", [str(RANDOM.randint(18, 90)) for _ in range(399)] + ["NaN"], "399", "NaN"),
    ("price", "number", column(lambda i: RANDOM.randint(0, 10**9)), "whole", "unique by chance"),
    ("a", "number", [float(x) for x in POISSON], "whole", "few counts"),
    ("a", "category", choice(3, 17, 255), "3 different whole", "few whole numbers"),
    ("a", "number", column(lambda i: i % 10), "10 whole numbers from 0 to 9", "balanced digits"),
    ("stars", "number", choice(1, 2, 3, 4, 5), "1 to 5: a scale", "ratings"),
    ("age", "number", choice(*range(1, 16)), "15 whole numbers from 1 to 15", "young ages"),
    ("stars", "number", choice("1", "2", "4", "5"), "1 to 5", "ratings without a middle"),
    ("a", "number", choice(-2, -1, 0, 1, 2), "-2 to 2", "a scale around zero"),
    ("a", "category", choice(10, 20, 30, 40), "only 4 different", "codes in tens"),
    ("a", "category", choice(1, 2), "only 2 different", "two codes"),
    ("status_code", "category", choice(1, 2, 3, 4), "codes: 4", "called a code"),
    ("grade", "category", choice("01", "02", "03"), "3 different", "zero-padded"),
    ("a", "category", choice("0", "1"), "2 different", "flags"),
    ("a", "category", choice(True, False), "true or false", "truth"),
    ("a", "category", choice("007", "012", "100"), "3 different", "leading zeros"),
    ("zip", "category", choice(*(f"0{i}" for i in range(1000, 1050))), "different", "zip codes"),
    ("shop_id", "category", codes(60), "codes", "codes of whole numbers"),
    ("shopId", "category", codes(60), "codes", "codes of whole numbers"),
    ("visits", "number", codes(60), "whole", "no name of a code"),
    ("a", "category", choice("red", "green"), "2 different", "names"),
    ("a", "category", [*choice("red", "green")[1:], None], "2 different", "names, one missing"),
    ("a", "category", ["SALE" if i % 3 else None for i in range(ROWS)], "1 different", "a mark"),
    ("a", "category", choice("Strongly agree", "Neither agree nor disagree", "No"), "3", "survey"),
    ("city", "category", MANY_NAMES, "different values", "long tail of names"),
    ("a", "category", choice("10%", "20%"), "2 different", "few percentages"),
    ("colour", "category", choice(*(f"{a} {b}" for a in WORDS for b in WORDS[:6])), "9", "pairs"),
    ("a", "text", column(lambda i: sentence()), "8.0 words", "free text"),
    ("title", "text", column(lambda i: sentence(2 + i % 4)), "words", "short titles"),
    ("q", "text", choice("How many are there?", "What colour is it?"), "2 different", "questions"),
    ("q", "text", choice(*(f"{sentence(5)} {i}" for i in range(50))), "50", "templates"),
    ("name", "text", column(lambda i: "".join(RANDOM.choices("aeioutmnr", k=9))), "1.0", "words"),
    ("q", "text", column(lambda i: "".join(RANDOM.choices("猫犬鳥魚", k=9))), "4.0", "no spaces"),
    ("a", "text", column(lambda i: f"https://x.org/{sentence(1)}/{i}"), "1.0", "addresses"),
    ("a", "number", column(lambda i: f"2024-0{1 + i % 9}-1{i % 7}"), "dates", "ISO dates"),
    ("a", "number", column(lambda i: datetime.date(2024, 1 + i % 12, 3)), "dates", "dates"),
    ("a", "number", column(lambda i: f"2024-01-01T{i % 24:02}:{i % 5}0:00Z"), "dates", "times"),
    ("a", "number", column(lambda i: f"{1 + i % 28}/{1 + i % 12}/2024"), "day-month", "local"),
    ("a", "number", column(lambda i: f"${i + 1},000.50"), "in '$'", "money"),
    ("a", "number", column(lambda i: f"{i},5"), "decimal commas", "decimal commas"),
    ("a", "number", column(lambda i: f"{i / 7:.1f}kg"), "in 'kg'", "measurements"),
    ("a", "number", column(lambda i: f"{RANDOM.randint(0, 23):02}:{i % 60:02}"), "day", "clocks"),
    ("a", "number", column(lambda i: f"{100 + i % 80}/{60 + i % 31}"), "2 numbers", "pressure"),
    ("a", "number", column(lambda i: f"{i % 70}-{i % 70 + 9}"), "2 numbers", "ranges"),
    ("a", "number", column(lambda i: f"{i / 9:.4f}, {i / 7:.4f}"), "2 numbers", "coordinates"),
    ("a", "number", column(lambda i: "<5" if i % 3 else str(i)), "whole", "limits of detection"),
    ("a", "number", column(lambda i: "?" if i % 8 == 0 else str(i * i)), "'?' in 50", "question"),
    ("a", "number", column(lambda i: "?" if i % 8 == 0 else str(i)), "'?' in 50", "few words"),
    ("a", "number", column(lambda i: f"−{i / 9:.3f}" if i % 2 else f"({i})"), "decimal", "minus"),
    ("a", "number", column(lambda i: f"{RANDOM.randint(2, 99)}k"), "in 'k'", "thousands"),
    ("tel", "skip", column(lambda i: f"{200 + i}-{RANDOM.randint(100, 999)}-1{i:03}"), "id", "tel"),
    ("a", "skip", column(lambda i: i), "an index", "row numbers"),
    ("a", "skip", column(lambda i: datetime.date.fromordinal(738_000 + i)), "an index", "days"),
    ("a", "skip", RANDOM.sample(range(600), ROWS), "an id", "a sample of row numbers"),
    ("a", "skip", [str(x) for x in RANDOM.sample(range(600), ROWS)], "an id", "as strings"),
    ("user_id", "skip", RANDOM.sample(range(10**9), ROWS), "an id", "large ids"),
    ("a", "skip", HEXADECIMAL, "an id", "hashes"),
    ("a", "skip", column(lambda i: f"train_{i:04}"), "an id", "numbered names"),
    ("a", "skip", column(lambda i: f"case-{i // 2}"), "an id", "names of pairs of rows"),
    ("a", "skip", [None] * ROWS, "missing", "nothing"),
    ("a", "skip", [""] * ROWS, "missing", "nothing"),
    ("a", "skip", ["same"] * ROWS, "constant", "a constant"),
    ("a", "skip", [5] * ROWS, "constant", "a constant"),
    *SCRIPTS,
]  # fmt: skip


def table_of(**columns: Sequence[Any]) -> Table:
    return read({name: list(cells) for name, cells in columns.items()})


def reason_of(schema: Schema, name: str) -> tuple[str, str]:
    if name in schema.skipped:
        return "skip", schema.skipped[name]
    found = schema.column(name)
    return found.kind, found.reason


@pytest.mark.parametrize(
    ("name", "kind", "cells", "reason", "about"),
    INPUTS,
    ids=[f"{about} are {kind}" for _, kind, _, _, about in INPUTS],
)
def test_inputs(name: str, kind: str, cells: Sequence[Any], reason: str, about: str) -> None:
    extra = column(lambda i: sentence(30))
    schema = infer(table_of(**{name: cells, "extra": extra, "y": LABEL}), ["y"])
    found, why = reason_of(schema, name)
    assert (found, reason in why) == (kind, True), why


TARGETS: list[tuple[Sequence[Any], str, str]] = [
    (choice("a", "b", "c"), "category", "3 different values"),
    (choice(True, False), "category", "true or false"),
    (choice(1, 2, 3, 4, 5), "category", "`kind y=number`"),
    (choice("1", "2", "3"), "category", "whole numbers"),
    (column(lambda i: f"intent {i % 77}"), "category", "77"),
    (column(lambda i: i % 31), "number", "`kind y=category`"),
    (column(lambda i: RANDOM.random()), "number", "regress"),
    (choice(0.5, 1.5), "number", "regress"),
    (choice("0.5", "1.5", None), "number", "regress"),
    (column(lambda i: f"2024-0{1 + i % 9}-11"), "number", "regress"),
    (column(lambda i: RANDOM.sample(WORDS, i % 3)), "set", "labels"),
    (column(lambda i: [i % 3, 7][: i % 3]), "set", "labels"),
    (choice("a;b", "b", "a"), "category", "3 different"),
]


@pytest.mark.parametrize(("cells", "kind", "reason"), TARGETS)
def test_targets(cells: Sequence[Any], kind: str, reason: str) -> None:
    schema = infer(table_of(x=column(lambda i: sentence()), y=cells), ["y"])
    assert schema.targets[0].kind == kind
    assert reason in schema.targets[0].reason


@pytest.mark.parametrize(
    "cells",
    [
        column(lambda i: sentence()),
        column(lambda i: b"\x89PNG"),
        column(lambda i: [0.5, 0.7]),
        column(lambda i: {"bytes": b"fLaC", "path": "x"}),
    ],
)
def test_what_cannot_be_a_target(cells: Sequence[Any]) -> None:
    with pytest.raises(UserError, match="'y' cannot be a target"):
        infer(table_of(x=column(lambda i: i * 0.7), y=cells), ["y"])


def ner_table(words: Any = list, **columns: Sequence[Any]) -> Table:
    tokens = [sentence(2 + i % 5).split() for i in range(ROWS)]
    tags = [[RANDOM.choice(["O", "B-x"]) for _ in cell] for cell in tokens]
    return table_of(tokens=[words(cell) for cell in tokens], **columns, y=tags)


def test_few_long_texts_are_texts_and_few_long_classes_stay_classes() -> None:
    texts = [sentence(30) for _ in range(12)]
    table = {"said": [texts[i % 12] for i in range(ROWS)], "y": LABEL}
    assert infer(read(table), ["y"]).column("said").kind == "text"
    assert infer(read({**table, "n": POISSON}), ["said"]).targets[0].kind == "category"


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (lambda i: f"{1 + i % 9},{10 + i % 80},{100 + i}", 110_100),
        (lambda i: f"{1 + i % 9},{100 + i % 800},{100 + i}", 1_100_100),
        (lambda i: f"2024. {1 + i % 12}. {1 + i % 28}.", datetime.datetime(2024, 1, 1)),
    ],
)
def test_one_number_or_date_with_marks_is_no_series(make: Any, first: Any) -> None:
    table = read({"n": column(make), "y": LABEL})
    schema = infer(table, ["y"])
    assert schema.column("n").kind == "number"
    assert typed(schema, table).cells("n")[0] == first


def test_a_series_that_is_quoted_once_too_often_is_one() -> None:
    cells = column(lambda i: '"0.5,0.25,' + str(i / 8) + '"')
    assert infer(read({"n": cells, "y": LABEL}), ["y"]).column("n").kind == "series"


def test_numbers_of_three_digits_in_a_row_stay_a_series() -> None:
    cells = column(lambda i: " ".join(str(100 + (i * k) % 90) for k in range(8)))
    assert infer(read({"n": cells, "y": LABEL}), ["y"]).column("n").kind == "series"


@pytest.mark.parametrize("make", [str, int])
def test_whole_numbers_that_no_float_tells_apart_are_codes(make: Any) -> None:
    cells = column(lambda i: make(9_000_000_000_000_000_000 + i % 300))
    said = infer(read({"n": cells, "x": POISSON, "y": LABEL}), ["y"]).skipped["n"]
    assert said.startswith("an id: 300 different codes in 400 cells")


def test_codes_are_called_so_in_many_languages() -> None:
    cells = choice(*range(10_000, 10_100, 2))
    for name in ("PLZ", "código postal", "kundenCode", "邮政编码"):
        assert infer(read({name: cells, "y": LABEL}), ["y"]).column(name).kind == "category"
    assert infer(read({"plzen": cells, "y": LABEL}), ["y"]).column("plzen").kind == "number"


@pytest.mark.parametrize("cells", [["{Bern,Wien}", "{Wien}", "{}"], ["{'Wien', 'Bern'}", "set()"]])
def test_sets_as_databases_and_python_print_them_are_sets(cells: list[str]) -> None:
    table = read({"s": [cells[i % len(cells)] for i in range(ROWS)], "y": LABEL})
    assert infer(table, ["y"]).column("s").kind == "set"
    assert sorted(table.cells("s")[0]) == ["Bern", "Wien"]


def test_arrays_as_databases_print_them_keep_their_order() -> None:
    table = read({"s": ["{0.5,0.25,0.25,0.125}"] * ROWS, "y": LABEL})
    assert infer(table, ["y"], {"s": "series"}).column("s").kind == "series"
    assert table.cells("s")[0] == [0.5, 0.25, 0.25, 0.125]
    objects = read({"s": ['{"a": 1}', '{"a": 2}'], "t": ["{name}", "{b=c}"], "y": ["u", "v"]})
    assert objects.cells("s")[0] == '{"a": 1}' and objects.cells("t")[1] == "{b=c}"


def test_objects_in_cells_are_named_as_such() -> None:
    table = read({"o": [{"a": 1, "b": "x"}] * ROWS, "x": POISSON, "y": LABEL})
    assert "objects with the fields 'a', 'b'" in infer(table, ["y"]).skipped["o"]


def test_tags_find_the_words_they_label() -> None:
    schema = infer(ner_table(), ["y"])
    assert schema.targets[0].kind == "tags"
    assert schema.targets[0].details == {"text": "tokens"}
    assert schema.column("tokens").kind == "text"
    assert schema.column("tokens").details == {"words": True}
    texts = infer(ner_table(" ".join), ["y"])
    assert texts.targets[0].details == {"text": "tokens", "cut": "spaces"}
    assert texts.column("tokens").kind == "text"


@pytest.mark.parametrize("between", [" ", ",", "; ", "|"])
def test_tags_joined_in_a_cell_find_their_words(between: str) -> None:
    table = ner_table(" ".join)
    joined = [between.join(cell) for cell in table.cells("y")]
    both = table_of(tokens=table.cells("tokens"), y=joined)
    schema = infer(both, ["y"])
    assert (schema.targets[0].kind, schema.targets[0].details["text"]) == ("tags", "tokens")
    declared = infer(both, ["y"], {"y": "tags"})
    assert declared.targets[0].details == schema.targets[0].details


@pytest.mark.parametrize(
    ("text", "tags", "cut"),
    [
        ("我爱北京。", "O O B I O", "characters"),
        ("我 爱 北京 。", "O O B O", "spaces"),
        ("กำไร", "O B I", "characters"),
        ("ดี กำไร", "O B", "spaces"),
    ],
)
def test_tags_label_characters_where_no_spaces_are(text: str, tags: str, cut: str) -> None:
    texts = [text + " ok" * (i % 2) for i in range(ROWS)]
    table = table_of(text=texts, y=[tags + " O" * (i % 2) for i in range(ROWS)])
    schema = infer(table, ["y"], {"text": "text"})
    assert schema.targets[0].details == {"text": "text", "cut": cut}
    for cell, labels in zip(cells(table, [schema.column("text")]), table.cells("y"), strict=True):
        assert len(cell) == len(labels.split())


@pytest.mark.parametrize("cells", LISTED, ids=lambda cells: repr(cells[1]))
def test_texts_that_list_numbers_are_series(cells: list[str]) -> None:
    found, why = reason_of(infer(table_of(x=cells, z=LABEL, y=LABEL[::-1]), ["y"]), "x")
    assert (found, "list numbers" in why) == ("series", True)


@pytest.mark.parametrize("cells", NOT_LISTED, ids=lambda cells: cells[1])
def test_few_numbers_in_a_text_are_no_series(cells: list[str]) -> None:
    found, _ = reason_of(infer(table_of(x=cells, z=LABEL, y=LABEL[::-1]), ["y"]), "x")
    assert found != "series"


def test_two_texts_of_as_many_words_are_no_tags() -> None:
    one = column(lambda i: sentence(2 + i % 5))
    other = [" ".join(f"{word}{RANDOM.random()}" for word in cell.split()) for cell in one]
    with pytest.raises(UserError, match="cannot be a target"):
        infer(table_of(one=one, y=other), ["y"])


def test_a_set_is_not_taken_for_tags() -> None:
    names = choice("red", "green")
    schema = infer(table_of(names=names, y=[[name] for name in names]), ["y"])
    assert schema.targets[0].kind == "set"


def test_tags_without_words() -> None:
    table = ner_table(lambda words: [*words, "more"])
    assert infer(table, ["y"]).targets[0].kind == "set"
    with pytest.raises(UserError, match="as many words as 'y' has tags"):
        infer(table, ["y"], {"y": "tags"})


def test_twins_are_skipped() -> None:
    table = ner_table()
    joined = [" ".join(cell) + " " for cell in table.cells("tokens")]
    both = table_of(text=joined, tokens=table.cells("tokens"), y=table.cells("y"))
    schema = infer(both, ["y"])
    assert [c.name for c in schema.inputs] == ["tokens"]
    assert "'tokens'" in schema.skipped["text"]
    texts = column(lambda i: sentence())
    plain = table_of(first=texts, second=texts, other=texts[::-1], y=LABEL)
    assert [c.name for c in infer(plain, ["y"]).inputs] == ["first", "other"]
    declared = infer(plain, ["y"], {"second": "text"})
    assert [c.name for c in declared.inputs] == ["first", "second", "other"]


def test_declared_kinds_overrule() -> None:
    table = table_of(
        id=column(lambda i: i), grade=choice(1, 2, 3), tags=choice("a;b", "b"), y=choice(1, 2, 3)
    )
    kinds = {"id": "number", "grade": "category", "tags": "set", "y": "number"}
    schema = infer(table, ["y"], kinds)
    assert {c.name: (c.kind, c.reason) for c in schema} == {
        name: (kind, "declared") for name, kind in kinds.items()
    }
    assert infer(table, ["y"], {**kinds, "id": "skip"}).skipped == {"id": "declared"}


def test_drop_and_group() -> None:
    table = table_of(a=choice("u", "v"), patient=codes(20), b=choice("u", "v"), y=LABEL)
    schema = infer(table, ["y"], {}, ["b"], "patient")
    assert [c.name for c in schema.inputs] == ["a"]
    assert schema.group == "patient"
    assert schema.skipped == {"patient": "the group that rows belong to", "b": "dropped"}
    kept = infer(table, ["y"], {"patient": "category"}, (), "patient")
    assert [c.name for c in kept.inputs] == ["a", "patient", "b"]


def test_advice_that_can_help() -> None:
    table = read({"x": POISSON, "y": LABEL})
    for arguments, said in (
        ({"drop": ["x"]}, "leave fewer columns out"),
        ({"group": "y"}, "both the target and the group"),
    ):
        with pytest.raises(UserError, match=said):
            infer(table, ["y"], **arguments)
    with pytest.raises(UserError) as caught:
        infer(table, ["x, y"])
    assert "--target x, --target y" in caught.value.for_shell()
    with pytest.raises(UserError, match="add the columns"):
        infer(read({"y": LABEL}), ["y"])


def test_several_targets() -> None:
    table = table_of(a=choice("u", "v"), y=LABEL, z=column(lambda i: RANDOM.random()))
    assert [c.kind for c in infer(table, ["z", "y"]).targets] == ["number", "category"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"targets": ["lable"]}, "did you mean 'label'"),
        ({"kinds": {"txet": "text"}}, "did you mean 'text'"),
        ({"drop": ["txt"]}, "did you mean 'text'"),
        ({"group": "nobody"}, "no column 'nobody'"),
        ({"kinds": {"text": "txt"}}, "did you mean 'text'"),
        ({"targets": ["label", "label"]}, "twice as a target"),
        ({"drop": ["label"]}, "target and dropped"),
        ({"targets": ["empty"]}, "no values"),
        ({"targets": ["text"]}, "cannot be a target"),
        ({"targets": ["text"]}, "have such texts written"),
        ({"kinds": {"text": "number"}}, "in row 0, which is neither a number nor a date"),
        ({"kinds": {"size": "image"}}, "not of kind image"),
        ({"kinds": {"size": "text"}}, "not of kind text"),
        ({"kinds": {"list": "number"}}, "not of kind number"),
        ({"kinds": {"list": "category"}}, "not of kind category"),
        ({"drop": ["text", "size", "list"]}, "no column left"),
    ],
)
def test_errors(arguments: dict[str, Any], said: str) -> None:
    table = table_of(
        text=column(lambda i: sentence()),
        size=column(lambda i: RANDOM.random()),
        list=column(lambda i: [1.0, 2.0]),
        empty=[None] * ROWS,
        label=LABEL,
    )
    with pytest.raises(UserError) as caught:
        infer(table, **{"targets": ["label"], **arguments})
    assert said in str(caught.value)


def test_of_one_row_nothing_can_be_learned() -> None:
    with pytest.raises(UserError, match="add rows: there is one only") as caught:
        infer(read({"photo": ["a.png"], "y": ["a b"]}), ["y"], {"y": "text"})
    assert "kinds=" not in str(caught.value)


@pytest.mark.parametrize("stray", ["unknown", "6,174", "12abc", "inf", float("inf")])
def test_a_stray_cell_in_a_number_column_ends_nothing(stray: Any) -> None:
    ages = column(lambda i: RANDOM.randint(18, 90), ROWS)
    cells = [str(age) for age in ages] if isinstance(stray, str) else [float(age) for age in ages]
    cells[17] = stray
    table = table_of(age=cells, y=LABEL)
    schema = infer(table, ["y"])
    assert schema.column("age").kind == "number"
    read = typed(schema, table).cells("age")
    assert read[17] == (6174 if stray == "6,174" else None)
    assert read[:17] + read[18:] == ages[:17] + ages[18:]


@pytest.mark.parametrize("slip", ["hoch", "n.b.", "see note", "12abc", "zwölf"])
@pytest.mark.parametrize("rows", [60, 400])
def test_a_slip_among_few_whole_numbers_is_a_warning(slip: str, rows: int) -> None:
    """What stands in one cell is no word for missing: whoever wrote it is told."""
    cells = [str(1 + i % 9) for i in range(rows)]
    cells[7] = slip
    table = table_of(level=cells, y=["a", "b"] * (rows // 2))
    schema = infer(table, ["y"])
    assert schema.column("level").kind == "number"
    read = typed(schema, table)
    assert read.cells("level")[7] is None
    (odd,) = read.odd
    assert odd.rows.tolist() == [7] and slip in odd.example


def test_words_that_come_back_among_few_whole_numbers_are_names() -> None:
    cells = [["36", "38", "40", "M", "L"][i % 5] for i in range(100)]
    assert infer(table_of(size=cells, y=["a", "b"] * 50), ["y"]).column("size").kind == "category"


def test_most_cells_that_are_no_numbers_are_an_error() -> None:
    table = table_of(age=[str(i) for i in range(9)], y=list("ababababa"))
    later = table_of(age=["1", "two", "three"], y=list("aba"))
    schema = infer(table, ["y"], {"age": "number"})
    with pytest.raises(UserError, match="in row 1, which is neither a number nor a date"):
        validate(schema, later, require_targets=True)


@pytest.mark.parametrize("cells", [[5, -1, 7, 9] * 9, [5.0, -1.0, 7.5, 9.0] * 9])
def test_stated_words_for_missing_hold_in_typed_columns_too(cells: list[Any]) -> None:
    stated = Stated(missing={"n": ["-1"]})
    known = [None if cell == -1 else float(cell) for cell in cells]
    label = ["a", "b"] * 18
    for made in (cells, [str(cell) for cell in cells]):
        schema = infer(table_of(n=made, y=label), ["y"], {"n": "number"}, stated=stated)
        for later in (cells, [str(cell) for cell in cells]):
            assert typed(schema, table_of(n=later, y=label)).cells("n") == known


def test_a_stated_date_for_missing_holds_in_typed_columns_too() -> None:
    days = [datetime.date(1900, 1, 1), datetime.date(2024, 1, 31)] * 9
    stated = Stated(missing={"*": ["1900-01-01"]})
    table, _ = stated.applied(table_of(day=days, y=["a", "b"] * 9))
    assert table.cells("day") == [None, datetime.date(2024, 1, 31)] * 9


@pytest.mark.parametrize(
    "stated", [Stated(date={"n": "dmy"}), Stated(decimal={"n": ","}), Stated(date={"n": "%Y"})]
)
def test_how_typed_cells_are_written_is_not_to_be_said(stated: Stated) -> None:
    with pytest.raises(UserError, match="expected: texts"):
        infer(table_of(n=[1, 2, 3] * 9, y=["a", "b", "a"] * 9), ["y"], stated=stated)
    for_all = Stated(date={"*": "dmy"}, decimal={"*": ","})
    infer(table_of(n=[1.5, 2, 3] * 9, y=["a", "b", "a"] * 9), ["y"], stated=for_all)


def test_a_decimal_mark_for_all_leaves_several_numbers_a_cell_alone() -> None:
    table = table_of(bp=["120/80", "130/85"] * 30, x=["1,5", "2,25"] * 30, y=["a", "b"] * 30)
    schema = infer(table, ["y"], stated=Stated(decimal={"*": ","}))
    assert schema.column("bp").kind == schema.column("x").kind == "number"
    assert typed(schema, table).cells("bp")[:2] == [[120, 80], [130, 85]]


@pytest.mark.parametrize("make", [lambda i: f"AB{1001 + i}", lambda i: f"LED {2700 + i % 4 * 300}"])
def test_names_with_digits_are_no_numbers(make: Any) -> None:
    schema = infer(table_of(n=column(make), x=column(lambda i: RANDOM.random()), y=LABEL), ["y"])
    assert not any(one.kind == "number" and one.name == "n" for one in schema)


# -- later tables ----------------------------------------------------------------------------


def training_table() -> Table:
    return table_of(
        text=column(lambda i: sentence()),
        size=column(lambda i: RANDOM.random()),
        colour=choice("red", "green"),
        picture=column(lambda i: f"{i}.png"),
        marks=column(lambda i: RANDOM.sample(WORDS, 2)),
        y=LABEL,
    )


def test_a_table_fits_its_own_schema_and_json_keeps_it() -> None:
    table = training_table()
    schema = infer(table, ["y"])
    assert Schema.from_json(schema.to_json()) == schema
    validate(Schema.from_json(schema.to_json()), table, require_targets=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"y": None},
        {"y": [None]},
        {"extra": [object.__name__]},
        {"text": [None], "size": [None], "colour": [None], "picture": [None], "marks": [None]},
        {"size": ["0.5"], "colour": [True], "picture": [b"\x89PNG"], "marks": ["a;b"]},
        {"size": ["small"]},
        {"size": [3], "colour": ["unseen"], "text": [["a", "list", "of", "words"]]},
    ],
)
def test_later_tables_that_fit(changes: dict[str, Any]) -> None:
    first = training_table()
    row = {name: [first.cells(name)[0]] for name in first.names} | changes
    later = table_of(**{name: cells for name, cells in row.items() if cells is not None})
    validate(infer(first, ["y"]), later, require_targets=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": None, "colour": None}, "lacks 'text', 'colour'"),
        ({"text": None, "txt": ["x"]}, "is 'txt' meant to be 'text'?"),
        ({"y": None}, "lacks 'y'"),
        ({"y": [None]}, "no values"),
        ({"size": ["small"] * 2}, "'small' in row 0"),
        ({"size": [[1.0]]}, "not of kind number"),
        ({"text": [3]}, "not of kind text"),
        ({"text": [b"x"]}, "not of kind text"),
        ({"picture": [3]}, "not of kind image"),
        ({"colour": [["red"]]}, "not of kind category"),
        ({"marks": [[["a"]]]}, "not of kind set"),
    ],
)
def test_later_tables_that_do_not_fit(changes: dict[str, Any], said: str) -> None:
    first = training_table()
    rows = max(len(cells) for cells in changes.values() if cells) if any(changes.values()) else 1
    row = {name: first.cells(name)[:rows] for name in first.names} | changes
    later = table_of(**{name: cells for name, cells in row.items() if cells is not None})
    with pytest.raises(UserError) as caught:
        validate(infer(first, ["y"]), later, require_targets=True)
    assert said in str(caught.value)


def test_a_row_with_too_few_tags() -> None:
    schema = infer(ner_table(), ["y"])
    later = table_of(tokens=[["a", "b"], ["c"]], y=[["O", "O"], ["O", "O"]])
    with pytest.raises(UserError, match="2 tags and 1 words in row 1"):
        validate(schema, later, require_targets=True)
    validate(schema, later, require_targets=False)


# -- invariants ------------------------------------------------------------------------------


def test_formats_agree(tmp_path: Any) -> None:
    """A CSV and a Parquet file of the same table get the same kinds."""
    import pandas as pd

    table = training_table()
    frame = table.data.to_pandas().assign(flag=choice(True, False), n=codes(9), none=None)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame["marks"] = frame["marks"].map(list)
    pq_table = pa.Table.from_pandas(frame, preserve_index=False)
    pd.testing.assert_index_equal(frame.columns, pd.Index(pq_table.column_names))
    frame["marks"] = frame["marks"].map(str)
    frame.to_csv(tmp_path / "a.csv", index=False)
    kinds = [
        {c.name: c.kind for c in infer(read(source), ["y"])}
        for source in (tmp_path / "a.csv", pq_table)
    ]
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) == 8


@settings(max_examples=50)
@given(
    st.lists(
        st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["1", "2024-01-01", "a.png"])),
        min_size=1,
        max_size=30,
    )
)
def test_any_column_of_strings_gets_a_kind_and_a_reason(cells: list[str | None]) -> None:
    rows = len(cells)
    table = table_of(x=cells, other=[0.5 + i * i for i in range(rows)], y=["u"] * rows)
    schema = infer(table, ["y"], {"other": "number"})
    kind, reason = reason_of(schema, "x")
    assert kind and reason
    validate(schema, table, require_targets=True)


def test_every_column_is_described_once_in_order() -> None:
    table = table_of(
        id=column(lambda i: i),
        colour=[None, *choice("u", "v")[1:]],
        patient=codes(20),
        y=LABEL,
    )
    rows = describe(infer(table, ["y"], group="patient"), table)
    assert [row[:3] for row in rows] == [
        ("id", "skipped", ""),
        ("colour", "input", "category"),
        ("patient", "group", ""),
        ("y", "target", "category"),
    ]
    assert "(1 of 400 missing)" in rows[1][3]
    assert all(row[3] for row in rows)
