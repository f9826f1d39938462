"""A run as a smaller folder: what it costs in quality, and what it brings, measured here."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from polymodal.base.devices import device
from polymodal.base.errors import MissingExtra, UserError
from polymodal.base.files import whole, write_json
from polymodal.contract.answers import Answers
from polymodal.evaluation.compare import ranked
from polymodal.export import bundle
from polymodal.export.export import export, refuse
from polymodal.export.parity import combined, imported
from polymodal.report.words import grid, written
from polymodal.run.run import Run
from polymodal.table.read import Table

FORMATS = ("int8",)
REPORT = "compression.json"
# What is held against it, as people are told.
NAMES = {"fp32": "fp32", "pytorch": "PyTorch", "bf16": "PyTorch in bfloat16"}
# What a product becomes, and what it was.
SMALL, WHOLE = "MatMulInteger", ("MatMul", "Gemm")
# A model is worse if a test says so at this level.
LEVEL = 0.05
# Rows that are timed, how often, and in what batches of the graphs.
TIMED, ROUNDS = 256, 5


@dataclass(frozen=True)
class Compressed:
    """What became of a run.

    Attributes:
        to: one of FORMATS.
        size: "fp32" and `to` -> bytes of all graphs.
        speed: "pytorch", "bf16" (PyTorch, in bfloat16), "fp32" (onnxruntime) and `to` -> rows a
            second, from raw cells to answers.
        products: how many products are in 8 bits now, and how many are not.
        quality: target -> `to` against fp32, as `compare.ranked` has it.
        alone: modality -> the same where nothing else is present.
        refused: why it is no better, in words; empty if it is.
    """

    to: str
    size: dict[str, int]
    speed: dict[str, float]
    products: tuple[int, int]
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
        done, left = self.products
        return "\n".join(
            [
                f"{self.to}: {done} of {done + left} products in 8 bits.",
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
    proof: Any = None,
    force: bool = False,
) -> Compressed:
    """Export a run with its matrix products in 8 bits, if that is worth it.

    Weights are quantised once, of pretrained models that read cells too, and what they are
    multiplied with batch by batch (`onnxruntime.quantization.quantize_dynamic`).

    Args:
        data: rows with their targets, which the run has not learned from.
        out: as of `export`.
        proof: rows that prove the export in full precision; by default the training table.
        force: write it even if it is slower than the fastest other, worse, or has nothing in 8
            bits.

    Raises:
        UserError: it is not worth it, with the figures; or as `export` raises it.
    """
    if to not in FORMATS:
        raise UserError(f"There is no compression to '{to}'", expected=", ".join(FORMATS))
    refuse(out)
    table = run.pipeline.table(data, require_targets=True, encoding=run.recipe.data.encoding)
    with whole(out) as folder, TemporaryDirectory() as temporary:
        export(run, folder, data=proof)
        package, full = folder / bundle.COPY, Path(temporary) / "fp32"
        shutil.copytree(package, full)
        products = _quantised(package)
        threads = torch.get_num_threads()
        with imported(package) as module:
            folders = {"fp32": full, to: package}
            models = {who: module.Model(one, threads=threads) for who, one in folders.items()}
            found = _measured(run, table, models, to, products)
        write_json(folder / REPORT, asdict(found))
        if found.refused and not force:
            raise UserError(
                f"{to} is not worth it: nothing was written",
                expected="a model that is faster than all others and no worse",
                got=f"{'; '.join(found.refused)}\n{found.text()}",
                do="`force` writes it all the same",
            )
        if out.exists():
            shutil.rmtree(out)
    return found


def _measured(
    run: Run, table: Table, models: Mapping[str, Any], to: str, products: tuple[int, int]
) -> Compressed:
    names = list(run.schema.modalities())
    quality = _quality(run, table, models, ())
    alone = {}
    if len(names) > 1:
        alone = {n: _quality(run, table, models, [m for m in names if m != n]) for n in names}
    sizes = {who: sum(f.stat().st_size for f in _graphs(m.folder)) for who, m in models.items()}
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
    if not products[0]:
        refused.append("no product of it is in 8 bits")
    return Compressed(to, sizes, speed, products, quality, alone, refused)


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


def _quantised(folder: Path) -> tuple[int, int]:
    """Quantise all graphs of a package; how many products became small, and how many did not."""
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx", "Compression") from error
    done = left = 0
    for path in _graphs(folder):
        small = path.with_suffix(".small")
        with _quiet():
            quantize_dynamic(
                path, small, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
            )
        small.replace(path)
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        done += kinds.count(SMALL)
        left += sum(kinds.count(one) for one in WHOLE)
    return done, left


def _graphs(package: Path) -> list[Path]:
    """Of its members, and of the pretrained models that read cells."""
    return sorted(package.rglob("*.onnx"))


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice of the library to its own users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
