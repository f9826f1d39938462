"""The report's figures are the JSON's, it needs nothing from outside, and it does not grow."""

from __future__ import annotations

import io
import json
import re
import time
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polymodal.base.errors import UserError
from polymodal.contract.task import Task
from polymodal.evaluation import game, judge, slices
from polymodal.evaluation.evaluate import Evaluation
from polymodal.metrics import alignment, calibration, figures
from polymodal.metrics.contribution import subsets
from polymodal.metrics.metrics import classification_report
from polymodal.metrics.statistics import intervals
from polymodal.report import examples, sentences
from polymodal.report.examples import PICTURES, Examples
from polymodal.report.page import CLASSES, page
from polymodal.report.words import Shown, brief, written
from polymodal.table.media import wav
from polymodal.table.read import Table, read
from polymodal.table.schema import Column, Schema
from polymodal.tasks.classify import Classify
from polymodal.tasks.regress import Regress

pytestmark = pytest.mark.whole

RIVALS = ("picture", "a/b~<i>c</i>")
NO_FIGURES = re.compile(r"95 %|(?:[Aa]bove|below|near) 0")
EVIL = "</script><script>alert(1)</script>"


def span(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.02}


def measured(task: Task, scores: list, targets: list) -> dict[str, Any]:
    spans = intervals(task.metrics(scores, targets), len(targets), resamples=50)
    return {name: asdict(one) for name, one in spans.items()}


