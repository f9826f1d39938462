"""A trained model without a disk: rows of cells in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.base import lookup
from polymodal.base.devices import device, device_of, one_thread
from polymodal.base.errors import UserError
from polymodal.contract import named
from polymodal.contract.form import Form
from polymodal.contract.predictor import Predictor
from polymodal.contract.recipe import Member
from polymodal.contract.task import Answers, Task
from polymodal.metrics.conformal import Strangeness
from polymodal.prepared import targets as encoding
from polymodal.prepared.collate import Collator
from polymodal.prepared.prepare import Prepared, prepare
from polymodal.run import patterns, regions
from polymodal.run.presence import Encoded, presence, spread, to_ignore
from polymodal.run.rows import ignored, strange, told, whole
from polymodal.run.standing import Present, Standing
from polymodal.table.infer import validate
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table, read
from polymodal.table.schema import FUSED, Schema
from polymodal.train.kernels import Kernels
from polymodal.train.loop import predict_without, unanswered

# (members, prepared, rows) -> member -> target -> one array of scores a row.
Scorer = Callable[[Sequence[str], Encoded, np.ndarray[Any, Any]], Any]


@dataclass
class Trained:
    """A member with its weights.

    Attributes:
        spec: its part of the recipe.
        module: ready to predict.
        forms: modality -> position in the pipeline's list of forms.
        kernels: how it is computed.
        facts: parameters (all numbers that the module holds), seconds of training, steps and so on.
    """

    spec: Member
    module: Predictor
    forms: dict[str, int]
    kernels: Kernels = field(default_factory=Kernels)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Pipeline:
    """A trained, combined model: cells in, answers out.

    It keeps nothing between two calls, writes nothing, and reads only the media that cells name.
    Modules are put where `device()` says and are in evaluation mode: threads may share it.

    Attributes:
        schema: the columns that it reads and predicts.
        forms: fitted; members share them.
        shapes: of each form's arrays (`Prepared.shape`), which later cells must match.
        tasks: target -> fitted task.
        members: every trained member that some combination uses, and every fusion to be compared.
        weights: "fused" (the model) or a modality (its rival) -> target -> member -> share.
        partial: set of present modalities -> target -> member, or "constant" -> share: what
            answers in the fused model's place where a row lacks what that reads. Chosen on
            validation rows that had no more than this set.
        held_out: target -> None for the fused model, or a set of `partial`, or the empty set for
            the constant -> how strange the truth was to it in validation rows.
    """

    schema: Schema
    forms: list[Form]
    shapes: list[tuple[int, ...]]
    tasks: dict[str, Task]
    members: dict[str, Trained]
    weights: dict[str, dict[str, dict[str, float]]]
    partial: dict[frozenset[str], dict[str, dict[str, float]]] = field(default_factory=dict)
    held_out: dict[str, dict[frozenset[str] | None, Strangeness]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.members.values():
            member.module.to(device()).eval()

    # -- cells in, answers out --------------------------------------------------------------

    def predict(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        absent: str | Collection[str] = (),
        max_bad_rows: int = 0,
        ledger: Ledger | None = None,
        interval: float | None = None,
    ) -> dict[str, list[Any]]:
        """Predictions for some rows.

        Args:
            rows: column -> cell each; a column that is left out is missing. Relative paths of
                media start from the current folder.
            absent: modalities to ignore.
            max_bad_rows: cells of a modality that may be unreadable; they count as missing.
            ledger: where rows with cells that are cut or count as missing are noted; without one
                Python warns of what may not be meant so.
            interval: also say where the truth lies with this probability (`Task.region`).

        Raises:
            UserError: a column has nearly the name of an input that its row lacks, a cell does not
                suit its column or cannot be read, or there is no such modality to ignore.

        Returns:
            Columns of predictions, as `decoded` has them.
        """
        gone = self.known(absent)

        def score(members: Sequence[str], prepared: Encoded, positions: Any) -> Any:
            return {name: self.score(name, prepared, positions, [gone])[0] for name in members}

        noted = Ledger() if ledger is None else ledger
        table = self.table(whole(self.schema, rows, noted))
        options: dict[str, Any] = {"interval": interval, "max_bad_rows": max_bad_rows}
        found = self.answered(table, noted, gone, score, **options)
        if ledger is None:
            noted.warn()
        return found

    def answered(
        self,
        table: Table,
        ledger: Ledger,
        gone: Collection[str],
        score: Scorer,
        cache: Path | None = None,
        interval: float | None = None,
        **options: Any,
    ) -> dict[str, list[Any]]:
        """A table's predictions; only the rows that lack something are asked of further members.

        Args:
            gone: modalities to ignore.
            score: how members score rows, without these modalities.
            interval: as `predict` takes it.
            cache, options: as `encode` takes them.
        """
        told(self.tasks, table)
        ignored(self.schema, table.names, ledger)
        prepared = self.encode(table, ledger, used := self.used(), cache, **options)
        scores = score(used, prepared, np.arange(len(table)))
        present = self.present(table, prepared, gone)
        standing = self.standing()
        rows, names = standing.further(present)
        if names:
            # What the first forms could not read either has been counted and noted already.
            own = self.encode(
                table.take(rows), Ledger(), names, cache, **options | {"max_bad_rows": len(rows)}
            )
            for name, found in score(names, own, np.arange(len(rows))).items():
                scores[name] = {t: spread(values, rows, len(table)) for t, values in found.items()}
        combined = self.combine(scores, present=present, standing=standing)
        return self.decoded(table, combined, present, interval)

    def predict_row(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """One row's prediction under its target's name and, for classes, every probability.

        Args:
            options: as of `predict`.
        """
        with one_thread():
            found = self.predict([row], **options)
        return {name: values[0] for name, values in found.items() if name != "row"}

    # -- its steps --------------------------------------------------------------------------

    def table(
        self,
        source: Any,
        *,
        require_targets: bool = False,
        cache: Path | None = None,
        encoding: str | None = None,
    ) -> Table:
        """Read a table and hold it against the schema."""
        table = read(source, cache=cache, encoding=encoding)
        return validate(self.schema, table, require_targets=require_targets)

    def encode(
        self,
        table: Table,
        ledger: Ledger,
        members: Iterable[str] | None = None,
        cache: Path | None = None,
        **options: Any,
    ) -> dict[int, Prepared]:
        """A table's cells in the forms that some members read, by the form's position.

        Args:
            ledger: where rows with cells that are cut or count as missing are noted.
            members: all by default.
            cache: where arrays are kept, so that they are not made again; None: nowhere.
            options: further ones of `prepare`.
        """
        names = self.members if members is None else members
        modality_of = {i: name for n in names for name, i in self.members[n].forms.items()}
        grouped = self.schema.modalities()
        strange(table, [self.forms[i] for i in modality_of], ledger)
        return {
            i: prepare(
                table,
                grouped[modality_of[i]],
                self.forms[i],
                cache=cache,
                ledger=ledger,
                shape=self.shapes[i],
                **options,
            )
            for i in sorted(modality_of)
        }

    def score(
        self,
        name: str,
        prepared: Encoded,
        rows: np.ndarray[Any, Any],
        absent: Sequence[Collection[str]],
        targets: Mapping[str, Prepared] | None = None,
    ) -> list[dict[str, Answers]]:
        """A member's scores for every set in `absent` of modalities to leave out.

        Args:
            targets: encoded, for tasks whose answers are to say how likely they were (`told`).

        Returns:
            For each set: target -> one array of scores a row.
        """
        member = self.members[name]
        own_targets = {n: t for n, t in (targets or {}).items() if self.tasks[n].told}
        collator = Collator(self.inputs(name, prepared), own_targets)
        own = [frozenset(gone) & frozenset(member.forms) for gone in absent]
        with lookup.blaming(lambda: named.names(member.spec.model_dump())):
            found = predict_without(member.module, self.asked(name), collator, rows, absent=own)
        for scores in found:
            if bad := unanswered(scores):
                raise UserError(
                    f"The model '{name}' has no answer to {len(bad)} of {len(rows)} rows",
                    expected="finite numbers",
                    got=f"others, first in row {rows[bad[0]]}",
                    do="look at that row's numbers; if they are ordinary, fit again",
                )
        return found

    def combine(
        self,
        scores: Mapping[str, Mapping[str, Answers]],
        who: str = FUSED,
        targets: Sequence[str] | None = None,
        present: Present | None = None,
        standing: Standing | None = None,
    ) -> dict[str, Answers]:
        """Members' scores to one combination's: the fused model's, or a unimodal rival's.

        Args:
            targets: some of the rival's; all by default.
            present: what the rows have, as `present` says it: rows that lack what the fused model
                reads are answered by what was validated for that. None: they have all.
            standing: who answers these, where the caller knows it.
        """
        found: dict[str, Answers] = {
            target: self.tasks[target].merge({m: scores[m][target] for m in shares}, shares)
            for target, shares in self.weights[who].items()
            if targets is None or target in targets
        }
        if who == FUSED and present is not None:
            standing = standing or self.standing()
            for target in found:
                found[target] = standing.mended(target, found[target], scores, present)
        return found

    def standing(self) -> Standing:
        """Who answers rows that lack something."""
        shares = self.weights[FUSED]
        forms = {name: frozenset(member.forms) for name, member in self.members.items()}
        reads = {t: frozenset().union(*(forms[m] for m in own)) for t, own in shares.items()}
        return Standing(self.tasks, shares, reads, self.partial, list(self.schema.modalities()))

    def present(
        self, table: Table, prepared: Encoded, gone: Collection[str] = ()
    ) -> dict[str, Any]:
        """Which rows of a table have which modality, and are not to ignore it.

        A cell that could not be read is missing; of what is not prepared, what is empty.
        """
        return presence(
            self.schema, [t.forms for t in self.members.values()], table, prepared, gone
        )

    def regions(
        self, target: str, combined: Answers, level: float, present: Present | None = None
    ) -> np.ndarray[Any, Any]:
        """How strange the truth may be to each answer: see `regions.limits`."""
        known = self.held_out.get(target)
        return regions.limits(target, len(combined), level, known, self.standing(), present)

    def decoded(
        self,
        table: Table,
        combined: Mapping[str, Answers],
        present: Present | None = None,
        interval: float | None = None,
    ) -> dict[str, list[Any]]:
        """Columns of the predictions file, from one combination's scores of a table's rows.

        What names a row stands first: its number under "row", its group and the columns that only
        identify rows, where the table has them and no prediction has their name. Then per target
        the prediction under its name and, for classes, a probability under "target=class". Last,
        where some row lacks a modality, stands what each row lacks, under "missing".

        Args:
            present: what the rows have, as `present` says it; None: all.
            interval: also say where the truth lies with this probability, as `Task.region` does.
        """
        found: dict[str, list[Any]] = {}
        for target, task in self.tasks.items():
            found |= encoding.located(task, task.decode(combined[target]), table)
            if interval is not None:
                answers = combined[target]
                found |= task.region(answers, self.regions(target, answers, interval, present))
        schema = self.schema
        naming = [n for n in schema.skipped if n == schema.group or n in schema.identifiers]
        taken = {"row", *found}
        ids = {n: table.cells(n) for n in naming if n in table.names and n not in taken}
        lacking = [] if present is None else patterns.said(present)
        last = {"missing": lacking} if any(lacking) and "missing" not in {*found, *ids} else {}
        return {"row": [*map(table.number, range(len(table)))], **ids, **found, **last}

    def vectors(
        self, prepared: Encoded, rows: np.ndarray[Any, Any], name: str
    ) -> np.ndarray[Any, Any]:
        """Fused vectors `(rows, width)` of a member that has them; see `embedder`."""
        collator = Collator(self.inputs(name, prepared), {})
        found: list[Any] = [None] * len(rows)
        module = self.members[name].module
        with torch.inference_mode():
            for positions, batch in collator.sequential(rows, module.batch_size):
                fused = module(batch.to(device_of(module)).inputs, tasks=()).fused
                for i, position in enumerate(positions):
                    found[position] = fused.pooled[i].float().cpu().numpy()
        return np.stack(found)

    # -- what it consists of ----------------------------------------------------------------

    def inputs(self, name: str, prepared: Encoded) -> dict[str, Prepared]:
        """Modality -> the cells that a member reads."""
        return {modality: prepared[i] for modality, i in self.members[name].forms.items()}

    def asked(self, name: str) -> dict[str, Task]:
        """The tasks of a member."""
        return {target: self.tasks[target] for target in self.members[name].module.targets}

    def shares(self) -> dict[str, float]:
        """The fused model's members, and the shares of each in all targets together."""
        found: dict[str, float] = {}
        for shares in self.weights[FUSED].values():
            for name, share in shares.items():
                found[name] = found.get(name, 0.0) + share
        return found

    def used(self) -> list[str]:
        """The fused model's members."""
        return list(self.shares())

    def embedder(self) -> str:
        """The strongest of the members of most modalities that have a fused vector.

        Raises:
            UserError: there is none.
        """
        shares = self.shares()
        candidates = [n for n, t in self.members.items() if t.module.embeds]
        if not candidates:
            raise UserError(
                "No model of this run has fused vectors",
                expected="a network among its models",
                got=f"{', '.join(self.members)}, which have none",
                do="fit with a larger `budget`, or a recipe of one model with a fusion",
            )
        widest = max(len(self.members[n].forms) for n in candidates)
        joint = [n for n in candidates if len(self.members[n].forms) == widest]
        return max(joint, key=lambda n: shares.get(n, 0.0))

    def known(self, absent: str | Collection[str]) -> frozenset[str]:
        """A modality to ignore, or several, as a set; UserError if there is no such modality."""
        return to_ignore(absent, list(self.schema.modalities()))
