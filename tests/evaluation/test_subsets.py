"""All sets of modalities from one pass: what runs how often, and that it changes no score."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem, t
from torch import nn

import polymodal as pm
from polymodal.base.errors import UserError
from polymodal.contract.metric import Metric
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Recipe
from polymodal.evaluation import game, sets
from polymodal.metrics import contribution
from polymodal.metrics.contribution import subsets
from polymodal.models.experts import _boosting
from polymodal.models.solved import Solved
from polymodal.run import pipeline as running
from polymodal.table.ledger import Ledger

pytestmark = pytest.mark.whole

ROWS, BATCH = 160, 64
MEMBERS = {
    "gated": {"fusion": "gated", "width": 8, "training": {"epochs": 1}},
    "early": {"fusion": {"name": "early", "depth": 1}, "width": 8, "training": {"epochs": 1}},
    "linear": {"learner": "linear"},
    "trees": {"learner": "trees"},
}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Four modalities, each of which tells a little."""
    rng = np.random.default_rng(0)
    up = rng.integers(0, 2, ROWS)
    return pd.DataFrame(
        {
            "picture": [(rng.integers(0, 200, (8, 8, 3)) + 40 * u).astype(np.uint8) for u in up],
            "signal": [list(u * np.arange(5) + rng.normal(0, 3, 5)) for u in up],
            "note": [f"note {rng.integers(9)} {'rises' if u else 'falls'} here" for u in up],
            "x": up + rng.normal(size=ROWS),
            "label": np.where(up, "up", "down"),
        }
    )


@pytest.fixture(scope="module", params=MEMBERS)
def run(
    request: pytest.FixtureRequest, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> pm.Run:
    every: dict[str, Any] = {name: {} for name in ("picture", "signal", "note", "table")}
    member = {"name": "model", "modalities": every, **MEMBERS[request.param]}
    settings = {"models": [member], "data": {"kinds": {"note": "text"}}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(_boosting, "MOST_ROUNDS", 20)
        return pm.fit(frame, "label", recipe=Recipe.model_validate(settings))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path_factory.mktemp("cache")))
    # So that few rows are several batches.
    for predictor in (Predictor, Solved):
        monkeypatch.setattr(predictor, "batch_size", BATCH)
    monkeypatch.setattr(sets, "BATCH", BATCH)


def readers(module: nn.Module) -> dict[str, nn.Module]:
    """What turns a modality's cells into tokens: a network's encoders, an expert's blocks."""
    lists = [n for n, _ in module.named_modules() if n.split(".")[-1] in ("encoders", "blocks")]
    found = {
        f"{name}.{i}": part
        for name in lists
        if "fusion" not in name
        for i, part in enumerate(module.get_submodule(name).children())
    }
    assert found
    return found


