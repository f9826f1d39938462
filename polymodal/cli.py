"""The command line: words in, words out. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base.errors import PolymodalError, UserError

app = typer.Typer(
    help="From a table of text, images, audio, video, series, numbers and categories "
    "to one measured multimodal model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Kinds = Annotated[
    list[str] | None, typer.Option("--kind", metavar="COL=KIND", help="Overrule a column's kind.")
]
Drop = Annotated[
    list[str] | None, typer.Option("--drop", metavar="COL", help="Leave a column out.")
]
Group = Annotated[
    str | None, typer.Option("--group", metavar="COL", help="Keep rows of equal value together.")
]
BadRows = Annotated[
    int,
    typer.Option("--max-bad-rows", help="So many unreadable cells of a modality count as missing."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Execute the components of the user's own that it brings.")
]
Out = Annotated[Path, typer.Option("--out", help="Folder or file to write.")]

# Time for a fit where neither the recipe nor the command line says any.
BUDGET = "5m"


@app.command()
def fit(
    train: Annotated[str, typer.Argument(help="Table of training rows, or a recipe.yaml.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column to predict.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Table of validation rows.")] = None,
    drop: Drop = None,
    kind: Kinds = None,
    group: Group = None,
    split: Annotated[
        str | None, typer.Option(help="auto, random, stratified, group or time:COLUMN.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Cross-validate with this many folds.")] = None,
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
    max_bad_rows: BadRows = 0,
    track: Annotated[
        list[str] | None, typer.Option(help="Also log to tensorboard, wandb or mlflow.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a finished run.")] = False,
    out: Out = Path("runs/latest"),
) -> None:
    """Train, compare and combine models of a table; resumes what Ctrl-C interrupted."""
    from polymodal.contract.recipe import Recipe
    from polymodal.contract.resolve import load
    from polymodal.fitting.fit import fit as fit_table
    from polymodal.report.console import Show

    recipe = load(Path(train)) if train.endswith((".yaml", ".yml")) else Recipe(train=train)
    if recipe.budget is None and budget is None:
        budget = BUDGET
    fit_table(
        target=target,
        valid=valid,
        recipe=recipe,
        kinds=_pairs(kind),
        drop=drop or [],
        group=group,
        split=split,
        folds=folds,
        max_bad_rows=max_bad_rows or None,
        budget=None if budget is None else seconds(budget),
        seed=seed,
        fusion=_one_or_all(fusion),
        out=out,
        overwrite=overwrite,
        trackers=track or [],
        show=Show(sys.stderr),
    )
    print(f"Next: polymodal evaluate {out} --data TEST.csv --out {out}/test")
    if recipe.compare or len(fusion or []) > 1:
        print(f"      polymodal compare {out} --data TEST.csv")
    print(f"      polymodal predict {out} --data NEW.csv --out predictions.csv")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str, typer.Option(help="Table with the target columns.")],
    out: Out,
    group: Group = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also score corrupted and missing cells.")
    ] = False,
    contributions: Annotated[
        str | None,
        typer.Option(help="Sets of modalities to score: exact (all), sampled or none."),
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option(min=0, help="Explain the answers to so many rows; 6 by default."),
    ] = None,
    max_bad_rows: BadRows = 0,
    trust: Trust = False,
) -> None:
    """Measure a run on a table and say whether fusion pays, in OUT/metrics.json and report.html."""
    from polymodal.evaluation.evaluate import REPORT
    from polymodal.evaluation.evaluate import evaluate as evaluate_run
    from polymodal.run.saved import load

    result = evaluate_run(
        load(run, trust=trust),
        data,
        group=group,
        robustness=robustness,
        contributions=contributions,
        explain=explain,
        max_bad_rows=max_bad_rows,
        tell=lambda line: print(line, file=sys.stderr),
    )
    result.save(out)
    print(result.text())
    print(f"\nReport: {out / REPORT}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Runs' folders; of a single one, its models.")],
    data: Annotated[str, typer.Option(help="Table with the target columns.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Compare on this one only.")
    ] = None,
    group: Group = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the figures to, as compare.json.")
    ] = None,
    max_bad_rows: BadRows = 0,
    trust: Trust = False,
) -> None:
    """Measure models on the same rows and test every pair: best first, and who is as good."""
    from polymodal.evaluation.compare import compare as compare_runs

    found = compare_runs(
        runs, data, target=target, group=group, max_bad_rows=max_bad_rows, trust=trust
    )
    if out is not None:
        found.save(out)
    print(found.text())


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def predict(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str | None, typer.Option(help="Table of new rows.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    max_bad_rows: BadRows = 0,
    trust: Trust = False,
) -> None:
    """Predict new rows: --data FILE --out FILE.csv, or one row as --COLUMN VALUE ..."""
    from polymodal.base.files import write_csv
    from polymodal.report.words import counted
    from polymodal.run.saved import load
    from polymodal.table.ledger import Ledger

    row = _row(context.args)
    if (data is None) == (not row):
        raise UserError(
            "Nothing to predict" if data is None else "Both a table and a single row were given",
            expected="either --data FILE, or one row as --COLUMN VALUE ...",
        )
    if data is None and (out is not None or max_bad_rows):
        raise UserError(
            f"{'--out' if out is not None else '--max-bad-rows'} is for tables",
            expected="one row given as --COLUMN VALUE ..., which is printed",
            do="--data FILE --out FILE.csv for a table; > FILE to keep one row's prediction",
        )
    loaded = load(run, trust=trust)
    if data is None:
        print(json.dumps(loaded.predict_row(row), ensure_ascii=False, indent=1))
        return
    if out is None:
        raise UserError("No output file was given", do="--out predictions.csv")
    ledger = Ledger()
    columns = loaded.predict(data, max_bad_rows=max_bad_rows, ledger=ledger)
    write_csv(out, columns)
    print(f"{counted(len(columns['row']), 'row')} in {out}")
    for reasons in ledger.to_json().values():
        for reason, count in reasons.items():
            print(f"  {counted(count, 'row')}: {reason}")


@app.command()
def embed(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str, typer.Option(help="Table of rows.")],
    out: Annotated[Path, typer.Option(help="A .npy file: (rows, width) float32.")],
    max_bad_rows: BadRows = 0,
    trust: Trust = False,
) -> None:
    """Fused vectors of a table's rows."""
    from polymodal.base.files import write_array
    from polymodal.report.words import counted
    from polymodal.run.saved import load

    vectors = load(run, trust=trust).embed(data, max_bad_rows=max_bad_rows)
    write_array(out, vectors)
    print(f"{counted(len(vectors), 'vector')} of width {vectors.shape[1]} in {out}")


