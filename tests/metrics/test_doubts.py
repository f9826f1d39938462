"""Facts about the models of a fit in, the word of the verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from polymodal.metrics.doubts import Attempt, Doubt, doubts, read, tempered

# A network that made all its steps, one that stopped by itself, one that the clock cut.
WHOLE: dict[str, Any] = {"steps": 2400, "best_step": 2400, "whole": 2400}
STOPPED: dict[str, Any] = {"steps": 900, "best_step": 400, "whole": 2400, "stopped": True}
CUT: dict[str, Any] = {"steps": 66, "best_step": 66, "whole": 2400}
SKIPPED: dict[str, Any] = {"skipped": "its part of the time is enough for 20 steps"}


def network(read: str, name: str = "", **facts: Any) -> Attempt:
    return Attempt(name or read, tuple(read.split("+")), **facts)


def expert(read: str, learner: str = "linear", **facts: Any) -> Attempt:
    return Attempt(f"{read} ({learner})", tuple(read.split("+")), learner, False, **facts)


def words(*attempts: Attempt, able: str = "ab", fused: str = "a+b") -> list[str]:
    return [f"{one.side} {one.why} {one.model}" for one in doubts(attempts, able, [fused])]


@pytest.mark.parametrize(
    ("a", "b", "both", "pays", "does_not_pay"),
    [
        (WHOLE, WHOLE, WHOLE, "pays", "does not pay"),
        (STOPPED, WHOLE, WHOLE, "pays", "does not pay"),
        (STOPPED, STOPPED, STOPPED, "pays", "does not pay"),
        # The picture and its mirror image: 66 and 71 steps of 2400, and 267 of the fusion.
        (CUT, CUT | {"steps": 71}, CUT | {"steps": 267}, "undecided", "undecided"),
        (CUT, WHOLE, WHOLE, "undecided", "does not pay"),
        (WHOLE, CUT, STOPPED, "undecided", "does not pay"),
        # As many steps as the fusion do not help where all of them were cut.
        (CUT, CUT, CUT, "undecided", "undecided"),
        # That its last step was not quite its best does not mean that it had stopped.
        (CUT | {"best_step": 60}, WHOLE, WHOLE, "undecided", "does not pay"),
        (WHOLE, WHOLE, CUT, "pays", "undecided"),
        (STOPPED, STOPPED, SKIPPED, "pays", "undecided"),
        (SKIPPED, WHOLE, WHOLE, "undecided", "does not pay"),
        # All the epochs that it was given, but far fewer steps than the fusion.
        (WHOLE | {"steps": 30, "whole": 30}, WHOLE, WHOLE, "undecided", "does not pay"),
        (WHOLE | {"steps": 2390, "whole": 2390}, WHOLE, WHOLE, "pays", "does not pay"),
    ],
)
def test_the_word_by_how_long_networks_learned(
    a: dict[str, Any], b: dict[str, Any], both: dict[str, Any], pays: str, does_not_pay: str
) -> None:
    experts = [expert(one) for one in ("a+b", "a", "b")]
    attempts = [*experts, network("a", **a), network("b", **b), network("a+b", **both)]
    found = doubts(attempts, "ab", ["a+b"])
    assert tempered("pays", found) == pays
    assert tempered("does not pay", found) == does_not_pay
    assert tempered("undecided", found) == "undecided"


def test_a_rival_without_a_network_where_the_fusion_has_one() -> None:
    fused = network("a+b", **WHOLE)
    assert words(fused, network("a", **WHOLE), expert("b")) == ["rival none b"]
    assert words(fused, network("a", **WHOLE)) == ["rival none b"]
    # A fusion that reads neither of them with a network starves nobody.
    assert words(expert("a+b"), expert("a"), expert("b")) == []
    assert words(network("a+c", **WHOLE), network("a", **WHOLE), expert("b")) == []


def test_where_the_fused_model_has_no_network_experts_are_compared() -> None:
    experts = [expert(one) for one in ("a+b", "a", "b")]
    solved = "a+b (linear)"
    for facts in (SKIPPED, CUT):
        networks = [network(one, **facts) for one in ("a", "b", "a+b")]
        why = "joint skipped a+b" if facts is SKIPPED else "joint cut a+b"
        assert words(*experts, *networks, fused=solved) == [why]
    # A network of the fusion starves those of the rivals.
    lopsided = [network("a", **STOPPED), network("b", **SKIPPED), network("a+b", **STOPPED)]
    assert words(*experts, *lopsided, fused=solved) == []
    assert words(*experts, *lopsided) == ["rival skipped b"]
    # What has no expert has its network alone.
    assert words(*experts[:2], *lopsided, fused=solved) == ["rival skipped b"]
    assert words(*experts[:2], network("b", **CUT), fused=solved) == ["rival cut b"]
    lost = expert("b", **SKIPPED)
    assert words(*experts[:2], lost, fused=solved) == ["rival skipped b (linear)"]


def test_what_cannot_have_a_model_of_its_own_is_no_doubt() -> None:
    fused, words_alone = network("a+b", **WHOLE), network("a", **WHOLE)
    assert doubts([fused, words_alone], ["a"], ["a+b"]) == []


def test_experts_take_part_on_both_sides_or_on_none() -> None:
    alone = [expert("a"), expert("b", **SKIPPED)]
    assert words(expert("a+b"), *alone, expert("b", "trees")) == ["rival skipped b (linear)"]
    assert words(expert("a+b", **SKIPPED), expert("a"), expert("b")) == [
        "joint skipped a+b (linear)"
    ]
    # Trees of both and none of b, for which they were not planned.
    assert words(expert("a+b", "trees"), expert("a", "trees"), expert("b")) == []


def test_one_fusion_that_was_trained_to_a_stop_is_enough() -> None:
    alone = [network("a", **WHOLE), network("b", **WHOLE)]
    gated = network("a+b", "gated", **SKIPPED)
    assert words(*alone, network("a+b", **STOPPED), gated) == []
    assert words(*alone, network("a+b", **CUT), gated) == ["joint cut a+b"]


def test_a_second_try_that_stopped_is_enough() -> None:
    fused = network("a+b", **STOPPED)
    assert words(network("a", **CUT), network("a", "again", **STOPPED), fused, able="a") == []


def test_a_doubt_tells_what_it_rests_on() -> None:
    (found,) = doubts([network("a", **CUT)], "a", ["a"])
    assert found == Doubt("rival", "cut", "a", steps=66, best_step=66, whole=2400)
    (found,) = doubts([network("a", **SKIPPED)], "a", ["a"])
    assert found.reason == SKIPPED["skipped"]


def test_of_a_run_that_kept_no_record_nothing_is_doubted() -> None:
    assert doubts([], "ab", []) == []


def test_attempts_are_read_back() -> None:
    described = {"name": "x", "modalities": ["a", "b"], "steps": 3}
    assert read([described]) == [Attempt("x", ("a", "b"), steps=3)]
