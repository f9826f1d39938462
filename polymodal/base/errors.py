"""Errors that say what happened, what was expected, what was received and what to do."""

from __future__ import annotations

from polymodal.base.options import for_python, for_shell

# Characters of each part of a message.
LONGEST = 2000


class PolymodalError(Exception):
    """Base of every error raised on purpose; `exit_code` is the command line's answer."""

    exit_code = 1

    def for_shell(self) -> str:
        """What is said on the command line, with options as a shell takes them."""
        return str(self)


class UserError(PolymodalError):
    """The user's input is at fault. The command line prints it without a traceback, exit code 2.

    Args:
        what: what happened, one sentence ("Column 'lable' does not exist in train.csv").
        expected: what would have been accepted.
        got: what was received instead.
        do: the next thing to do, as concrete as possible (a command, an option, a nearest
            match). Options stand in backquotes with their argument, as `base.options` says: who
            reads it may have called a function or typed a command.
    """

    exit_code = 2

    def __init__(self, what: str, *, expected: str = "", got: str = "", do: str = "") -> None:
        what, expected, got, do = (_shortened(text) for text in (what, expected, got, do))
        self.what, self.expected, self.got, self.do = what, expected, got, do
        super().__init__(for_python(self._told()))

    def for_shell(self) -> str:
        return for_shell(self._told())

    def _told(self) -> str:
        lines = [self.what.rstrip(".") + "."]
        lines += [
            f"  {label:<9} {text}"
            for label, text in (
                ("expected:", self.expected),
                ("got:", self.got),
                ("do:", self.do),
            )
            if text
        ]
        return "\n".join(lines)


def _shortened(text: str) -> str:
    """A part of a message in which somebody's cell or file stands may be a book."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 200]} ... {text[-190:]}"


class MissingExtra(UserError):
    """An optional dependency is not installed; the message is the pip command that adds it."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package '{package}', which is not installed",
            do=f"pip install 'polymodal[{extra}]'",
        )
