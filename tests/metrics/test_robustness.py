"""Known answers of the two areas, and losses that depend on nothing but a row's content."""

from __future__ import annotations

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.metrics import robustness

NOISE = np.linspace(0, 1, 11)
MODEL, LATE = np.linspace(0.9, 0.4, 11), np.linspace(0.8, 0.5, 11)


def test_known_answers():
    assert robustness.relative_robustness(MODEL, NOISE) == pytest.approx(0.65)
    assert robustness.effective_robustness(MODEL, LATE) == pytest.approx(-1.10)


def test_of_an_error_the_sign_is_turned():
    assert robustness.relative_robustness(1 - MODEL, NOISE, False) == pytest.approx(-0.35)
    # The same fall, seen as an error's rise.
    assert robustness.effective_robustness(1 - MODEL, 1 - LATE, False) == pytest.approx(-1.10)


def test_levels_need_not_be_even():
    assert robustness.relative_robustness(
        np.array([1.0, 0.0, 0.0]), np.array([0, 0.5, 1])
    ) == pytest.approx(0.25)
    uneven = np.array([0, 0.1, 1])
    assert robustness.relative_robustness(0.9 - 0.5 * uneven, uneven) == pytest.approx(0.65)


@pytest.mark.parametrize("noise", [[0, 0.5], [0.1, 1], [0, 0.5, 0.5, 1], [1, 0], [0]])
def test_noise_must_rise_from_none_to_all(noise):
    with pytest.raises(UserError, match="rise from 0 to 1"):
        robustness.relative_robustness(np.ones(len(noise)), np.array(noise))


KEYS = [f"row {i}".encode() for i in range(5000)]


def test_what_is_lost_depends_on_the_content_only():
    everything = robustness.lost(KEYS, "image", 0.3)
    order = np.random.default_rng(0).permutation(5000)
    shuffled = robustness.lost([KEYS[i] for i in order], "image", 0.3)
    assert (shuffled == everything[order]).all()
    batches = [robustness.lost(KEYS[i : i + 7], "image", 0.3) for i in range(0, 5000, 7)]
    assert (np.concatenate(batches) == everything).all()


def test_the_share_that_is_lost():
    for rate in (0.0, 0.1, 0.5, 0.9, 1.0):
        share = robustness.lost(KEYS, "image", rate).mean()
        assert share == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / 5000) + 1e-12)


def test_higher_rates_lose_more_of_the_same():
    some, more = (robustness.lost(KEYS, "image", rate) for rate in (0.2, 0.6))
    assert (more >= some).all()


def test_modalities_and_seeds_are_independent():
    image = robustness.lost(KEYS, "image", 0.5)
    for other in (robustness.lost(KEYS, "text", 0.5), robustness.lost(KEYS, "image", 0.5, seed=1)):
        assert np.mean(image == other) == pytest.approx(0.5, abs=0.03)
