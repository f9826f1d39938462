"""The command line: words in, words out."""

from __future__ import annotations

import sys

import typer

from polymodal.base.errors import PolymodalError
from polymodal.cli import info, train, use

app = typer.Typer(
    help="From a table of text, images, audio, video, series, numbers and categories "
    "to one measured multimodal model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(train.fit)
app.command()(use.evaluate)
app.command()(use.compare)
# One row's columns are options that no one knows beforehand.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    use.predict
)
app.command()(use.embed)
app.command()(use.score)
app.command()(train.check)
app.command(name="list")(info.list_components)
app.command()(info.cache)
app.command()(train.quickstart)


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
