"""The command that serves runs. Heavy imports happen inside."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from polymodal.base.errors import MissingExtra, UserError
from polymodal.cli.options import Trust

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def serve(
    runs: Annotated[list[str], typer.Argument(help="Runs' folders, each also as NAME=FOLDER.")],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="And its port; 0: any that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes of each run.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Rows that are computed at once.")] = 32,
    wait: Annotated[
        float, typer.Option(min=0, help="Milliseconds that a batch may wait for more rows.")
    ] = 10,
    queue: Annotated[int, typer.Option(min=1, help="Rows that may wait; more are refused.")] = 512,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to answer a request in.")] = 30,
    drain: Annotated[
        int, typer.Option(min=0, help="Seconds to answer what is in hand in, when told to stop.")
    ] = 10,
    keys: Annotated[
        Path | None, typer.Option(help="File of clients' keys, one a line; or POLYMODAL_KEYS.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Host name that clients call it by.")
    ] = None,
    index: Annotated[
        str | None, typer.Option(help="Table that /retrieve searches, of runs that compare.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Rows for /metrics to hold others against: the training table, if moved."
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Answer over HTTP: predictions, vectors, explanations; SIGHUP loads the runs anew."""
    try:
        from polymodal.serve import server
    except ImportError as error:
        raise MissingExtra(error.name or "fastapi", "serve", "A server") from error
    from polymodal.serve.gate import Access, hosts_of
    from polymodal.serve.lane import Pace
    from polymodal.serve.process import Source

    folders = _named(runs)
    # One core is the server's own: threads that spin for it would keep all waiting.
    threads = max(1, ((os.cpu_count() or 1) - 1) // (workers * len(folders)))
    sources = {n: Source(path, index, reference, trust, threads) for n, path in folders.items()}
    server.serve(
        server.Settings(
            sources,
            host,
            port,
            workers,
            drain,
            Access(_keys(keys), hosts_of(host, name or ())),
            Pace(batch, wait / 1000, queue, timeout),
        )
    )


def _named(runs: list[str]) -> dict[str, Path]:
    """Each run's name: what stands before "=", or the folder's own."""
    found: dict[str, Path] = {}
    for one in runs:
        name, equals, folder = one.partition("=")
        path = Path(folder if equals else one)
        name = name if equals else re.sub(r"[^A-Za-z0-9_-]+", "-", path.resolve().name).strip("-_")
        if not _NAME.fullmatch(name) or name in found:
            raise UserError(
                f"'{name}' cannot name a run that is served",
                expected="letters, digits, - and _, of each run another",
                got=one,
                do="give it one: NAME=FOLDER",
            )
        found[name] = path
    return found


def _keys(file: Path | None) -> tuple[str, ...]:
    """Clients' keys. None stands on the command line, where all who use the machine read it."""
    from polymodal.serve.gate import keys_of

    text = os.environ.get("POLYMODAL_KEYS", "")
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"The keys in {file} cannot be read", got=str(error)) from error
    found = keys_of(text)
    if file is not None and not found:
        raise UserError(f"There is no key in {file}", expected="one a line")
    return found
