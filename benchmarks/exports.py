"""What an exported run costs and answers elsewhere, and what compressing it brings.

    python benchmarks/exports.py export RUN [RUN ...] --to FOLDER
    python benchmarks/exports.py first RUN [RUN ...] --to FOLDER
    python benchmarks/exports.py compress RUN --data test.csv

`export` writes each run's folder, proven on 200 rows, makes an environment of its requirements
alone (`python -m venv`, `pip install -r`), and predicts the training table's first rows there, in a
process that has neither torch nor this package: how far its answers are from the run's, and what
the environment takes on the disk. `first` says how long a new process takes there from its start to
the first answer (the best of three). `compress` holds what is smaller against full precision,
PyTorch, and PyTorch in bfloat16; `--to distilled` fits for `--budget`.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polymodal as pm
from polymodal.base.sheets import csv_of
from polymodal.contract import kind
from polymodal.export.compress import compress
from polymodal.export.export import export

FIRST = """
import sys
sys.path.insert(0, sys.argv[1])
import polymodal_model, csv
with open(sys.argv[2], newline="", encoding="utf-8") as file:
    row = next(csv.DictReader(file))
inputs = {column["name"] for column in polymodal_model.model().columns}
polymodal_model.predict([{name: cell for name, cell in row.items() if name in inputs}])
assert "torch" not in sys.modules and "polymodal" not in sys.modules
"""
ROWS = 200
HEADS = ("run", "members", "folder MiB", "environment MB", "rows", "proven to", "there")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("export", "first"):
        one = commands.add_parser(name)
        one.add_argument("runs", type=Path, nargs="+")
        one.add_argument("--to", type=Path, required=True, help="folder of what is written")
    two = commands.add_parser("compress")
    two.add_argument("run", type=Path)
    two.add_argument(
        "--data", type=Path, required=True, help="rows that the run has not learned from"
    )
    two.add_argument("--to", default="int8", help="or pruned, distilled")
    two.add_argument("--budget", type=float, help="seconds of what is distilled")
    given = parser.parse_args()
    if given.command == "compress":
        with TemporaryDirectory() as folder:
            out, options = Path(folder) / "small", {"budget": given.budget, "force": True}
            found = compress(pm.load(given.run), given.data, out, given.to, **options)
        print(f"{given.run.name}\n{found.text()}")
        print("refused: " + ("; ".join(found.refused) or "no"))
        return
    if given.command == "first":
        for run in given.runs:
            print(f"{run.name}: {first(run.name, given.to):.2f} s", flush=True)
        return
    print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|")
    for run in given.runs:
        cells = exported(run, given.to)
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def exported(path: Path, to: Path) -> list[Any]:
    run, out = pm.load(path), to / path.name
    said = export(run, out)
    venv = to / f"{path.name}.venv"
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-r", out / "requirements.txt"]
    subprocess.run(install, check=True)
    table, answers = to / f"{path.name}.rows.csv", to / f"{path.name}.answers.csv"
    media = [column.name for column in run.schema.inputs if kind.of(column.kind).media]
    _head(Path(str(run.origin["source"])), table, ROWS, media)
    alone(python, out / "predict.py", table, answers)
    with open(answers, newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    wanted = list(csv.DictReader(io.StringIO(csv_of(run.predict(table)), newline="")))
    apart = max((_apart(one, other) for one, other in zip(wanted, found, strict=True)))
    members = json.loads((out / "polymodal_model" / "model.json").read_text())["members"]
    return [
        path.name,
        ", ".join(members),
        f"{_size(out) / 2**20:.1f}",
        f"{_size(venv) / 1e6:.0f}",
        len(found),
        said.partition("at most ")[2].partition(" apart")[0],
        f"{apart:.1g}",
    ]


def first(name: str, to: Path) -> float:
    """Seconds from the start of a process to the first answer, the best of three."""
    python, table = to / f"{name}.venv" / "bin" / "python", to / f"{name}.rows.csv"
    return min(alone(python, "-c", FIRST, to / name, table) for _ in range(3))


def alone(python: Path, *words: Any) -> float:
    """Seconds of a process of another environment."""
    started = time.perf_counter()
    subprocess.run([python, "-B", *map(str, words)], check=True, env={"PATH": "/usr/bin:/bin"})
    return time.perf_counter() - started


def _head(source: Path, to: Path, rows: int, media: Sequence[str]) -> None:
    """A CSV's first rows; media by paths that hold anywhere."""
    with open(source, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        head = [row for _, row in zip(range(rows), reader, strict=False)]
    for row in head:
        row |= {name: str(source.parent / row[name]) for name in media if row[name]}
    with open(to, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(head)


def _apart(one: dict[str, str], other: dict[str, str]) -> float:
    """The largest difference of two rows' numbers; infinite where words differ."""
    most = 0.0 if list(one) == list(other) else math.inf
    for name, cell in one.items():
        try:
            most = max(most, abs(float(cell) - float(other[name])))
        except ValueError:
            most = most if cell == other[name] else math.inf
    return most


def _size(folder: Path) -> int:
    """Bytes on the disk, as `du` counts them."""
    words: Sequence[str] = ("du", "-s", "--block-size=1", str(folder))
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[0])


if __name__ == "__main__":
    main()
