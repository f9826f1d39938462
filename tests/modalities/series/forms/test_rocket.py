from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.series.forms.rocket import SAMPLE, Rocket, _sampled, plan
from polymodal.table.media import Media

Array = np.ndarray[Any, Any]


def fitted(series: list[Array], **options: Any) -> Rocket:
    form = Rocket(layout="steps_first", **options)
    form.fit([Media("s", values=one) for one in series])
    return form


def encode(form: Rocket, x: Array) -> Array:
    found = form.encode(Media("s", values=x))
    assert found.shape == (form.size,) and found.dtype == np.float32
    return found


def one_step(x: Array, t: int, dilation: int, raised: tuple[int, ...]) -> float:
    """The convolution at one step, by its definition; zeros beyond both ends."""
    total = 0.0
    for place in range(9):
        at = t + (place - 4) * dilation
        if 0 <= at < len(x):
            total += (2.0 if place in raised else -1.0) * float(x[at])
    return total


def naive(form: Rocket, x: Array) -> list[float]:
    """Features one by one, out of the form's scale, channels, dilations and biases."""
    mean, deviation = (np.array(form.state[name]) for name in ("mean", "deviation"))
    biases, features = iter(form.state["biases"]), []
    x = (x - mean) / deviation
    for number, (dilation, count) in enumerate(form._plan):
        for kernel, raised in enumerate(combinations(range(9), 3)):
            mixed = x[:, form._kernels[number][kernel, 0] != 0].sum(1)
            made = [one_step(mixed, t, dilation, raised) for t in range(len(x))]
            reach = 4 * dilation
            if (number + kernel) % 2 and len(x) > 2 * reach:
                made = made[reach:-reach]
            for _ in range(count):
                bias = next(biases)
                features.append(sum(value > bias for value in made) / len(made))
    return features


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_plain_loops(channels: int) -> None:
    rng = np.random.default_rng(channels)
    form = fitted([rng.normal(2, 3, (n, channels)) for n in (30, 41)], count=84 * 5)
    assert len(form._plan) > 1
    for length in (41, 25, 7, 1):
        x = rng.normal(2, 3, (length, channels))
        # A step may stand at a bias exactly, where rounding decides.
        differing = np.abs(encode(form, x) - naive(form, x)) > 1e-6
        assert differing.mean() < 0.01


def test_a_bias_is_a_quantile_of_what_its_kernel_makes_of_a_training_series() -> None:
    x = np.random.default_rng(0).normal(size=(50, 1))
    form = fitted([x], count=84 * 3, dilations=1)
    golden = np.arange(1, form.size + 1) * ((np.sqrt(5) + 1) / 2) % 1
    assert golden[:3] == pytest.approx([0.618, 0.236, 0.854], abs=1e-3)
    z = (x[:, 0] - x.mean()) / x.std()
    made = np.array([one_step(z, t, 1, (0, 1, 2)) for t in range(50)])
    assert form.state["biases"][:3] == pytest.approx(np.quantile(made, golden[:3]), abs=1e-5)
    # So as many steps lie above it as the quantile says, where all steps count.
    padded = np.repeat(np.arange(84) % 2 == 0, 3)
    assert np.abs(encode(form, x) - (1 - golden))[padded].max() <= 1 / 50 + 1e-6


def test_dilations_are_the_papers() -> None:
    # Of 10 000 features 119 a kernel, on at most 32 dilations.
    assert Rocket(count=10_000).size == 9_996
    assert plan(9, 119, 32) == [(1, 119)]
    found = plan(512, 119, 32)
    # 2^0 to 2^log2(511 / 8), whole numbers only, each once.
    assert [dilation for dilation, _ in found] == sorted(
        {int(2 ** (i * 5.9972 / 31)) for i in range(32)}
    )
    assert found[0][0] == 1 and found[-1][0] == 63 and sum(count for _, count in found) == 119
    counts = [count for _, count in found]
    assert counts[0] == max(counts) and min(counts) >= 3


def test_levels_and_channels_without_change_say_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    form = fitted([x], count=840)
    narrow = np.concatenate(
        [
            np.repeat((number + np.arange(84)) % 2 == 1, count)
            for number, (_, count) in enumerate(form._plan)
        ]
    )
    # Every kernel's weights add up to 0; beyond the ends are zeros, which are not shifted.
    other = rng.normal(size=(60, 1))
    shifted = np.abs(encode(form, other + 5) - encode(form, other))
    assert shifted[narrow].mean() < 1e-3 < 0.1 < shifted[~narrow].max()
    flat = fitted([np.full((60, 2), 7.0)] * 2, count=84)
    assert (encode(flat, np.full((60, 2), 7.0)) == 0).all()


def test_an_event_is_found_wherever_it_is() -> None:
    x = np.zeros((80, 1))
    early, late = x.copy(), x.copy()
    early[20:26] = late[50:56] = 1
    form = fitted([early], count=840, dilations=1)
    assert np.array_equal(encode(form, early), encode(form, late))
    assert not np.array_equal(encode(form, early), encode(form, 0.5 * early))


def test_gaps_are_bridged_and_long_series_cut() -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 40)[:, None] + np.sin(np.arange(40))[:, None].round()
    form = fitted([x, rng.normal(size=(50, 1))], count=84, limit=45)
    gap = x.copy()
    gap[10] = np.nan
    bridged = x.copy()
    bridged[10] = (x[9] + x[11]) / 2
    assert np.array_equal(encode(form, gap), encode(form, bridged))
    long = rng.normal(size=(60, 1))
    assert np.array_equal(encode(form, long), encode(form, long[:45]))
    assert form.was_truncated(Media("s", values=long))
    assert not form.was_truncated(Media("s", values=long[:45]))


def test_what_was_learned_is_json_and_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(30, 2)) for _ in range(3)]
    form, again = fitted(series, count=168), fitted(series, count=168)
    assert form.fingerprint == again.fingerprint
    other = Rocket(layout="steps_first", count=168)
    other.state = json.loads(json.dumps(form.state))
    assert np.array_equal(encode(other, series[0]), encode(form, series[0]))
    assert Rocket().state == {}


def test_any_cell_may_be_sampled() -> None:
    cells = [Media(str(number), values=np.zeros(3)) for number in range(3 * SAMPLE)]
    kept = {int(cell.label) for cell in _sampled(cells)}
    assert len(kept) == SAMPLE
    assert len(_sampled(cells[:5])) == 5
    assert len([number for number in kept if number >= 2 * SAMPLE]) == pytest.approx(
        SAMPLE / 3, 0.3
    )


@pytest.mark.parametrize("options", [{"count": 83}, {"dilations": 0}, {"limit": 0}])
def test_options_that_are_too_small(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="too small"):
        Rocket(**options)


def test_without_a_readable_series_the_first_reason_is_told() -> None:
    form = Rocket()
    form.fit([Media("bad", values=np.zeros((0, 1)))])
    with pytest.raises(UserError, match="no steps"):
        form.encode(Media("bad", values=np.zeros((0, 1))))
