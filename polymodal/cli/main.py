"""The command line: words in, words out."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from polymodal.base.errors import PolymodalError
from polymodal.base.say import say
from polymodal.cli import deliver, info, serve, think, train, use

app = typer.Typer(
    help="From a table of text, images, audio, video, series, numbers and categories "
    "to one measured multimodal model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        say(f"polymodal {importlib.metadata.version('polymodal')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which it is.")
    ] = False,
) -> None:
    """From a table of text, images, audio, video, series, numbers and categories to one measured
    multimodal model."""


app.command()(train.fit)
app.command()(train.pretrain)
app.command()(use.evaluate)
app.command()(use.compare)
# One row's columns are options that no one knows beforehand.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    use.predict
)
app.command()(use.embed)
app.command()(use.retrieve)
app.command()(use.score)
app.command()(think.reason)
app.command()(think.rationales)
app.command()(serve.serve)
app.command()(deliver.export)
app.command()(deliver.compress)
app.command()(deliver.drift)
app.command()(train.check)
app.command(name="list")(info.list_components)
app.command()(info.cache)
app.command()(info.doctor)
app.command()(info.plan)
app.command()(train.quickstart)


INTERRUPTED, TERMINATED = 130, 143


def _interrupted() -> int:
    """After Ctrl-C; what a fit has done is kept."""
    resumes = sys.argv[1:2] in (["fit"], ["pretrain"])
    further = ": run the same command again to go on" if resumes else ""
    say(f"Interrupted{further}.", sys.stderr)
    return INTERRUPTED


def main() -> None:
    """Entry point: exit codes 0 done, 2 the user's input, 1 ours, 130 interrupted, 143 ended."""
    _settled()
    try:
        with _unwound():
            code = _answered()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it wants no more. Python would flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:  # a full disk behind ">", for example
        say(f"Error: the output cannot be written ({error.strerror or error})", sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


@contextmanager
def _unwound() -> Iterator[None]:
    """SIGTERM ends a command as an error does: what is half-written is removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _answered() -> int:
    """Do what was asked, and say what went wrong; the exit code."""
    try:
        code = app(standalone_mode=False)
        if code == 130:  # Typer's answer to Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except PolymodalError as error:
        if error.exit_code == INTERRUPTED:
            return _interrupted()
        say(f"Error: {error.for_shell()}", sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        raise
    except Exception as error:
        usage = getattr(error, "format_message", None)  # click's own usage errors
        if usage is not None:
            say(f"Error: {usage()}", sys.stderr)
            if context := getattr(error, "ctx", None):
                say(f"  usage:    {context.get_usage().removeprefix('Usage: ')}", sys.stderr)
                say(f"  do:       {context.command_path} --help says more", sys.stderr)
            return int(getattr(error, "exit_code", 2))
        if os.environ.get("POLYMODAL_DEBUG"):
            raise
        say(_ours(error), sys.stderr)
        return 1


def _ours(error: Exception) -> str:
    """What is said of an error that should not have happened."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"Error: polymodal failed where it should not: {type(error).__name__}: {error}"[:500]
        + f"\n  at:       {last.filename}, line {last.lineno}"
        + "\n  do:       repeat it with POLYMODAL_DEBUG=1 for the traceback, and report it"
    )


def _settled() -> None:
    """Streams that take any text and may be closed; no warnings of libraries on the screen."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of worker processes
    # Without a handler Python shows libraries' messages itself.
    logging.getLogger().addHandler(logging.NullHandler())


if __name__ == "__main__":
    main()
