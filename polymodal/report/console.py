"""What a fit shows while it works, on standard error; results go to standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table as Grid
from rich.text import Text

from polymodal.base.options import for_python, for_shell
from polymodal.base.spelling import inert
from polymodal.checks.check import Report
from polymodal.contract.answers import CONSTANT
from polymodal.contract.form import Form
from polymodal.contract.recipe import Member
from polymodal.contract.task import Task as Aim
from polymodal.report import poor
from polymodal.report.sentences import SAME, made_of, pretrained
from polymodal.report.words import Plain, counted, span, written
from polymodal.run.run import Run
from polymodal.table.read import Table
from polymodal.table.schema import Schema
from polymodal.train.learned import Learned

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


@contextmanager
def bar(stream: TextIO) -> Iterator[Callable[[str, int, int], None]]:
    """A bar that moves while one thing after another is done: what it is, how much, of how much.

    Where nobody watches, a line every while.
    """
    console = _Inert(file=stream, highlight=False, emoji=False)
    columns = TextColumn("  {task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    last, quiet = time.monotonic(), not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as own:
        shown: dict[str, Any] = {}

        def tell(what: str, done: int, of: int) -> None:
            nonlocal last
            if what not in shown:
                shown[what] = own.add_task(what, total=of)
            own.update(shown[what], completed=done, total=of)
            if quiet and time.monotonic() - last > LINE_SECONDS:
                last = time.monotonic()
                console.print(f"  {what}: {done:,} of {of:,} rows", markup=False)

        yield tell


class Show:
    """Tables, bars and lines of a fit.

    Args:
        stream: where to write; None: nothing is shown.
        shell: whether who reads it has typed a command; else, called a function.
    """

    def __init__(self, stream: TextIO | None, shell: bool = False) -> None:
        self.written = for_shell if shell else for_python
        self.console = _Inert(
            file=stream or sys.stderr, quiet=stream is None, highlight=False, emoji=False
        )
        self.progress: Progress | None = None
        self.name: str | None = None
        self.task: Any = None
        self.last_line = 0.0
        self.begun = self.since = time.monotonic()
        self.phase = ""
        self.took: dict[str, float] = {}

    def __enter__(self) -> Show:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is drawn any more, whatever comes: an error is printed below what stands."""
        self._end()

    @classmethod
    def silent(cls) -> Show:
        return cls(None)

    def schema(self, schema: Schema, table: Table, named: Mapping[str, Aim] | None = None) -> None:
        """The columns of a table, and how many rows have a target.

        Args:
            named: target -> the task that is asked for, where it is not its kind's default.
        """
        from polymodal.table.infer import describe

        # Texts: in a plain string rich takes "[kg]" for markup.
        rows = counted(len(table), "row") + _with_targets(schema, table, named or {})
        title = Text(f"{table.source}: {rows}")
        grid = Grid(title=title, title_justify="left")
        for heading in ("column", "use", "kind", "why"):
            grid.add_column(heading, overflow="fold")
        # No input of a model, and of a task all the same.
        learned = {own: name for name, task in (named or {}).items() for own in task.withheld}
        for row in describe(schema, table):
            if row[0] in learned:
                row = (row[0], "target", "", f"learned with '{learned[row[0]]}', read by no model")
            grid.add_row(*[Text(inert(self.written(str(cell)))) for cell in row])
        self.console.print(grid)
        advice = self.written("Wrong? Overrule it: `kind COLUMN=KIND`, or `drop COLUMN`.")
        self.console.print(f"{advice}\n", markup=False)

    def findings(self, report: Report) -> None:
        for line in report.lines(self.written):
            self.console.print(line, markup=False)

    def sample(self, name: str, read: str | None) -> None:
        """A row as a decoder reads it before it writes a target."""
        if read is not None:
            head = f"'{name}' is written after this, of a row (《a medium》, ⟦what is learned⟧):"
            self.console.print(f"{head}\n{read}", markup=False)

    def doing(self, what: str, phase: str) -> None:
        """What is being done from now on; `phase` is what its time is counted as in the end."""
        self._end()
        now = self._clocked(phase)
        if self.console.quiet:
            return
        if self.console.is_terminal:
            description = TextColumn("  {task.description} ...", markup=False)
            self.progress = Progress(
                description, TimeElapsedColumn(), console=self.console, transient=True
            )
            self.progress.add_task(what, total=None)
            self.progress.start()
        elif now - max(self.last_line, self.begun) > LINE_SECONDS:
            self.last_line = now
            self.console.print(f"  {what} ...", markup=False)

    def plan(
        self, members: Sequence[Member], train: int, valid: int, folds: int, sure: bool = True
    ) -> None:
        """What is to be trained, and on what.

        Args:
            train, valid: rows with a target.
            sure: whether all of it will be done, however long it takes.
        """
        how = f"{folds}-fold cross-validation" if folds else counted(valid, "validation row")
        models, rows = counted(len(members), "model"), counted(train, "training row")
        if folds:
            rows = counted(train, "row")
        planned = "" if sure else "Planned, as far as the budget goes: "
        self._end()
        self.console.print(f"\n{planned}{models} on {rows}, {how}.")

    def lineage(self, parent: Mapping[str, Any]) -> None:
        """What starts from the parent, and what does not."""
        started, left = parent["started"], parent["left"]
        names = ", ".join(n if n == old else f"{n} (its {old})" for n, old in started.items())
        rest = f" {len(left)} not taken over:" if left else ""
        lines = [f"From {parent['run']}: {counted(len(started), 'modality')}: {names}.{rest}"]
        for line in [*lines, *(f"  {name}: {why}" for name, why in left.items())]:
            self.console.print(line, markup=False)

    def held_out(self, folds: int, valid: int) -> None:
        """That folds gave way to one split."""
        self._end()
        rows = counted(valid, "row")
        self.console.print(
            f"  The budget is too short for {folds} folds: {rows} are held out instead."
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
        instead = f", and so does `valid 0.15` instead of {folds} folds" * (folds > 0)
        what = f"{counted(models, 'model')} skipped within {budget:.0f} s"
        advice = self.written(f"a longer `budget` trains more{instead}")
        self.console.print(f"{what}: {advice}.", markup=False)

    def trained(self, member: str, facts: dict[str, Any]) -> None:
        self._end()
        steps = ""
        if "steps" in facts:
            steps = f", {counted(facts['steps'], 'step')} in {facts['precision']}"
            steps += ", from the encoders of those before" * bool(facts.get("begun"))
        self.console.print(f"  {member}: {facts['seconds']:.1f} s{steps}", markup=False)
        # What learns is a choice where something is frozen, or could be.
        if (told := facts.get("learned")) and (told["still"] or told["tuning"]):
            self.console.print(f"    {Learned(**told).sentence()}", markup=False)

    def done(self, run: Run, seconds: float) -> None:
        self._end()
        self.console.print(leaderboard(run))
        for line in poor.validated(run):
            self.console.print(f"warning: {self.written(line)}.\n", markup=False)
        where = f" Saved in {run.folder}." if run.folder else ""
        self._clocked("")
        took = ", ".join(f"{name} {t:.0f} s" for name, t in self.took.items() if name and t >= 0.5)
        parts = f" ({took})" if took else ""
        self.console.print(f"Done in {seconds:.0f} s{parts}.{where}", markup=False)

    def _clocked(self, phase: str) -> float:
        """Begin a phase, and count the time of the one before; what time it is."""
        now = time.monotonic()
        self.took[self.phase] = self.took.get(self.phase, 0.0) + now - self.since
        self.phase, self.since = phase, now
        return now

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
        parts += [
            _board(run, target),
            Text(_order(run, target), style="dim"),
            Text(made_of(Plain(run.composition(target))) + "\n"),
        ]
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


def _order(run: Run, target: str) -> str:
    """By what the leaderboard's lines are sorted, and by what the fused model was chosen."""
    lines = [line for line in run.leaderboard if line["target"] == target]
    metric, chosen = lines[0]["metric"], run.tasks[target].chosen_by
    order = f"Fused model, single modalities, constant, all models; each sorted by {metric}."
    if chosen == metric:
        return f"{order} The fused model was chosen by {metric} too."
    sign = 1 if lines[0]["greater_is_better"] else -1
    fused = sign * lines[0]["value"]
    better = any(sign * line["value"] > fused for line in lines[1:])
    below = f": a line below it has a better {metric}, and a worse {chosen}" if better else ""
    return f"{order} The fused model was chosen by {chosen}{below}."


def _with_targets(schema: Schema, table: Table, named: Mapping[str, Aim]) -> str:
    """How many rows have a target, if some have none."""
    if not schema.targets:
        return ""
    known = np.zeros(len(table), bool)
    for target in schema.targets:
        if target.name in named:
            known |= [named[target.name].is_known(cell) for cell in table.cells(target.name)]
        else:
            known |= table.data.column(target.name).is_valid().to_numpy()
    which = f"'{schema.targets[0].name}'" if len(schema.targets) == 1 else "a target"
    return "" if known.all() else f", {int(known.sum()):,} of them with {which}"


def label(line: dict[str, Any]) -> str:
    """What a line of the leaderboard is of; of a combination of one member, that one too."""
    name, members = line["name"], list(line["members"])
    label = {"rival": f"only {name}", CONSTANT: SAME}.get(line["role"], name)
    alone = line["role"] in COMBINED and len(members) == 1
    return f"{label} = {members[0]}" if alone and members[0] not in (name, label) else label