def answers(task: Task, targets: list, noise: float, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if task.kind == "number":
        true = np.array([task.truth(target) for target in targets])
        return list((true + noise * rng.normal(size=len(true)))[:, None])
    logits = np.eye(task.size)[targets] / noise + rng.normal(size=(len(targets), 1))
    logits = logits + rng.normal(size=logits.shape)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return list((shares / shares.sum(1, keepdims=True)).astype(np.float32))


def evaluation(task: Task, cells: list[Any], best: str | None = RIVALS[0]) -> Evaluation:
    """What `evaluate` finds, of made-up scores, without timing or exchanging anything."""
    task.fit(cells)
    targets = task.encode(cells)
    rows, name = len(cells), task.name
    fused, rivals = made_up(task, targets)
    found = Evaluation(rows, {}, {}, {}, {"row": list(range(rows))}, {"used": {"measured": rows}})
    found.targets[name] = measured(task, fused, targets)
    share = {"share": 0.5, "modalities": list(RIVALS)}
    found.members[name] = {"both": share, "one & only": {"share": 0.5, "modalities": RIVALS[:1]}}
    if best is None:
        rivals = {}
        found.unjudged[name] = {"why": "no rivals", "models": []}
    else:
        found.rivals = {w: {name: measured(task, own, targets)} for w, own in rivals.items()}
        cost = {"parameters": 1_234_567, "rows_per_second": 3456.7, "latency_ms": 0.000321}
        found.verdicts[name] = {
            "target": name,
            **judge.verdict(task, fused, rivals, best, "single", targets, None),
            "cost": {"fused": cost, "single": cost},
        }
        games = {frozenset([who]): own for who, own in rivals.items()}
        games |= {subsets(RIVALS)[-1]: fused, frozenset(): task.constant(fused)}
        curve = {
            "fused": [0.9, 0.7, 0.4],
            "singles": {who: [0.5, 0.45, 0.41] for who in RIVALS},
            "late_fusion": [0.8, 0.65, 0.5],
            "tau": 0.675,
            "rho": -0.35,
        }
        found.robustness[name] = {
            "metric": task.primary,
            "levels": [0.0, 0.5, 1.0],
            "rows": 41,
            "corruptions": {RIVALS[1]: {"noise": curve}},
            "missing": dict.fromkeys(RIVALS, curve),
        }
        found.contributions[name] = {
            **game.contributions(task, games, targets, None),
            "sample": {
                "rows": 77,
                "perceptual": {who: span(0.1 * i) for i, who in enumerate(RIVALS)},
                "emap_gain": span(-0.03),
            },
        }
        found.alignment = aligned(list(map(str, cells))[:50])
    found.explanations[name] = explained(task, fused)
    by_row(found, task, targets, {"fused": fused, **rivals}, best)
    return found


def aligned(labels: list[str]) -> dict[str, Any]:
    x = np.random.default_rng(0).normal(size=(2, len(labels), 4))
    x[1, 3] = np.nan
    described = alignment.describe(dict(zip(RIVALS, x, strict=True)))
    sample = list(range(len(labels)))
    return {"member": "gated <b>", "sample": sample, "labels": labels, **described}


def explained(task: Task, scores: list) -> dict[str, Any]:
    """One row of every sort of parts."""
    losses = np.random.default_rng(0).normal(size=6).tolist()
    words = [EVIL, "is", "it", "2", "be", "5.0"]
    parts = [
        {
            "modality": "words" if unit == "words" else "picture" if unit == "patches" else "curve",
            "unit": unit,
            "replaced_by": "<nothing>",
            "layout": layout,
            "columns": 3 if unit == "patches" else 0,
            "labels": ["weight", "a", "b", "c", "d", "e"] if unit == "cells" else words,
            "losses": losses,
        }
        for unit, layout in {
            "patches": "grid",
            "words": "running",
            "seconds": "along",
            "frames": "along",
            "steps": "along",
            "channels": "bars",
            "cells": "listed",
        }.items()
    ]
    row = {
        "row": 7,
        "answer": task.decode([scores[7]])[task.name][0],
        "true": "2",
        "support": 0.8125,
        "nothing": 0.25,
        "shapley": dict(zip(RIVALS, (0.6, -0.0375), strict=True)),
        "parts": parts,
    }
    return {"of": "its probability", "rows": [row]}


def made_up(task: Task, targets: list) -> tuple[list, dict[str, list]]:
    """Scores of the fused model and of its rivals."""
    rivals = {who: answers(task, targets, i + 1.0, i + 1) for i, who in enumerate(RIVALS)}
    return answers(task, targets, 0.5, 0), rivals


def by_row(
    found: Evaluation,
    task: Task,
    targets: list,
    scores: dict[str, list],
    best: str | None,
) -> None:
    """What is found from the rows one by one: slices, figures, reports, calibration."""
    name, fused = task.name, np.stack(scores["fused"])
    rows = np.arange(len(targets))
    found.slices[name] = slices.describe(task, scores, targets, rows, best)
    if task.kind == "number":
        true = np.array([task.truth(target) for target in targets])
        found.figures[name] = {"histogram": figures.histogram(true, fused[:, 0])}
        return
    codes, classes = np.stack(targets), task.state["classes"]
    found.reports[name] = classification_report(codes, fused, classes)
    found.figures[name] = {"confusion": figures.confusion(codes, fused.argmax(1), classes)}
    found.calibration[name] = {
        "bins": [asdict(one) for one in calibration.reliability(fused, codes) if one.rows],
        "null_ece": calibration.calibrated_ece(fused.max(1), simulations=5),
        "classwise_ece": span(0.02),
    }


def of_classes(rows: int = 90, classes: int = 3, best: str | None = RIVALS[0]) -> Evaluation:
    names = ["cat & dog", EVIL, *(str(i) for i in range(classes - 2))]
    cells = [names[i % classes] for i in range(rows)]
    return evaluation(Classify("what <b>is</b> it"), cells, best)


def of_numbers(rows: int = 90) -> Evaluation:
    cells = np.random.default_rng(0).normal(100, 20, rows).round(3).tolist()
    return evaluation(Regress("price"), cells)


class Reader(HTMLParser):
    """Collects elements by their place in the JSON, and text by the elements around it."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[tuple[list[tuple[str, dict[str, Any]]], str]] = []
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.stack.append((tag, dict(attributes)))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((list(self.stack), data))

    def inside(self, tag: str) -> str:
        return "".join(data for stack, data in self.texts if stack and stack[-1][0] == tag)

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.inside("script"))


def at(document: Any, place: str) -> Any:
    """RFC 6901."""
    for key in place.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        document = document[int(key) if isinstance(document, list) else key]
    return document


def resolution(text: str) -> float:
    """Half of the last digit's worth."""
    digits, _, power = text.partition("e")
    return 0.5 * 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


@pytest.mark.parametrize("make", [of_classes, of_numbers], ids=lambda make: make.__name__)
def test_every_number_shown_is_the_jsons(make: Any) -> None:
    reader = Reader(page(make().to_json()))
    document, shown = reader.document, 0
    for stack, text in reader.texts:
        place = next((a["data-json"] for _, a in reversed(stack) if "data-json" in a), None)
        if place is not None:
            value = at(document, place)
            shown += 1
            if isinstance(value, int | float):
                text = text.replace(",", "")
                assert abs(float(text) - value) <= 1.001 * resolution(text), place
            elif value is not None:
                assert text == value or (text.endswith("…") and value.startswith(text[:-1]))
        elif stack and re.search(r"\d", text):
            # Names, axes, and "95 %" are no figures.
            outer = {tag for tag, _ in stack} | {a.get("class") for _, a in stack}
            named = outer & {"script", "style", "th", "title", "h2", "row axis", "axis", "name"}
            assert named or not re.search(r"\d", NO_FIGURES.sub("", text)), text
    assert shown > 150


def test_the_page_holds_the_verdict_and_every_part() -> None:
    found = of_classes()
    text = page(found.to_json())
    for words in (
        sentences.ANSWERS[found.verdicts["what <b>is</b> it"]["answer"]],
        "the weighted mean of",
        "one &amp; only",
        "always the same answer",
        "smallest gain worth having",
        "milliseconds for one row",
        "best on validation",
        "Shapley",
        "Cooperation",
        "EMAP",
        "ECE",
        "What is taken for what",
        "Class by class",
        "Fusion harm",
        "Fusion help",
        "Modalities disagree",
        "Worst rows",
        "When cells get worse or go missing",
        "What carried the answer",
        "t-SNE, by class",
        "R@10",
        "What became of the rows",
    ):
        assert words in text, words
    assert "Predicted against true" in page(of_numbers().to_json())


def test_the_embedded_document_is_metrics_json(tmp_path: Path) -> None:
    found = of_classes()
    found.save(tmp_path)
    reader = Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert reader.document == json.loads((tmp_path / "metrics.json").read_text())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "metrics.json",
        "predictions.csv",
        "report.html",
    ]


