"""What a fit says: the rows that it has, what it plans and does, and how its models are listed."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from polymodal.base import lookup
from polymodal.base.options import for_shell
from polymodal.checks._finding import Finding
from polymodal.checks.check import Report
from polymodal.report import console, poor
from polymodal.report.console import Show
from polymodal.table.infer import infer
from polymodal.table.read import read
from polymodal.tasks.generate import Generate

CELLS = {"x": [str(i * 1.5) for i in range(40)], "y": ["a", "b", "a", None] * 10}


def shown(what: Any, shell: bool = False) -> str:
    file = io.StringIO()
    what(Show(file, shell=shell))
    return " ".join(file.getvalue().split())


@pytest.mark.parametrize(
    ("cells", "targets", "said"),
    [
        (CELLS, ["y"], "40 rows, 30 of them with 'y'"),
        ({**CELLS, "z": [None, *["c", "d", "c"] * 13]}, ["y", "z"], "the given dict: 40 rows"),
        ({**CELLS, "z": ["c", "d", "c", None] * 10}, ["y", "z"], "30 of them with a target"),
        ({**CELLS, "y": ["a", "b"] * 20}, ["y"], "40 rows"),
    ],
)
def test_rows_without_a_target_are_told_apart(
    cells: dict[str, Any], targets: list[str], said: str
) -> None:
    table = read(cells)
    title = shown(lambda show: show.schema(infer(table, targets), table)).partition("┏")[0]
    assert said in title and ("of them" in said) == ("of them" in title)


def test_what_a_task_learns_beside_its_column_is_a_target() -> None:
    table = read({"x": [1.5, 2.5, 3.5], "y": ["a b", "c", "d"], "why": ["so", "thus", "as"]})
    task = lookup.build("tasks", {"name": "reason", "rationale": "why"}, "y")
    schema = infer(table, ["y"], {"y": "text"}, ["why"])
    told = shown(lambda show: show.schema(schema, table, {"y": task}))
    assert "why │ target │ │ learned with 'y', read by no model" in told
    assert "why │ skipped" in shown(lambda show: show.schema(schema, table))


def test_what_may_not_be_done_is_a_plan() -> None:
    members: Any = [None] * 10
    text = shown(lambda show: show.plan(members, 390, 0, 5, sure=False))
    assert (
        text
        == "Planned, as far as the budget goes: 10 models on 390 rows, 5-fold cross-validation."
    )
    text = shown(lambda show: show.plan(members[:1], 390, 60, 0))
    assert text == "1 model on 390 training rows, 60 validation rows."


@pytest.mark.parametrize(
    ("shell", "said"), [(True, "--kind COLUMN=KIND, or --drop COLUMN."), (False, "drop=['COLUMN']")]
)
def test_advice_is_written_for_whoever_reads_it(shell: bool, said: str) -> None:
    table = read({"x": [1.5, 2.5, 3.5], "y": [0, 1, 0]})
    assert said in shown(lambda show: show.schema(infer(table, ["y"]), table), shell)
    finding = Finding("warning", "It leaks", 1, advice="If so: `drop x`")
    told = shown(lambda show: show.findings(Report([finding])), shell)
    assert ("--drop x" if shell else "drop=['x']") in told


def test_what_is_being_done_is_said_and_its_time_is_accounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    monkeypatch.setattr(console, "leaderboard", lambda run: "")
    file = io.StringIO()
    show = Show(file)
    for what, phase, seconds in (
        ("read the table", "reading", 2),
        ("see whether there is time for folds", "planning", 20),
        ("train trees", "training", 5),
        ("time the networks' steps", "planning", 3),
        ("combine the models", "combining", 0.1),
    ):
        show.doing(what, phase)
        now += seconds
    show.done(SimpleNamespace(folder=None, tasks={}), 30.1)  # type: ignore[arg-type]
    text = file.getvalue()
    assert "Done in 30 s (reading 2 s, planning 23 s, training 5 s)." in text
    # Without a terminal there is a line now and then.
    assert "train trees ..." in text and text.count(" ...") == 1


def test_a_terminal_shows_what_is_being_done() -> None:
    file = io.StringIO()
    show = Show(file)
    show.console = Console(file=file, force_terminal=True, width=80)
    with show:
        show.doing("combine [bold]the models", "combining")
    assert "combine [bold]the models ..." in file.getvalue()


@pytest.mark.parametrize(
    ("values", "chosen_by", "said"),
    [
        ((0.9, 0.95), "log loss", "chosen by log loss: a line below it has a better accuracy"),
        ((0.95, 0.9), "log loss", "chosen by log loss."),
        ((0.9, 0.8), "accuracy", "chosen by accuracy too."),
    ],
)
def test_the_order_of_the_leaderboard_is_told(
    values: tuple[float, float], chosen_by: str, said: str
) -> None:
    lines = [
        {"target": "y", "metric": "accuracy", "greater_is_better": True, "value": value}
        for value in values
    ]
    run: Any = SimpleNamespace(leaderboard=lines, tasks={"y": SimpleNamespace(chosen_by=chosen_by)})
    order = console._order(run, "y")
    assert "each sorted by accuracy." in order and said in order


@pytest.mark.parametrize(
    ("values", "empty", "budget", "said"),
    [
        ((0.0, 0.125), 0.5, 60.0, "worse than always the same text: exact_match 0.0000 against 0."),
        ((0.0, 0.125), 1.0, 60.0, "Nothing is written for 'y' in any row: exact_match 0.0000 aga"),
        ((0.0, 0.125), 0.0, None, "It learned for 48 steps. More epochs let it learn more; --metr"),
        ((0.0, 0.125), 0.0, 60.0, "48 steps within 60 s. A larger --budget lets it learn more, an"),
        ((0.25, 0.125), 0.0, 60.0, ""),
    ],
)
def test_texts_that_are_worse_than_always_the_same_one_are_told(
    values: tuple[float, float], empty: float, budget: float | None, said: str
) -> None:
    lines = [
        {"target": "y", "role": role, "metric": "exact_match", "greater_is_better": True}
        | {"value": value, "members": {"x": 1.0}, "empty": empty}
        for role, value in zip(("fused", "constant"), values, strict=True)
    ]
    task = Generate("y", decoder={"name": "gpt2", "hidden": 8, "depth": 1})
    task.primary = "exact_match"
    run: Any = SimpleNamespace(leaderboard=lines, tasks={"y": task}, recipe=None, folder=None)
    run.recipe = SimpleNamespace(budget=budget)
    run.members = {"x": SimpleNamespace(facts={"steps": 48})}
    (told,) = poor.validated(run) or [""]
    assert said in for_shell(told) and bool(said) == bool(told)