@app.command()
def score(
    predictions: Annotated[str, typer.Argument(help="Table of predictions from anywhere.")],
    metric: Annotated[
        str, typer.Option(help="vqa, captions, retrieval, classify, multilabel, regress or tag.")
    ],
    prediction: Annotated[
        list[str], typer.Option(metavar="COL", help="Predictions; give two columns to compare.")
    ] = ["prediction"],  # noqa: B006
    reference: Annotated[
        list[str], typer.Option(metavar="COL", help="References; may be given several times.")
    ] = ["reference"],  # noqa: B006
    references: Annotated[
        str | None, typer.Option(help="Table of the references, if that is another one.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="COL", help="Names the rows in both tables.")
    ] = None,
    group: Group = None,
    extract: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN",
            help="Find answers in texts: marked, choice, number, yesno or a regular expression.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for metrics.json.")] = None,
) -> None:
    """Metrics of any predictions with 95 % intervals; of two columns also the difference."""
    from polymodal.evaluation.scoring import score as score_table

    found = score_table(
        predictions,
        metric,
        prediction=prediction,
        reference=reference,
        references=references,
        on=on,
        group=group,
        extract=extract,
    )
    if out is not None:
        found.save(out)
    print(found.text())


@app.command()
def check(
    train: Annotated[str, typer.Argument(help="Table of training rows.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COL", help="Column to predict.")
    ] = None,
    valid: Annotated[str | None, typer.Option(help="Table of validation rows.")] = None,
    test: Annotated[str | None, typer.Option(help="Table of test rows, for leaks only.")] = None,
    drop: Drop = None,
    kind: Kinds = None,
    group: Group = None,
    max_bad_rows: BadRows = 0,
) -> None:
    """The pre-flight alone: columns, kinds, leaks, duplicates, bad cells; 2 if a fit would fail."""
    from polymodal.fitting.fit import preflight
    from polymodal.report.console import Show

    show = Show(sys.stdout)
    kinds = _pairs(kind)
    report = preflight(
        train, target or [], valid, test, kinds, drop or [], group, max_bad_rows, show
    )
    report.raise_for_errors()


@app.command(name="list")
def list_components() -> None:
    """Every component that there is, with its options."""
    from polymodal.base.lookup import catalogue

    for folder, name, options in catalogue():
        print(f"{folder + ': ' + name:<32} {options}")


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete what is kept.")] = False,
) -> None:
    """What is decoded and measured once for all fits: where it is kept, and how large it is."""
    from polymodal.prepared import cache as kept

    folder = kept.default_folder()
    files = kept.kept(folder)
    size = sum(path.stat().st_size for path in files) / 2**20
    if clear:
        kept.clear(folder)
    print(f"{folder}: {size:,.1f} MB in {len(files):,} files{' deleted' if clear else ''}")


@app.command()
def quickstart(
    out: Out = Path("quickstart"),
    rows: Annotated[int, typer.Option(help="Rows to render, a fifth of them for the test.")] = 3000,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier quickstart.")] = False,
    budget: Annotated[str, typer.Option(help="Time for the fit.")] = "4m",
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
        show=Show(sys.stderr),
    )


def seconds(text: str) -> float:
    """ "90s", "5m", "2h" or a number of seconds, to seconds."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:].lower())
    try:
        value = float(text[:-1]) * unit if unit else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UserError(
            "The budget is not a time", expected="such as 90s, 5m or 2h", got=repr(text)
        )
    return value


def _one_or_all(names: list[str] | None) -> str | list[str] | None:
    """A single one is no list: there is nothing to compare it with."""
    return names[0] if names and len(names) == 1 else names or None


def _pairs(items: list[str] | None) -> dict[str, str]:
    found = {}
    for item in items or []:
        name, equals, kind = item.rpartition("=")
        if not equals or not name:
            raise UserError(
                "--kind takes a column and a kind", expected="--kind COLUMN=KIND", got=item
            )
        found[name] = kind
    return found


def _row(arguments: list[str]) -> dict[str, str]:
    """--image a.png --question "how many?" to a row."""
    row: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        name, equals, value = flag.removeprefix("--").partition("=")
        if not flag.startswith("--") or not (equals or rest):
            raise UserError(
                f"'{flag}' is not understood",
                expected='columns of one row, as --image x.png --question "how many?"',
            )
        row[name] = value if equals else rest.pop(0)
    return row


def main() -> None:
    """Entry point: exit codes 0 done, 2 the user's input, 1 ours, 130 interrupted."""
    try:
        code = app(standalone_mode=False)
        if code == 130:  # Typer's answer to Ctrl-C
            raise KeyboardInterrupt
        if code:
            sys.exit(code)
    except PolymodalError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # click's own usage errors
        if usage is None:
            raise
        print(f"Error: {usage()}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 2))


if __name__ == "__main__":
    main()
