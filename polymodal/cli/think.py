"""Commands that ask for answers with reasons. Heavy imports happen inside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from polymodal.base.say import say
from polymodal.cli.options import Drop, Out, Overwrite, Trust, Urls, csv_only, table


def reason(
    data: Annotated[str, typer.Option(help="Table with the target column.")],
    out: Out,
    run: Annotated[
        Path | None, typer.Argument(help="A run that writes answers; or --endpoint.")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", metavar="NAME", help="direct, chain, ...: any number of them."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=2, help="Chains that strategies draw, a row.")
    ] = None,
    target: Annotated[str | None, typer.Option(metavar="COL", help="What is answered.")] = None,
    question: Annotated[
        str | None, typer.Option(metavar="COL", help="The column of the question.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="COL", help="Also measure the rows of each value.")
    ] = None,
    second: Annotated[
        str | None, typer.Option(help="Run (or the server's model) that two_stage answers by.")
    ] = None,
    faithfulness: Annotated[
        bool, typer.Option("--faithfulness/--no-faithfulness", help="Test what answers rest on.")
    ] = True,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="Of a server with OpenAI's API, with /v1.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="On that server.")] = None,
    drop: Drop = None,
    key: Annotated[
        str, typer.Option(metavar="VARIABLE", help="Environment variable of the server's key.")
    ] = "OPENAI_API_KEY",
    parallel: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one answer.")] = 120,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Answer a table's questions by several strategies, and test what the answers rest on."""
    from polymodal.base.claims import refuse_input
    from polymodal.reason.opening import asked, opened
    from polymodal.reason.reason import reason as reasoned
    from polymodal.report.console import bar

    refuse_input(out / "answers.csv", data)
    source = table(data, allow_urls)
    given = asked(strategy or ["direct", "chain"], samples)
    server: dict[str, Any] = {"drop": drop or [], "key": key, "parallel": parallel}
    found = opened(
        source,
        run=run,
        endpoint=endpoint,
        model=model,
        trust=trust,
        target=target,
        question=question,
        second=second,
        server={**server, "timeout": timeout},
    )
    with bar(sys.stderr) as tell:
        report = reasoned(found, given, out, by=by, faithful=faithfulness, tell=tell)
    say(report.text())
    say(f"\nFigures: {out / 'reason.json'}; answers: {out / 'answers.csv'}")


def rationales(
    run: Annotated[Path, typer.Argument(help="A run that writes answers with reasons.")],
    data: Annotated[str, typer.Option(help="Table with the target column.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    target: Annotated[str | None, typer.Option(metavar="COL", help="What is answered.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Reasons are drawn at.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    overwrite: Overwrite = False,
    allow_urls: Urls = False,
    trust: Trust = False,
) -> None:
    """Write a table with a run's own reasons, for a second run to learn to answer from."""
    from polymodal.base.claims import refuse_file, refuse_input
    from polymodal.base.files import write_csv
    from polymodal.reason.rationales import rationales as written
    from polymodal.reason.rationales import refuse_binary
    from polymodal.report.console import bar
    from polymodal.report.words import counted
    from polymodal.run.saved import load

    csv_only(out)
    refuse_input(out, data)
    if not overwrite:
        refuse_file(out)
    with bar(sys.stderr) as tell:
        columns = written(
            load(run, trust=trust),
            table(data, allow_urls),
            target=target,
            temperature=temperature,
            seed=seed,
            tell=lambda done, of: tell("rationales", done, of),
        )
    refuse_binary(columns, out)
    write_csv(out, columns)
    say(f"{counted(len(next(iter(columns.values()))), 'row')} in {out}")
