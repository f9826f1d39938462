"""What a fit shows while it works, on standard error; results go to standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table as Grid
from rich.text import Text

from polymodal.base.spelling import inert
from polymodal.checks.check import Report
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member
from polymodal.report.sentences import SAME, made_of, pretrained
from polymodal.report.words import Plain, counted, span, written
from polymodal.run.run import Run
from polymodal.table.read import Table
from polymodal.table.schema import CONSTANT, Schema

# Without a terminal, one line this often instead of a moving bar.
LINE_SECONDS = 15.0
# Beside figures of the rows by which models were chosen.
OPTIMISM = (
    "These rows chose steps, weights and the best of the models: expect less on others. What a "
    "model is worth, `evaluate` says on a test table."
)
# Roles of the leaderboard's lines that are of combinations.
COMBINED = ("fused", "rival")


class _Rate(ProgressColumn):
    """Steps or cells per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="cyan")


class _Inert(Console):
    """A console on which names of columns, classes and files move and colour nothing."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_name = segment.control is None
            yield Segment(inert(segment.text), segment.style) if is_name else segment


class Show:
    """Tables, bars and lines of a fit.

    Args:
        stream: where to write; None: nothing is shown.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.console = _Inert(
            file=stream or sys.stderr, quiet=stream is None, highlight=False, emoji=False
        )
        self.progress: Progress | None = None
        self.name: str | None = None
        self.task: Any = None
        self.last_line = 0.0

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is drawn any more, whatever comes: an error is printed below what stands."""
        self._end()

    @classmethod
    def silent(cls) -> Show:
        return cls(None)

    def schema(self, schema: Schema, table: Table) -> None:
        from polymodal.table.infer import describe

        # Texts: in a plain string rich takes "[kg]" for markup.
        title = Text(f"{table.source}: {counted(len(table), 'row')}")
        grid = Grid(title=title, title_justify="left")
        for heading in ("column", "use", "kind", "why"):
            grid.add_column(heading, overflow="fold")
        for row in describe(schema, table):
            grid.add_row(*[Text(str(cell)) for cell in row])
        self.console.print(grid)
        self.console.print("Wrong? Overrule it: `kind` COLUMN=KIND, or `drop` COLUMN.\n")

    def findings(self, report: Report) -> None:
        for line in report.lines():
            self.console.print(line, markup=False)

    def plan(self, members: Sequence[Member], train: int, valid: int, folds: int) -> None:
        how = f"{folds}-fold cross-validation" if folds else counted(valid, "validation row")
        models, rows = counted(len(members), "model"), counted(train, "training row")
        self.console.print(f"\n{models} on {rows}, {how}.")

    def held_out(self, folds: int, valid: int) -> None:
        """That folds gave way to one split."""
        self._end()
        rows = counted(valid, "row")
        self.console.print(
            f"  {folds} folds would not be done in the budget: {rows} are held out instead."
        )

    def preparing(self, name: str, form: Form) -> Callable[[int, int], None]:
        """A callback for (cells done, of how many) of one column."""
        label = f"prepare {name} ({type(form).__name__.lower()})"

        def report(done: int, of: int) -> None:
            self._advance(label, done, of, "")

        return report

    def step(self, member: str, step: int, of: int, loss: float) -> None:
        self._advance(f"train {member}", step, of, f"loss {loss:.3f}")

    def skipped(self, member: str, why: str) -> None:
        self._end()
        self.console.print(f"  {member}: skipped, {why}", markup=False)

    def too_short(self, models: int, budget: float, folds: int) -> None:
        """What to do about models that were skipped."""
        self._end()
        instead = f", and so does `data: {{valid: 0.15}}` instead of {folds} folds" * (folds > 0)
        self.console.print(
            f"{counted(models, 'model')} skipped within {budget:.0f} s: "
            f"a longer `budget` trains more{instead}.",
            markup=False,
        )

    def trained(self, member: str, facts: dict[str, Any]) -> None:
        self._end()
        steps = ""
        if "steps" in facts:
            steps = f", {counted(facts['steps'], 'step')} in {facts['precision']}"
        self.console.print(f"  {member}: {facts['seconds']:.1f} s{steps}", markup=False)

    def done(self, run: Run, seconds: float) -> None:
        self._end()
        self.console.print(leaderboard(run))
        where = f" Saved in {run.folder}." if run.folder else ""
        self.console.print(f"Done in {seconds:.0f} s.{where}", markup=False)

    def _advance(self, label: str, done: int, of: int, note: str) -> None:
        if self.console.quiet:
            return
        if not self.console.is_terminal:
            now = time.monotonic()
            if now - self.last_line > LINE_SECONDS:
                self.last_line = now
                self.console.print(f"  {label}: {done:,}/{of:,} {note}", markup=False)
            return
        if self.name != label:
            self._end()
            self.name = label
            self.progress = Progress(
                TextColumn("  {task.description}", markup=False),
                BarColumn(),
                _Rate(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self.task = self.progress.add_task(label, total=of, note=note)
            self.progress.start()
        assert self.progress is not None
        self.progress.update(self.task, completed=done, total=of, note=note)

    def _end(self) -> None:
        if self.progress is not None:
            self.progress.stop()
        self.progress = self.name = None


def leaderboard(run: Run) -> Group:
    """Validation scores of every target's models, and what its fused model is made of."""
    parts: list[Grid | Text] = []
    for target in run.tasks:
        parts += [_board(run, target), Text(made_of(Plain(run.composition(target))) + "\n")]
    if said := pretrained(Plain(run.origin), "pretrained"):
        parts.append(Text(said + "\n"))
    parts.append(Text(OPTIMISM + "\n", style="dim"))
    return Group(*parts)


def _board(run: Run, target: str) -> Grid:
    lines = [line for line in run.leaderboard if line["target"] == target]
    title = f"{target}: {lines[0]['metric']} on validation rows (95 % intervals)"
    grid = Grid(title=Text(title), title_justify="left")
    # On a narrow screen names are broken, between their modalities if that will do: never figures.
    grid.add_column("model", overflow="fold")
    grid.add_column("value", justify="right", no_wrap=True)
    grid.add_column("interval", no_wrap=True)
    for heading in ("parameters", "seconds"):
        grid.add_column(heading, justify="right", no_wrap=True)
    combined = [line["members"] for line in lines if line["role"] in COMBINED]
    for line in lines:
        # Of a combination of one member, that member's line would say the same again.
        if line["role"] == "member" and line["members"] in combined:
            continue
        grid.add_row(
            Text(label(line).replace("+", " + ")),
            written(line["value"]),
            Text(span(line)),
            f"{line['parameters']:,}",
            f"{line['seconds']:.1f}",
            style={"fused": "bold", "rival": None}.get(line["role"], "dim"),
        )
    return grid


def label(line: dict[str, Any]) -> str:
    """What a line of the leaderboard is of; of a combination of one member, that one too."""
    name, members = line["name"], list(line["members"])
    label = {"rival": f"only {name}", CONSTANT: SAME}.get(line["role"], name)
    alone = line["role"] in COMBINED and len(members) == 1
    return f"{label} = {members[0]}" if alone and members[0] not in (name, label) else label
