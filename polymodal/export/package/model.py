"""An exported model: rows of cells in, answers out.

`polymodal export` puts this file, and what it imports, into a folder of its own.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract import answers as _answers
from polymodal.contract.answers import Answers, Array
from polymodal.contract.form import Form
from polymodal.export.package import cells as _cells
from polymodal.export.package.cells import Encoded
from polymodal.export.package.joined import Joined
from polymodal.export.package.pretrained import Reader, facts
from polymodal.run import patterns
from polymodal.run.standing import Standing
from polymodal.tasks import _decoding

# The package that this file is in, wherever it was copied to.
PACKAGE = __name__.partition(".")[0]
MANIFEST = "model.json"
# Rows of one call of a graph.
BATCH = 256


class Target:
    """How the answers to one target are merged and written.

    Args:
        described: "decoding", "prior", "words": see `contract.task.Task`.
    """

    constant_serves = True

    def __init__(self, name: str, described: Mapping[str, Any]) -> None:
        self.name, self.words = name, described["words"]
        self.prior = np.array(described["prior"])
        function, options = described["decoding"]
        self.decode = partial(getattr(_decoding, function), name, **options)

    def merge(self, answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]:
        return _answers.mean(answers, shares)

    def constant(self, like: Answers) -> list[Array]:
        return [np.broadcast_to(self.prior, np.shape(row)) for row in like]


class Model:
    """A trained, combined model.

    Args:
        folder: with `model.json` and the members' graphs.
        threads: of an operation; 0: as many as there are cores.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1) -> None:
        self.folder = Path(folder)
        described = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        self.columns: list[dict[str, Any]] = described["columns"]
        self.naming: list[str] = described["naming"]
        self.modalities: dict[str, dict[str, Any]] = described["modalities"]
        self.threads = threads
        self.forms = [form(one, self.folder, threads) for one in described["forms"]]
        self.shapes = [tuple(one["shape"]) for one in described["forms"]]
        self.members: dict[str, dict[str, Any]] = described["members"]
        self.targets = {n: Target(n, one) for n, one in described["targets"].items()}
        reads = {
            target: frozenset(name for m in shares for name in self.members[m]["forms"])
            for target, shares in described["weights"].items()
        }
        partial_ = {frozenset(one["present"]): one["weights"] for one in described["partial"]}
        self.weights: dict[str, dict[str, float]] = described["weights"]
        names = list(self.modalities)
        self.standing = Standing(self.targets, self.weights, reads, partial_, names)
        runtime = importlib.import_module(f"{PACKAGE}.export.package.{described['runtime']}")
        self._opened = runtime.Graph
        self._graphs: dict[str, Any] = {}

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        """Predictions for some rows, column by column: see `columns`.

        Args:
            rows: column -> cell each; a column that is left out is missing. Media are paths,
                bytes or arrays; relative paths start from the current folder.

        Raises:
            UserError: a row names no column of the model, or a cell cannot be read.
        """
        return self.written(rows, *self.answers(rows))

    def predict_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row's prediction under its target's name and, for classes, every probability."""
        found = self.predict([row])
        return {name: values[0] for name, values in found.items() if name != "row"}

    def answers(
        self, rows: Sequence[Mapping[str, Any]], base: str | None = None
    ) -> tuple[dict[str, Answers], dict[str, Array]]:
        """Each target's answers, one array a row; and which rows have which modality.

        Args:
            base: folder that relative paths start from; None: the current one.
        """
        rows = _cells.known(rows, self.columns, self.naming)
        used = [name for shares in self.weights.values() for name in shares]
        encoded = self.encoded(rows, used, base)
        present = self._present(rows, encoded, base)
        scores = {name: self.scores(name, encoded, len(rows)) for name in dict.fromkeys(used)}
        lacking, more = self.standing.further(present)
        if more:
            own = self.encoded([rows[i] for i in lacking], more, base)
            for name in more:
                found = self.scores(name, own, len(lacking))
                scores[name] = {t: _spread(v, lacking, len(rows)) for t, v in found.items()}
        combined: dict[str, Answers] = {}
        for target, shares in self.weights.items():
            whole = self.targets[target].merge({m: scores[m][target] for m in shares}, shares)
            combined[target] = self.standing.mended(target, whole, scores, present)
        return combined, present

    def written(
        self,
        rows: Sequence[Mapping[str, Any]],
        combined: Mapping[str, Answers],
        present: Mapping[str, Array],
    ) -> dict[str, list[Any]]:
        """Columns of predictions: "row", what names a row, each target's prediction and, of
        classes, "target=class"; last, where some row lacks a modality, "missing"."""
        found: dict[str, list[Any]] = {}
        for name, target in self.targets.items():
            found |= target.decode(combined[name])
        there = {name for row in rows for name in row}
        taken = {"row", *found}
        ids = {
            n: [row.get(n) for row in rows] for n in self.naming if n in there and n not in taken
        }
        lacking = patterns.said(present)
        last = {"missing": lacking} if any(lacking) and "missing" not in {*found, *ids} else {}
        return {"row": list(range(len(rows))), **ids, **found, **last}

    def encoded(
        self, rows: Sequence[Mapping[str, Any]], members: Collection[str], base: str | None
    ) -> dict[int, Encoded]:
        """Rows' cells in the forms that some members read, by the form's position."""
        asked = {i: n for m in members for n, i in self.members[m]["forms"].items()}
        return {
            i: _cells.encoded(
                self._read(rows, name, base), self.forms[i], self.shapes[i], name, rows
            )
            for i, name in sorted(asked.items())
        }

    def _read(self, rows: Sequence[Mapping[str, Any]], name: str, base: str | None) -> list[Any]:
        own = [c for c in self.columns if c["name"] in self.modalities[name]["columns"]]
        return _cells.read(rows, own, self.modalities[name], base)

    def _present(
        self,
        rows: Sequence[Mapping[str, Any]],
        encoded: Mapping[int, Encoded],
        base: str | None,
    ) -> dict[str, Array]:
        ready = {n: i for m in self.members.values() for n, i in m["forms"].items() if i in encoded}
        found: dict[str, Array] = {}
        for name in self.modalities:
            if name in ready:
                found[name] = encoded[ready[name]].present
            elif self.modalities[name]["read"]:
                cells = self._read(rows, name, base)
                found[name] = np.array([cell is not None for cell in cells], bool)
            else:  # nothing that answers reads it
                found[name] = np.ones(len(rows), bool)
        return found

    def scores(
        self, name: str, encoded: Mapping[int, Encoded], count: int
    ) -> dict[str, list[Array]]:
        """A member's answers: target -> one array a row."""
        member, graph = self.members[name], self._graph(name)
        found: dict[str, list[Array]] = {target: [] for target in member["targets"]}
        for start in range(0, count, BATCH):
            rows = slice(start, min(start + BATCH, count))
            given: dict[str, Array] = {}
            for modality, i in member["forms"].items():
                given |= encoded[i].batch(rows, modality)
            for target, answer in _each(graph(given), member["targets"]):
                found[target] += answer
        return found

    def _graph(self, name: str) -> Any:
        if name not in self._graphs:
            member = self.members[name]
            path, ends = self.folder / member["file"], (member["inputs"], member["outputs"])
            self._graphs[name] = self._opened(path, *ends, self.threads)
        return self._graphs[name]


