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
from scipy.special import expit, logit, softmax

from polymodal.base.devices import device_of
from polymodal.contract.batch import Tokens
from polymodal.contract.metric import Metric
from polymodal.contract.task import Task
from polymodal.metrics._weighted import Array
from polymodal.metrics.contribution import (
    Names,
    additive_projection,
    conditional_utilisation,
    discrepancy_ratio,
    perceptual_score,
    shape,
)
from polymodal.metrics.metrics import primary
from polymodal.metrics.statistics import Clusters, Interval, interval
from polymodal.models import build
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared
from polymodal.run.run import Run

Scores = Sequence[Array]

# Exchanging cells among rows needs their tokens in memory: so many rows of a sample, so many times.
SAMPLE, EXCHANGES, PERMUTATIONS = 256, 64, 5


def constant(task: Task, like: Scores) -> list[Array]:
    """The answer to no input at all, for every row: shaped as the model's own scores `like`."""
    if task.kind == "category":
        counts = np.asarray(task.state["counts"], float)
        answer = counts / counts.sum()
    else:
        bias = task.bias()
        logits = torch.zeros(task.size) if bias is None else bias.float()
        answer = task.scores(logits.unsqueeze(0))[0].numpy()
    return [np.broadcast_to(answer, np.shape(row)) for row in like]


def contributions(
    task: Task,
    scores: Mapping[Names, Scores],
    targets: Scores,
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
        "absent": "masked",
        "rows": len(targets),
        "orders": len(walks) if walks else None,
        "values": {_label(team): _span(value) for team, value in found.values.items()},
        "shapley": {name: _span(value) for name, value in found.shapley.items()},
        "contribution": {name: _span(value) for name, value in found.contribution.items()},
        "cooperation": {_label(team): _span(value) for team, value in found.cooperation.items()},
        "utilisation": conditional_utilisation(plain),
    }
    if task.kind == "category":
        alone = {
            next(iter(team)): np.log(np.maximum(np.stack(list(own)), 1e-30))
            for team, own in scores.items()
            if len(team) == 1
        }
        described["discrepancy"] = discrepancy_ratio(alone, np.stack(list(targets)))
    return described


class Exchange:
    """A sample of rows in the fused model, with the cells of some modalities taken from others.

    The encoders have run once; only what comes after them is asked again.

    Args:
        run: with several modalities.
        prepared: of the table, in the run's forms.
        rows: row numbers of the sample.
    """

    def __init__(self, run: Run, prepared: Sequence[Prepared], rows: Array) -> None:
        self.run, self.rows = run, rows
        self.names = list(run.schema.modalities())
        self.tokens: dict[str, dict[str, Tokens]] = {}
        for name in run.shares():
            member = run.members[name]
            inputs = {modality: prepared[i] for modality, i in member.forms.items()}
            module = member.module
            with torch.inference_mode():
                self.tokens[name] = module.encode(  # type: ignore[operator]
                    Collator(inputs, {})(rows).to(device_of(module)).inputs
                )

    def scores(self, chosen: Array, target: str) -> Array:
        """`(rows, size)` where row i has modality m's cell of the sample's row chosen[m, i]."""
        found: dict[str, dict[str, Any]] = {}
        for name, tokens in self.tokens.items():
            moved = {}
            for modality, own in tokens.items():
                order = torch.from_numpy(chosen[self.names.index(modality)]).to(own.mask.device)
                moved[modality] = Tokens(own.values[order], own.mask[order])
            with torch.inference_mode():
                outputs = self.run.members[name].module.fuse(moved)  # type: ignore[operator]
            task = self.run.tasks[target]
            if target in outputs.logits:
                found[name] = {target: list(task.scores(outputs.logits[target]).cpu().numpy())}
        return np.stack(self.run.combine(found, targets=[target])[target])

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
            if len(tokens) > 1 and not build.is_expert(self.run.members[name].spec)
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
    target: str,
    targets: Scores,
    clusters: Clusters | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Perceptual scores, and what is owed to the interaction of modalities (EMAP), of a sample.

    Both are turned so that above 0 helps, of errors too.

    Args:
        targets: encoded targets of the sample's rows.
        clusters: theirs, or None where rows are independent.
    """
    task = exchange.run.tasks[target]
    rows, names = len(exchange.rows), exchange.names
    own = np.tile(np.arange(rows), (len(names), 1))

    def measured(scores: Array) -> Metric:
        return primary(task, list(scores), targets)

    def exchanged(m: int, order: Array) -> Metric:
        chosen = own.copy()
        chosen[m] = order
        return measured(exchange.scores(chosen, target))

    def answers(chosen: Array) -> Array:
        return _logits(task, exchange.scores(chosen, target))

    additive = additive_projection(answers, rows, len(names), min(EXCHANGES, rows), seed)
    if task.kind == "category":
        additive = softmax(additive, axis=1)
    elif task.kind == "set":
        additive = expit(additive)
    whole, without = measured(exchange.scores(own, target)), measured(additive)
    sign = 1 if whole.greater_is_better else -1

    def turned(metric: Metric) -> dict[str, float]:
        return _span(interval(Metric(lambda w: sign * metric.statistic(w)), rows, clusters))

    gain = Metric(lambda w: whole.statistic(w) - without.statistic(w))
    perceptual = {
        name: turned(perceptual_score(partial(exchanged, m), rows, PERMUTATIONS, seed))
        for m, name in enumerate(names)
    }
    return {"rows": rows, "perceptual": perceptual, "emap_gain": turned(gain)}


def _logits(task: Task, scores: Array) -> Array:
    """Where sums of functions of the modalities are meant: probabilities as logits."""
    least = 1e-12
    if task.kind == "category":
        return np.asarray(np.log(np.maximum(scores, least)))
    if task.kind == "set":
        return np.asarray(logit(np.clip(scores, least, 1 - least)))
    return scores


def _label(team: Names) -> str:
    return "+".join(sorted(team))


def _span(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}
