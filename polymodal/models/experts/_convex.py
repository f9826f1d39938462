"""Linear models of any task's own loss, and how strongly to fit them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.base import deadline

Array = np.ndarray[Any, Any]
# Logits of some rows and the rows' positions -> mean loss, twice differentiable in the logits.
Loss = Callable[[Tensor, Array], Tensor]
# Positions to fit on, positions held out.
Fold = tuple[Array, Array]

# As scikit-learn's C, for features of about unit length a row.
STRENGTHS = (0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
# Weights of some hundred in length are usual: a wide first step saves many.
RADIUS = 100.0
# Strengths are told apart long before their fits are done.
CHOOSING = 3e-3
# A whole fit takes so many times as long as one for choosing, and of the next strength as of this.
WHOLE, STRONGER = 2.0, 1.5
# Rows at least by which a pass is timed.
SAMPLE = 1024
# Newton's method computes the logits and their gradient so often at least, whatever the problem.
PASSES = 12
# A bias without any penalty has no curvature once every row is certain, and the step explodes.
HOLD = 1e-6


@dataclass(frozen=True)
class Fitted:
    """Logits = features @ weight `(features, outputs)` + bias `(outputs,)`."""

    weight: Array
    bias: Array

    def __call__(self, features: Any) -> Array:
        return np.asarray(features @ self.weight + self.bias)


def minimise(
    features: Any,
    loss: Callable[[Tensor], Tensor],
    size: int,
    strength: float,
    start: Fitted | None = None,
    prior: Array | None = None,
    tolerance: float = 1e-3,
) -> Fitted:
    """Minimise strength · rows · loss(logits) + ½ ‖weight − prior‖² by Newton's method.

    The bias is all but free. Curvature comes from differentiating the loss twice with respect to
    the logits, so that any convex task is solved, and conjugate gradients never form the
    Hessian (Steihaug, "The conjugate gradient method and trust regions", 1983). A loss without
    curvature at the start, as an absolute error, is left to L-BFGS.

    Args:
        features: `(rows, features)` float64, sparse (CSR) or dense.
        loss: mean loss of the rows' logits `(rows, size)`.
        size: outputs.
        start: where to begin.
        prior: what weights are drawn to, `(features, size)`; zeros if None.
        tolerance: stop at this share of the gradient at zero.
    """
    from scipy.optimize import minimize

    rows, width = features.shape
    exact = _both_ways(features)
    # What conjugate gradients find is only a step to try: half the memory to read is worth more.
    rough = _both_ways(features.astype(np.float32))
    centre = np.zeros(width * size) if prior is None else prior.ravel()
    scale = strength * rows
    logits = gradient = torch.zeros(0)
    at = np.zeros(0)

    def ahead(flat: Array, matrix: Any) -> Tensor:
        deadline.check()
        flat = flat.reshape(width + 1, size)
        found = matrix @ flat[:-1].astype(matrix.dtype)
        return torch.from_numpy(found.astype(np.float64) + flat[-1])

    def back(slope: Tensor, weight: Array, bias: Array, transposed: Any) -> Array:
        found = slope.detach().numpy() * scale
        pulled = (transposed @ found.astype(transposed.dtype)).ravel()
        return np.concatenate([pulled + weight, found.sum(0) + HOLD * bias])

    def value(flat: Array) -> tuple[float, Array]:
        nonlocal logits, gradient, at
        at = flat.copy()
        logits = ahead(flat, exact[0]).requires_grad_()
        found = loss(logits)
        (gradient,) = torch.autograd.grad(found, logits, create_graph=True)
        moved, bias = flat[:-size] - centre, flat[-size:]
        penalty = 0.5 * float(moved @ moved) + 0.5 * HOLD * float(bias @ bias)
        return scale * found.item() + penalty, back(gradient, moved, bias, exact[1])

    def curvature(flat: Array, direction: Array) -> Array:
        # A step that was tried and rejected has left the gradient elsewhere.
        if not np.array_equal(flat, at):
            value(flat)
        along = ahead(direction, rough[0])
        (found,) = torch.autograd.grad(gradient, logits, along, retain_graph=True)
        return back(found, direction[:-size], direction[-size:], rough[1])

    first = np.append(centre, np.zeros(size))
    steepest = float(np.linalg.norm(value(first)[1]))
    if steepest == 0:  # nothing to learn: classes in balance and no features
        return Fitted(first[:-size].reshape(width, size), first[-size:])
    begin = first if start is None else np.append(start.weight.ravel(), start.bias)
    options: dict[str, Any] = {"gtol": tolerance * steepest, "maxiter": 200}
    value(begin)
    if _bends(gradient, logits):
        options |= {"initial_trust_radius": RADIUS, "max_trust_radius": 1000 * RADIUS}
        how: dict[str, Any] = {"method": "trust-ncg", "hessp": curvature}
    else:
        how = {"method": "L-BFGS-B"}
    solved = minimize(value, begin, jac=True, options=options, **how)
    found = solved.x.reshape(width + 1, size)
    return Fitted(found[:-1], found[-1])


def _both_ways(features: Any) -> tuple[Any, Any]:
    """Features and their transpose, each quick to multiply from the left."""
    return features, features.T.tocsr() if hasattr(features, "tocsr") else features.T


def _bends(gradient: Tensor, logits: Tensor) -> bool:
    """Whether the gradient of a loss changes with the logits."""
    if not gradient.requires_grad:
        return False
    total = gradient.square().sum()
    (found,) = torch.autograd.grad(total, logits, retain_graph=True)
    return bool(found.any())


def choose(
    features: Any,
    loss: Loss,
    size: int,
    folds: Sequence[Fold],
    strengths: Sequence[float] = STRENGTHS,
    prior: Array | None = None,
    after: int = 0,
) -> float:
    """The strength of the lowest loss on held-out rows.

    Strengths are tried upwards, each fit from the one before, until the loss rises, or until no
    more than `after` fits of the strength reached may be done in the time that is left.

    Raises:
        Late: not even the easiest fits can be done in the time that is left.
    """
    if deadline.left() < np.inf:
        fits_to_come = len(folds) + after
        deadline.refuse(PASSES * fits_to_come * _seconds(features, loss, size, folds[0][0]))
    best, lowest = strengths[0], np.inf
    fits: list[Fitted | None] = [None] * len(folds)
    for strength in strengths:
        begun, total = time.perf_counter(), 0.0
        for i, (fit, held) in enumerate(folds):
            found = solve(features, loss, size, strength, fit, fits[i], prior, CHOOSING)
            fits[i] = found
            total += len(held) * float(loss(torch.from_numpy(found(features[held])), held))
        if total >= lowest:
            break
        best, lowest = strength, total
        each = (time.perf_counter() - begun) / len(folds)
        if STRONGER * each * (len(folds) + WHOLE * after) > deadline.left():
            break
    return best


def _seconds(features: Any, loss: Loss, size: int, rows: Array) -> float:
    """For the logits of some rows and the gradient of their weights, by measuring a part."""
    sample = rows[: max(SAMPLE, len(rows) // 16)]
    own = _both_ways(features[sample])
    weight = np.zeros((features.shape[1], size))

    def once() -> float:
        begun = time.perf_counter()
        logits = torch.from_numpy(own[0] @ weight).requires_grad_()
        (slope,) = torch.autograd.grad(loss(logits, sample), logits)
        _ = own[1] @ slope.numpy()
        return time.perf_counter() - begun

    # The first one also warms up.
    return min(once(), once()) * len(rows) / max(1, len(sample))


def solve(
    features: Any,
    loss: Loss,
    size: int,
    strength: float,
    rows: Array,
    start: Fitted | None = None,
    prior: Array | None = None,
    tolerance: float = 1e-3,
) -> Fitted:
    """`minimise` on some of the rows."""
    return minimise(
        features[rows], lambda z: loss(z, rows), size, strength, start, prior, tolerance
    )


def out_of_fold(
    features: Any,
    loss: Loss,
    size: int,
    strength: float,
    folds: Sequence[Fold],
    prior: Array | None = None,
) -> Array:
    """Every row's logits from the fit that has not seen it; zeros for rows that no fold holds."""
    found = np.zeros((features.shape[0], size))
    for fit, held in folds:
        fitted = solve(features, loss, size, strength, fit, prior=prior)
        found[held] = fitted(features[held])
    return found
