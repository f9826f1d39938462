"""Alignment: the unbiased form against its definition, exact gaps, retrieval with traps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score

from polymodal.base.errors import UserError
from polymodal.metrics import alignment

TSNE = alignment.tsne  # before any test runs


@pytest.fixture(autouse=True)
def neighbours_are_drawn(monkeypatch):
    monkeypatch.setattr(alignment, "tsne", TSNE)


def gaussians(seed: int, rows: int = 100, d: int = 512) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, rows, d))


def biased_cka(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)

    def dot(a: np.ndarray, b: np.ndarray) -> float:
        return ((a.T @ b) ** 2).sum()

    return float(dot(x, y) / np.sqrt(dot(x, x) * dot(y, y)))


def test_independent_embeddings_are_not_alike():
    pairs = [gaussians(seed) for seed in range(5)]
    assert np.mean([biased_cka(*pair) for pair in pairs]) == pytest.approx(0.84, abs=0.005)
    assert all(abs(alignment.cka(*pair)) < 0.03 for pair in pairs)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(4, 12))
def test_cka_by_the_definition_of_hsic(seed, n):
    x, y = gaussians(seed, n, 5)
    y = y + x

    def hsic(k: np.ndarray, m: np.ndarray) -> float:
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        one = np.ones(n)
        total = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + total - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))

    k, m = x @ x.T, y @ y.T
    size = hsic(k, k) * hsic(m, m)
    wanted = hsic(k, m) / np.sqrt(size) if size > 0 else np.nan
    assert alignment.cka(x, y) == pytest.approx(wanted, rel=1e-6, abs=1e-9, nan_ok=True)


def test_cka_sees_through_rotation_scale_and_shift():
    x = gaussians(0, 50, 8)[0]
    turn = np.linalg.qr(gaussians(1, 8, 8)[0])[0]
    assert alignment.cka(x, 3 * x @ turn + 7) == pytest.approx(1)
    assert alignment.cka(x + 1e6, x) == pytest.approx(1)
    assert np.isnan(alignment.cka(x, np.ones((50, 3))))
    with pytest.raises(UserError, match="at least 4"):
        alignment.cka(x[:3], x[:3])


def test_modality_gap():
    e1, e2 = np.eye(2)
    assert alignment.modality_gap(np.tile(e1, (4, 1)), np.tile(5 * e2, (7, 1))) == pytest.approx(
        np.sqrt(2)
    )
    x = gaussians(0, 20, 4)[0]
    assert alignment.modality_gap(x, 3 * x) == pytest.approx(0, abs=1e-12)


def ones(found: alignment.Retrieval) -> dict[str, float]:
    weights = np.ones((1, len(found.first)))
    return {name: float(m.statistic(weights)[0]) for name, m in found.metrics().items()}


def directions(degrees: list[float]) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def test_retrieval_by_hand():
    found = alignment.retrieval(
        directions([0, 42, 60, 5]), directions([1, 40, 90, 46]), "text to image"
    )
    # 0: own 1 degree away, first. 42: own (40) first. 60: own (90) 30 away, behind 46 and 40.
    # 5: own (46) 41 away, behind 1 and 40.
    assert found.first.tolist() == [1, 1, 3, 3]
    assert found.gallery == 4 and found.direction == "text to image"
    assert ones(found) == pytest.approx(
        {
            "recall_at_1": 0.5,
            "recall_at_5": 1,
            "recall_at_10": 1,
            "mrr": (1 + 1 + 1 / 3 + 1 / 3) / 4,
            "map": (1 + 1 + 1 / 3 + 1 / 3) / 4,
            "median_rank": 2,
        }
    )


def test_several_right_items():
    found = alignment.retrieval(
        directions([0]), directions([5, 1, 10, 3]), "", np.array([7]), np.array([7, 8, 7, 8])
    )
    # In order: wrong, wrong, right, right.
    assert found.first.tolist() == [3]
    assert ones(found)["map"] == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert ones(found)["mrr"] == pytest.approx(1 / 3)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_map_equals_scikit_learn_without_ties(seed):
    rng = np.random.default_rng(seed)
    queries, gallery = rng.normal(size=(12, 5)), rng.normal(size=(30, 5))
    ids, offered = rng.integers(0, 4, 12), np.append(np.arange(4), rng.integers(0, 4, 26))
    similar = queries @ gallery.T / np.linalg.norm(gallery, axis=1)
    similar /= np.linalg.norm(queries, axis=1, keepdims=True)
    # Items this close are ties here and not there, such as one pair of seed 21.
    assume(np.diff(np.sort(similar)).min() > 2 * alignment.TIE)
    wanted = label_ranking_average_precision_score(ids[:, None] == offered, similar)
    assert ones(alignment.retrieval(queries, gallery, "", ids, offered))["map"] == pytest.approx(
        wanted
    )


def test_ties_are_pessimistic():
    for dtype in (np.float32, np.float64):
        same = np.random.default_rng(0).normal(size=37).astype(dtype)
        found = alignment.retrieval(np.tile(same, (50, 1)), np.tile(same, (50, 1)), "")
        assert (found.first == 50).all()
    zeros = alignment.retrieval(np.zeros((5, 2)), np.zeros((5, 2)), "")
    assert (zeros.first == 5).all()


def test_blocks_change_nothing(monkeypatch):
    queries, gallery = gaussians(0, 40, 6)
    whole = alignment.retrieval(queries, gallery + queries, "")
    monkeypatch.setattr(alignment, "BLOCK", 40 * 3)
    parts = alignment.retrieval(queries, gallery + queries, "")
    assert (parts.first == whole.first).all() and 1 < whole.first.mean() < 20


def test_a_query_without_an_answer_is_an_error():
    with pytest.raises(UserError, match=r"1 queries have nothing to find .*text to image"):
        alignment.retrieval(np.eye(3), np.eye(2, 3), "text to image")


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=9))
def test_median_rank_under_weights_is_that_of_repeated_rows(pairs):
    ranks, counts = np.array(pairs).T
    counts[0] += 1
    found = alignment.Retrieval("", 9, ranks.astype(float), 1 / ranks).metrics()["median_rank"]
    wanted = np.median(np.repeat(ranks, counts))
    assert found.statistic(counts[None].astype(float))[0] == wanted
    assert not found.greater_is_better


def clouds() -> dict[str, np.ndarray]:
    x, y = gaussians(0, 30, 6)
    return {"text": x + 10 * np.eye(6)[0], "image": y[:25]}


def test_pca_view():
    found = alignment.pca(clouds())
    assert found["text"].shape == (30, 2) and found["image"].shape == (25, 2)
    points = np.concatenate([*clouds().values()])
    centred = points - points.mean(0)
    variances = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1][:2]
    flat = np.concatenate([*found.values()])
    assert (flat**2).sum(0) == pytest.approx(variances)
    # What separates the two is the first direction.
    assert abs(found["text"][:, 0].mean() - found["image"][:, 0].mean()) > 9
    again = alignment.pca(clouds())
    assert (again["text"] == found["text"]).all()


def test_tsne_view():
    found = alignment.tsne(clouds())
    assert found["text"].shape == (30, 2) and found["image"].shape == (25, 2)
    gap = np.linalg.norm(found["text"].mean(0) - found["image"].mean(0))
    assert gap > found["text"].std(0).max()
    assert (alignment.tsne(clouds())["image"] == found["image"]).all()
    few = alignment.tsne({name: rows[:3] for name, rows in clouds().items()})
    assert np.isfinite(few["text"]).all()


def test_rankings_made_elsewhere_equal_those_of_embeddings():
    queries, gallery = gaussians(0, 12, 6)
    ids = np.arange(12) % 5
    wanted = alignment.retrieval(queries, gallery, "text to image", ids, ids)
    similar = queries @ gallery.T / np.linalg.norm(gallery, axis=1)
    lists = np.argsort(-similar, axis=1)
    found = alignment.found_in(lists.tolist(), [set(np.flatnonzero(ids == i)) for i in ids], "")
    assert (found.first == wanted.first).all()
    assert found.precision == pytest.approx(wanted.precision)
    assert ones(found) == pytest.approx(ones(wanted)) and found.gallery == 12


def test_what_a_shortened_list_lacks_was_not_found():
    found = alignment.found_in([[1, 2], [3, 1]], [{2, 9}, {4}], "", gallery=50)
    assert found.first.tolist() == [2, np.inf]
    # The first found one of two right items, at rank 2; nothing is known beyond that rank.
    assert ones(found) == pytest.approx({"recall_at_1": 0, "mrr": 1 / 4, "map": (1 / 2) / 2 / 2})
    whole = alignment.found_in([[1, 2, 3], [3, 1, 2]], [{2}, {2}], "")
    assert ones(whole)["recall_at_5"] == 1 and ones(whole)["median_rank"] == 2.5


def test_figures_come_with_their_conditions():
    found = alignment.retrieval(np.eye(3), np.eye(3), "text to image").conditions()
    assert (found["direction"], found["gallery"], found["depth"]) == ("text to image", 3, 3)
    assert "wrong ones come first" in found["ties"]
    assert "lists" in alignment.found_in([[1]], [{1}], "").conditions()["ties"]
    with pytest.raises(UserError, match="names an item twice"):
        alignment.found_in([[1, 1]], [{1}], "")


def test_pairs_are_described_on_the_rows_that_have_both() -> None:
    x = gaussians(0, 30, 8)[0]
    y = x @ np.linalg.qr(gaussians(1, 8, 8)[0])[0]
    y[:5] = np.nan
    found = alignment.describe({"a": x, "b": x.copy(), "c": y})
    pairs = {tuple(pair["modalities"]): pair for pair in found["pairs"]}
    same, turned = pairs["a", "b"], pairs["a", "c"]
    assert (same["rows"], turned["rows"]) == (30, 25)
    assert same["gap"] == 0
    assert turned["cka"] == pytest.approx(1)
    for way, direction in zip(same["retrieval"], ("a to b", "b to a"), strict=True):
        assert (way["direction"], way["gallery"]) == (direction, 30)
        assert way["recall_at_1"]["value"] == way["median_rank"]["value"] == 1
    assert found["views"]["c"]["rows"] == list(range(5, 30))
    for view in ("pca", "tsne"):
        points = np.concatenate([found["views"][name][view] for name in "abc"])
        assert points.shape == (85, 2)
        assert np.abs(points).max() == 1


def test_what_cannot_be_compared_is_left_out() -> None:
    x = np.ones((6, 3))
    y = x.copy()
    y[2:] = np.nan
    found = alignment.describe({"a": x, "b": y})
    assert found == {"pairs": [], "views": {}}
    (pair,) = alignment.describe({"a": x, "b": x})["pairs"]
    assert np.isnan(pair["cka"])
    # Nothing is told apart, so all wrong items come first.
    assert pair["retrieval"][0]["median_rank"]["value"] == 6
