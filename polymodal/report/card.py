"""The model card: what a run is, for whoever finds it, with its facts as a hub reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any

import yaml

from polymodal.base.options import for_shell
from polymodal.base.spelling import cut, inert
from polymodal.contract.answers import CONSTANT
from polymodal.report import poor
from polymodal.report.sentences import SAME, headline, missing, sentence
from polymodal.report.words import Plain, counted, span, written
from polymodal.run.run import Run

# A class with fewer rows is learned and measured by chance as much as by what it is.
FEW = 20
LISTED = 20
LOAD = """```python
import polymodal as pm

run = pm.load("FOLDER")  # where this lies
run.predict("new.csv")

from transformers import AutoModel  # or, after `import polymodal`:

model = AutoModel.from_pretrained("FOLDER")  # a folder, or the name that it has on the hub
model.run.predict("new.csv")
```"""


class Card:
    """The card of a run.

    Args:
        metrics: what `evaluate` found on other rows (its metrics.json), or None.
        licence: as the hub calls it, such as apache-2.0; None: nothing is said.
    """

    def __init__(
        self, run: Run, metrics: Mapping[str, Any] | None = None, licence: str | None = None
    ) -> None:
        self.run, self.metrics, self.licence = run, metrics, licence

    def text(self) -> str:
        """Markdown below a head in YAML."""
        head = yaml.safe_dump(self.head(), sort_keys=False, allow_unicode=True)
        parts = [
            ("", self._about()),
            ("How to load it", [LOAD]),
            ("Columns", self._columns()),
            ("Data", self._data()),
            ("Figures", self._figures()),
            ("Limits", [f"- {line}" for line in self._limits()]),
            ("Weights of others", self._pretrained()),
            ("Parent", self._parent()),
        ]
        body = [f"# {self._title()}"]
        for title, lines in parts:
            body += [*([f"## {title}"] if title else []), "\n".join(lines).strip()] if lines else []
        return f"---\n{head}---\n\n" + "\n\n".join(body) + "\n"

    def head(self) -> dict[str, Any]:
        """The facts, as the hub's cards name them."""
        found: dict[str, Any] = {"library_name": "polymodal"}
        found |= {} if self.licence is None else {"license": self.licence}
        kinds = dict.fromkeys(column.kind for column in self.run.schema.inputs)
        found["tags"] = ["polymodal", "multimodal", *kinds]
        return {**found, "model-index": [{"name": self._title(), "results": list(self._results())}]}

    def _results(self) -> Iterator[dict[str, Any]]:
        """Every figure that is known, with what it was measured on."""
        for target, task in self.run.tasks.items():
            what = {"type": type(task).__name__.lower(), "name": target}
            lines = [x for x in self._validated(target) if x["role"] == "fused"]
            found = {line["metric"]: line for line in lines}
            yield from _result(what, _file(self.run.origin.get("source")), "validation", found)
            if self.metrics is not None:
                data = _file(self.metrics["origin"].get("data"))
                yield from _result(what, data, "test", self.metrics["targets"].get(target, {}))

    def _title(self) -> str:
        return cut(f"{_and(self.run.tasks)} from {_and(self.run.schema.modalities())}", 100)

    def _about(self) -> list[str]:
        schema = self.run.schema
        reads = [f"{_word(c.name)} ({c.kind})" for c in schema.inputs[:LISTED]]
        more = len(schema.inputs) - LISTED
        reads += [f"{more:,} more"] if more > 0 else []
        size = sum(self.run.members[name].module.numbers() for name in self.run.pipeline.used())
        return [
            f"A Polymodal run that predicts {_and(map(_word, self.run.tasks))} from "
            f"{_and(reads)}: {counted(len(self.run.pipeline.used()), 'model')} of "
            f"{written(size)} numbers."
        ]

    def _columns(self) -> list[str]:
        schema = self.run.schema.discreet()
        lines = [
            (_word(c.name), use, c.kind)
            for use, columns in (("input", schema.inputs), ("target", schema.targets))
            for c in columns
        ]
        lines += [(_word(n), "not read", _word(why)) for n, why in schema.skipped.items()]
        return _table(("column", "use", "kind, or why it is not read"), lines)

    def _data(self) -> list[str]:
        origin, ledger = self.run.origin, self.run.ledger
        rows = f"{counted(origin['rows'], 'row')} of " if "rows" in origin else ""
        found = [f"Trained and validated on {rows}{_name(origin.get('source'))}."]
        for target, classes in origin.get("classes", {}).items():
            listed = sorted(classes.items(), key=lambda one: -one[1])
            said = [f"{_word(name)} {count:,}" for name, count in listed[:LISTED]]
            said += [f"{len(listed) - LISTED:,} more"] if len(listed) > LISTED else []
            found.append(f"Rows by {_word(target)}: {', '.join(said)}.")
        for what in ("truncated", "incomplete", "skipped"):
            for why, count in ledger.get(what, {}).items():
                found.append(f"{what.capitalize()}: {_word(why)}: {_counted(count)}.")
        return ["\n\n".join(found)]

    def _validated(self, target: str) -> list[dict[str, Any]]:
        roles = ("fused", "rival", "constant")
        lines = (x for x in self.run.leaderboard if x["target"] == target and x["role"] in roles)
        return sorted(lines, key=lambda x: roles.index(x["role"]))

    def _figures(self) -> list[str]:
        found = []
        for target in self.run.tasks:
            lines = [
                (
                    SAME if x["name"] == CONSTANT else _word(x["name"]),
                    x["metric"],
                    written(x["value"]),
                    span(x),
                )
                for x in self._validated(target)
            ]
            found.append(f"{_word(target)}, of validation rows, by which models were chosen:\n")
            found += [*_table(("model", "metric", "value", "95 % interval"), lines), ""]
            if self.metrics is not None:
                found += self._tested(target, self.metrics)
        return found

    def _tested(self, target: str, metrics: Mapping[str, Any]) -> list[str]:
        shown, own = _Marked(metrics), metrics["targets"].get(target, {})
        lines = [(name, written(one["value"]), span(one)) for name, one in own.items()]
        data = _name(metrics["origin"].get("data"))
        found = [f"{_word(target)}, of {counted(metrics['rows'], 'row')} of {data}:\n"]
        found += [*_table(("metric", "value", "95 % interval"), lines), ""]
        if target in metrics["verdicts"]:
            at = ("verdicts", target)
            found += [f"{headline(shown, *at)}: {sentence(shown, *at)}", ""]
        elif target in metrics["unjudged"]:
            found += [missing(shown, "unjudged", target), ""]
        return found

    def _limits(self) -> Iterator[str]:
        """What the facts do not carry further than they go."""
        yield "Validation rows chose models, steps and shares: expect less on others."
        yield from (_word(for_shell(line)) for line in poor.validated(self.run))
        if self.metrics is None:
            yield "It was measured on no further rows: `polymodal evaluate` says what it is worth."
        else:
            yield from map(_word, self.metrics["warnings"])
        yield (
            "It knows rows like those that it was trained on. Others, of other times, places or "
            "devices, may be answered worse than the figures say."
        )
        for target, classes in self.run.origin.get("classes", {}).items():
            few = [_word(name) for name, count in classes.items() if count < FEW]
            if few:
                said = [*few[:LISTED], *(["others"] if len(few) > LISTED else [])]
                yield f"{_word(target)}: fewer than {FEW} rows have {_and(said)}."
        if len(self.run.schema.modalities()) > 1:
            yield (
                "A row that lacks a modality is answered by what validated best without it; "
                "`missing` beside the answer names what it lacked."
            )

    def _pretrained(self) -> list[str]:
        lines = [
            (
                _word(one["name"]),
                _word(one.get("licence") or "not known"),
                _word(one.get("knows") or ""),
                ", ".join(map(_word, one["reads"])),
            )
            for one in self.run.origin.get("pretrained", ())
        ]
        return _table(("weights", "licence", "of what", "read"), lines) if lines else []

    def _parent(self) -> list[str]:
        parent = self.run.origin.get("parent")
        if parent is None:
            return []
        took = [f"{_word(new)} as {_word(old)}" for new, old in parent["started"].items()]
        left = [f"- not taken over: {_word(n)}: {_word(why)}" for n, why in parent["left"].items()]
        name = f"{_name(parent['run'])} (hash {parent['hash']})"
        return [f"It started from {name}, with what that had learned of {_and(took)}.\n", *left]


