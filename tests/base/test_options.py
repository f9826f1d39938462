"""Options in messages, as a shell and as Python take them."""

from __future__ import annotations

import pytest

from polymodal.base.errors import UserError
from polymodal.base.options import OPTIONS, for_python, for_shell


@pytest.mark.parametrize(
    ("text", "shell", "python"),
    [
        ("`kind price=text`", "--kind price=text", "kinds={'price': 'text'}"),
        ("`kind a=b=set`", "--kind a=b=set", "kinds={'a=b': 'set'}"),
        ("`drop it's mine`", "--drop 'it'\"'\"'s mine'", "drop=[\"it's mine\"]"),
        ("`decimal Preis (€)=,`", "--decimal 'Preis (€)=,'", "decimal={'Preis (€)': ','}"),
        ("`missing n=-1`", "--missing n=-1", "missing={'n': ['-1']}"),
        ("`missing ?`", "--missing '?'", "missing={'*': ['?']}"),
        ("`decoding a.top_k=3`", "--decoding a.top_k=3", "decoding={'a.top_k': 3}"),
        ("`decoding a=[\"=\"]`", "--decoding 'a=[\"=\"]'", "decoding={'a': [\"=\"]}"),
        ("`group -x`", "--group=-x", "group='-x'"),
        ("`max_bad_rows 7`", "--max-bad-rows 7", "max_bad_rows=7"),
        ("a longer `budget`", "a longer --budget", "a longer budget"),
        ("overrule it: `kind`", "overrule it: --kind", "overrule it: kinds"),
        ("`overwrite` it", "--overwrite it", "overwrite=True it"),
        ("`allow_urls`", "--allow-urls", "allow_urls=True"),
        # What is no option stays as it is.
        ("`evaluate`, `list x`", "`evaluate`, `list x`", "`evaluate`, `list x`"),
        ("`unkind x`", "`unkind x`", "`unkind x`"),
    ],
)  # fmt: skip
def test_an_option_is_written_for_whoever_reads_it(text: str, shell: str, python: str) -> None:
    assert for_shell(text) == shell
    assert for_python(text) == python


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_option_is_one_of_a_command(name: str) -> None:
    from typer.main import get_command

    from polymodal.cli.main import app

    flags = {
        flag
        for command in get_command(app).commands.values()
        for parameter in command.params
        for flag in parameter.opts
    }
    assert for_shell(f"`{name}`") in flags


def test_an_error_says_both() -> None:
    error = UserError("It fails", do="leave it out: `drop my column`")
    assert "drop=['my column']" in str(error)
    assert "--drop 'my column'" in error.for_shell()
    assert str(error).splitlines()[0] == error.for_shell().splitlines()[0] == "It fails."
