"""What modalities are worth to a run: its scores with every set of them, and with cells exchanged.

Absent modalities are masked, as a missing cell is. With nothing present the answer is the training
rows' commonest class (or mean), not the model's: that is where every game starts from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device_of
from polymodal.contract.batch import Batch, Tokens
from polymodal.contract.metric import Metric
from polymodal.contract.task import Answers, Task
from polymodal.evaluation.part import Part
from polymodal.metrics import alignment
from polymodal.metrics._weighted import Array
from polymodal.metrics.contribution import (
    Names,
    additive_projection,
    conditional_utilisation,
    perceptual_score,
    shape,
)
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import Clusters, Interval, interval
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run
from polymodal.train.passes import passes, seen, told

# Exchanging cells among rows needs their tokens in memory: so many rows of a sample, so many times.
SAMPLE, EXCHANGES, PERMUTATIONS = 256, 64, 5


def contributions(
    task: Task,
    scores: Mapping[Names, Answers],
    targets: Answers,
    clusters: Clusters | None,
    walks: Sequence[Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Values of all sets, Shapley values, cooperation, utilisation and imbalance of one target.

    Args:
        scores: set of present modalities -> the fused model's scores of the rows.
        targets: the rows' encoded targets, all known.
        walks: orders of joining that pass the sets, where these are not all there are.
    """
    metrics = {team: primary(task, found, targets) for team, found in scores.items()}
    everyone = max(metrics, key=len)
    found = shape(metrics, len(targets), clusters, walks=walks)
    sign = 1 if metrics[everyone].greater_is_better else -1
    plain = {team: sign * value.value for team, value in found.values.items()}
    described: dict[str, Any] = {
        "metric": task.primary,
        "greater_is_better": metrics[everyone].greater_is_better,
        "absent": "left out",
        "rows": len(targets),
        "orders": len(walks) if walks else None,
        "values": {_label(team): _span(value) for team, value in found.values.items()},
        "shapley": {name: _span(value) for name, value in found.shapley.items()},
        "contribution": {name: _span(value) for name, value in found.contribution.items()},
        "cooperation": {_label(team): _span(value) for team, value in found.cooperation.items()},
        "utilisation": conditional_utilisation(plain),
    }
    alone = {next(iter(team)): own for team, own in scores.items() if len(team) == 1}
    ahead = task.discrepancy(alone, targets)
    if ahead is not None:
        described["discrepancy"] = ahead
    return described


class Exchange:
    """A sample of rows in the fused model, with the cells of some modalities taken from others.

    The encoders have run once; only what comes after them is asked again.

    Args:
        run: with several modalities.
        prepared: of the table, in the run's forms.
        rows: row numbers of the sample.
        target: the task that is asked; it may hide something from the model.
    """

    def __init__(self, run: Run, prepared: Sequence[Prepared], rows: Array, target: str) -> None:
        self.run, self.rows, self.target = run, rows, target
        self.names = list(run.schema.modalities())
        self.task = run.tasks[target]
        self.batches: dict[str, Batch] = {}
        self.tokens: dict[str, dict[str, Tokens]] = {}
        for name in run.shares():
            member = run.members[name]
            inputs = {modality: prepared[i] for modality, i in member.forms.items()}
            module = member.module
            batch = Collator(inputs, {})(rows).to(device_of(module))
            with torch.inference_mode():
                # A task that mines asks about more rows than these.
                asked = {} if self.task.mines else {target: self.task}
                given = next((given for given, _ in passes(batch, asked, module)), batch)
                self.batches[name] = given
                self.tokens[name] = module.encode(given.inputs)

    def scores(self, chosen: Array) -> Array:
        """`(rows, size)` where row i has modality m's cell of the sample's row chosen[m, i]."""
        found: dict[str, dict[str, Any]] = {}
        for name, tokens in self.tokens.items():
            moved = {}
            for modality, own in tokens.items():
                order = torch.from_numpy(chosen[self.names.index(modality)]).to(own.mask.device)
                moved[modality] = own.take(order)
            module, asked = self.run.members[name].module, {self.target: self.task}
            with torch.inference_mode():
                outputs = module.fuse(moved, (), told(self.batches[name], asked), asked)
            if self.target in outputs.logits:
                done = seen(self.target, self.task, self.batches[name], outputs)
                found[name] = {self.target: self.task.answer(done)}
        return np.stack(self.run.combine(found, targets=[self.target])[self.target])

    def embeddings(self) -> tuple[str, dict[str, Array]] | None:
        """What one member's encoders make of the sample: a modality's tokens, their mean a row.

        Taken is the member with the largest share among those of the most modalities. Experts are
        left out: what they make of a modality is no embedding.

        Returns:
            The member's name, and modality -> `(rows, width)`, NaN in rows without it; None if
            there is no such member of two modalities.
        """
        shares = self.run.shares()
        joint = [
            name
            for name, tokens in self.tokens.items()
            if len(tokens) > 1 and self.run.members[name].module.embeds
        ]
        if not joint:
            return None
        chosen = max(joint, key=lambda name: (len(self.tokens[name]), shares[name]))
        found = {}
        for modality, tokens in self.tokens[chosen].items():
            mean = tokens.mean().float().cpu().numpy()
            found[modality] = np.where(tokens.present().cpu().numpy()[:, None], mean, np.nan)
        return chosen, found


def interactions(
    exchange: Exchange,
    targets: Answers,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Perceptual scores, and what is owed to the interaction of modalities (EMAP), of a sample.

    Both are turned so that above 0 helps, of errors too.

    Args:
        targets: encoded targets of the sample's rows.
        clusters: theirs, or None where rows are independent.
    """
    task = exchange.task
    rows, names = len(exchange.rows), exchange.names
    own = np.tile(np.arange(rows), (len(names), 1))

    def measured(scores: Array) -> Metric:
        return primary(task, list(scores), targets)

    def exchanged(m: int, order: Array) -> Metric:
        chosen = own.copy()
        chosen[m] = order
        return measured(exchange.scores(chosen))

    def answers(chosen: Array) -> Array:
        return task.link(exchange.scores(chosen))

    additive = additive_projection(answers, rows, len(names), min(EXCHANGES, rows), seed)
    whole, without = measured(exchange.scores(own)), measured(task.unlink(additive))
    sign = 1 if whole.greater_is_better else -1

    def turned(metric: Metric) -> dict[str, float]:
        return _span(interval(Metric(lambda w: sign * metric.statistic(w)), rows, clusters))

    gain = Metric(lambda w: whole.statistic(w) - without.statistic(w))
    perceptual = {
        name: turned(perceptual_score(partial(exchanged, m), rows, PERMUTATIONS, seed))
        for m, name in enumerate(names)
    }
    return {"rows": rows, "perceptual": perceptual, "emap_gain": turned(gain)}


def _label(team: Names) -> str:
    return "+".join(sorted(team))


def _span(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def alignments(exchange: Exchange, part: Part) -> dict[str, Any]:
    """`alignment.describe` of a sample of a target's rows; its classes, where it has any."""
    embeddings = exchange.embeddings()
    if embeddings is None:
        return {}
    member, found = embeddings
    positions = np.searchsorted(part.rows, exchange.rows)
    clusters = None if part.clusters is None else part.clusters[positions]
    described = {"member": member, "sample": exchange.rows.tolist()}
    labels = part.task.labels([part.targets[i] for i in positions])
    if labels is not None:
        described |= {"target": part.name, "labels": labels}
    return {**described, **alignment.describe(found, clusters)}
