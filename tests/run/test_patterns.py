"""Which sets of present modalities are validated, and which one a row goes by."""

from __future__ import annotations

import numpy as np

from polymodal.run.patterns import grouped, nearest, patterns, said


def test_of_few_modalities_every_set_is_validated_but_none_and_all() -> None:
    found = patterns({name: np.ones(4, bool) for name in "abc"})
    assert found == [frozenset(team) for team in ("a", "b", "c", "ab", "ac", "bc")]


def test_of_many_those_of_one_those_without_one_and_those_that_rows_have() -> None:
    present = {name: np.ones(3, bool) for name in "abcdefgh"}
    present |= {name: np.array([True, True, False]) for name in "abc"}
    found = patterns(present)
    assert len(found) == 8 + 8 + 1 and frozenset("defgh") in found


def test_a_row_goes_by_the_largest_set_that_it_has_all_of() -> None:
    known = [frozenset("a"), frozenset("ab"), frozenset("cd")]
    assert nearest(frozenset("abc"), known) == frozenset("ab")
    assert nearest(frozenset("ac"), known) == frozenset("a")
    assert nearest(frozenset("c"), known) is None


def test_rows_of_one_set_stand_together_and_are_said() -> None:
    present = {"photo": np.array([True, False, True]), "note": np.array([True, False, False])}
    found = {here: rows.tolist() for here, rows in grouped(present)}
    assert found == {frozenset(): [1], frozenset(["photo"]): [2], frozenset(["photo", "note"]): [0]}
    assert said(present) == ["", "photo, note", "note"]
