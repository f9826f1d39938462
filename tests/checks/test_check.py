"""Checks find what was planted, and nothing in clean data."""

from __future__ import annotations

import datetime
import io
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.options import for_shell
from polymodal.checks._finding import Finding
from polymodal.checks.check import Report, check
from polymodal.table.infer import infer
from polymodal.table.read import Table, read
from polymodal.table.schema import Column, Schema
from polymodal.table.typed import typed
from polymodal.tasks.multilabel import Multilabel

N = 600
WORDS = [
    "red",
    "blue",
    "house",
    "river",
    "stone",
    "light",
    "cloud",
    "paper",
    "green",
    "table",
    "window",
    "garden",
]


def table(source: str = "train.csv", base: Path | None = None, **columns: Any) -> Table:
    return Table(pa.table(columns), None if base is None else str(base), source)


def schema(inputs: dict[str, str], targets: dict[str, str], group: str | None = None) -> Schema:
    return Schema(
        tuple(Column(n, k) for n, k in inputs.items()),
        tuple(Column(n, k) for n, k in targets.items()),
        group,
    )


def articles(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, 12)) + f" {seed}-{i}" for i in range(n)]


def clean(n: int = N, seed: int = 0) -> tuple[Table, Schema]:
    """Every kind of table column and text, each weakly related to the target."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    columns = {
        "text": articles(n, seed),
        "age": (label * 0.8 + rng.normal(size=n)).tolist(),
        "city": [WORDS[i] for i in (label + rng.integers(0, 8, n)) % 10],
        "tags": [rng.choice(WORDS, 3).tolist() for _ in range(n)],
        "label": ["yes" if v else "no" for v in label],
        "price": (label + rng.normal(size=n)).tolist(),
    }
    inputs = {"text": "text", "age": "number", "city": "category", "tags": "set"}
    found = schema(inputs, {"label": "category", "price": "number"})
    return table(**columns), found


def replaced(old: Table, **columns: Any) -> Table:
    data = old.data
    for name, values in columns.items():
        data = data.drop_columns([name]) if name in data.column_names else data
        data = data.append_column(name, pa.array(values))
    return Table(data, old.base, old.source)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def only(report: Report, words: str) -> Finding:
    """The one finding that says `words`."""
    found = [f for f in report.findings if words in f.what]
    assert len(found) == 1, report.lines()
    return found[0]


def test_clean_data_has_no_findings(cache: Path) -> None:
    for seed in range(3):
        train, found = clean(seed=seed)
        valid, _ = clean(200, seed=seed + 100)
        assert check(train, found, valid=valid, cache=cache).lines() == []


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_honest_classics_get_no_warning(load: Any, cache: Path) -> None:
    bunch = load()
    names = [f"x{i}" for i in range(bunch.data.shape[1])]
    columns = dict(zip(names, bunch.data.T.tolist(), strict=True))
    found = schema(dict.fromkeys(names, "number"), {"y": "category"})
    report = check(table(**columns, y=bunch.target.tolist()), found, cache=cache)
    assert [f for f in report.findings if f.severity != "info"] == []


def test_few_valued_tables_get_no_warning(cache: Path) -> None:
    a, b = np.random.default_rng(1).integers(0, 2, (2, N))
    xor = table(a=a.tolist(), b=b.tolist(), y=(a ^ b).tolist())
    found = schema({"a": "category", "b": "category"}, {"y": "category"})
    noisy = replaced(xor, y=((a ^ b) ^ (np.random.default_rng(1).random(N) < 0.2)).tolist())
    for one in (xor, noisy):
        report = check(one, found, valid=one.take(np.arange(100)), cache=cache)
        assert [f for f in report.findings if f.severity != "info"] == []


def test_rounded_numbers_and_categories_are_equal_by_chance(cache: Path) -> None:
    def some(n: int, seed: int) -> Table:
        rng = np.random.default_rng(seed)
        x, c = rng.normal(size=n).round(1).tolist(), rng.choice(["a", "b"], n).tolist()
        return table(x=x, c=c, y=rng.choice(["u", "v"], n).tolist())

    found = schema({"x": "number", "c": "category"}, {"y": "category"})
    report = check(some(300, 0), found, test=some(100, 1), cache=cache)
    assert [f.severity for f in report.findings] == ["info"]


def test_equal_rows_of_measurements_are_copies(cache: Path) -> None:
    x = np.random.default_rng(0).normal(size=(4, 300)).round(2).tolist()
    names = ["a", "b", "c", "d"]
    found = schema(dict.fromkeys(names, "number"), {"y": "category"})
    train = table(**dict(zip(names, x, strict=True)), y=["u", "v"] * 150)
    train = train.take(np.r_[np.arange(300), np.arange(20)])
    report = check(train, found, test=train.take(np.arange(30)), cache=cache)
    assert only(report, "repeat the inputs").severity == "warning"
    assert only(report, "are also in").count == 30


def test_template_questions_that_meet_by_chance_are_no_group(cache: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [
        f"how many of the many {WORDS[i]} things are right near {WORDS[j]} {k}?"
        for i, j, k in zip(*rng.integers(0, 10, (3, 400)), strict=True)
    ]
    assert len(set(texts)) < 350
    x, y = rng.normal(size=400).tolist(), rng.choice(["a", "b"], 400).tolist()
    found = schema({"text": "text", "x": "number"}, {"y": "category"})
    assert check(table(text=texts, x=x, y=y), found, cache=cache).lines() == []


def test_repeated_rows_within_and_across_tables(cache: Path) -> None:
    train, found = clean()
    train = train.take(np.r_[np.arange(N), np.arange(30)])
    test, _ = clean(100, seed=9)
    test = Table(pa.concat_tables([test.data, train.data.slice(0, 7)]), None, "test.csv")
    report = check(train, found, test=test, cache=cache)
    within = only(report, "repeat the inputs of an earlier row")
    assert (within.count, within.severity, within.example) == (30, "warning", "row 600")
    across = only(report, "of test.csv are also in train.csv")
    assert (across.count, across.severity, across.example) == (7, "warning", "row 100")


def test_rows_without_their_article_are_not_copies(cache: Path) -> None:
    texts = articles(300)
    texts[:60] = [None] * 60  # type: ignore[list-item]
    sparse = table(text=texts, c=["a", "b"] * 150, y=["u", "v", "w"] * 100)
    found = schema({"text": "text", "c": "category"}, {"y": "category"})
    report = check(sparse, found, cache=cache)
    assert [f.what for f in report.findings] == ["60 of 300 cells of 'text' are missing"]


def test_numbers_declared_text_are_checked_too(cache: Path) -> None:
    codes = table(zip=[10_000 + i for i in range(100)], y=["a", "b"] * 50)
    found = schema({"zip": "text"}, {"y": "category"})
    (only_one,) = check(codes, found, cache=cache).findings
    assert "little to learn from in 'zip'" in only_one.what


def test_equal_inputs_with_different_classes(cache: Path) -> None:
    train, found = clean()
    doubled = train.take(np.r_[np.arange(N), np.arange(10)])
    labels = doubled.cells("label")
    labels[600:] = ["yes" if v == "no" else "no" for v in labels[600:]]
    noise = only(check(replaced(doubled, label=labels), found, cache=cache), "but not its 'label'")
    assert noise.count == 20 and noise.example == "rows 0 and 600"


@pytest.mark.parametrize(
    ("tags", "severity", "words"),
    [
        ("O B-X L-X U-X", "info", "are BILOU"),
        ("O B-X E-X S-X", "info", "are IOBES"),
        ("I-X O I-X B-X", "info", "are IOB1"),
        ("O B-X O I-X", "warning", "begin with a tag"),
        ("O B-X Z-X o", "error", "mixes IOB2 tags"),
        ("O B-X U-X S-X", "error", "mixes schemes"),
    ],
)
def test_how_tags_are_read_is_said_and_what_a_fit_refuses_is_an_error(
    tags: str, severity: str, words: str, cache: Path
) -> None:
    rows = [tags.split(" ")] * 12
    train = table(text=[f"one two three {i}" for i in range(12)], tags=rows)
    report = check(train, schema({"text": "text"}, {"tags": "tags"}), cache=cache)
    assert only(report, words).severity == severity
    joined = table(text=[f"one two three {i}" for i in range(12)], tags=[tags] * 12)
    again = check(joined, schema({"text": "text"}, {"tags": "tags"}), cache=cache)
    assert again.lines() == report.lines()


@pytest.mark.parametrize(
    ("cells", "doubted"),
    [
        ([f"{i:x}q{i}" for i in range(60)], True),
        (["....", ",,"] * 30, True),
        ([chr(0x4E00 + 3 * i) + chr(0x4E01 + 3 * i) for i in range(60)], True),
        (["yes", "no"] * 30, False),
        (["😀", "😡"] * 30, False),
        (["不好用", "很好"] * 30, False),
        ([f"{i:x}q{i}" for i in range(15)], False),
    ],
)
def test_a_vocabulary_near_empty_is_a_warning(cells: list[str], doubted: bool, cache: Path) -> None:
    train = table(text=cells, y=["a", "b", "a"] * (len(cells) // 3))
    report = check(train, schema({"text": "text"}, {"y": "category"}), cache=cache)
    found = [f for f in report.findings if "little to learn" in f.what]
    assert [f.severity for f in found] == ["warning"] * doubted


def leaking(train: Table, kind: str) -> list[Any]:
    """A column that tells `label` in one of the ways people overlook."""
    yes = np.array([v == "yes" for v in train.cells("label")])
    return {
        "code": [f"{'AB'[int(v)]}" for v in yes],
        "number": (yes * 10 + np.random.default_rng(1).normal(size=N)).tolist(),
        "timestamp": [datetime.date(2024, 1 + int(v), 1 + i % 28) for i, v in enumerate(yes)],
        "patient": [f"p{2 * (i % 40) + int(v)}" for i, v in enumerate(yes)],
        "threshold": np.where(
            yes,
            np.random.default_rng(1).uniform(5, 9, N),
            np.random.default_rng(1).uniform(0, 5, N),
        ).tolist(),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "as_kind"),
    [
        ("code", "category"),
        ("number", "number"),
        ("timestamp", "number"),
        ("patient", "category"),
        ("threshold", "number"),
    ],
)
def test_a_column_that_gives_the_class_away(kind: str, as_kind: str, cache: Path) -> None:
    train, found = clean()
    train = replaced(train, leak=leaking(train, kind))
    inputs = {c.name: c.kind for c in found.inputs} | {"leak": as_kind}
    report = check(train, schema(inputs, {"label": "category"}), cache=cache)
    assert [f.severity for f in report.findings] == ["warning"]
    assert "Column 'leak' alone" in report.findings[0].what
    assert "`drop leak`" in report.findings[0].advice


def test_a_column_that_gives_a_number_away(cache: Path) -> None:
    train, found = clean()
    leak = [2 * v + 1 for v in train.cells("price")]
    inputs = {c.name: c.kind for c in found.inputs} | {"leak": "number"}
    report = check(replaced(train, leak=leak), schema(inputs, {"price": "number"}), cache=cache)
    assert [f.severity for f in report.findings] == ["warning"]
    assert "guessing 'price'" in report.findings[0].what


def test_rows_in_the_order_of_the_target(cache: Path) -> None:
    train, found = clean()
    train = train.take(np.argsort(train.cells("label"), kind="stable"))
    finding = only(check(train, found, cache=cache), "order of the rows alone")
    assert finding.severity == "info" and "'label'" in finding.what


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(folder: Path, names: list[str], seeds: list[int]) -> None:
    for name, seed in zip(names, seeds, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(seed))


IMAGES = schema({"image": "image", "question": "text"}, {"y": "category"})


def questions(folder: Path, names: list[str], source: str = "train.csv") -> Table:
    n = len(names)
    return table(
        source,
        folder,
        image=names,
        question=["what is it?", "which colour?", "how many?"] * (n // 3) + ["where?"] * (n % 3),
        y=np.random.default_rng(n).choice(["a", "b"], n).tolist(),
    )


def test_clean_pictures_with_repeated_short_questions(tmp_path: Path, cache: Path) -> None:
    names = [f"img_{i}.png" for i in range(120)]
    pictures(tmp_path, names, list(range(120)))
    assert check(questions(tmp_path, names), IMAGES, cache=cache).lines() == []


def test_file_names_that_tell_the_class(tmp_path: Path, cache: Path) -> None:
    names = [f"{'cat' if i % 2 else 'dog'}/{i:04d}.png" for i in range(120)]
    pictures(tmp_path, names, list(range(120)))
    train = replaced(questions(tmp_path, names), y=["cat", "dog"] * 60)
    finding = only(check(train, IMAGES, cache=cache), "in the file names of 'image' alone")
    assert finding.severity == "info" and "No model reads this" in finding.advice


def test_one_picture_under_several_names(tmp_path: Path, cache: Path) -> None:
    names = [f"img_{i}.png" for i in range(120)]
    pictures(tmp_path, names, [i % 60 for i in range(120)])
    test_names = [f"test_{i}.png" for i in range(30)]
    pictures(tmp_path, test_names, [i + 50 for i in range(30)])
    train, test = questions(tmp_path, names), questions(tmp_path, test_names, "test.csv")
    train = replaced(train, question=[f"question number {i}?" for i in range(120)])
    report = check(train, IMAGES, test=test, cache=cache)
    within = only(report, "have the image of another row")
    assert (within.count, within.severity) == (60, "warning") and "`group " in within.advice
    across = only(report, "of test.csv have the image of a row of train.csv")
    assert (across.count, across.severity, across.example) == (10, "warning", "row 0")
    # A group that holds each picture's rows together settles the first.
    grouped = Schema(IMAGES.inputs, IMAGES.targets, "g")
    settled = check(replaced(train, g=[i % 60 for i in range(120)]), grouped, cache=cache)
    assert settled.lines() == []


def test_one_article_in_rows_that_differ_looks_like_a_group(cache: Path) -> None:
    texts = [text for text in articles(100) for _ in range(3)]
    columns = {"text": texts, "x": np.random.default_rng(1).normal(size=300).tolist()}
    train = table(**columns, y=np.random.default_rng(1).choice(["a", "b"], 300).tolist())
    found = schema({"text": "text", "x": "number"}, {"y": "category"})
    finding = only(check(train, found, cache=cache), "have the text of another row in 'text'")
    assert (finding.count, finding.severity) == (200, "warning")


def test_groups_on_both_sides(cache: Path) -> None:
    train, found = clean()
    valid, _ = clean(100, seed=5)
    train = replaced(train, g=[i // 10 for i in range(N)])
    valid = replaced(valid, g=[59] * 4 + list(range(100, 196)))
    grouped = Schema(found.inputs, found.targets, "g")
    finding = only(check(train, grouped, valid=valid, cache=cache), "belong to a 'g'")
    assert (finding.count, finding.severity) == (4, "warning")


def test_small_classes(cache: Path) -> None:
    train, found = clean()
    labels = train.cells("label")
    labels[:3], labels[3:10] = ["tiny"] * 3, ["small"] * 7
    report = check(replaced(train, label=labels), found, cache=cache)
    tiny, small = only(report, "fewer than 5"), only(report, "fewer than 10")
    assert tiny.severity == "warning" and "'tiny' has 3" in tiny.example
    assert small.severity == "info" and "'small' has 7" in small.example


def test_targets_without_two_values(cache: Path) -> None:
    train, found = clean()
    report = check(replaced(train, label=["yes"] * N, price=[1.0] * N), found, cache=cache)
    assert [f.severity for f in report.findings] == ["error", "error"]


def test_missing_and_constant_cells(cache: Path) -> None:
    train, found = clean()
    ages: list[Any] = train.cells("age")
    ages[:400] = [None] * 400
    labels: list[Any] = train.cells("label")
    labels[:5] = [None] * 5
    report = check(replaced(train, age=ages, city=["x"] * N, label=labels), found, cache=cache)
    assert (only(report, "'age' are missing").severity) == "warning"
    assert only(report, "'age' are missing").count == 400
    assert only(report, "no 'label'").count == 5
    assert only(report, "'city' holds the same").severity == "warning"


def test_most_turns_of_conversations_show_nothing_which_is_no_warning(cache: Path) -> None:
    def talk(i: int) -> dict[str, Any]:
        shown = [f"Turn {i}", *([{"type": "image", "path": f"{i}.png"}] if i < 3 else [])]
        asked = {"role": "user", "content": shown}
        return {"messages": [asked, {"role": "assistant", "content": f"Answer {i}"}]}

    train = read([talk(i) for i in range(30)])
    found = infer(train, ["answer"], {"answer": "text"}, group="conversation")
    report = check(train, found, cache=cache)
    assert only(report, "27 of 30 cells of 'image' are missing").severity == "info"


def test_unreadable_media(tmp_path: Path, cache: Path) -> None:
    names = [f"img_{i}.png" for i in range(120)]
    pictures(tmp_path, names, list(range(120)))
    (tmp_path / "img_3.png").unlink()
    (tmp_path / "img_4.png").write_bytes(b"")
    (tmp_path / "img_5.png").write_bytes(picture(5)[:60])
    train = questions(tmp_path, names)
    report = check(train, IMAGES, cache=cache)
    finding = only(report, "'image' in train.csv cannot be read")
    assert (finding.count, finding.severity) == (2, "error") and "img_3.png" in finding.example
    pixels = lookup.build("modalities/image/forms", "pixels")
    found = check(train, IMAGES, test=train.take([5, 6]), cache=cache, forms={"image": pixels})
    first, second = [f for f in found.findings if "cannot be decoded" in f.what]
    assert first.what.startswith("1 of 118 sampled cells") and "row 5" in first.example
    assert second.what.startswith("1 of 2 sampled cells") and second.severity == "error"
    allowed = check(train, IMAGES, cache=cache, max_bad_rows=2)
    assert only(allowed, "cannot be read").severity == "warning"
    allowed.raise_for_errors()
    with pytest.raises(UserError, match="2 of 120 cells of 'image'"):
        report.raise_for_errors()
    assert any("as missing: max_bad_rows=2" in line for line in report.lines())
    assert any("as missing: --max-bad-rows 2" in line for line in report.lines(for_shell))


@pytest.mark.parametrize(
    ("template", "drop", "says"),
    [
        ("{foto}", [], "names 'foto', which is no input column. Expected: one of photo; did you"),
        ("{price}", [], "'price', which is skipped (an index: 30"),
        ("{price}", [], "Keep it: --kind price=number, or do not name it."),
        ("{word}", [], "Keep it: --kind word=text"),
        ("{price}", ["price"], "(dropped). Do not drop it, or do not name it."),
    ],
)
def test_a_template_that_names_what_is_not_read_says_why(
    template: str, drop: list[str], says: str
) -> None:
    cells = {
        "photo": [f"{i}.png" for i in range(30)],
        "price": [str(i) for i in range(30)],
        "word": ["the same"] * 30,
        "note": [f"a note {i % 7}" for i in range(30)],
    }
    train = read(cells)
    found = infer(train, ["note"], {"note": "text", "photo": "image"}, drop)
    task = lookup.build("tasks", {"name": "generate", "template": template}, "note")
    report = check(typed(found, train), found, tasks={"note": task})
    (line,) = [line for line in report.lines(for_shell) if "The template" in line]
    assert says in line and "?." not in line


def test_cells_that_are_no_numbers(cache: Path) -> None:
    train, found = clean()
    ages = [str(age) for age in train.cells("age")]
    ages[7] = "1.2.3"
    table = typed(found, replaced(train, age=ages))
    finding = only(check(table, found, cache=cache), "is no number")
    assert (finding.count, finding.severity) == (1, "warning") and "row 7" in finding.example


def test_the_worst_comes_first_and_all_of_it_is_json(cache: Path) -> None:
    train, found = clean()
    ages: list[Any] = train.cells("age")
    ages[0] = None
    report = check(replaced(train, age=ages, label=["yes"] * N), found, cache=cache)
    assert [f["severity"] for f in report.to_json()] == ["error", "info"]
    assert report.lines()[0].startswith("error") and "nothing to learn" in report.lines()[0]


# -- what may be meant otherwise -----------------------------------------------------------------


def found_in(columns: dict[str, list[Any]], cache: Path, **options: Any) -> list[str]:
    table = read({**columns, "size": [i / 7 for i in range(len(columns["y"]))]})
    schema = infer(table, ["y"], **options)
    return [f.what for f in check(table, schema, cache=cache).findings if f.severity == "warning"]


def test_a_class_that_may_be_no_class_is_asked_for(cache: Path) -> None:
    for word in ("None", "NA", "?", "nan"):
        found = found_in({"y": [word, "mild", "severe"] * 30}, cache)
        assert any(f"30 rows have the 'y' '{word}'" in what for what in found)


def test_rows_without_labels_are_counted(cache: Path) -> None:
    found = found_in({"y": [["wool"], None, ["rain", "wool"]] * 20}, cache)
    assert any("20 of 60 rows have an empty 'y'" in what for what in found)
    assert not any("empty 'y'" in w for w in found_in({"y": [["wool"], [], ["rain"]] * 20}, cache))


def test_the_task_that_is_asked_for_has_a_say(cache: Path) -> None:
    """Where empty means none, no row is left out; what the task cannot learn is an error."""
    table = Table(pa.table({"x": list("abc") * 20, "y": [["wool"], None, ["rain"]] * 20}), None, "")
    schema = infer(table, ["y"])

    def said(task: Multilabel) -> list[str]:
        return [f.what for f in check(table, schema, cache=cache, tasks={"y": task}).findings]

    assert any("empty 'y'" in what for what in said(Multilabel("y")))
    told = said(Multilabel("y", empty_is_none=True))
    assert not any("empty 'y'" in what or "have no 'y'" in what for what in told)


@pytest.mark.parametrize("mark", [";", "|", "/", " & "])
@pytest.mark.parametrize("labels", [3, 8])
def test_labels_in_most_cells_are_suggested_as_a_set(cache: Path, mark: str, labels: int) -> None:
    """Of few labels, all pairs; of more, so many that the target is no category at all."""
    names = ["wool", "rain", "snow", "ice", "hail", "fog", "sun", "wind"][:labels]
    cells = [mark.join(pair) for pair in permutations(names, 2)]
    cells = cells * 10 if labels == 3 else cells + ["sun"] * 4
    if labels == 3:
        findings = check(
            table := Table(pa.table({"x": list("abc") * 20, "y": cells}), None, ""),
            infer(table, ["y"]),
            cache=cache,
        ).findings
        advice = next(f.advice for f in findings if "several names" in f.what)
        assert "`kind y=set`" in advice
    else:
        with pytest.raises(UserError) as caught:
            infer(Table(pa.table({"x": list("abc") * 20, "y": cells}), None, ""), ["y"])
        assert "--kind y=set" in caught.value.for_shell()


@pytest.mark.parametrize("mark", [";", "|", ","])
def test_labels_in_one_cell_are_suggested_as_a_set(cache: Path, mark: str) -> None:
    cells = ["wool", f"wool{mark}rain", "rain", f"rain{mark}snow"] * 20
    assert any("several names" in what for what in found_in({"y": cells}, cache))
    assert any(
        "several names" in what for what in found_in({"y": list("abcd") * 20, "x": cells}, cache)
    )
    for places in (
        ["Paris, France", "Rome, Italy", "Bonn, Germany"],
        ["R&B", "AC/DC", "C++", "C#", "rock", "km/h"],
    ):
        assert not any("several names" in what for what in found_in({"y": places * 20}, cache))


@pytest.mark.parametrize("mark", ["、", ";", "\n", "/", "#", " + "])
def test_labels_in_cells_of_many_mixtures_are_suggested_as_a_set(cache: Path, mark: str) -> None:
    names = ["wool", "rain", "snow", "ice", "hail", "fog", "sun", "wind"]
    cells = [mark.join(some) for some in permutations(names, 3)][:120]
    found = found_in({"y": list("ab") * 60, "x": cells}, cache)
    assert any("several names" in what for what in found)
    said = [f"the {a}, the {b} and the {i}" for i, (a, b) in enumerate(permutations(names, 2))]
    found = found_in({"y": list("ab") * 28, "x": said}, cache)
    assert not any("several names" in what for what in found)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_texts_read_in_another_encoding_are_told(cache: Path, encoding: str) -> None:
    right = ["été chaud", "a plain day", "garçon naïf", "Grüße aus Köln"]
    wrong = [text.encode().decode(encoding) for text in right]
    found = found_in({"y": list("ab") * 40, "x": wrong * 20}, cache)
    assert any("60 of 80 cells of 'x' were UTF-8" in what for what in found)
    whole = [*right, "Âme et Île", "ÃO", "Ñandú", "日本語", "â la carte"]
    found = found_in({"y": list("ab") * 36, "x": whole * 8}, cache)
    assert not any("UTF-8" in what for what in found)


def test_numbers_that_stand_for_nothing_are_asked_for(cache: Path) -> None:
    y = list("ab") * 60
    for word in (-999, 9999, -1):
        cells = [word if i % 9 == 0 else 40 + i % 30 for i in range(120)]
        found = found_in({"y": y, "n": cells}, cache)
        assert any(f"14 cells of 'n' are {word}, far" in what for what in found)
    ages = [99 if i % 9 == 0 else 40 + i % 60 for i in range(120)]
    assert not any("far from" in what for what in found_in({"y": y, "n": ages}, cache))


def test_objects_that_no_model_reads_are_a_warning(cache: Path) -> None:
    found = found_in({"y": list("ab") * 60, "o": [{"a": i} for i in range(120)]}, cache)
    assert any(what.startswith("No model reads 'o': objects with the field") for what in found)


def test_a_group_is_suggested_where_values_come_back(cache: Path) -> None:
    columns = {"y": list("ab") * 60, "case": [f"case-{i // 2}" for i in range(120)]}
    assert any("values of 'case' come back" in what for what in found_in(columns, cache))
    assert not any("come back" in what for what in found_in(columns, cache, group="case"))


def test_a_group_of_lists_is_refused() -> None:
    table = read({"g": [[1], [2]] * 10, "x": [i / 7 for i in range(20)], "y": list("ab") * 10})
    with pytest.raises(UserError, match=r"'g' .* cannot be a group"):
        infer(table, ["y"], group="g")


def test_a_later_table_without_the_group_is_said(cache: Path) -> None:
    table = read({"g": list("abcd") * 10, "x": [i / 7 for i in range(40)], "y": list("ab") * 20})
    schema = infer(table, ["y"], group="g")
    report = check(table, schema, test=table.drop(["g"]), cache=cache)
    assert any("has no column 'g'" in finding.what for finding in report.findings)