class _Marked(Plain):
    """Figures as they are, and somebody's words as text that means nothing to Markdown."""

    def text(self, *path: str | int, most: int = 60) -> str:
        return _word(super().text(*path, most=most))

    def name(self, name: str) -> str:
        return _word(name)


def _result(
    task: Mapping[str, str], data: str, split: str, figures: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    known = {name: one for name, one in figures.items() if one["value"] is not None}
    if known:
        yield {
            "task": dict(task),
            "dataset": {"type": "tabular", "name": data, "split": split},
            "metrics": [
                {"type": name, "value": one["value"], "args": {k: one[k] for k in ("low", "high")}}
                for name, one in known.items()
            ],
        }


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines]]


def _word(text: str) -> str:
    """Somebody's word as text that means nothing to Markdown, or to a browser."""
    plain = escape(inert(" ".join(text.split())), quote=False)
    return "".join(f"\\{c}" if c in "\\`*_[]|#~" else c for c in plain)


def _file(source: Any) -> str:
    """A table or folder without where it lies on somebody's machine."""
    return (PurePath(str(source)).name or str(source)) if source else "a table"


def _name(source: Any) -> str:
    return _word(_file(source))


def _counted(rows: Any) -> str:
    return counted(rows if isinstance(rows, int) else len(rows), "row")


def _and(words: Any) -> str:
    """ "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else str(last)