def load(folder: str | Path | None = None, *, threads: int = 1) -> Model:
    """The model of a folder; by default of the one that the package lies in."""
    here = Path(__file__).parents[2]
    return Model(here if folder is None else folder, threads=threads)


def form(described: Mapping[str, Any], folder: Path, threads: int) -> Form:
    """A form as `model.json` describes it.

    Args:
        folder: of the model.
        threads: of a pretrained model's graph.
    """
    if "joins" in described:
        return Joined(*(form(one, folder, threads) for one in described["joins"]))
    settings, model = dict(described["settings"]), described.get("model")
    if model is not None:
        settings["path"] = str(folder / model)
    module = importlib.import_module(f"{PACKAGE}.{described['module']}")
    found: Form = getattr(module, described["class"])(**settings)
    found.state = described["state"]
    if model is not None and "file" in facts(settings["path"]):
        vars(found)["reader"] = Reader(settings["path"], threads)
    return found


def _each(found: Mapping[str, Array], targets: Sequence[str]) -> Iterator[tuple[str, list[Array]]]:
    """Each target's answers to a batch, those to words without the padding."""
    for target in targets:
        answers, lengths = found[f"{target}.answer"], found.get(f"{target}.length")
        rows = list(answers)
        if lengths is not None:
            rows = [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]
        bad = [i for i, row in enumerate(rows) if not np.isfinite(row).all()]
        if bad:
            raise UserError(
                f"The model has no answer to '{target}' in {len(bad)} rows",
                expected="finite numbers",
                do="look at these rows' numbers",
            )
        yield target, rows


def _spread(values: Answers, rows: Array, count: int) -> list[Any]:
    """Some rows' answers in the places of `count` rows, None elsewhere."""
    found: list[Any] = [None] * count
    for row, value in zip(rows.tolist(), values, strict=True):
        found[row] = value
    return found
