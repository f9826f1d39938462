"""A run as a smaller folder: what it costs in quality, and what it brings, measured here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device
from polymodal.base.errors import UserError
from polymodal.base.files import whole, write_json
from polymodal.contract.answers import Answers
from polymodal.contract.recipe import Recipe
from polymodal.contract.resolve import recipe_of
from polymodal.evaluation.compare import ranked
from polymodal.export import bundle
from polymodal.export.distilled import distilled
from polymodal.export.export import export, refuse
from polymodal.export.parity import combined, imported, used
from polymodal.export.pruned import pruned
from polymodal.export.quantised import graphs, quantised
from polymodal.report.console import Show
from polymodal.report.words import grid, written
from polymodal.run.run import Run
from polymodal.table.read import Table

DISTILLED = "distilled"
FORMATS = ("int8", "pruned", DISTILLED)
REPORT = "compression.json"
# What is held against it, as people are told.
NAMES = {"fp32": "fp32", "pytorch": "PyTorch", "bf16": "PyTorch in bfloat16"}
# A model is worse if a test says so at this level.
LEVEL = 0.05
# Rows that are timed, how often, and in what batches of the graphs.
TIMED, ROUNDS = 256, 5


@dataclass(frozen=True)
class Compressed:
    """What became of a run.

    Attributes:
        to: one of FORMATS.
        counts: of matrix products how many are in 8 bits, and how many there are; else the models
            that answer, and those of the run.
        size: "fp32" and `to` -> bytes of all graphs.
        speed: "pytorch", "bf16" (PyTorch, in bfloat16), "fp32" (onnxruntime) and `to` -> rows a
            second, from raw cells to answers.
        quality: target -> `to` against fp32, as `compare.ranked` has it.
        alone: modality -> the same where nothing else is present.
        refused: why it is no better, in words; empty if it is.
    """

    to: str
    counts: tuple[int, int]
    size: dict[str, int]
    speed: dict[str, float]
    quality: dict[str, Any]
    alone: dict[str, dict[str, Any]]
    refused: list[str]

    def text(self) -> str:
        """For a terminal."""
        heads = ["", "metric", "fp32", self.to, "difference", "95 %", "p"]
        lines = [heads, *(_line(target, one) for target, one in self.quality.items())]
        for name, own in self.alone.items():
            lines += [_line(f"{target}, only {name}", one) for target, one in own.items()]
        size, speed = self.size, self.speed
        now, before = self.counts
        told = "products in 8 bits" if self.to == "int8" else "models"
        return "\n".join(
            [
                f"{self.to}: {now:,} of {before:,} {told}.",
                f"Size of the graphs: {size[self.to] / 2**20:.2f} MiB, fp32 "
                f"{size['fp32'] / 2**20:.2f} MiB.",
                f"Rows a second: {speed[self.to]:,.0f}; "
                + ", ".join(f"{NAMES[who]} {speed[who]:,.0f}" for who in NAMES)
                + ".",
                *grid(lines),
            ]
        )


def compress(
    run: Run,
    data: Any,
    out: Path,
    to: str = "int8",
    *,
    train: Any = None,
    recipe: Recipe | str | Path | None = None,
    budget: float | None = None,
    force: bool = False,
    trust: bool = False,
    show: Show | None = None,
) -> Compressed:
    """Export a run as a smaller model, if that is worth it.

    "int8": matrix products, of pretrained models that read cells too, in 8 bits: weights once, and
    what they are multiplied with batch by batch (`onnxruntime.quantization.quantize_dynamic`).
    "pruned": without the models that are not missed (`export.pruned`). "distilled": one network
    that has learned the run's answers (`fitting.teacher`); it is a run too, in `out`/run.

    Args:
        data: rows with their targets, which the run has not learned from; half of them choose what
            is pruned, and the others measure it.
        out: as of `export`.
        train: the training table, where the run does not know it: its rows prove the export, and
            what is distilled learns from them.
        recipe, budget: of what is distilled: models (or the file of such a recipe), and seconds.
        trust: execute the components of the user's own that a teacher brings.
        force: write it even if it is slower than the fastest other, worse, or no smaller.
        show: where the progress of what is distilled goes.

    Raises:
        UserError: it is not worth it, with the figures; or as `export` and `fit` raise it.
    """
    if to not in FORMATS:
        raise UserError(f"There is no compression to '{to}'", expected=", ".join(FORMATS))
    if to != DISTILLED and (recipe is not None or budget is not None):
        raise UserError(
            f"A recipe and a budget are of what is distilled, not of '{to}'",
            expected=f"neither, or `to {DISTILLED}`",
        )
    refuse(out)
    table = run.pipeline.table(data, require_targets=True, encoding=run.recipe.data.encoding)
    small = None
    if to == "pruned":
        small, table = pruned(run, table)
    with whole(out) as folder, TemporaryDirectory() as temporary:
        full = Path(temporary) / "fp32"
        export(run, full, data=train)
        if to == DISTILLED:
            asked = None if recipe is None else recipe_of(recipe)
            small = distilled(run, out, train, asked, budget, show, trust)
        if small is None:
            shutil.copytree(full, folder)
            counts = quantised(folder / bundle.COPY)
        else:
            counts = len(used(small.pipeline)), len(used(run.pipeline))
            export(small, folder, data=train)
        threads = torch.get_num_threads()
        folders = {"fp32": full / bundle.COPY, to: folder / bundle.COPY}
        # Each has the sources that it needs, and one module must read both.
        sources = Path(temporary) / bundle.COPY
        for one in folders.values():
            shutil.copytree(one, sources, ignore=_no_sources, dirs_exist_ok=True)
        with imported(sources) as module:
            models = {who: module.Model(one, threads=threads) for who, one in folders.items()}
            found = _measured(run, table, models, to, counts)
        write_json(folder / REPORT, asdict(found))
        student = small.folder if small is not None and to == DISTILLED else None
        if found.refused and not force:
            kept = "" if student is None else f", and its network is kept in {student}"
            raise UserError(
                f"{to} is not worth it: nothing was written{kept}",
                expected="a model that is faster than all others, smaller and no worse",
                got=f"{'; '.join(found.refused)}\n{found.text()}",
                do="`force` writes it all the same",
            )
        if student is not None:
            shutil.move(student, folder / "run")
        if out.exists():
            shutil.rmtree(out)
    return found


def _no_sources(_: str, names: list[str]) -> list[str]:
    """Files, of a folder, that are no code."""
    return [name for name in names if Path(name).suffix not in ("", ".py")]


def _measured(
    run: Run, table: Table, models: Mapping[str, Any], to: str, counts: tuple[int, int]
) -> Compressed:
    names = list(run.schema.modalities())
    quality = _quality(run, table, models, ())
    alone = {}
    if len(names) > 1:
        alone = {n: _quality(run, table, models, [m for m in names if m != n]) for n in names}
    sizes = {who: sum(f.stat().st_size for f in graphs(m.folder)) for who, m in models.items()}
    speed = _speed(run, table, models)
    refused = [
        f"{target} is worse (p = {one['pairs'][0]['raw']:.2g})"
        for target, one in quality.items()
        if one["models"][0]["name"] != to and one["pairs"][0]["raw"] <= LEVEL
    ]
    others = {who: rate for who, rate in speed.items() if who != to}
    fastest = max(others, key=others.__getitem__)
    if speed[to] < others[fastest]:
        refused.append(f"{speed[to]:,.0f} rows a second, {NAMES[fastest]} {others[fastest]:,.0f}")
    if to == "int8" and not counts[0]:
        refused.append("no product of it is in 8 bits")
    if sizes[to] >= sizes["fp32"]:
        refused.append("its graphs are no smaller")
    return Compressed(to, counts, sizes, speed, quality, alone, refused)


def _quality(
    run: Run, table: Table, models: Mapping[str, Any], absent: Sequence[str]
) -> dict[str, Any]:
    """Each target's comparison of the models on rows whose target is known."""
    grouped = run.schema.modalities()
    hidden = {column.name for name in absent for column in grouped[name]}
    inputs = {column.name for column in run.schema.inputs}
    rows = [
        {n: None if n in hidden else v for n, v in row.items() if n in inputs}
        for row in table.data.to_pylist()
    ]
    answers = {who: model.answers(rows, table.base)[0] for who, model in models.items()}
    found = {}
    for target, task in run.tasks.items():
        encoded = task.encode(table.cells(target))
        known = [i for i, one in enumerate(encoded) if one is not None]
        own: dict[str, Answers] = {
            who: [scores[target][i] for i in known] for who, scores in answers.items()
        }
        true = [one for one in encoded if one is not None]
        found[target] = ranked(task, own, true, None)
    return found


