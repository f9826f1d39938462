"""How a message that names an option is written for whoever reads it: for a shell, or for Python.

In messages an option stands in backquotes with its argument, by its name in recipes: `drop COLUMN`,
`kind price=category`, `overwrite`. A shell takes dashes before it, Python drop=['COLUMN'].
"""

from __future__ import annotations

import re
import shlex

# Options of commands that are arguments of functions too: name -> how Python takes it.
_NAMED = ("kinds", "{name}={{{column!r}: {word!r}}}")
_EACH = ("", "{name}={{{column!r}: {word!r}}}")
_JSON = ("", "{name}={{{column!r}: {word}}}")
_WORDS = ("", "{name}={{{column!r}: [{word!r}]}}")
_LIST = ("", "{name}=[{all!r}]")
_ONE = ("", "{name}={all!r}")
_FLAG = ("", "")
_SINGLE = """
budget contributions data encoding explain extract folds fusion group max_bad_rows metric on out
prediction reference references seed split target task test to valid
"""
OPTIONS = {
    "kind": _NAMED,
    "decimal": _EACH,
    "date": _EACH,
    "decoding": _JSON,
    "match": _EACH,
    "missing": _WORDS,
    "drop": _LIST,
    **dict.fromkeys(("overwrite", "trust", "allow_urls", "force"), _FLAG),
    **dict.fromkeys(_SINGLE.split(), _ONE),
}
_SHARE = re.compile(r"0?\.\d+")
_OPTION = re.compile(rf"`({'|'.join(OPTIONS)})(?: ([^`]+))?`")


def for_shell(text: str) -> str:
    """A message with its options as a shell takes them."""
    return _OPTION.sub(lambda found: _dashed(found[1], found[2]), text)


def for_python(text: str) -> str:
    """A message with its options as functions take them."""
    return _OPTION.sub(lambda found: _argument(found[1], found[2]), text)


def _dashed(name: str, argument: str | None) -> str:
    option = f"--{name.replace('_', '-')}"
    if argument is None:
        return option
    return f"{option}{'=' if argument.startswith('-') else ' '}{shlex.quote(argument)}"


def _argument(name: str, argument: str | None) -> str:
    called, form = OPTIONS[name]
    if not form:
        return f"{name}=True"
    if argument is None:
        return called or name
    column, _, word = argument.partition("=") if form == _JSON[1] else argument.rpartition("=")
    whole = argument.isdecimal()
    number = float(argument) if _SHARE.fullmatch(argument) else argument
    return form.format(
        name=called or name,
        column=column or "*",
        word=word,
        all=int(argument) if whole else number,
    )
