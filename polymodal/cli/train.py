"""Commands that look at a table or train on it. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base.say import say
from polymodal.base.spelling import seconds
from polymodal.cli.options import (
    BUDGET,
    FITTED,
    PRETRAINING,
    BadRows,
    Date,
    Decimal,
    Drop,
    Encoding,
    Group,
    Kinds,
    Missing,
    Out,
    Trust,
    Urls,
    one_or_all,
    pairs,
    parented,
    said,
    table,
    words_of,
)


def fit(
    train: Annotated[
        str, typer.Argument(metavar=FITTED, help="Training rows, or a recipe that names them.")
    ],
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column to predict.")
    ] = None,
    valid: Annotated[
        str | None, typer.Option(help="Table of validation rows, or their share, as 0.2.")
    ] = None,
    drop: Drop = None,
    kind: Kinds = None,
    decimal: Decimal = None,
    date: Date = None,
    missing: Missing = None,
    encoding: Encoding = None,
    group: Group = None,
    split: Annotated[
        str | None, typer.Option(help="auto, random, stratified, group or time:COLUMN.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate with this many folds.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="What models are chosen and judged by: macro_f1, mae, roc_auc, ..."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole fit: 90s, 5m, 2h.", show_default=BUDGET)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    fusion: Annotated[
        list[str] | None,
        typer.Option(
            "--fusion",
            metavar="NAME",
            help="Train this one instead of the plan's; several have the same time each.",
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="installed|hub|none",
            help="Models trained elsewhere: what is installed, also from the hub, or none.",
            show_default="installed",
        ),
    ] = None,
    parent: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start from what this run has learned."),
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(metavar="NEW=OLD", help="With --from: what it calls a column."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="One network learns this run's answers to the rows."),
    ] = None,
    trust: Trust = False,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    track: Annotated[
        list[str] | None, typer.Option(help="Also log to tensorboard, wandb or mlflow.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished run.")] = False,
    out: Out = Path("runs/latest"),
) -> None:
    """Train, compare and combine models of a table; resumes what Ctrl-C interrupted."""
    from polymodal.contract.resolve import share, stated
    from polymodal.fitting.fit import fit as fit_table
    from polymodal.report import poor
    from polymodal.report.console import Show

    recipe = stated(train)
    if recipe.budget is None and budget is None:
        budget = BUDGET
    run = fit_table(
        train=table(recipe.train, allow_urls),
        target=target,
        valid=valid if share(valid) is not None else table(valid or recipe.valid, allow_urls),
        recipe=recipe,
        kinds=pairs(kind),
        decimal=said(decimal),
        date=said(date),
        missing=words_of(missing),
        encoding=encoding,
        drop=drop or [],
        group=group,
        split=split,
        folds=folds,
        metric=metric,
        max_bad_rows=max_bad_rows or None,
        budget=None if budget is None else seconds(budget),
        seed=seed,
        fusion=one_or_all(fusion),
        pretrained=pretrained,
        parent=parented(parent, match),
        teacher=teacher,
        trust=trust,
        out=out,
        overwrite=overwrite,
        trackers=track or [],
        show=Show(sys.stderr, shell=True),
    )
    say(f"Next: polymodal evaluate {out} --data TEST.csv --out {out}/test")
    if recipe.compare or len(fusion or []) > 1:
        say(f"      polymodal compare {out} --data TEST.csv")
    if not poor.validated(run):
        say(f"      polymodal predict {out} --data NEW.csv --out predictions.csv")


def pretrain(
    train: Annotated[
        str, typer.Argument(metavar=FITTED, help="Unlabelled rows, or a recipe that names them.")
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task", metavar="NAME", help="What to learn; by default what suits the columns."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--columns", metavar="COL", help="Read this one; by default all are read."),
    ] = None,
    valid: Annotated[
        str | None, typer.Option(help="Table of validation rows, or their share, as 0.2.")
    ] = None,
    drop: Drop = None,
    kind: Kinds = None,
    decimal: Decimal = None,
    date: Date = None,
    missing: Missing = None,
    encoding: Encoding = None,
    group: Group = None,
    split: Annotated[str | None, typer.Option(help="auto, random, group or time:COLUMN.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time for it all: 90s, 10m, 2h.", show_default=PRETRAINING)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random.")] = None,
    fusion: Annotated[
        str | None, typer.Option("--fusion", metavar="NAME", help="Of the network.")
    ] = None,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    track: Annotated[
        list[str] | None, typer.Option(help="Also log to tensorboard, wandb or mlflow.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished run.")] = False,
    out: Out = Path("runs/pretrained"),
) -> None:
    """Learn representations from rows without labels, for `fit --from`; resumes after Ctrl-C."""
    from polymodal.contract.resolve import share, stated
    from polymodal.fitting.pretrain import pretrain as pretrain_table
    from polymodal.report.console import Show

    recipe = stated(train)
    if recipe.budget is None and budget is None:
        budget = PRETRAINING
    pretrain_table(
        table(recipe.train, allow_urls),
        task=task,
        columns=column or [],
        recipe=recipe,
        valid=valid if share(valid) is not None else table(valid or recipe.valid, allow_urls),
        drop=drop or [],
        kinds=pairs(kind),
        decimal=said(decimal),
        date=said(date),
        missing=words_of(missing),
        encoding=encoding,
        group=group,
        split=split,
        budget=budget,
        seed=seed,
        fusion=fusion,
        max_bad_rows=max_bad_rows or None,
        trackers=track or [],
        overwrite=overwrite,
        out=out,
        show=Show(sys.stderr, shell=True),
    )
    say(f"Next: polymodal fit TABLE --target COL --from {out}")
    say(f"      polymodal evaluate {out} --data NEW.csv --out {out}/test")


def check(
    train: Annotated[
        str, typer.Argument(metavar=FITTED, help="Training rows, or a recipe that names them.")
    ],
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column to predict.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Table of validation rows.")] = None,
    test: Annotated[str | None, typer.Option(help="Table of test rows, for leaks only.")] = None,
    drop: Drop = None,
    kind: Kinds = None,
    decimal: Decimal = None,
    date: Date = None,
    missing: Missing = None,
    encoding: Encoding = None,
    group: Group = None,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
) -> None:
    """Look at a table before a fit: kinds, leaks, duplicates, bad cells; 2 if a fit would fail."""
    from polymodal.contract.resolve import stated
    from polymodal.fitting.preflight import check as check_table
    from polymodal.report.console import Show

    recipe = stated(train)
    data = recipe.data
    report = check_table(
        table(recipe.train, allow_urls),
        target or [],
        valid=table(valid or recipe.valid, allow_urls),
        test=table(test, allow_urls),
        kinds={**data.kinds, **pairs(kind)},
        drop=drop or data.drop,
        group=group or data.group,
        max_bad_rows=max_bad_rows or data.max_bad_rows,
        decimal=said(decimal) or data.decimal,
        date=said(date) or data.date,
        missing=words_of(missing) or data.missing,
        encoding=encoding or data.encoding,
        recipe=recipe,
        show=Show(sys.stdout, shell=True),
    )
    report.raise_for_errors()


def quickstart(
    out: Out = Path("quickstart"),
    rows: Annotated[int, typer.Option(help="Rows to render, a fifth of them for the test.")] = 3000,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier quickstart.")] = False,
    budget: Annotated[str, typer.Option(help="Time for the fit.")] = "120s",
    seed: Annotated[int, typer.Option(help="Of data and fit.")] = 0,
) -> None:
    """Embedded data, a fit, its rivals, test figures and a prediction, in a few minutes."""
    from polymodal.quickstart import quickstart as run_quickstart
    from polymodal.report.console import Show

    run_quickstart(
        out,
        rows=rows,
        budget=seconds(budget),
        seed=seed,
        overwrite=overwrite,
        show=Show(sys.stderr, shell=True),
    )