def test_nothing_is_fetched_and_nothing_runs() -> None:
    reader = Reader(page(of_classes().to_json(), pictures(90)))
    for tag, attributes in reader.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "script" or attributes["type"] == "application/json"
    assert "url(" not in reader.inside("style")
    assert "@import" not in reader.inside("style")
    assert any(a.get("content", "").startswith("default-src 'none'") for _, a in reader.elements)


def test_names_are_text() -> None:
    text = page(of_classes().to_json())
    assert EVIL not in text
    assert "<i>c</i>" not in text
    assert "<b>is</b>" not in text


def test_one_modality_has_no_verdict() -> None:
    found = of_classes(best=None)
    found.unjudged["what <b>is</b> it"]["why"] = "one modality"
    text = page(found.to_json())
    assert "There is no verdict: there is one modality" in text
    assert "Worst rows" in text
    assert "Fusion harm" not in text


def test_several_modalities_without_rivals_are_not_said_to_be_one() -> None:
    text = page(of_classes(best=None).to_json())
    assert "There is one modality" not in text
    assert "rivals: true" in text


def test_a_verdict_on_a_metric_that_the_rows_do_not_define() -> None:
    found = of_classes()
    name, metric = next((n, v["metric"]) for n, v in found.verdicts.items())
    del found.targets[name][metric]
    rivals = page(found.to_json()).partition("each model trained on its own")[2]
    assert ">fused<" not in rivals[:300] and "only picture" in rivals[:300]


def test_figures_that_a_model_did_not_give_are_dashes() -> None:
    found = of_classes()
    name = next(iter(found.explanations))
    row = found.explanations[name]["rows"][0]
    row["parts"][0]["losses"][0] = float("nan")
    row["shapley"] = {who: float("nan") for who in row["shapley"]}
    assert "–" in page(found.to_json())


