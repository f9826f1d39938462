"""Every row is counted, with a reason."""

from __future__ import annotations

import json

import numpy as np
import pytest

from polymodal.table.ledger import Ledger


def test_rows_add_up_by_outcome_and_reason_each_once() -> None:
    ledger = Ledger()
    ledger.add("used", "training", np.arange(90))
    ledger.add("skipped", "broken image", [7, 3])
    ledger.add("skipped", "broken image", [3, 8])
    ledger.add("skipped", "broken sound", [3])
    ledger.add("truncated", "text over the limit", [])
    assert json.loads(json.dumps(ledger.to_json())) == {
        "used": {"training": 90},
        "truncated": {},
        "incomplete": {},
        "skipped": {"broken image": 3, "broken sound": 1},
    }


def test_an_outcome_that_does_not_exist_is_refused() -> None:
    with pytest.raises(KeyError):
        Ledger().add("lost", "nobody knows", [1])
