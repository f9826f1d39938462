"""Commands that hand a run on. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base.say import say
from polymodal.cli.options import BUDGET, BadRows, Trust, Urls, table

# The exit code of `drift --fail-on-drift` where a column drifted: neither ours nor a mistake.
DRIFTED = 3


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    to: Annotated[
        str,
        typer.Option(
            help="onnx: graphs for onnxruntime; torch: programs for PyTorch; hf: for transformers' "
            "AutoModel where polymodal is installed; transformers: a checkpoint for transformers "
            "alone, of a run that writes texts."
        ),
    ] = "onnx",
    data: Annotated[
        str | None,
        typer.Option(help="Table whose rows prove it; by default the training table."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Of it at most.")] = 200,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """A folder that others open without this package (but hf), proven to answer as the run does."""
    from polymodal.export.checkpoint import NAME, checkpoint
    from polymodal.export.export import export as export_run
    from polymodal.run.saved import load

    if to == NAME:
        say(checkpoint(load(run, trust=trust), out))
        return
    given = None if data is None else table(data, allow_urls)
    say(export_run(load(run, trust=trust), out, to, given, rows))


def compress(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str, typer.Option(help="Table with the target columns, to measure it on.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    to: Annotated[
        str,
        typer.Option(
            help="int8: matrix products in 8 bits; pruned: without the models that are not "
            "missed; distilled: one network that learns the run's answers."
        ),
    ] = "int8",
    train: Annotated[
        str | None, typer.Option(help="The training table, where it does not lie where it was.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="With distilled: a recipe whose models learn.")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="With distilled: 90s, 5m, 2h.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even if it is slower or worse.")
    ] = False,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """As export, but smaller: what it costs and brings is measured here, and must be worth it."""
    from polymodal.base.spelling import seconds
    from polymodal.contract.resolve import load as read
    from polymodal.export.compress import DISTILLED
    from polymodal.export.compress import compress as compress_run
    from polymodal.report.console import Show
    from polymodal.run.saved import load

    asked = None if recipe is None else read(recipe)
    if budget is None and to == DISTILLED and (asked is None or asked.budget is None):
        budget = BUDGET
    found = compress_run(
        load(run, trust=trust),
        table(data, allow_urls),
        out,
        to,
        train=None if train is None else table(train, allow_urls),
        recipe=asked,
        budget=None if budget is None else seconds(budget),
        force=force,
        trust=trust,
        show=Show(sys.stderr, shell=True),
    )
    say(found.text())
    for reason in found.refused:
        say(f"Written all the same: {reason}.")


def drift(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str, typer.Option(help="Table of new rows.")],
    reference: Annotated[
        str | None,
        typer.Option(help="Rows to hold them against; by default the training table."),
    ] = None,
    level: Annotated[float, typer.Option(help="At which a test rejects.")] = 0.05,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    fail_on_drift: Annotated[
        bool, typer.Option("--fail-on-drift", help="Exit code 3 if a column drifted.")
    ] = False,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Whether new rows are like the training rows, column by column, with a test of each."""
    from polymodal.base.claims import refuse_file, refuse_input
    from polymodal.evaluation.drift import drift as drift_of
    from polymodal.run.saved import load

    if out is not None:
        refuse_input(out, data, reference)
        refuse_file(out, "{")
    found = drift_of(
        load(run, trust=trust),
        table(data, allow_urls),
        reference=None if reference is None else table(reference, allow_urls),
        level=level,
        max_bad_rows=max_bad_rows,
    )
    if out is not None:
        found.save(out)
    say(found.text())
    if fail_on_drift and found.drifted:
        raise typer.Exit(DRIFTED)
