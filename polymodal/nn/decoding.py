"""How a text is written: the likeliest piece, a drawn one, or the best of several beams."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.nn.decoder import Decoder, Prompt, Running
from polymodal.nn.manner import Manner, Rule, Text


@torch.no_grad()
def write(
    decoder: Decoder, prompt: Prompt, end: int, manner: Manner, rule: Rule | None = None
) -> list[list[Text]]:
    """`samples` texts for each row, the first the best of beams.

    Args:
        end: the piece that ends a text.
        rule: what may be written.
    """
    if manner.beams > 1:
        return _beams(decoder, prompt, end, manner, rule)
    count = len(prompt.mask)
    texts = [Text() for _ in range(count * manner.samples)]
    for rows, ids, logs in pieces(decoder, prompt, end, manner, rule):
        for row, piece, log in zip(rows, ids, logs, strict=True):
            texts[row].logs.append(log)
            if piece == end:
                texts[row] = Text(texts[row].ids, texts[row].logs, True)
            else:
                texts[row].ids.append(piece)
    return [texts[i : i + manner.samples] for i in range(0, len(texts), manner.samples)]


@torch.no_grad()
def pieces(
    decoder: Decoder,
    prompt: Prompt,
    end: int,
    manner: Manner,
    rule: Rule | None = None,
    seeds: Sequence[int] = (),
    left: Collection[int] = (),
) -> Iterator[tuple[list[int], list[int], list[float]]]:
    """One more piece of every text that has not ended: which texts, pieces, log-probabilities.

    Text `i * samples + j` is the j-th one of row i. Texts that have ended cost nothing more.

    Args:
        seeds: each row's own, instead of the manner's.
        left: texts that are written no further; looked into after each piece.
    """
    count, place = manner.samples, prompt.vectors.device
    running = Running(decoder, prompt)
    if count > 1:
        running.take(torch.arange(len(prompt.mask), device=place).repeat_interleave(count))
    rows = list(range(len(prompt.mask) * count))
    seeds = seeds or [manner.seed] * len(prompt.mask)
    draws = [np.random.default_rng([seed, i]) for seed in seeds for i in range(count)]
    states = None if rule is None else [rule.start() for _ in rows]
    for step in range(manner.longest + 1):
        logs = running.logits.log_softmax(-1)
        offered = logs
        if rule is not None and states is not None:
            allowed = torch.stack([rule.allowed(state) for state in states]).to(place)
            offered = logs.masked_fill(~allowed, -math.inf)
        if manner.temperature:
            # A number a step and text: what is drawn depends on nothing but the row.
            ids = _draw(offered, manner, [draws[row].random() for row in rows])
        else:
            ids = offered.argmax(-1)
        own = logs.gather(1, ids.unsqueeze(1))[:, 0].tolist()
        listed = ids.tolist()
        if step == manner.longest:
            # There is room for the end only.
            last = [i for i, piece in enumerate(listed) if piece == end]
            yield [rows[i] for i in last], [end] * len(last), [own[i] for i in last]
            return
        yield rows, listed, own
        going = [i for i, piece in enumerate(listed) if piece != end and rows[i] not in left]
        if not going:
            return
        if rule is not None and states is not None:
            states = [rule.then(states[i], listed[i]) for i in going]
        if len(going) < len(rows):
            kept = torch.tensor(going, device=place)
            running.take(kept)
            rows, ids = [rows[i] for i in going], ids[kept]
        running.write(ids)


def _draw(logs: Tensor, manner: Manner, drawn: Sequence[float]) -> Tensor:
    """A piece a row `(rows,)`, from numbers in [0, 1): where the sum of probabilities passes it."""
    scaled, order = (logs / manner.temperature).sort(-1, descending=True)
    shares = scaled.softmax(-1)
    before = shares.cumsum(-1) - shares
    kept = before < manner.top_p
    if manner.top_k:
        kept[:, manner.top_k :] = False
    sums = (shares * kept).double().cumsum(-1)
    wanted = torch.tensor(drawn, dtype=sums.dtype, device=sums.device) * sums[:, -1]
    place = torch.searchsorted(sums, wanted.unsqueeze(1), right=True)
    return order.gather(1, place.clamp(max=logs.shape[1] - 1))[:, 0]


@dataclass(frozen=True)
class _Beam:
    """One beginning: its pieces, their log-probabilities and sum, and where the rule is."""

    ids: tuple[int, ...]
    logs: tuple[float, ...]
    total: float
    state: Any


def _beams(
    decoder: Decoder, prompt: Prompt, end: int, manner: Manner, rule: Rule | None
) -> list[list[Text]]:
    """The best texts that beams find.

    A row is done when `beams` texts have ended and none that goes on could still be better, were
    it to end with no loss.
    """
    running, place, wide = Running(decoder, prompt), prompt.vectors.device, manner.beams
    alive = {row: [_Beam((), (), 0.0, rule and rule.start())] for row in range(len(prompt.mask))}
    ended: list[list[tuple[float, Text]]] = [[] for _ in alive]

    def score(total: float, length: int) -> float:
        return total / max(1, length) ** manner.penalty

    for step in range(manner.longest + 1):
        logs = running.logits.log_softmax(-1)
        if rule is not None:
            states = [beam.state for own in alive.values() for beam in own]
            allowed = torch.stack([rule.allowed(state) for state in states]).to(place)
            logs = logs.masked_fill(~allowed, -math.inf)
        # Of a beam no more can be among the best of its row, and one of them may be the end.
        best, ids = logs.topk(min(wide + 1, logs.shape[1]), -1)
        ways = zip(best.tolist(), ids.tolist(), strict=True)
        chosen: dict[int, list[tuple[int, _Beam]]] = {}
        at = 0
        for row, own in alive.items():
            found = []
            for i, beam in enumerate(own):
                for log, piece in zip(*next(ways), strict=True):
                    if log > -math.inf:
                        found.append((beam.total + log, at + i, beam, piece, log))
            at += len(own)
            found.sort(key=lambda one: -one[0])
            going: list[tuple[int, _Beam]] = []
            for total, source, beam, piece, log in found:
                if piece == end:
                    text = Text(list(beam.ids), [*beam.logs, log], True)
                    ended[row].append((score(total, len(text.logs)), text))
                elif len(going) < wide:
                    state = None if rule is None else rule.then(beam.state, piece)
                    grown = _Beam((*beam.ids, piece), (*beam.logs, log), total, state)
                    going.append((source, grown))
            ended[row] = sorted(ended[row], key=lambda one: -one[0])[:wide]
            full = step == manner.longest
            # The longest text of the same sum is the best that a beam can come to.
            most = manner.longest + 1 if manner.penalty > 0 else step + 2
            hope = max((score(beam.total, most) for _, beam in going), default=-math.inf)
            if full and len(ended[row]) < manner.samples:
                cut = [Text(list(b.ids), list(b.logs)) for b in own]
                ended[row] += [(score(sum(t.logs), len(t.logs)), t) for t in cut]
            elif going and not full and (len(ended[row]) < wide or hope > ended[row][-1][0]):
                chosen[row] = going
        alive = {row: [beam for _, beam in own] for row, own in chosen.items()}
        if not alive:
            break
        sources = [source for own in chosen.values() for source, _ in own]
        running.take(torch.tensor(sources, device=place))
        last = [beam.ids[-1] for own in alive.values() for beam in own]
        running.write(torch.tensor(last, device=place))
    return [[text for _, text in own[: manner.samples]] for own in ended]
