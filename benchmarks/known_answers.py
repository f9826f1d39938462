"""Trained models on `interactions`: do `fit` and `evaluate` find what is known to be true?

    python benchmarks/known_answers.py --seeds 10
    python benchmarks/known_answers.py --games noise --noise 0.2 --rows 1000 --test-rows 2000 \
        --seeds 100

Every seed draws its own rows, fits a model of both modalities and its rivals, and evaluates them
on rows drawn apart. A table per game says what every set of modalities is worth to the fused model,
the Shapley values and the cooperation C, beside the values of the best possible model. Fusion is
right to pay where the best possible model needs both modalities.

Test rows are many because the values are shares of them: with 10 000 rows C of a perfect model
has a standard error of up to .009, with 1 000 of .027.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import polymodal as pm
from polymodal.builtin import interactions
from polymodal.contract.recipe import Modality, Recipe, Training

TARGET = "label"
# How far a trained model's cooperation may be from the best possible model's.
TOLERANCE = 0.03
# Fewer layers than the defaults have: a hidden bit is easy to read.
ENCODERS: dict[str, Any] = {
    "series": "statistics",
    "audio": "statistics",
    "text": {"name": "ngrams", "size": 2000},
}


def recipe(kinds: Sequence[str], epochs: int) -> Recipe:
    """One small model of both modalities, and one of each alone."""
    modalities = {
        modality(letter, kind): Modality(encoder=ENCODERS.get(kind), augment=False)
        for letter, kind in zip("ab", kinds, strict=True)
    }
    # Measured kernels would let the clock change the figures.
    training = Training(
        epochs=epochs, precision="fp32", attention="plain", memory_format="contiguous", threads=1
    )
    return Recipe(modalities=modalities, width=32, training=training, rivals=True)


def modality(letter: str, kind: str) -> str:
    """What a run calls the game's modality `letter`."""
    return "table" if kind in ("number", "category") else f"{letter}_{kind}"


def measure(
    game: str,
    kinds: Sequence[str],
    rows: int,
    test_rows: int,
    seed: int,
    *,
    noise: float = 0.0,
    epochs: int = 8,
    budget: float | None = None,
) -> tuple[str, dict[str, float]]:
    """The verdict, and every figure by name, of one fit.

    Args:
        budget: seconds for a fit as the plan has it, instead of the small recipe's.
    """
    frame = interactions.frame(game, kinds, rows + test_rows, seed, noise)
    plan = recipe(kinds, epochs) if budget is None else None
    run = pm.fit(frame[:rows], TARGET, recipe=plan, budget=budget, seed=seed)
    found = pm.evaluate(run, frame[rows:].reset_index(drop=True), explain=0)
    known, verdict = found.contributions[TARGET], found.verdicts[TARGET]
    names = {modality(letter, kind): letter for letter, kind in zip("ab", kinds, strict=True)}

    def label(team: str) -> str:
        return "".join(sorted(names[name] for name in team.split("+") if name))

    figures = {f"V({label(team)})": span["value"] for team, span in known["values"].items()}
    figures |= {f"phi({label(name)})": span["value"] for name, span in known["shapley"].items()}
    figures |= {f"C({label(team)})": span["value"] for team, span in known["cooperation"].items()}
    # A fit that leaves the second modality out has found that it adds nothing.
    answer = {"nothing fused": "does not pay"}.get(verdict["answer"], verdict["answer"])
    return answer, figures | {"gain": verdict["gain"]}


def expected(game: str, noise: float) -> tuple[str, dict[str, float]]:
    """The same of the best possible model."""
    table = interactions.table(game, noise)
    values = table["values"]
    both = max(values, key=len)
    gain = values[both] - max(value for team, value in values.items() if len(team) == 1)
    figures = {f"V({''.join(sorted(team))})": value for team, value in values.items()}
    figures |= {f"phi({letter})": value for letter, value in table["shapley"].items()}
    figures |= {f"C({''.join(sorted(t))})": value for t, value in table["cooperation"].items()}
    return "pays" if gain > 0 else "does not pay", figures | {"gain": gain}


def summary(game: str, noise: float, runs: Sequence[tuple[str, dict[str, float]]]) -> str:
    """A game's table: each figure's known value, and its mean, least and most over the seeds."""
    right, known = expected(game, noise)
    lines = [f"{game:<10}{'known':>8}{'mean':>8}{'min':>8}{'max':>8}"]
    for name, value in known.items():
        own = np.array([figures[name] for _, figures in runs])
        spread = f"{own.mean():>8.3f}{own.min():>8.3f}{own.max():>8.3f}"
        lines.append(f"  {name:<8}{value:>8.3f}{spread}")
    near = sum(abs(figures["C(ab)"] - known["C(ab)"]) <= TOLERANCE for _, figures in runs)
    counts = Counter(answer for answer, _ in runs)
    verdicts = ", ".join(f"{answer} {count}" for answer, count in counts.most_common())
    lines.append(f"  C within {TOLERANCE} of the known value: {near} of {len(runs)}")
    lines.append(f"  verdicts: {verdicts} (right: {right}: {counts[right]} of {len(runs)})")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    games = [name for name, game in interactions.GAMES.items() if len(game.bits[0]) == 2]
    parser.add_argument("--games", nargs="+", choices=games, default=games[:4])
    parser.add_argument("--kinds", nargs=2, default=("series", "number"), metavar="KIND")
    parser.add_argument("--seeds", type=int, default=10, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=5000, help="for training and validation")
    parser.add_argument("--test-rows", type=int, default=10_000)
    parser.add_argument("--noise", type=float, default=0.0, help="share of labels turned")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--budget", type=float, help="seconds of a fit as the plan has it, instead")
    given = parser.parse_args()
    if len({modality(letter, kind) for letter, kind in zip("ab", given.kinds, strict=True)}) < 2:
        parser.error("number and category columns together are one modality")
    for game in given.games:
        runs = []
        for seed in range(given.first, given.first + given.seeds):
            with tempfile.TemporaryDirectory() as cache:
                os.environ["POLYMODAL_CACHE"] = cache
                runs.append(
                    measure(
                        game,
                        given.kinds,
                        given.rows,
                        given.test_rows,
                        seed,
                        noise=given.noise,
                        epochs=given.epochs,
                        budget=given.budget,
                    )
                )
            answer, figures = runs[-1]
            spelled = " ".join(f"{name}={value:.3f}" for name, value in figures.items())
            print(f"{game} seed {seed}: {answer}; {spelled}", flush=True)
        print(summary(game, given.noise, runs), flush=True)


if __name__ == "__main__":
    main()
