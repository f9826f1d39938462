"""The games of a known answer, Shapley's axioms, sampled games, and models made by hand."""

from __future__ import annotations

import json
from functools import partial
from itertools import permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from polymodal.base.files import finite
from polymodal.builtin import interactions
from polymodal.contract.metric import Metric
from polymodal.evaluation import game
from polymodal.metrics import contribution, statistics
from polymodal.metrics.contribution import subsets
from polymodal.tasks.classify import Classify
from polymodal.tasks.multilabel import Multilabel
from polymodal.tasks.regress import Regress

EXACT = 1e-12

KNOWN = {  # game -> V of nothing, phi, C of the first two
    "xor": (0.5, (0.25, 0.25), 0.5),
    "redundant": (0.5, (0.25, 0.25), -0.5),
    "unique": (0.5, (0.5, 0), 0),
    "noise": (0.5, (0.5, 0), 0),
    "and": (0.75, (0.125, 0.125), 0.25),
    "parity": (0.5, (1 / 6, 1 / 6, 1 / 6), 0.25),
}


def mean_of(values: np.ndarray, greater_is_better: bool = True) -> Metric:
    return Metric(lambda w: w @ values / w.sum(1), greater_is_better)


@pytest.mark.parametrize("name", KNOWN)
def test_games_of_a_known_answer(name):
    nothing, phi, pair = KNOWN[name]
    game = interactions.table(name)["values"]
    assert game[frozenset()] == nothing
    found = contribution.shapley(game)
    assert [found[letter] for letter in sorted(found)] == pytest.approx(phi, abs=EXACT)
    assert contribution.cooperation(game, "ab") == pytest.approx(pair, abs=EXACT)


def test_three_bit_parity_as_a_whole():
    game = interactions.table("parity")["values"]
    assert contribution.cooperation(game, "abc") == pytest.approx(0.5, abs=EXACT)
    for pair in ("ab", "ac", "bc"):
        assert contribution.cooperation(game, pair) == pytest.approx(0.25, abs=EXACT)


