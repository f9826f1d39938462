"""Commands that use or measure what was trained. Heavy imports happen inside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.base.options import for_shell
from polymodal.base.say import say
from polymodal.cli.options import (
    BadRows,
    Decoding,
    Group,
    Out,
    Overwrite,
    Trust,
    Urls,
    csv_only,
    manner,
    row_of,
    table,
)


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
    decoding: Decoding = None,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Measure a run on a table and say whether fusion pays, in OUT/metrics.json and report.html."""
    from polymodal.evaluation.evaluate import REPORT, refuse
    from polymodal.evaluation.evaluate import evaluate as evaluate_run
    from polymodal.run.saved import load

    refuse(out, data)
    result = evaluate_run(
        load(run, trust=trust, decoding=manner(decoding)),
        table(data, allow_urls),
        group=group,
        robustness=robustness,
        contributions=contributions,
        explain=explain,
        max_bad_rows=max_bad_rows,
        tell=lambda line: say(for_shell(line), sys.stderr),
    )
    result.save(out)
    say(result.text())
    say(f"\nReport: {out / REPORT}")


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
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Measure models on the same rows and test every pair: best first, and who is as good."""
    from polymodal.base.claims import refuse_input
    from polymodal.evaluation.compare import FILE
    from polymodal.evaluation.compare import compare as compare_runs

    if out is not None:
        refuse_input(out / FILE, data)
    found = compare_runs(
        runs,
        table(data, allow_urls),
        target=target,
        group=group,
        max_bad_rows=max_bad_rows,
        trust=trust,
    )
    if out is not None:
        found.save(out)
    say(found.text())


def predict(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str | None, typer.Option(help="Table of new rows.")] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    overwrite: Overwrite = False,
    interval: Annotated[
        float | None,
        typer.Option(help="Also say where the truth lies with this probability, such as 0.9."),
    ] = None,
    decoding: Decoding = None,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Predict new rows: --data FILE --out FILE.csv, or one row as --COLUMN VALUE ..."""
    from polymodal.base.claims import refuse_file, refuse_input
    from polymodal.base.files import write_predictions
    from polymodal.report.words import counted
    from polymodal.run.rows import unknown
    from polymodal.run.saved import load
    from polymodal.table.ledger import Ledger

    row = row_of(context.args)
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
    if out is not None:
        csv_only(out)
        refuse_input(out, data)
        if not overwrite:
            refuse_file(out, "row,")
    loaded, ledger = load(run, trust=trust, decoding=manner(decoding)), Ledger()
    if data is None:
        # What is no column was most likely meant as an option.
        for name in unknown(loaded.schema, row):
            inputs = [column.name for column in loaded.schema.inputs]
            what = f"'--{name}' is neither an option nor a column that the run reads"
            raise lookup.unknown(what, name, inputs)
        answer = loaded.predict_row(row, ledger=ledger, interval=interval)
        if drawn := [name for name, cell in answer.items() if isinstance(cell, bytes)]:
            raise UserError(
                f"'{drawn[0]}' is a file, which cannot be printed",
                expected="a table of rows and a file to write to",
                do="--data FILE --out FILE.csv; or `predict_row` from Python",
            )
        say(json.dumps(answer, ensure_ascii=False, indent=1))
        for line in ledger.lines():
            say(line, sys.stderr)
        return
    if out is None:
        raise UserError("No output file was given", do="--out predictions.csv")
    columns = loaded.predict(
        table(data, allow_urls), max_bad_rows=max_bad_rows, ledger=ledger, interval=interval
    )
    write_predictions(out, columns)
    say(f"{counted(len(columns['row']), 'row')} in {out}")
    for line in ledger.lines():
        say(f"  {line}")


def embed(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    data: Annotated[str, typer.Option(help="Table of rows.")],
    out: Annotated[Path, typer.Option(help="A .npy file: (rows, width) float32.")],
    overwrite: Overwrite = False,
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Fused vectors of a table's rows."""
    from polymodal.base.claims import refuse_file, refuse_input
    from polymodal.base.files import write_array
    from polymodal.report.words import counted
    from polymodal.run.saved import load

    refuse_input(out, data)
    if not overwrite:
        refuse_file(out)
    vectors = load(run, trust=trust).embed(table(data, allow_urls), max_bad_rows=max_bad_rows)
    write_array(out, vectors)
    say(f"{counted(len(vectors), 'vector')} of width {vectors.shape[1]} in {out}")


def retrieve(
    run: Annotated[Path, typer.Argument(help="A run that compares modalities: see pretrain.")],
    index: Annotated[str, typer.Option(help="Table that is searched.")],
    source: Annotated[str, typer.Option("--from", metavar="COL", help="What asks.")],
    to: Annotated[str, typer.Option("--to", metavar="COL", help="What is found.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    query: Annotated[str | None, typer.Option(help="One cell of --from: a text or a path.")] = None,
    queries: Annotated[str | None, typer.Option(help="Table of queries.")] = None,
    k: Annotated[int, typer.Option("--k", help="Rows for each query.")] = 10,
    engine: Annotated[str, typer.Option(help="exact, or faiss (an extra) for millions.")] = "exact",
    max_bad_rows: BadRows = 0,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Rows of a table whose one column is most like another column of a query."""
    from polymodal.base.claims import refuse_input
    from polymodal.base.files import write_csv
    from polymodal.report.words import counted
    from polymodal.run.saved import load
    from polymodal.run.search import retrieve as search

    if out is not None:
        csv_only(out)
        refuse_input(out, index, queries)
    elif queries is not None:
        raise UserError("No output file was given", do="--out found.csv")
    found = search(
        load(run, trust=trust),
        table(index, allow_urls),
        query=query,
        queries=table(queries, allow_urls),
        source=source,
        to=to,
        k=k,
        engine=engine,
        max_bad_rows=max_bad_rows,
    )
    if out is None:
        lines = [dict(zip(found, line, strict=True)) for line in zip(*found.values(), strict=True)]
        say(json.dumps(lines, ensure_ascii=False, indent=1))
        return
    write_csv(out, found)
    say(f"{counted(len(found['row']), 'row')} in {out}")


def score(
    predictions: Annotated[str, typer.Argument(help="Table of predictions from anywhere.")],
    metric: Annotated[
        str, typer.Option(help="vqa, captions, retrieval, a task's name or my_file.py:MyTask.")
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
    from polymodal.base.claims import refuse_input
    from polymodal.evaluation.scoring import score as score_table

    if out is not None:
        refuse_input(out / "metrics.json", predictions, references)
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
    say(found.text())