def test_every_encoder_runs_once_a_batch(run: pm.Run, frame: pd.DataFrame) -> None:
    calls: Counter[str] = Counter()
    module = run.members["model"].module
    hooks = [
        part.register_forward_hook(lambda *_, name=name: calls.update([name]))
        for name, part in readers(module).items()
    ]
    names = list(run.schema.modalities())
    assert len(names) == 4
    every = subsets(names)
    prepared = run.prepare(run.table(frame), Ledger())
    run.scores_without(prepared, np.arange(ROWS), every)
    for hook in hooks:
        hook.remove()
    assert dict(calls) == dict.fromkeys(readers(module), -(-ROWS // BATCH))


def test_together_is_what_each_is_alone(run: pm.Run, frame: pd.DataFrame) -> None:
    """Alone means by cells that are missing in the table, not by a mask over tokens."""
    rows = np.arange(ROWS)
    every = subsets(list(run.schema.modalities()))
    prepared = run.prepare(run.table(frame), Ledger())
    together = run.scores_without(prepared, rows, every)
    columns = {"table": "x"}
    for gone, found in list(zip(every, together, strict=True))[:-1]:
        without = frame.astype(object)
        without[[columns.get(name, name) for name in gone]] = None
        alone = run.scores(run.prepare(run.table(without), Ledger()), rows)
        np.testing.assert_allclose(
            found["model"]["label"], alone["model"]["label"], atol=1e-5, err_msg=str(gone)
        )


def test_what_sets_cost_is_told_before_they_are_scored(
    run: pm.Run, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "ROWS", 50)
    happened: list[str] = []
    own = running.predict_without

    def scoring(*given: Any, **more: Any) -> Any:
        happened.append("scored")
        return own(*given, **more)

    monkeypatch.setattr(running, "predict_without", scoring)
    exact = pm.evaluate(run, frame, explain=0, tell=happened.append)
    assert re.fullmatch(
        r"scoring 15 sets of modalities: (.+), the answers alone (.+); "
        r"`contributions sampled`: (.+)",
        happened[0],
    )
    assert happened[1:] == ["scored"]
    happened.clear()
    again = pm.evaluate(run, frame, explain=0, tell=happened.append)
    assert happened == ["scoring 15 sets of modalities: done before and kept"]
    assert again.targets == exact.targets
    happened.clear()
    sampled = pm.evaluate(run, frame, explain=0, contributions="sampled", tell=happened.append)
    assert happened[0].startswith("scoring 15 sets of modalities on 50 of 160 rows: ")
    happened.clear()
    none = pm.evaluate(run, frame, explain=0, contributions="none", tell=happened.append)
    assert none.contributions == {} and happened == []
    # All measure every row; only the game is of a sample, and knows that it is less sure.
    assert exact.targets == sampled.targets == none.targets
    whole, part = (one.contributions["label"] for one in (exact, sampled))
    assert (whole["rows"], part["rows"]) == (ROWS, 50)
    assert list(whole["values"]) == list(part["values"]) and len(whole["values"]) == 16

    def width(found: dict[str, Any]) -> float:
        return sum(span["high"] - span["low"] for span in found["values"].values())

    assert width(part) > 1.3 * width(whole)


def test_the_cost_is_the_encoders_once_and_the_rest_once_a_set(
    run: pm.Run, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that encoding moves by 8 s, and fusing by 1 s a present modality."""
    module: Any = run.members["model"].module
    clock = [0.0]
    encode, fuse = module.encode, module.fuse

    def slow_encode(inputs: Any) -> Any:
        clock[0] += 8
        return encode(inputs)

    def slow_fuse(tokens: Any, absent: Any = (), *rest: Any) -> Any:
        clock[0] += 4 - len(absent)
        return fuse(tokens, absent, *rest)

    monkeypatch.setattr(module, "encode", slow_encode)
    monkeypatch.setattr(module, "fuse", slow_fuse)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    # What a GPU still does when a call returns is waited for, and counted.
    monkeypatch.setattr(sets, "wait", lambda place: clock.__setitem__(0, clock[0] + 0.5))
    table = frame.sample(2 * BATCH, replace=True, random_state=0)
    prepared = run.prepare(run.table(table), Ledger())
    names = list(run.schema.modalities())
    planned = sets.plan(names, 2 * BATCH)
    assert planned is not None
    # Two batches: (8 + 4 * 1 + 6 * 2 + 4 * 3 + 4) s each, against (8 + 4) s, and
    # half a second for each of 16 calls, against 2.
    said = sets.announcement(run, prepared, 2 * BATCH, planned, {})
    assert said.startswith(
        "scoring 15 sets of modalities: about 96 s, the answers alone about 26 s"
    )


@pytest.mark.parametrize("run", ["linear"], indirect=True)
def test_nothing_is_timed_for_nobody_and_nothing_that_is_kept(
    run: pm.Run, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[str] = []
    own = sets._costs
    monkeypatch.setattr(sets, "_costs", lambda *given: (timed.append(given[-1]), own(*given))[1])
    pm.evaluate(run, frame, explain=0)
    assert timed == []
    pm.evaluate(run, frame, explain=0, tell=lambda _: None)
    assert timed == []
    pm.evaluate(run, frame[1:], explain=0, tell=lambda _: None)
    assert timed == ["model"]


@pytest.mark.parametrize("run", ["linear"], indirect=True)
def test_exchanged_cells_are_of_rows_from_everywhere_and_respect_groups(
    run: pm.Run, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(game, "SAMPLE", 160)
    chosen: list[np.ndarray] = []
    own = game.Exchange

    def exchange(run: pm.Run, prepared: Any, rows: np.ndarray, name: str) -> game.Exchange:
        chosen.append(rows)
        return own(run, prepared, rows, name)

    monkeypatch.setattr(game, "Exchange", exchange)
    # Every row ten times, so that whole groups agree and rows are no independent evidence.
    repeated = frame[:30].loc[np.repeat(np.arange(30), 10)]
    repeated["who"] = np.repeat(np.arange(30), 10)
    plain = pm.evaluate(run, repeated, explain=0)
    grouped = pm.evaluate(run, repeated, explain=0, group="who")
    (rows, again) = chosen
    np.testing.assert_array_equal(rows, again)
    assert len(set(rows.tolist())) == 160 and (np.diff(rows) > 0).all()
    assert rows[0] < 20 and rows[-1] >= 280 and rows.max() - rows.min() > 260

    def width(span: dict[str, float]) -> float:
        return span["high"] - span["low"]

    def widths(found: Any) -> list[float]:
        sample = found.contributions["label"]["sample"]
        ece = found.calibration["label"]["classwise_ece"]
        return [width(ece), sum(map(width, sample["perceptual"].values()))]

    for wide, narrow in zip(widths(grouped), widths(plain), strict=True):
        assert wide > 1.5 * narrow


def test_a_metric_that_a_sample_does_not_define_has_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sampled rows none has a label, so that micro F1 has nothing to count."""
    monkeypatch.setattr(sets, "ROWS", 10)
    monkeypatch.setattr(game, "SAMPLE", 10)
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"x": rng.normal(size=60), "note": [f"this is note {i} of some" for i in range(60)]}
    )
    tags = np.full(60, "", object)
    left = np.setdiff1d(np.arange(60), sets.drawn(60, 10))
    tags[left[:6]] = "a"
    table["tags"] = [[tag] if tag else [] for tag in tags]
    every: dict[str, Any] = {"note": {}, "table": {}}
    member = {"name": "model", "learner": "linear", "modalities": every}
    recipe = {"models": [member], "data": {"kinds": {"note": "text"}}}
    found = pm.fit(table, {"tags": "multilabel"}, recipe=Recipe.model_validate(recipe))
    result = pm.evaluate(found, table, contributions="sampled")
    worth = result.contributions["tags"]
    assert worth["rows"] == worth["sample"]["rows"] == 10
    assert np.isnan(worth["values"]["note+table"]["value"])
    assert np.isnan(list(worth["utilisation"].values())).all()
    result.save(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())["contributions"]["tags"]
    assert written["values"]["note+table"]["value"] is None
    assert "nan%" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("run", ["linear"], indirect=True)
def test_an_unknown_choice_is_refused(run: pm.Run, frame: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="contributions"):
        pm.evaluate(run, frame, contributions="some")


def test_what_is_planned() -> None:
    names = list("abcdefgh")
    exact = sets.plan(names[:4], 900)
    assert exact is not None and exact.walks is None
    assert len(exact.sets) == 15 and exact.rows.tolist() == list(range(900))
    sampled = sets.plan(names[:4], 900, "sampled")
    assert sampled is not None and sampled.sets == exact.sets
    assert len(set(sampled.rows.tolist())) == sets.ROWS and (np.diff(sampled.rows) > 0).all()
    many = sets.plan(names, 900)
    assert many is not None and many.walks is not None and len(many.rows) == sets.ROWS
    assert len(many.walks) == 2 * sets.PAIRS and len(many.sets) < 2**8
    assert {frozenset(names), frozenset("a"), frozenset("bcdefgh")} <= set(many.sets)
    assert sets.plan(names, 900, "exact").sets == [t for t in subsets(names) if t]  # type: ignore
    assert sets.plan(["a"], 900) is None and sets.plan(names, 900, "none") is None


@pytest.mark.parametrize("players", [3, 7])
def test_sampled_values_cover_what_all_rows_and_orders_give(players: int) -> None:
    """400 draws of rows, and for seven players of orders too, from tables of per-row values."""
    names = list("abcdefg")[:players]
    everything, draws, size, pairs = 1500, 400, 120, 12
    rng = np.random.default_rng(players)
    hits = []
    for draw in range(draws):
        if draw % 50 == 0:
            # Right or wrong, the likelier the more are present, and by each set's own luck.
            table = {
                team: (rng.random(everything) < rng.uniform(0.2, 0.5) + 0.4 * len(team) / players)
                for team in subsets(names)
            }
            exact = contribution.shapley({t: v.mean() for t, v in table.items()})
        rows = rng.choice(everything, size, replace=False)
        walks = contribution.orders(names, pairs, draw) if players > 3 else None
        asked = subsets(names) if walks is None else contribution.visited(walks)
        metrics = {team: Metric(partial(share, table[team][rows])) for team in asked}
        found = contribution.shape(metrics, size, resamples=200, seed=draw, walks=walks)
        name = names[draw % players]
        hits.append(found.shapley[name].low <= exact[name] <= found.shapley[name].high)
    assert len(hits) == draws and np.mean(hits) >= 0.93


def share(right: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ right / weights.sum(1))


def test_orders_alone_widen_what_rows_alone_would_say() -> None:
    """Where every row is alike, only the orders are uncertain, and the interval is theirs."""
    names = list("abcdefg")
    rng = np.random.default_rng(0)
    game = {team: float(rng.normal()) for team in subsets(names)}
    walks = contribution.orders(names, 10, seed=3)
    metrics = {
        team: Metric(partial(share, np.full(50, game[team])))
        for team in contribution.visited(walks)
    }
    found = contribution.shape(metrics, 50, resamples=50, walks=walks)
    assert not found.cooperation
    for name in names:
        places = [walk.index(name) for walk in walks]
        gains = [
            game[frozenset(walk[: i + 1])] - game[frozenset(walk[:i])]
            for walk, i in zip(walks, places, strict=True)
        ]
        pairs = np.reshape(gains, (10, 2)).mean(1)
        low, high = t.interval(0.95, 9, pairs.mean(), sem(pairs))
        own = found.shapley[name]
        assert (own.value, own.low, own.high) == pytest.approx((pairs.mean(), low, high))


def test_seven_modalities_are_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "ROWS", 50)
    monkeypatch.setattr(sets, "PAIRS", 4)
    rng = np.random.default_rng(0)
    up = rng.integers(0, 2, 80)
    names = [f"s{i}" for i in range(7)]
    table = pd.DataFrame(
        {name: [list(u + rng.normal(0, 2, 4)) for u in up] for name in names}
        | {"label": np.where(up, "up", "down")}
    )
    member = {"name": "model", "learner": "linear", "modalities": {name: {} for name in names}}
    found = pm.fit(table, "label", recipe=Recipe.model_validate({"models": [member]}))
    result = pm.evaluate(found, table, explain=0)
    worth = result.contributions["label"]
    assert (worth["rows"], worth["orders"]) == (50, 8) and worth["cooperation"] == {}
    assert set(worth["shapley"]) == set(worth["utilisation"]) == set(names)
    total = worth["values"]["+".join(names)]["value"] - worth["values"][""]["value"]
    assert sum(s["value"] for s in worth["shapley"].values()) == pytest.approx(total)
    result.save(tmp_path / "out")
    assert (tmp_path / "out" / "report.html").stat().st_size > 0