@pytest.mark.parametrize("name", interactions.GAMES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_agrees_with_the_exact_tables(name, noise):
    table = interactions.table(name, noise)
    assert contribution.shapley(table["values"]) == pytest.approx(table["shapley"], abs=EXACT)
    for team, wanted in table["cooperation"].items():
        assert contribution.cooperation(table["values"], team) == pytest.approx(wanted, abs=EXACT)


games = st.integers(1, 6).flatmap(
    lambda m: st.lists(st.floats(-1, 1), min_size=2**m, max_size=2**m).map(
        lambda values: dict(zip(subsets("abcdef"[:m]), values, strict=True))
    )
)


@settings(max_examples=40)
@given(games)
def test_efficiency(game):
    phi = contribution.shapley(game)
    assert sum(phi.values()) == pytest.approx(game[frozenset(phi)] - game[frozenset()], abs=1e-9)


@settings(max_examples=40)
@given(games)
def test_symmetry(game):
    """Renaming players renames their values; equal players are worth the same."""
    names = contribution.players(game)
    turned = dict(zip(names, names[1:] + names[:1], strict=True))
    renamed = {frozenset(turned[n] for n in team): value for team, value in game.items()}
    phi = contribution.shapley(game)
    assert contribution.shapley(renamed) == pytest.approx(
        {turned[n]: value for n, value in phi.items()}, abs=1e-9
    )
    if len(names) > 1:
        a, b = names[:2]
        swapped = {frozenset({a: b, b: a}.get(n, n) for n in team): team for team in game}
        equal = {team: (value + game[swapped[team]]) / 2 for team, value in game.items()}
        found = contribution.shapley(equal)
        assert found[a] == pytest.approx(found[b], abs=1e-9)


@settings(max_examples=40)
@given(games, st.floats(-1, 1))
def test_dummy(game, own):
    """Who adds the same to every set is worth that, cooperates with no one, changes no one."""
    more = {**game, **{team | {"z"}: value + own for team, value in game.items()}}
    phi = contribution.shapley(more)
    assert phi.pop("z") == pytest.approx(own, abs=1e-9)
    assert phi == pytest.approx(contribution.shapley(game), abs=1e-9)
    for name in phi:
        assert contribution.cooperation(more, {name, "z"}) == pytest.approx(0, abs=1e-9)


@settings(max_examples=20)
@given(games)
def test_shapley_is_the_mean_gain_over_orders(game):
    names = contribution.players(game)[:4]
    game = {team: value for team, value in game.items() if team <= set(names)}
    gains = {name: [] for name in names}
    for order in permutations(names):
        for i, name in enumerate(order):
            gains[name].append(game[frozenset(order[: i + 1])] - game[frozenset(order[:i])])
    wanted = {name: np.mean(found) for name, found in gains.items()}
    assert contribution.shapley(game) == pytest.approx(wanted, abs=1e-9)


def test_cooperation_of_two_modalities_by_its_formula():
    game = dict(zip(subsets("ab"), (0.3, 0.5, 0.6, 0.95), strict=True))
    assert contribution.cooperation(game, "ab") == pytest.approx(0.95 - 0.5 - 0.6 + 0.3)


def test_a_game_with_a_hole_is_refused():
    game = dict.fromkeys(subsets("abc"), 0.0)
    del game[frozenset("ac")]
    with pytest.raises(ValueError, match=r"game of 3 lacks the values of \[\['a', 'c'\]\]"):
        contribution.shapley(game)


def right_of(game: str, rows: int, seed: int = 0) -> dict[frozenset[str], np.ndarray]:
    """Per-row right or wrong of a model that knows the rule and gets bits, 0 if absent."""
    bits = np.random.default_rng(seed).integers(0, 2, (rows, 2))
    rule = {"xor": np.logical_xor, "and": np.logical_and}[game]
    shown = {team: bits * ["a" in team, "b" in team] for team in subsets("ab")}
    return {team: (rule(*s.T) == rule(*bits.T)).astype(float) for team, s in shown.items()}


def test_shape_of_a_model_of_xor():
    rows = 4000
    right = right_of("xor", rows)
    found = contribution.shape({team: mean_of(r) for team, r in right.items()}, rows)
    per_row = contribution.shapley(right)  # linear: the mean of per-row values is the value
    for name in "ab":
        assert found.shapley[name].value == pytest.approx(per_row[name].mean(), abs=EXACT)
        wanted = statistics.interval(mean_of(per_row[name]), rows)
        assert found.shapley[name].low == pytest.approx(wanted.low, abs=EXACT)
        assert found.shapley[name].high == pytest.approx(wanted.high, abs=EXACT)
        assert found.contribution[name].value == found.shapley[name].value  # V(all) is 1
    pair = found.cooperation[frozenset("ab")]
    assert pair.low < 0.5 < pair.high and pair.high - pair.low < 0.1
    assert found.values[frozenset("ab")].value == 1


def test_shape_draws_clusters_whole():
    right = {team: np.repeat(r, 5) for team, r in right_of("and", 100).items()}
    game = {team: mean_of(r) for team, r in right.items()}
    rows = contribution.shape(game, 500).cooperation[frozenset("ab")]
    whole = contribution.shape(game, 500, np.repeat(np.arange(100), 5)).cooperation[frozenset("ab")]
    assert whole.high - whole.low > 1.5 * (rows.high - rows.low)


def test_shape_of_an_error_is_above_zero_where_a_modality_helps():
    errors = dict(zip(subsets("ab"), (4.0, 3.0, 4.0, 2.0), strict=True))
    game = {team: mean_of(np.full(10, e), False) for team, e in errors.items()}
    found = contribution.shape(game, 10)
    assert found.shapley["a"].value == pytest.approx(1.5)
    assert found.shapley["b"].value == pytest.approx(0.5)
    assert found.contribution["a"].value == pytest.approx(0.75)
    assert found.cooperation[frozenset("ab")].value == pytest.approx(1)
    assert found.values[frozenset("ab")].value == 2


def random_game(seed: int, players: int = 5):
    names = "abcdefgh"[:players]
    values = np.random.default_rng(seed).normal(size=2**players)
    return names, dict(zip(subsets(names), values, strict=True))


def sampled(game, names, pairs, seed=0):
    """Shapley values from random orders, of values that no row changes: orders alone err."""
    walks = contribution.orders(names, pairs, seed)
    metrics = {
        team: Metric(lambda w, value=game[team]: np.full(len(w), float(value)))
        for team in contribution.visited(walks)
    }
    return contribution.shape(metrics, 2, resamples=2, walks=walks).shapley


@pytest.mark.whole
def test_sampled_shapley_is_unbiased():
    names, game = random_game(0)
    exact = contribution.shapley(game)
    runs = [sampled(game, names, pairs=10, seed=s) for s in range(400)]
    for name in names:
        found = np.array([run[name].value for run in runs])
        assert abs(found.mean() - exact[name]) < 4 * found.std() / 20
        assert found.std() > 0.01


@pytest.mark.whole
def test_sampled_shapley_covers():
    hits = []
    for seed in range(300):
        names, game = random_game(seed)
        if seed % 3 == 0:  # of skewed gains: only the last to join counts
            game = {team: float(len(team) == len(names)) for team in game}
        exact = contribution.shapley(game)
        found = sampled(game, names, pairs=60, seed=seed)
        hits += [
            found[n].low - 1e-9 <= exact[n] <= found[n].high + 1e-9 for n in (names[0], names[-1])
        ]
    assert np.mean(hits) >= 0.93


def test_sampled_shapley_asks_nothing_twice():
    asked = contribution.visited(contribution.orders("abcde", 100))
    assert len(asked) == len(set(asked)) <= 2**5


def test_sampled_shapley_is_exact_for_what_just_adds_up():
    found = sampled({team: sum(map(ord, team)) for team in subsets("ab")}, "ab", pairs=2)
    assert found["a"].value == found["a"].low == found["a"].high == ord("a")


def test_the_reverse_of_an_order_errs_to_the_other_side():
    """Gains that rise evenly with the number already present cancel to the last digit."""
    found = sampled({team: len(team) ** 2 for team in subsets("abcd")}, "abcd", pairs=2)
    assert all((each.low, each.value, each.high) == (4, 4, 4) for each in found.values())


def test_perceptual_score():
    rng = np.random.default_rng(0)
    used = rng.integers(0, 2, 20_000)
    of_used = contribution.perceptual_score(
        lambda order: mean_of((used[order] == used) * 1.0), 20_000
    )
    ignored = contribution.perceptual_score(lambda order: mean_of((used == 1) * 1.0), 20_000)
    ones = np.ones((1, 20_000))
    assert of_used.statistic(ones)[0] == pytest.approx(0.5, abs=0.01)  # (1 - .5) / 1
    assert ignored.statistic(ones)[0] == 0
    # Normalised by the model's own score, here .5: a half of it is lost when it falls to .25.
    half = contribution.perceptual_score(
        lambda order: mean_of((used[order] == used) * (np.arange(20_000) % 2)), 20_000
    )
    assert half.statistic(ones)[0] == pytest.approx(0.5, abs=0.02)


def test_perceptual_score_averages_several_permutations():
    drawn = []
    contribution.perceptual_score(lambda order: drawn.append(order) or mean_of(order * 1.0), 30, 7)
    assert len(drawn) == 8 and (drawn[0] == np.arange(30)).all()
    assert all((np.sort(order) == np.arange(30)).all() for order in drawn)
    assert len({tuple(order) for order in drawn}) == 8


def additive(rng, rows: int, modalities: int) -> np.ndarray:
    """`(modalities, rows, classes)` logits that are simply summed."""
    return rng.normal(size=(modalities, rows, 3))


def test_emap_keeps_an_additive_model():
    parts = additive(np.random.default_rng(0), 30, 2)
    pairs = parts[0][:, None] + parts[1][None]
    assert contribution.emap(pairs) == pytest.approx(parts.sum(0), abs=EXACT)


@pytest.mark.parametrize("kind", [Multilabel, Classify, Regress])
def test_what_adds_up_in_logits_owes_nothing_to_interaction(kind):
    task = kind("y")
    rng = np.random.default_rng(0)
    rows, size = 64, 1 if task.kind == "number" else 3
    first, second = 2 * rng.normal(size=(2, rows, size))
    answer = {"set": expit, "category": partial(softmax, axis=1), "number": np.asarray}

    def scores(chosen):
        return answer[task.kind](first[chosen[0]] + second[chosen[1]])

    whole = scores(np.tile(np.arange(rows), (2, 1)))
    drawn = rng.random(whole.shape) < whole
    targets = {"set": drawn.astype(float), "category": whole.argmax(1), "number": whole[:, 0]}
    cells = {"set": [["a", "b", "c"], ["a"]], "category": list("abc"), "number": [0.0, 1.0]}
    task.fit(cells[task.kind])
    exchange = SimpleNamespace(
        task=task,
        rows=np.arange(rows),
        names=["one", "two"],
        scores=scores,
    )
    found = game.interactions(exchange, list(targets[task.kind]))
    assert found["emap_gain"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["perceptual"]["one"]["value"] != 0


def test_emap_by_its_formula_and_of_xor():
    f = np.random.default_rng(0).normal(size=(6, 6, 2))
    for i in range(6):
        by_hand = (
            sum(f[i, j] for j in range(6)) / 6
            + sum(f[j, i] for j in range(6)) / 6
            - sum(f[j, k] for j in range(6) for k in range(6)) / 36
        )
        assert contribution.emap(f)[i] == pytest.approx(by_hand, abs=EXACT)
    signs = np.array([1.0, 1, -1, -1]), np.array([1.0, -1, 1, -1])
    product = np.outer(*signs)[..., None]
    assert contribution.emap(product) == pytest.approx(0, abs=EXACT)


def test_projection_equals_emap_when_all_pairs_are_asked():
    f = np.random.default_rng(0).normal(size=(20, 20, 2))
    found = contribution.additive_projection(lambda c: f[c[0], c[1]], 20, 2, calls=20)
    assert found == pytest.approx(contribution.emap(f), abs=1e-8)


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_projection_is_exact_for_an_additive_model_from_few_calls(modalities):
    parts = additive(np.random.default_rng(0), 200, modalities)
    calls = []

    def score(chosen: np.ndarray) -> np.ndarray:
        calls.append(chosen)
        return sum(part[rows] for part, rows in zip(parts, chosen, strict=True))

    found = contribution.additive_projection(score, 200, modalities, calls=16)
    assert found == pytest.approx(parts.sum(0), abs=1e-7)
    assert len(calls) == 16
    assert all((np.sort(chosen, 1) == np.arange(200)).all() for chosen in calls)


def test_projection_of_three_way_parity_finds_nothing_additive():
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (3, 400))

    def score(chosen: np.ndarray) -> np.ndarray:
        return np.prod([s[rows] for s, rows in zip(signs, chosen, strict=True)], 0)[:, None]

    found = contribution.additive_projection(score, 400, 3, calls=200)[:, 0]
    truth = np.prod(signs, 0)
    assert abs(np.mean(found * truth)) < 0.05
    assert found.std() < 0.2


def test_projection_refuses_too_few_calls():
    with pytest.raises(ValueError, match="from 16 to 100, got 4"):
        contribution.additive_projection(lambda chosen: chosen.T * 1.0, 100, 2, calls=4)


def test_discrepancy_ratio():
    sure = np.log([[0.9, 0.1], [0.3, 0.7]])
    unsure = np.log([[0.5, 0.5], [0.7, 0.3]])
    targets = np.array([0, 1])
    found = contribution.discrepancy_ratio({"video": sure, "audio": unsure}, targets)
    assert found == pytest.approx({"video": 1.6 / 0.8, "audio": 0.8 / 1.6})
    three = contribution.discrepancy_ratio({"v": sure, "a": unsure, "t": unsure}, targets)
    assert three == pytest.approx({"v": 2, "a": 0.8 / 1.2, "t": 0.8 / 1.2})


def test_conditional_utilisation():
    game = dict(zip(subsets("ab"), (0.5, 0.7, 0.6, 0.8), strict=True))
    found = contribution.conditional_utilisation(game)
    assert found == pytest.approx({"a": (0.8 - 0.6) / 0.8, "b": (0.8 - 0.7) / 0.8})
    nothing = contribution.conditional_utilisation({**game, frozenset("ab"): 0.0})
    assert np.isnan(list(nothing.values())).all() and set(nothing) == {"a", "b"}
    assert json.dumps(finite(nothing)) == '{"a": null, "b": null}'
    rows = {team: np.array([value, 0.0]) for team, value in game.items()}
    by_row = contribution.conditional_utilisation(rows)["a"]
    np.testing.assert_allclose(by_row, [(0.8 - 0.6) / 0.8, np.nan])


def test_gradient_conflict():
    e1, e2 = np.eye(2)
    assert contribution.gradient_conflict(e1, 3 * e1) == pytest.approx(1)
    assert contribution.gradient_conflict(e1, e2) == 0
    assert contribution.gradient_conflict(e1 + e2, -2 * e1) == pytest.approx(-(0.5**0.5))
    assert np.isnan(contribution.gradient_conflict(e1, 0 * e1))


def test_mm_shap():
    rows = [
        {"text": np.array([0.1, -0.2]), "image": np.array([0.3, 0.0, -0.6])},
        {"text": np.array([0.5])},
        {"text": np.array([0.0]), "image": np.array([0.0])},
    ]
    found = contribution.mm_shap(rows)
    assert found["text"] == pytest.approx([0.25, 1, np.nan], nan_ok=True)
    assert found["image"] == pytest.approx([0.75, 0, np.nan], nan_ok=True)


def test_a_perfect_and_has_cooperation_below_0_and_repeats_nothing() -> None:
    """Two independent signs of .7: alone each is right in .79, the constant in .51, both always."""
    game = {frozenset(): 0.51, frozenset("a"): 0.79, frozenset("b"): 0.79, frozenset("ab"): 1.0}
    assert contribution.cooperation(game, "ab") == pytest.approx(-0.07)
