"""What one new row takes of a run in memory, and how long the run takes to load.

    polymodal quickstart --out quickstart
    python benchmarks/one_row.py quickstart/run --data quickstart/data/test.csv

Rows are asked one at a time, as a server would. Their time is divided into what forms take (cells
decoded and described), what modules take, and the rest, which is ours to keep small. Then threads
ask the same rows at once: their answers must be those of one thread. Loading is timed in processes
of their own; what torch's own import takes of it is told apart. CPU seconds are told beside wall
clock: on a busy machine they are the ones to read, and OPENBLAS_NUM_THREADS=1 keeps NumPy's own
threads from spinning for cores that others use, as it does in a server of many threads.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import polymodal as pm
from polymodal.contract import kind

LOAD = """
import sys, time
clocks = lambda: (time.perf_counter(), time.process_time())
a = clocks()
import torch
b = clocks()
import polymodal as pm
pm.load(sys.argv[1])
c = clocks()
print(b[0] - a[0], b[1] - a[1], c[0] - b[0], c[1] - b[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="table that the rows are of")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--loads", type=int, default=3)
    given = parser.parse_args()

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    load(given.run, given.loads)
    run = pm.load(given.run)
    shares = ", ".join(f"{name} {share:.2f}" for name, share in run.shares().items())
    print(f"fused model: {shares}")
    rows = rows_of(run, given.data, given.rows)
    for row in rows[:5]:
        run.predict_row(row)
    alone(run, rows)
    together(run, rows, given.threads)


def rows_of(run: pm.Run, data: Path, count: int) -> list[dict[str, Any]]:
    """The first rows as mappings of cells, whose paths start from where this runs."""
    table = run.table(data).slice(0, count)
    found: list[dict[str, Any]] = [{} for _ in range(len(table))]
    for column in run.schema.inputs:
        for row, cell in zip(found, table.cells(column.name), strict=True):
            is_path = kind.of(column.kind).media and isinstance(cell, str)
            row[column.name] = str(data.parent / cell) if is_path else cell
    return found


def load(run: Path, times: int) -> None:
    """Print the median of loading a run in a fresh process."""
    command = [sys.executable, "-c", LOAD, str(run)]
    told = [
        subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout for _ in range(times)
    ]
    wall, cpu, own_wall, own_cpu = np.median([[float(n) for n in one.split()] for one in told], 0)
    print(f"load: {own_wall:.2f} s ({own_cpu:.2f} s CPU) after {wall:.2f} s ({cpu:.2f}) of torch")


def alone(run: pm.Run, rows: list[dict[str, Any]]) -> None:
    """Print what a row takes, and where."""
    whole = np.array([timed(lambda row=row: run.predict_row(row)) for row in rows]) * 1e3
    spent: dict[str, float] = defaultdict(float)
    undo = watch(run, spent)
    parts = []
    for row in rows:
        spent.clear()
        wall = timed(lambda row=row: run.predict_row(row))[0]
        parts.append([spent["forms"], spent["modules"], wall - spent["forms"] - spent["modules"]])
    undo()
    (median, cpu), late = np.median(whole, 0), np.percentile(whole[:, 0], 95)
    print(f"one row: median {median:.1f} ms ({cpu:.1f} ms CPU), p95 {late:.1f}, {len(rows)} rows")
    forms, modules, rest = np.median(parts, 0) * 1e3
    print(f"  of it forms {forms:.1f} ms, modules {modules:.1f} ms, the rest {rest:.1f} ms")


def together(run: pm.Run, rows: list[dict[str, Any]], threads: int) -> None:
    """Print whether threads answer as one does, and how fast."""
    start = time.perf_counter()
    wanted = [run.predict_row(row) for row in rows]
    one = time.perf_counter() - start
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        found = list(pool.map(run.predict_row, rows))
        many = time.perf_counter() - start
    same = "the same answers" if found == wanted else "OTHER ANSWERS"
    print(f"{threads} threads: {same}, {len(rows) / many:.0f} rows/s (one: {len(rows) / one:.0f})")


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the wall clock, and of the CPU."""
    start, begun = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - begun


def watch(run: pm.Run, spent: dict[str, float]) -> Callable[[], None]:
    """Add up what forms and modules take; returns what takes the clocks out again."""

    def clocked(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def measured(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return measured

    watched: list[tuple[Any, str, str]] = []
    for form in run.forms:
        # A joint kind's cells are encoded one by one.
        method = "encode" if kind.kinds()[form.kind].joint else "encode_many"
        watched.append((form, method, "forms"))
    for member in run.members.values():
        watched += [(member.module, "encode", "modules"), (member.module, "fuse", "modules")]
    for owner, method, name in watched:
        setattr(owner, method, clocked(getattr(owner, method), name))

    def undo() -> None:
        for owner, method, _ in watched:
            delattr(owner, method)

    return undo


if __name__ == "__main__":
    main()
