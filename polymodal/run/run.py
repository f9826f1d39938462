"""A Run: a pipeline and the facts of how it came about; tables are predicted through the cache."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.checks import seen
from polymodal.checks.seen import Seen
from polymodal.contract.form import Form
from polymodal.contract.recipe import Recipe
from polymodal.contract.task import Answers, Task
from polymodal.contract.writing import Said
from polymodal.metrics.alignment import unit
from polymodal.prepared import targets as encoding
from polymodal.prepared.cache import usable_folder
from polymodal.prepared.index import CacheError
from polymodal.prepared.prepare import Prepared
from polymodal.run import frames, writing
from polymodal.run.pipeline import Pipeline, Trained
from polymodal.run.presence import Encoded
from polymodal.run.rows import answering, whole
from polymodal.run.scored import key_of, missing, remembered, versions
from polymodal.run.standing import Present
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import FUSED, Schema


@dataclass(repr=False)
class Run:
    """A trained, combined model and what is known of it.

    Attributes:
        pipeline: the model itself, which needs no disk.
        recipe: resolved.
        leaderboard: validation scores: of each target the fused model, its rivals, the constant
            (always the same answer) and the members, each of these best first.
        ledger: what became of every row.
        origin: where it comes from: "source" (the table), "date", "rows", "types" (target -> the
            type of its cells), "classes" (target -> class -> rows), "pretrained" (name, package,
            licence, "knows" and "reads", the modalities, of each pretrained model).
        seen: hashes of the rows that it was trained or validated on, or None.
        attempts: what became of every model that the fit planned (`metrics.doubts.Attempt`).
        folder: where it is saved, or None.
    """

    pipeline: Pipeline
    recipe: Recipe
    leaderboard: list[dict[str, Any]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    seen: Seen | None = None
    folder: Path | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        """In a line: what it predicts from what, how well, and where it is kept."""
        where = "not saved" if self.folder is None else f"saved in {self.folder}"
        rows = f", {self.origin['rows']:,} rows" if self.origin else ""
        what = ", ".join(f"{n} ({told})" if told else n for n, told in self._validated().items())
        return f"<Run: {what} from {', '.join(self.schema.modalities())}{rows}; {where}>"

    def _repr_html_(self) -> str:
        """For notebooks: that line and the leaderboard."""
        chosen = "Of validation rows, by which models were chosen: expect less on others."
        heads = ("target", "model", "metric", "value", "low", "high", "parameters", "seconds")
        keys = ("target", "name", "metric", "value", "low", "high", "parameters", "seconds")
        return frames.html(
            f"{self!r} {chosen}", heads, [[line[key] for key in keys] for line in self.leaderboard]
        )

    def _validated(self) -> dict[str, str]:
        """Target -> the fused model's score of the validation rows, in words."""
        scores = {
            line["target"]: f"validated at {line['metric']} {frames.figure(line['value'])}"
            for line in self.leaderboard
            if line["role"] == "fused"
        }
        return {name: scores.get(name, "") for name in self.tasks}

    @property
    def schema(self) -> Schema:
        return self.pipeline.schema

    @property
    def forms(self) -> list[Form]:
        return self.pipeline.forms

    @property
    def tasks(self) -> dict[str, Task]:
        return self.pipeline.tasks

    @property
    def members(self) -> dict[str, Trained]:
        return self.pipeline.members

    @property
    def weights(self) -> dict[str, dict[str, dict[str, float]]]:
        return self.pipeline.weights

    # -- new rows ---------------------------------------------------------------------------

    def predict(
        self,
        source: Any,
        *,
        max_bad_rows: int = 0,
        absent: str | Collection[str] = (),
        ledger: Ledger | None = None,
        interval: float | None = None,
    ) -> Any:
        """Predictions for a table of new rows; of a single row, see `predict_row`.

        Args:
            source: anything that `read` takes; a mapping is one of columns to lists of cells, and
                in a list of rows a column that is left out is missing. Cells that no member of the
                fused model reads are not opened.
            max_bad_rows: cells of a modality that may be unreadable; they count as missing.
            absent: modalities to ignore.
            ledger: where rows with cells that are cut or count as missing are noted; without one
                Python warns of what may not be meant so: cells that are no numbers, categories
                that were not learned, columns that the run does not know.
            interval: also say where the truth lies with this probability: of a number "target.low"
                and "target.high", of a class "target.set" (split-conformal, on validation rows).

        Raises:
            UserError: the table does not suit the run, or the run has no such modality to ignore.

        Returns:
            Columns of the predictions file, as `Pipeline.decoded` has them: of a DataFrame a
            DataFrame with its index, the predictions in the type of the target's own table (True
            and False, whole numbers, dates); of all else a dictionary of lists, as files spell it.
        """
        gone = self.pipeline.known(absent)
        cache = usable_folder()
        noted = Ledger() if ledger is None else ledger
        with answering(self.folder):
            asked = source
            if frames.are_rows(source):
                rows = whole(self.schema, source, noted)
                names = dict.fromkeys(name for row in rows for name in row)
                asked = [{name: row.get(name) for name in names} for row in rows]
            try:
                found = self._predicted(asked, max_bad_rows, gone, noted, cache, interval)
            except CacheError:
                # Full, locked or spoilt: whoever serves a model needs none.
                found = self._predicted(asked, max_bad_rows, gone, noted, None, interval)
            if ledger is None:
                noted.warn()
            if not frames.is_frame(source):
                return found
            return frames.framed(found, source, self.origin.get("types", {}))

    def _predicted(
        self,
        source: Any,
        max_bad_rows: int,
        gone: frozenset[str],
        ledger: Ledger,
        cache: Path | None,
        interval: float | None,
    ) -> dict[str, list[Any]]:
        table = self.pipeline.table(source, cache=cache, encoding=self.recipe.data.encoding)
        # One row is sooner computed than looked up.
        kept = cache if len(table) > 1 else None

        def score(members: Sequence[str], prepared: Encoded, rows: np.ndarray[Any, Any]) -> Any:
            return self.scores(prepared, rows, gone, kept, members)

        return self.pipeline.answered(
            table, ledger, gone, score, cache, interval, max_bad_rows=max_bad_rows
        )

    def predict_row(
        self,
        row: dict[str, Any],
        *,
        absent: str | Collection[str] = (),
        ledger: Ledger | None = None,
        interval: float | None = None,
    ) -> dict[str, Any]:
        """One new row's prediction; nothing is read or written but the media that it names.

        Args:
            row: column -> cell; a column that is left out is missing.
            absent: modalities to ignore.
            ledger, interval: as in `predict`.

        Raises:
            UserError: a column has nearly the name of an input that is lacking, or a cell does not
                suit its column.

        Returns:
            Each target's prediction under its name and, for classes, a probability under
            "target=class".
        """
        if not isinstance(row, Mapping):
            what, got = "A row is a mapping of columns to cells", f"{type(row).__name__} {row!r}"
            raise UserError(what, expected='{"COLUMN": VALUE, ...}', got=got[:200])
        with answering(self.folder):
            return self.pipeline.predict_row(row, absent=absent, ledger=ledger, interval=interval)

    def write(self, source: Any, *, target: str | None = None, **how: Any) -> list[list[Said]]:
        """Every row's texts, the best first: `run.write(rows, temperature=0.8, samples=3)`.

        Args:
            source: as of `predict`.
            target: what is written; None: the only target of texts.
            how: any of `nn.manner.Manner`: longest, beams, temperature, choices, schema, ...
        """
        with answering(self.folder):
            rows = writing.answerable(self.schema, source)
            return writing.write(self.pipeline, self.table(rows), target, how)

    def chat(self, messages: Sequence[Mapping[str, Any]], **how: Any) -> Said:
        """What a run that was fitted on conversations says next.

        Args:
            messages: `{"role", "content"}` each, as `table.chat` has them, the user's last.
            how: as of `write`.

        Raises:
            UserError: the run has learned no conversations, or none with so many media.
        """
        return self.write([writing.conversation(self.schema, messages)], **how)[0][0]

    def stream(self, row: Mapping[str, Any], **how: Any) -> Iterator[str]:
        """One row's text as it is written, part by part; `target` and others as of `write`."""
        return writing.stream(self.pipeline, row, how.pop("target", None), how)

    def embed(self, source: Any, *, max_bad_rows: int = 0) -> np.ndarray[Any, Any]:
        """Fused vectors `(rows, width)` of the strongest member that has them.

        Where a task has learned which modalities belong together, they are the means of a row's
        unit vectors, made unit vectors again; zeros where a row has nothing.
        """
        table = self.table(source)
        compared = next((name for name, task in self.tasks.items() if task.aligns), None)
        name = self.pipeline.embedder()
        if compared is not None:
            (name,) = self.weights[FUSED][compared]
        prepared = self.pipeline.encode(
            table, Ledger(), [name], usable_folder(), max_bad_rows=max_bad_rows
        )
        rows = np.arange(len(table))
        if compared is None:
            return self.pipeline.vectors(prepared, rows, name)
        answers = self.pipeline.score(name, prepared, rows, [()])[0][compared]
        return unit(unit(np.stack(list(answers))).sum(1))

    # -- its steps, remembered --------------------------------------------------------------

    def table(self, source: Any, *, require_targets: bool = False) -> Table:
        """Read a table, as the training table was written, and hold it against the schema."""
        cache, encoding = usable_folder(), self.recipe.data.encoding
        return self.pipeline.table(
            source, require_targets=require_targets, cache=cache, encoding=encoding
        )

    def targets(
        self, table: Table, ledger: Ledger | None = None, max_bad_rows: int = 0
    ) -> dict[str, Prepared]:
        """A table's encoded targets.

        Args:
            ledger: where media that cannot be read are noted, of which there may be so many.
        """
        options: dict[str, Any] = {"cache": usable_folder(), "max_bad_rows": max_bad_rows}
        noted = ledger or Ledger()
        return {
            name: encoding.of_table(task, table, self.schema, ledger=noted, **options)
            for name, task in self.tasks.items()
        }

    def prepare(self, table: Table, ledger: Ledger, **options: Any) -> list[Prepared]:
        """A table's cells in each of the run's forms, kept in the cache."""
        found = self.pipeline.encode(table, ledger, cache=usable_folder(), **options)
        return [found[i] for i in range(len(self.forms))]

    def scores(
        self,
        prepared: Encoded,
        rows: np.ndarray[Any, Any],
        absent: Collection[str] = (),
        cache: Path | None = None,
        members: Sequence[str] | None = None,
        targets: Mapping[str, Prepared] | None = None,
    ) -> dict[str, dict[str, Answers]]:
        """Member -> target -> one array of scores a row."""
        return self.scores_without(prepared, rows, [frozenset(absent)], cache, members, targets)[0]

    def scores_without(
        self,
        prepared: Encoded,
        rows: np.ndarray[Any, Any],
        absent: Sequence[frozenset[str]],
        cache: Path | None = None,
        members: Sequence[str] | None = None,
        targets: Mapping[str, Prepared] | None = None,
    ) -> list[dict[str, dict[str, Answers]]]:
        """`scores` for every set in `absent` of modalities to leave out, each encoded once.

        Args:
            cache: where scores are kept, so that they are not computed again; None: nowhere.
            members: all by default.
            targets: encoded, for answers that are to say how likely they were.
        """
        told = {n: t for n, t in (targets or {}).items() if self.tasks[n].told}
        found: list[dict[str, dict[str, Answers]]] = [{} for _ in absent]
        for name in self.members if members is None else members:
            own = self._sets_of(name, absent)
            compute = partial(self.pipeline.score, name, prepared, rows, targets=told)
            if cache is None:
                scored = compute(absent=own)
            else:
                scored = remembered(cache, self._key(name, prepared, rows, told), own, compute)
            for one, gone in zip(found, absent, strict=True):
                one[name] = scored[own.index(gone & frozenset(self.members[name].forms))]
        return found

    def unscored(
        self,
        prepared: Encoded,
        rows: np.ndarray[Any, Any],
        absent: Sequence[frozenset[str]],
        cache: Path | None,
        targets: Mapping[str, Prepared] | None = None,
    ) -> dict[str, list[frozenset[str]]]:
        """Member -> what of its modalities to leave out `scores_without` would have to compute."""
        if cache is None:
            return {name: self._sets_of(name, absent) for name in self.members}
        told = {n: t for n, t in (targets or {}).items() if self.tasks[n].told}
        return {
            name: missing(cache, self._key(name, prepared, rows, told), self._sets_of(name, absent))
            for name in self.members
        }

    def combine(
        self,
        scores: Any,
        who: str = FUSED,
        targets: Sequence[str] | None = None,
        present: Present | None = None,
    ) -> dict[str, Answers]:
        """Members' scores to one combination's; see `Pipeline.combine`."""
        return self.pipeline.combine(scores, who, targets, present)

    def present(
        self, table: Table, prepared: Encoded, absent: Collection[str] = ()
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Modality -> which rows have it; see `Pipeline.present`."""
        return self.pipeline.present(table, prepared, absent)

    def warnings(self, table: Table) -> list[str]:
        """What is wrong with measuring the run on a table, in words."""
        if self.seen is None:
            return []
        known = seen.again(table, self.schema, self.seen)
        return seen.said([*map(table.number, known.tolist())], len(table), table.source)

    def _sets_of(self, name: str, absent: Sequence[frozenset[str]]) -> list[frozenset[str]]:
        """Sets that differ in what a member does not read are one to it."""
        read = frozenset(self.members[name].forms)
        return list(dict.fromkeys(gone & read for gone in absent))

    def _key(
        self,
        name: str,
        prepared: Encoded,
        rows: np.ndarray[Any, Any],
        told: Mapping[str, Prepared],
    ) -> bytes:
        """Under which a member's scores are kept."""
        member = self.members[name]
        built = [member.spec.model_dump(), asdict(member.kernels), versions()]
        inputs = self.pipeline.inputs(name, prepared)
        # No modality has such a name.
        inputs |= {f"\0{target}": values for target, values in told.items()}
        return key_of(member.module, built, self.pipeline.asked(name), inputs, rows)

    # -- what it is made of -----------------------------------------------------------------

    def shares(self) -> dict[str, float]:
        """The fused model's members, and the shares of each in all targets together."""
        return self.pipeline.shares()

    def composition(self, target: str) -> dict[str, dict[str, Any]]:
        """The fused model's members: their share in it and the modalities that they read."""
        return {
            name: {"share": share, "modalities": list(self.members[name].spec.modalities)}
            for name, share in self.weights[FUSED][target].items()
        }
