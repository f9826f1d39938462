"""CTC: costs by torch's own and by hand, the greedy rule, beams against all ways to say a text."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from polymodal.nn import ctc


def collapsed(way):
    joined = [unit for unit, _ in itertools.groupby(way)]
    return tuple(unit for unit in joined if unit != ctc.BLANK)


def every_text(logs):
    """Each text that some way says, with its log-probability over all ways."""
    found = {}
    for way in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        log = sum(logs[place, unit] for place, unit in enumerate(way))
        found[collapsed(way)] = np.logaddexp(found.get(collapsed(way), -np.inf), log)
    return found


def scores(places, units, seed):
    draw = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(places, units, generator=draw)).log_softmax(-1)


def test_known_cost():
    """Of two places and one unit, a text of that unit has three ways: aa, a-, -a."""
    logs = torch.tensor([[[0.4, 0.6], [0.3, 0.7]]]).log()
    found = ctc.nats(logs, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([1]))
    assert found.item() == pytest.approx(-math.log(0.6 * 0.7 + 0.6 * 0.3 + 0.4 * 0.7))
    nothing = ctc.nats(logs, torch.tensor([2]), torch.tensor([[1]]), torch.tensor([0]))
    assert nothing.item() == pytest.approx(-math.log(0.4 * 0.3))


@pytest.mark.parametrize("seed", range(4))
def test_costs_are_torchs_own_and_the_sum_over_all_ways(seed):
    rows, places, units = 5, 4, 3
    logs = torch.stack([scores(places, units, 10 * seed + row) for row in range(rows)])
    texts = [[1], [1, 2], [2, 2], [], [2, 1, 2]]
    counts = torch.tensor([4, 3, 4, 2, 4])
    ids, lengths = ctc.padded(texts, logs.device)
    found = ctc.nats(logs, counts, ids, lengths)
    torchs = torch.nn.functional.ctc_loss(
        logs.transpose(0, 1), ids, counts, lengths, reduction="none"
    )
    torch.testing.assert_close(found, torchs)
    for row, text in enumerate(texts):
        ways = every_text(logs[row, : counts[row]].numpy())
        assert found[row].item() == pytest.approx(-ways[tuple(text)], abs=1e-4)


def test_places_behind_a_row_and_its_text_change_nothing():
    logs = scores(6, 4, 0).unsqueeze(0)
    ids = torch.tensor([[1, 3]])
    wanted = ctc.nats(logs[:, :4], torch.tensor([4]), ids, torch.tensor([2]))
    longer = torch.cat([ids, torch.tensor([[2, 2]])], 1)
    assert torch.equal(ctc.nats(logs, torch.tensor([4]), longer, torch.tensor([2])), wanted)


@pytest.mark.parametrize(
    ("best", "said"),
    [
        ([1, 1, 2], [1, 2]),
        ([1, 0, 1], [1, 1]),
        ([0, 0, 0], []),
        ([2, 2, 0, 2, 2, 1], [2, 2, 1]),
        ([0, 3, 3, 0], [3]),
        ([], []),
    ],
)
def test_greedy_joins_repeats_then_leaves_blanks_out(best, said):
    logs = np.log(np.eye(4)[np.array(best, int)].reshape(len(best), 4) + 1e-9)
    assert ctc.greedy(logs) == said


@pytest.mark.parametrize("seed", range(6))
def test_enough_beams_miss_no_text(seed):
    logs = scores(5, 3, seed).numpy()
    ways = every_text(logs)
    order = sorted(ways, key=lambda text: -ways[text])
    found = ctc.prefix_beam(logs, 100)
    assert [tuple(text) for text in found[:10]] == order[:10]
    assert len(found) == len(order)


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
def test_few_beams_keep_the_best_beginnings_at_every_place(beams):
    """Against sums over all ways that end in a beginning that was kept, step by step."""
    for seed in range(6):
        logs = scores(4, 3, seed).numpy()
        kept = {(): (0.0, -math.inf)}
        for place in logs:
            new = {}

            def add(text, blank, last, new=new):
                old = new.get(text, (-math.inf, -math.inf))
                new[text] = (np.logaddexp(old[0], blank), np.logaddexp(old[1], last))

            for text, (blank, last) in kept.items():
                both = np.logaddexp(blank, last)
                add(text, both + place[0], -math.inf)
                for unit in (1, 2):
                    if text and text[-1] == unit:
                        add(text, -math.inf, last + place[unit])
                        add((*text, unit), -math.inf, blank + place[unit])
                    else:
                        add((*text, unit), -math.inf, both + place[unit])
            best = sorted(new, key=lambda text: -np.logaddexp(*new[text]))[:beams]
            kept = {text: new[text] for text in best}
        assert [tuple(text) for text in ctc.prefix_beam(logs, beams)] == list(kept)


def test_beams_find_what_the_likeliest_way_does_not():
    """Two blanks are the likeliest way (.36), and one unit the likeliest text (.64)."""
    logs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert ctc.greedy(logs) == [] and ctc.prefix_beam(logs, 2)[0] == [1]


def test_room_is_the_fewest_places_with_a_finite_cost():
    for text in ([1], [1, 1], [1, 2, 2, 2], [2, 1, 2]):
        room = ctc.room(text)
        logs = scores(8, 3, 0).unsqueeze(0)
        ids, lengths = ctc.padded([text], logs.device)
        costs = [ctc.nats(logs, torch.tensor([n]), ids, lengths).item() for n in range(1, 9)]
        assert [math.isfinite(cost) for cost in costs] == [n >= room for n in range(1, 9)]
