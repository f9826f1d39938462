"""Nearest rows: by comparing all, and by a graph of neighbours where faiss is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from polymodal.base.errors import MissingExtra
from polymodal.metrics.alignment import unit
from polymodal.run import search


def vectors(rows: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(rows, 16))).astype(np.float32)


def test_the_nearest_come_first_however_the_queries_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queries, index = vectors(7, 0), vectors(40, 1)
    similar = queries @ index.T
    wanted = np.argsort(-similar, 1)[:, :5]
    for block in (1, 100, 10**6):
        monkeypatch.setattr(search, "BLOCK", block)
        values, places = search._nearest(queries, index, 5, "exact")
        assert places.tolist() == wanted.tolist()
        np.testing.assert_allclose(values, np.take_along_axis(similar, wanted, 1), rtol=1e-5)


def test_without_faiss_its_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtra, match=r"polymodal\[faiss\]"):
        search._nearest(vectors(2, 0), vectors(5, 1), 3, "faiss")


def test_a_graph_of_neighbours_finds_nearly_all() -> None:
    pytest.importorskip("faiss")
    queries, index = vectors(20, 0), vectors(500, 1)
    _, exact = search._nearest(queries, index, 10, "exact")
    values, found = search._nearest(queries, index, 10, "faiss")
    shares = [len({*a} & {*b}) / 10 for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
    assert np.mean(shares) > 0.9 and (np.diff(values, axis=1) <= 1e-6).all()
