"""A run as a folder that answers without it: graphs, preprocessing, and a proof that both agree."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polymodal.base import lookup
from polymodal.base.claims import holds
from polymodal.base.errors import MissingExtra, UserError
from polymodal.base.files import whole, write_json, write_text
from polymodal.contract import kind
from polymodal.contract.form import Form, plain
from polymodal.export import bundle, frozen, graphs, parity
from polymodal.export.graphs import Flat
from polymodal.export.parity import Apart
from polymodal.prepared.cells import cells
from polymodal.run.pipeline import Pipeline
from polymodal.run.run import Run
from polymodal.run.scored import versions
from polymodal.table.ledger import Ledger
from polymodal.table.read import Table
from polymodal.table.schema import FUSED, Column

MANIFEST, GRAPHS, HF = "model.json", "graphs", "hf"
# Rows of the example that a program is traced with.
EXAMPLE = 4
# What a run needs and an exported model does not.
HEAVY = ("torch", "transformers", "pyarrow", "pandas", "scipy", "sklearn", "lightgbm", "pydantic")
_ABOUT = """A model exported by Polymodal, whose code (Apache-2.0) is in `polymodal_model`.

    pip install -r requirements.txt
    python predict.py rows.csv predictions.csv

or, from Python: `import polymodal_model; polymodal_model.predict([{"column": cell}])`.
"""
_INIT = '''"""An exported model: `predict([{"column": cell}, ...])`."""

from functools import cache

from polymodal_model.export.package.model import Model, load


@cache
def model() -> Model:
    return load()


def predict(rows):
    """Columns of predictions for rows, each a mapping of column to cell."""
    return model().predict(rows)
'''


def export(run: Run, out: Path, to: str = "onnx", data: Any = None, rows: int = 200) -> str:
    """Write a folder that predicts raw rows as the run does: `python OUT/predict.py rows.csv`.

    `OUT/polymodal_model` is a package that needs `OUT/requirements.txt`, and neither PyTorch (but
    for to="torch") nor this package. All of it is proven on real rows (`export.parity`) before the
    folder gets its name.

    Args:
        out: a new folder, or one that an export has written.
        to: "onnx": ONNX graphs; "torch": programs of `torch.export`; "hf": none of this, but the
            run as transformers has a model (`run.hf`), a new folder.
        data: the table whose rows prove it; by default the training table.
        rows: of it at most.

    Raises:
        UserError: a form, a task or an operation cannot go along; answers differ; there are no rows
            to prove it with; or as `save_pretrained` raises it.

    Returns:
        What was proven, in words.
    """
    if to == HF:
        return _for_transformers(run, out, data)
    if to not in graphs.RUNTIMES:
        known = ", ".join((*graphs.RUNTIMES, HF))
        raise UserError(f"There is no export to '{to}'", expected=f"one of {known}")
    refuse(out)
    runtime, suffix = graphs.RUNTIMES[to]
    try:
        graph_of = importlib.import_module(f"polymodal.export.package.{runtime}").Graph
    except ImportError as error:
        raise MissingExtra("onnxruntime", "onnx", "An export to ONNX") from error
    model = run.pipeline
    members = parity.used(model)
    along = _sources(model, members, runtime)
    table = _rows(run, members, data, rows)
    prepared = model.encode(table, Ledger(), members)
    apart = []
    with whole(out) as folder:
        package = folder / bundle.COPY
        (package / GRAPHS).mkdir(parents=True)
        places = _write_models(package, model, members, table, to, along.packages)
        described = _described(model, members, runtime, places)
        for i, name in enumerate(members):
            inputs = model.inputs(name, prepared)
            fields = {n: one.gather(np.arange(len(table))) for n, one in inputs.items()}
            ragged = {n: field.mask is not None for n, field in fields.items()}
            flat = Flat(model.members[name].module, ragged, graphs.answered(model.asked(name)))
            first = np.arange(EXAMPLE) % len(table)
            program = graphs.program(flat, {n: parity.some(f, first) for n, f in fields.items()})
            path = package / GRAPHS / f"{i}{suffix}"
            graphs.write(program, flat.inputs, flat.outputs, path, to)
            ends = {"inputs": flat.inputs, "outputs": flat.outputs}
            described["members"][name] |= {"file": f"{GRAPHS}/{path.name}", **ends}
            try:
                graph = graph_of(path, flat.inputs, flat.outputs)
            except Exception as error:  # of the runtime, which has classes of its own
                raise UserError(
                    f"The graph of '{name}' cannot be computed: nothing was written",
                    expected=f"operations that are known to {to}",
                    got=str(error)[:300],
                    do="report it; the run itself can be served meanwhile",
                ) from error
            apart.append(parity.member(name, graph, flat, fields, model, prepared))
        write_json(package / MANIFEST, described)
        _write_sources(folder, along)
        _check_alone(folder, to)
        apart.append(parity.whole(package, model, table))
        for compiled in list(folder.rglob("__pycache__")):
            shutil.rmtree(compiled)
        if out.exists():
            shutil.rmtree(out)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _said(out, members, len(table), apart, size)


def _for_transformers(run: Run, out: Path, data: Any) -> str:
    from polymodal.run.hf import PolymodalModel

    if data is not None:
        raise UserError(
            "A run as transformers has a model is the run itself: no rows prove it",
            expected="no `data`",
            do="leave it out",
        )
    PolymodalModel.from_run(run).save_pretrained(out)
    return f"{out}: AutoModel.from_pretrained opens it, once polymodal is imported."


def refuse(out: Path) -> None:
    """UserError if a folder to be written is there and was not written by an export."""
    if out.exists() and not holds(out / bundle.COPY / MANIFEST, ("runtime", "members")):
        raise UserError(
            f"'{out}' is there already, and would be replaced",
            expected="a new folder, or one that an export has written",
            do="give another `out`",
        )


def _sources(model: Pipeline, members: Sequence[str], runtime: str) -> bundle.Sources:
    light = (*bundle.LIGHT, *(["torch"] if runtime == "by_torch" else []))
    own = [f"polymodal.export.package.{runtime}", bundle.MODEL, bundle.SCRIPT]
    read = plain(model.forms[i] for i in _used(model, members))
    return bundle.sources([*own, *(_module(form) for form in read)], light)


def _used(model: Pipeline, members: Sequence[str]) -> dict[int, str]:
    """Position of each form that some members read -> a modality that is read in it."""
    every = {i: name for member in members for name, i in model.members[member].forms.items()}
    return dict(sorted(every.items()))


def _write_models(
    package: Path, model: Pipeline, members: Sequence[str], table: Table, to: str, needs: set[str]
) -> dict[int, str]:
    """Write the pretrained models that forms ask; where each form's lies, by the form's id.

    Args:
        needs: the packages that cells need; told of more.
    """
    places: dict[int, str] = {}
    # A form of the same model with the same options is another member's.
    written: dict[str, str] = {}
    grouped = model.schema.modalities()
    for i, name in _used(model, members).items():
        for form in frozen.owners([model.forms[i]]):
            if form.fingerprint not in written:
                there = (cell for cell in cells(table, grouped[name]) if cell is not None)
                place = written[form.fingerprint] = f"{frozen.MODELS}/{len(written)}"
                example = list(islice(there, frozen.EXAMPLE))
                needs.update(frozen.write(form, package / place, to, example))
            places[id(form)] = written[form.fingerprint]
    return places


def _module(form: Form) -> str:
    name = type(form).__module__
    if not name.startswith("polymodal."):
        raise UserError(
            f"The form {lookup.name_of(type(form))} cannot go along with an exported model",
            expected="a form that is built in",
            do="serve the run itself",
        )
    return name


def _described(
    model: Pipeline, members: Sequence[str], runtime: str, places: Mapping[int, str]
) -> dict[str, Any]:
    """All but the graphs and the code; JSON-able.

    Args:
        places: as `_write_models` has them.
    """
    schema, shares = model.schema, model.weights[FUSED]
    # Only the forms that these members read go along, numbered anew.
    every = list(_used(model, members))
    place = {old: new for new, old in enumerate(every)}
    targets = graphs.answered({name: model.tasks[name] for name in shares})
    grouped = schema.modalities()
    rooms = {name: kind.of(columns[0].kind) for name, columns in grouped.items()}
    # What a rival alone reads is missed by the run too.
    read = {name for member in model.members.values() for name in member.forms}
    named = (n for n in schema.skipped if n == schema.group or n in schema.identifiers)
    return {
        "runtime": runtime,
        "versions": versions(),
        "columns": [_column(column) for column in schema.inputs],
        "naming": list(named),
        "modalities": {
            name: {
                "columns": [column.name for column in columns],
                "read": name in read,
                **{trait: getattr(rooms[name], trait) for trait in ("joint", "media", "words")},
            }
            for name, columns in grouped.items()
        },
        "forms": [_form(model.forms[i], places) | {"shape": model.shapes[i]} for i in every],
        "targets": {
            name: {
                "decoding": task.plain_decode,
                "prior": task.prior().tolist(),
                "words": task.words,
            }
            for name, task in targets.items()
        },
        "members": {
            name: {
                "forms": {n: place[i] for n, i in model.members[name].forms.items()},
                "targets": list(model.members[name].module.targets),
            }
            for name in members
        },
        "weights": shares,
        "partial": [{"present": sorted(t), "weights": w} for t, w in model.partial.items()],
    }


def _form(form: Form, places: Mapping[int, str]) -> dict[str, Any]:
    if form.made_of:
        return {"joins": [_form(one, places) for one in form.made_of]}
    found = {
        "module": type(form).__module__.removeprefix("polymodal."),
        "class": type(form).__name__,
        "settings": form.settings,
        "state": form.state,
    }
    return found | ({"model": places[id(form)]} if id(form) in places else {})


def _column(column: Column) -> dict[str, Any]:
    """How its cells are read one by one: see `export.package.cells`."""
    room, text = kind.of(column.kind), pa.chunked_array([["1"]])
    # Whether texts become numbers, or spell lists, the kind says.
    read, _ = room.typed(column.kind, column.details, text)
    lists = room.fits(column.kind, pa.list_(pa.string()))
    return {
        "name": column.name,
        "details": column.details,
        "numbers": read.type != text.type,
        "listed": lists
        and not room.media
        and (not room.words or column.details.get("words", False)),
    }


def _rows(run: Run, members: Sequence[str], data: Any, most: int) -> Table:
    """Rows with which to prove it, whose cells can all be read.

    Raises:
        UserError: there are none.
    """
    model, source = run.pipeline, run.origin.get("source") if data is None else data
    if source is None or (data is None and not os.path.exists(str(source))):
        raise UserError(
            "There are no rows to prove the export with",
            expected="the training table" if source is None else f"the training table, {source}",
            got="no such file",
            do="`data TABLE`: any table with the run's columns",
        )
    table = model.table(source, encoding=run.recipe.data.encoding)
    spread = np.linspace(0, len(table) - 1, min(most, len(table))).astype(int)
    table = table.take(np.unique(spread))
    prepared = model.encode(table, Ledger(), members, max_bad_rows=len(table))
    bad = {row for one in prepared.values() for row in one.bad.tolist()}
    if len(bad) == len(table):
        raise UserError(
            "No row can be read to prove the export with",
            expected=f"rows of {table.source} whose media are there",
            do="`data TABLE`: another table with the run's columns",
        )
    return table.take([row for row in range(len(table)) if row not in bad])


def _write_sources(folder: Path, along: bundle.Sources) -> None:
    package = folder / bundle.COPY
    for name, source in along.files.items():
        write_text(package / name, source)
    for inner in {path.parent for path in package.rglob("*.py")} | {package / "export"}:
        for place in (inner, *inner.parents):
            if place == folder:
                break
            (place / "__init__.py").touch()
    write_text(package / "__init__.py", _INIT)
    write_text(folder / "predict.py", along.files[bundle.path_of(bundle.SCRIPT)])
    write_text(folder / "requirements.txt", along.requirements())
    write_text(folder / "README.md", _ABOUT)


def _check_alone(folder: Path, to: str) -> None:
    """That the package can be imported where nothing heavy is."""
    gone = [name for name in (*HEAVY, bundle.OURS) if name != to]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({gone!r})); sys.path.insert(0, sys.argv[1]);"
        f"import {bundle.COPY}; {bundle.COPY}.model()"
    )
    done = subprocess.run(
        [sys.executable, "-IB", "-c", code, str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(
            "The exported package cannot be imported by itself: nothing was written",
            expected=f"that it needs none of {', '.join(gone)}",
            got=done.stderr.strip().splitlines()[-1][:300],
            do="report it; the run itself can be served meanwhile",
        )


def _said(out: Path, members: Sequence[str], rows: int, apart: Sequence[Apart], size: int) -> str:
    most = max(one.most for one in apart)
    return (
        f"{out}: {', '.join(members)}; {size / 2**20:.1f} MiB. Proven on {rows} rows, with every "
        f"set of modalities missing: answers at most {most:.1g} apart.\n"
        f"Next: pip install -r {out}/requirements.txt\n"
        f"      python {out}/predict.py ROWS.csv"
    )
