"""Every row is counted, with a reason."""

from __future__ import annotations

import json

import pytest

from polymodal.data.ledger import Ledger


def test_counts_add_up_by_outcome_and_reason() -> None:
    ledger = Ledger()
    ledger.count("used", "training", 90)
    ledger.count("skipped", "broken image", 2)
    ledger.count("skipped", "broken image", 1)
    ledger.count("truncated", "text over the limit", 0)
    assert json.loads(json.dumps(ledger.to_json())) == {
        "used": {"training": 90},
        "truncated": {},
        "skipped": {"broken image": 3},
        "repaired": {},
    }


def test_lines_name_outcome_count_and_reason() -> None:
    ledger = Ledger()
    ledger.count("skipped", "broken image", 1234)
    (line,) = ledger.lines()
    assert "skipped" in line and "1,234" in line and "broken image" in line


def test_an_outcome_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        Ledger().count("lost", "nobody knows", 1)


def test_to_json_is_a_copy() -> None:
    ledger = Ledger()
    ledger.to_json()["used"]["injected"] = 5
    assert ledger.to_json()["used"] == {}
