from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polymodal.base.errors import UserError
from polymodal.modalities.audio.forms.summary import CEPSTRA, Summary
from polymodal.table.media import Media

RATE = 8000
RNG = np.random.default_rng(0)
VOICE = RNG.normal(scale=0.2, size=3200)
HUSH = 1e-4 * RNG.normal(size=4000)


def encode(samples: np.ndarray[Any, Any], **options: Any) -> np.ndarray[Any, Any]:
    return Summary(rate=RATE, **options).encode(Media("a", values=samples))


@pytest.mark.parametrize("count", [1, 50, 800, 20_000])
@pytest.mark.parametrize("options", [{}, {"mels": 32, "slices": 5}], ids=str)
def test_one_size_for_any_duration(count: int, options: dict[str, Any]) -> None:
    found = encode(RNG.normal(size=count), **options)
    assert found.shape == (Summary(rate=RATE, **options).size,)
    assert found.dtype == np.float32 and np.isfinite(found).all()


def test_digital_silence_is_finite() -> None:
    assert np.isfinite(encode(np.zeros(4000))).all()


def test_silence_around_a_sound_leaves_its_course_alone() -> None:
    alone = encode(VOICE)
    # Whole hops of silence, so that the frames fall on the same samples.
    framed = encode(np.concatenate([HUSH[:1600], VOICE, HUSH[:2400]]))
    course = 20 * CEPSTRA
    change = np.abs(framed - alone)[:course].mean() / alone[:course].std()
    other = np.abs(encode(RNG.normal(scale=0.2, size=3200)) - alone)[:course].mean()
    assert change < 0.1 < other / alone[:course].std()
    # But the whole recording's own numbers tell of it: duration, spread of the cepstra.
    assert framed[-3] > alone[-3] and framed[-2] == pytest.approx(alone[-2], abs=0.06)


def test_slices_say_what_came_first() -> None:
    time = np.arange(4000) / RATE
    low, high = np.sin(2 * np.pi * 200 * time), np.sin(2 * np.pi * 3000 * time)
    rising = encode(np.concatenate([low, high]))[: 20 * CEPSTRA].reshape(20, CEPSTRA)
    falling = encode(np.concatenate([high, low]))[: 20 * CEPSTRA].reshape(20, CEPSTRA)
    # The second cepstrum is the balance of low against high bands.
    assert rising[2, 1] > 0 > rising[17, 1]
    np.testing.assert_allclose(rising[2], falling[17], atol=1.0)


def test_zero_crossings_are_twice_the_pitch() -> None:
    tone = np.sin(2 * np.pi * 500 * (np.arange(RATE) + 0.5) / RATE)
    assert encode(tone)[-1] == pytest.approx(2 * 500 / RATE, abs=1e-3)


def test_every_option_changes_the_fingerprint() -> None:
    usual = Summary()
    for options in ({"rate": 8000}, {"mels": 32}, {"seconds": 1.0}, {"slices": 5}):
        assert Summary(**options).fingerprint != usual.fingerprint  # type: ignore[arg-type]
    assert Summary(seconds=0.1).was_truncated(Media("a", values=VOICE))


@pytest.mark.parametrize("options", [{"mels": 10}, {"slices": 0}, {"rate": 0}], ids=str)
def test_options_that_make_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(UserError):
        Summary(**options)
