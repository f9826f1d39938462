"""The main job on embedded data: render, fit, measure, predict one row."""

from __future__ import annotations

import json
import time
from pathlib import Path

from polymodal.base.errors import UserError
from polymodal.base.files import make_folder
from polymodal.base.say import say
from polymodal.builtin import scenes
from polymodal.contract import kind
from polymodal.evaluation.evaluate import evaluate
from polymodal.fitting.fit import fit
from polymodal.fitting.folder import refuse_finished
from polymodal.report import sentences
from polymodal.report.console import Show

TARGET = "answer"


def quickstart(
    out: Path, *, rows: int, budget: float, seed: int, overwrite: bool, show: Show
) -> None:
    """Render `scenes` into `out`/data, fit `out`/run, print test figures and what to do next."""
    start = time.perf_counter()
    refuse_finished(out / "run", overwrite)
    _refuse_others(out / "data")
    paths = scenes.write(out / "data", rows=rows, seed=seed)
    say(f"Rendered {rows:,} rows, four in five of them to train on, in {out / 'data'}:")
    say("a picture, a question, a sound, a sensor's series and a table. The question decides")
    say("where its answer lies.\n")
    run = fit(
        paths["train"],
        TARGET,
        budget=budget,
        seed=seed,
        out=out / "run",
        overwrite=overwrite,
        show=show,
    )
    result = evaluate(run, paths["test"])
    result.save(out / "test")
    fused = result.targets[TARGET]["accuracy"]
    say(f"\nTest accuracy on {result.rows:,} rows that no model has seen:")
    say(f"  {'fused':<12} {fused['value']:.3f}  [{fused['low']:.3f}, {fused['high']:.3f}]")
    for name, numbers in result.rivals.items():
        say(f"  only {name:<7} {numbers[TARGET]['accuracy']['value']:.3f}")
    for verdict in result.verdicts.values():
        say(sentences.text(verdict))
    table = run.table(paths["test"])
    row = {column.name: table.cells(column.name)[0] for column in run.schema.inputs}
    for column in run.schema.inputs:
        if kind.of(column.kind).media and isinstance(row[column.name], str):
            row[column.name] = str(Path(paths["test"]).parent / row[column.name])
    found = run.predict_row(row)
    say(f"\nOne row: {json.dumps(row)[:160]}")
    say(f"  predicted {found[TARGET]!r}, true {table.cells(TARGET)[0]!r}")
    say(f"\n{time.perf_counter() - start:.0f} s in all. Next:")
    say(f"  polymodal evaluate {out}/run --data {paths['test']} --out {out}/test")
    say(f"  polymodal predict {out}/run --data {paths['test']} --out predictions.csv")
    say("  polymodal fit YOUR_TABLE.csv --target YOUR_COLUMN --out runs/mine")


def _refuse_others(folder: Path) -> None:
    """UserError if the folder to render into holds anything that was not rendered there."""
    marker = folder / ".polymodal"
    ours = marker.exists() or (folder.parent / "run" / "run.json").exists()
    if folder.exists() and not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"'{folder}' holds files that polymodal did not make",
            expected="a new or empty folder",
            do="give another `out`",
        )
    make_folder(folder)
    marker.touch()
