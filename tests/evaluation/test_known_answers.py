"""Trained models of the games whose answers are known: fit, evaluate, and what comes out.

`benchmarks/known_answers.py` runs the same with more seeds.
"""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole

KINDS = ("series", "number")
BENCHMARK = runpy.run_path(
    str(Path(__file__).parents[2] / "benchmarks" / "known_answers.py"), run_name="known_answers"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("game", ["xor", "redundant", "unique", "and"])
def test_a_trained_model_shows_the_known_cooperation_and_verdict(game: str) -> None:
    right, known = BENCHMARK["expected"](game, 0.0)
    answer, found = BENCHMARK["measure"](game, KINDS, 1500, 3000, seed=0)
    assert answer == right
    for name, value in known.items():
        assert found[name] == pytest.approx(value, abs=BENCHMARK["TOLERANCE"]), name


@pytest.mark.slow
def test_a_modality_of_pure_noise_does_not_pay() -> None:
    answers = Counter(
        BENCHMARK["measure"]("noise", KINDS, 600, 1500, seed, noise=0.2)[0] for seed in range(3)
    )
    assert answers["does not pay"] >= 2 and not answers["pays"], answers
