"""Boosted trees of any task's own loss, by LightGBM."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base import deadline
from polymodal.models.experts._convex import Array, Fold, Loss

# What a forest may cost: its trees are shared out among the outputs.
MOST_TREES = 2000
MOST_ROUNDS = 500
# Rounds without a lower held-out loss.
PATIENCE = 30
# A tree sees about this many features: on wide descriptors that is as good, and far cheaper.
FEATURES = 64


def boost(
    features: Array,
    loss: Loss,
    start: Array,
    rows: int,
    choosing: Sequence[Fold],
    leaves: int,
    rate: float,
    seed: int,
) -> str:
    """Grow trees on the training rows for as many rounds as held-out rows want.

    Args:
        features: `(rows, features)`, NaN where missing; training rows first.
        loss: mean loss of logits at given positions.
        start: `(rows, size)` logits that the trees add to.
        rows: how many of the rows are for training.
        choosing: what the number of rounds is chosen on.
        leaves: of a tree.
        rate: of learning.

    Returns:
        LightGBM's text of the trees; "" if none lowers the held-out loss.
    """
    choosing = [(fit, held) for fit, held in choosing if _varies(features[fit])]
    if not choosing:
        return ""
    size = start.shape[1]
    most = min(MOST_ROUNDS, max(20, MOST_TREES // size))
    settings = {
        "num_class": size,
        "learning_rate": rate,
        "num_leaves": leaves,
        "min_data_in_leaf": int(np.clip(rows // 100, 3, 30)),
        "lambda_l2": 3.0,
        "feature_fraction": min(0.8, FEATURES / features.shape[1]),
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "max_bin": 127,
        # Left on, LightGBM fails where rows are so few that it filters every feature.
        "feature_pre_filter": False,
        "num_threads": torch.get_num_threads(),
        "seed": seed % 2**31,  # LightGBM's have no more bits
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    best = []
    for i, fold in enumerate(choosing):
        # The other folds, and the trees of all rows, need about as long each.
        others = (len(choosing) - i) / (len(choosing) - i + 1) * deadline.left()
        best.append(_grow(features, loss, start, fold, settings, most, others).best_iteration)
    rounds = round(float(np.mean(best)))
    if rounds == 0:
        return ""
    everything = np.arange(rows), np.arange(0)
    booster = _grow(features, loss, start, everything, settings, rounds)
    return str(booster.model_to_string(num_iteration=-1))


def _varies(features: Array) -> bool:
    """Whether any feature takes two values."""
    high = np.fmax.reduce(features, axis=0, initial=-np.inf)
    return bool((high > np.fmin.reduce(features, axis=0, initial=np.inf)).any())


def _grow(
    features: Array,
    loss: Loss,
    start: Array,
    fold: Fold,
    settings: dict[str, Any],
    rounds: int,
    others: float = -math.inf,
) -> Any:
    """A Booster; `best_iteration` is 0 if the held-out loss never fell below that of `start`.

    Args:
        others: seconds that have to be left in the end: growing stops early for them.
    """
    import lightgbm

    fit, held = fold
    shape = (len(fit), start.shape[1])

    def objective(logits: Array, _: Any) -> tuple[Array, Array]:
        deadline.check()
        gradient, curvature = derivatives(lambda z: loss(z, fit), logits.reshape(shape, order="F"))
        if shape[1] == 1:
            return gradient[:, 0], curvature[:, 0]
        return gradient, curvature

    def measure(logits: Array, _: Any) -> tuple[str, float, bool]:
        tensor = torch.from_numpy(logits.reshape(len(held), -1, order="F"))
        return "loss", float(loss(tensor, held)), False

    def dataset(rows: Array, reference: Any = None) -> Any:
        begin = start[rows] if shape[1] > 1 else start[rows, 0]
        label = np.zeros(len(rows))
        return lightgbm.Dataset(features[rows], label, init_score=begin, reference=reference)

    train = dataset(fit)
    watched = [dataset(held, train)] if len(held) else []
    callbacks: list[Any] = []
    if watched:
        callbacks = [lightgbm.early_stopping(PATIENCE, verbose=False), _stop(others)]
    booster = lightgbm.train(
        {**settings, "objective": objective, "metric": "None"},
        train,
        rounds,
        valid_sets=watched,
        feval=measure if watched else None,
        callbacks=callbacks,
    )
    if watched and booster.best_score["valid_0"]["loss"] >= measure(start[held], None)[1]:
        booster.best_iteration = 0
    return booster


def _stop(others: float) -> Callable[[Any], None]:
    """A callback that ends growing, as early stopping does, when `others` seconds are left."""
    from lightgbm.callback import EarlyStopException

    best: list[Any] = [-1, [("valid_0", "loss", math.inf, False)]]

    def after(env: Any) -> None:
        if env.evaluation_result_list[0][2] < best[1][0][2]:
            best[:] = env.iteration, env.evaluation_result_list
        if deadline.left() < others:
            raise EarlyStopException(*best)

    return after


def derivatives(loss: Callable[[Tensor], Tensor], logits: Array) -> tuple[Array, Array]:
    """First and second derivatives of rows · loss by each logit, `(rows, size)` each.

    Where the loss has no curvature (an absolute error), 1 stands in its place: a step along the
    gradient.
    """
    rows, size = logits.shape
    z = torch.from_numpy(np.ascontiguousarray(logits)).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z) * rows, z, create_graph=True)
    second = torch.zeros_like(gradient)
    if gradient.requires_grad:
        for k in range(size):
            (column,) = torch.autograd.grad(gradient[:, k].sum(), z, retain_graph=True)
            second[:, k] = column[:, k]
    curvature = torch.where(second > 0, second, 1)
    return gradient.detach().numpy(), curvature.detach().numpy()