def test_names_that_begin_alike_keep_their_points() -> None:
    found = of_classes()
    views = found.alignment["views"]
    first, second = ("a long history of the present illness " + end for end in ("then", "now"))
    found.alignment["views"] = dict(zip((first, second), views.values(), strict=True))
    drawn = [a["d"] for tag, a in Reader(page(found.to_json())).elements if tag == "path"]
    points = sum(len(view["rows"]) for view in views.values())
    # PCA and t-SNE, by modality and by class.
    assert sum(path.count("h0") for path in drawn) == 4 * points


def test_dots_lie_where_their_values_are() -> None:
    reader = Reader(page(of_classes().to_json()))
    circles = [a for tag, a in reader.elements if tag == "circle"]
    values = [c for c in circles if c["data-json"].startswith("/contributions/what")]
    values = [c for c in values if "/values/" in c["data-json"]]
    assert len(values) == 4
    x = [float(c["cx"].rstrip("%")) for c in values]
    y = [at(reader.document, c["data-json"]) for c in values]
    slope, start = np.polyfit(y, x, 1)
    assert slope > 0
    assert np.allclose(np.polyval([slope, start], y), x, atol=0.02)


def test_curves_fall_as_their_values_do() -> None:
    reader = Reader(page(of_classes().to_json()))
    drawn = [a for tag, a in reader.elements if tag == "polyline" and a["class"] == "fused"]
    assert len(drawn) == len(RIVALS) + 1
    x, y = np.array([point.split(",") for point in drawn[0]["points"].split()], float).T
    assert x.tolist() == [0, 50, 100]
    assert (y[1] - y[0]) / (y[2] - y[0]) == pytest.approx(0.2 / 0.5, abs=0.01)
    assert y[0] < y[2]  # SVG counts from the top