def _speed(run: Run, table: Table, models: Mapping[str, Any]) -> dict[str, float]:
    """Rows a second from raw cells to answers, all but the table's file read; the best of several
    rounds in turn."""
    part = table.take(np.arange(TIMED) % len(table))
    inputs = {column.name for column in run.schema.inputs}
    rows = [{n: v for n, v in row.items() if n in inputs} for row in part.data.to_pylist()]

    def by_torch() -> None:
        combined(run.pipeline, rows, part.base)

    def by_bfloat16() -> None:
        with torch.autocast(device().type, torch.bfloat16):
            by_torch()

    runners = {"pytorch": by_torch, "bf16": by_bfloat16}
    runners |= {who: partial(model.answers, rows, part.base) for who, model in models.items()}
    return {who: len(rows) / best for who, best in _best(runners).items()}


def _best(runners: Mapping[str, Callable[[], None]]) -> dict[str, float]:
    """The shortest of ROUNDS runs of each, in seconds; a first one of each is not counted."""
    found = dict.fromkeys(runners, float("inf"))
    for i in range(ROUNDS + 1):
        for who, runner in runners.items():
            started = time.perf_counter()
            runner()
            if i:
                found[who] = min(found[who], time.perf_counter() - started)
    return found


def _line(name: str, found: Mapping[str, Any]) -> list[str]:
    values = {one["name"]: one["value"] for one in found["models"]}
    (pair,) = found["pairs"]
    # Of the compressed model against fp32.
    sign = -1 if pair["first"] == "fp32" else 1
    ends = sorted(sign * pair["difference"][end] for end in ("low", "high"))
    other = next(who for who in values if who != "fp32")
    return [
        name,
        found["metric"],
        written(values["fp32"]),
        written(values[other]),
        written(sign * pair["difference"]["value"], signed=True),
        f"[{written(ends[0], signed=True)}, {written(ends[1], signed=True)}]",
        f"{pair['raw']:.2g}",
    ]