def test_words_and_patches_are_as_strong_as_their_losses() -> None:
    reader = Reader(page(of_classes().to_json()))
    (row,) = reader.document["explanations"]["what <b>is</b> it"]["rows"]
    losses = row["parts"][0]["losses"]
    most = max(map(abs, losses))
    sides = ["for" if loss >= 0 else "against" for loss in losses]
    words = [a for tag, a in reader.elements if tag == "span" and "--s" in a.get("style", "")]
    assert [a["class"] for a in words] == sides
    shades = [float(a["style"].removeprefix("--s:")) for a in words]
    assert shades == pytest.approx([abs(loss) / most for loss in losses], abs=0.01)
    squares = [a for tag, a in reader.elements if tag == "rect" and "fill-opacity" in a]
    patches = [a for a in squares if a.get("class") in ("for", "against")]
    assert [a["class"] for a in patches] == sides
    assert [(a["x"], a["y"]) for a in patches] == [(str(i % 3), str(i // 3)) for i in range(6)]
    assert [float(a["fill-opacity"]) / 0.85 for a in patches] == pytest.approx(shades, abs=0.02)


def test_points_lie_where_the_views_have_them() -> None:
    reader = Reader(page(of_classes().to_json()))
    views = reader.document["alignment"]["views"]
    dots = [a for tag, a in reader.elements if tag == "path" and a["d"].endswith("h0")]
    drawn = [a["d"] for a in dots]
    assert [a["class"] for a in dots[:2]] == ["c1", "c0"]
    for path, name in zip(drawn[:2], reversed(RIVALS), strict=True):
        points = np.array([dot.split() for dot in path[1:].replace("h0", "").split("M")], float)
        shown = (points - 50) / [46, -46]
        assert np.allclose(shown, views[name]["pca"], atol=0.002)
    by_class = sum(path.count("h0") for path in drawn[4:]) / 2
    assert by_class == sum(len(view["rows"]) for view in views.values()) == 50 + 49


def test_missing_ends_of_intervals_are_dashes() -> None:
    found = of_classes()
    name = next(iter(found.targets))
    found.targets[name]["accuracy"]["low"] = float("nan")
    reader = Reader(page(found.to_json()))
    assert reader.document["targets"][name]["accuracy"]["low"] is None
    assert any(text == "–" for _, text in reader.texts)


def test_an_interval_without_a_width_is_not_shown() -> None:
    found = of_classes()
    name = next(iter(found.targets))
    found.targets[name]["macro_f1"] = {"value": 0.25, "low": 0.25, "high": 0.25}
    shown = Shown(found.to_json())
    assert shown.interval("targets", name, "macro_f1") == ""
    assert shown.interval("targets", name, "accuracy").count("<data") == 2
    assert "[0.2500, 0.2500]" not in found.text() and "0.2500" in found.text()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1043348, "1,043,348"),
        (147333.2, "147,333"),
        (7.9633, "7.963"),
        (0.92666, "0.9267"),
        (1.0, "1.0000"),
        (8.7019e-72, "8.7e-72"),
        (0.00025, "0.00025"),
        (0, "0"),
        (-12.345, "-12.35"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_digits(value: float | None, text: str) -> None:
    assert written(value) == text


def test_what_rounding_leaves_of_a_difference_is_nothing() -> None:
    assert written(-5.6e-17, signed=True) == "+0.0000" == written(1.2e-16, signed=True)
    assert written(5.6e-17) == "5.6e-17"


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        of_classes().to_html(tmp_path / "file" / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def table(rows: int) -> Table:
    sound = wav(np.sin(np.arange(2000.0)), 8000)
    return read(
        {
            "picture": [png(300, 100)] * rows,
            "sound": [sound] * rows,
            "curve": [np.arange(60.0).reshape(20, 3).tolist()] * rows,
            "words": ["<u>" + "long " * 100] * rows,
            "weight": [0.1 + 0.2] * rows,
            "place": [None] * rows,
        }
    )


SCHEMA = Schema(
    tuple(
        Column(name, kind)
        for name, kind in {
            "picture": "image",
            "sound": "audio",
            "curve": "series",
            "words": "text",
            "weight": "number",
            "place": "category",
        }.items()
    ),
    (Column("what", "category"),),
)


def pictures(rows: int) -> Examples:
    return Examples(table(rows), SCHEMA)


def test_cells_of_every_kind() -> None:
    text = pictures(2).html(1)
    reader = Reader(text)
    image = next(a for tag, a in reader.elements if tag == "img")
    assert image["src"].startswith("data:image/jpeg;base64,")
    assert (image["width"], image["height"]) == ("96", "32")
    assert len(image["src"]) < 8000
    assert [a.get("class") for tag, a in reader.elements if tag == "svg"] == ["curve"] * 2
    assert sum(tag == "polyline" for tag, _ in reader.elements) == 3  # channels
    assert "&lt;u&gt;long" in text
    assert max(len(data) for _, data in reader.texts) == examples.CHARACTERS
    assert "<dd>0.3</dd>" in text
    assert "<i>missing</i>" in text


def test_pictures_are_limited() -> None:
    shown = pictures(PICTURES)
    text = "".join(shown.html(row) for row in range(PICTURES))
    assert text.count("<img") + text.count('class="curve"') == PICTURES


def test_a_broken_picture_is_said_to_be() -> None:
    broken = read({"picture": [b"nonsense", None]})
    schema = Schema((Column("picture", "image"),), (Column("what", "category"),))
    assert "not an image" in Examples(broken, schema).html(0)
    assert "missing" in Examples(broken, schema).html(1)


def test_the_table_is_shown_beside_the_slices() -> None:
    found = of_classes(rows=40)
    found.table, found.schema = table(40), SCHEMA
    reader = Reader(page(found.to_json(), Examples(found.table, SCHEMA)))
    assert sum(tag == "img" for tag, _ in reader.elements) > 20


def test_many_classes_are_merged_and_listed_in_part() -> None:
    found = of_classes(rows=600, classes=200)
    reader = Reader(page(found.to_json()))
    name = next(iter(found.targets))
    report = reader.document["reports"][name]
    assert len(report["classes"]) == CLASSES
    assert report["not_listed"] == len(found.reports[name]["classes"]) - CLASSES
    assert len(reader.document["figures"][name]["confusion"]["counts"]) == figures.CLASSES + 1
    assert len(found.reports[name]["classes"]) == 200  # the evaluation itself is left alone


@pytest.mark.parametrize("make", [of_classes, of_numbers], ids=lambda make: make.__name__)
def test_the_page_does_not_grow_with_the_rows(make: Any) -> None:
    sizes = [len(page(make(rows=rows).to_json())) for rows in (600, 6000)]
    assert sizes[1] < 1.25 * sizes[0]


class Repeated(Examples):
    """The same few cells for any row: 100 000 rows of media would test the disk."""

    def html(self, row: int) -> str:
        return super().html(row % len(self.table))


@pytest.mark.slow
def test_a_hundred_thousand_rows() -> None:
    """Only what is made of single rows can grow with them: all else is the same few figures."""
    found = of_classes(rows=100, classes=20)
    task = Classify(next(iter(found.targets)))
    cells = [str(i % 20) for i in range(100_000)]
    task.fit(cells)
    targets = task.encode(cells)
    fused, rivals = made_up(task, targets)
    start = time.process_time()
    by_row(found, task, targets, {"fused": fused, **rivals}, RIVALS[0])
    text = page(found.to_json(), Repeated(table(50), SCHEMA))
    assert time.process_time() - start < 60
    assert text.count("<img") + text.count('class="curve"') == PICTURES
    assert len(text.encode()) < 10e6


def test_the_head_says_what_was_measured_of_which_run() -> None:
    found = of_classes()
    found.origin = {
        "data": "shop/<test>.csv",
        "measured": "2026-11-28T21:15:59+00:00",
        "source": "shop/train.csv",
        "date": "2026-11-27T08:00:00+00:00",
        "rows": 12345,
        "run": "runs/first",
    }
    found.warnings = ["7 of 67 rows of test.csv were trained or validated on"]
    text = page(found.to_json(), None, found.origin)
    head = re.sub("<[^>]+>", "", text.partition("<header>")[2].partition("</header>")[0])
    for words in (
        "shop/&lt;test&gt;.csv, 2026-11-28 21:15",
        "Trained on 12,345 rows of shop/train.csv, 2026-11-27 08:00.",
        "Run: runs/first.",
        "cat ",
    ):
        assert words in head, (words, head)
    assert "7 of 67 rows of test.csv were trained or validated on" in text.partition("<h2>")[0]
    assert "Trained on" not in page(of_classes().to_json()).partition("<h2>")[0]


def test_a_plain_sentence_stands_above_the_figures() -> None:
    first = page(of_classes().to_json()).partition('class="plainly"')[2].partition("</p>")[0]
    plain = re.sub("<[^>]+>", "", first)
    assert re.fullmatch(
        r">The answers are right in a share of 0\.\d{3} of the rows; always the same answer is "
        r"right in a share of 0\.\d{3} of the rows\.",
        plain,
    )
    assert "off by about" in page(of_numbers().to_json())


def test_no_row_is_hidden_and_every_header_is_upright() -> None:
    style = Reader(page(of_classes().to_json())).inside("style")
    assert "max-height" not in style and "overflow-y" not in style
    assert "writing-mode" not in style and "rotate" not in style


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1043348, "1,043,348"),
        (147333.2, "147,333"),
        (7.9633, "7.96"),
        (0.92666, "0.927"),
        (1.0, "1.00"),
        (0.0123456, "0.0123"),
        (8.7019e-72, "8.7e-72"),
        (0.0, "0.000"),
        (None, "–"),
    ],
)
def test_a_page_shows_three_digits(value: float | None, text: str) -> None:
    assert brief(value) == text


def test_what_changes_no_answer_has_no_share() -> None:
    found = of_classes()
    name = next(iter(found.targets))
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    found.contributions[name]["shapley"][RIVALS[0]] = nothing
    text = page(found.to_json())
    assert f'No answer depends on: <span class="name">{RIVALS[0]}</span>.' in text
    assert not re.search('data-json="/contributions/[^"]*/shapley/picture', text)
