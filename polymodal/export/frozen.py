"""A pretrained model that goes along with an exported one: its graph, and what prepares cells."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polymodal.base.files import write_json
from polymodal.contract.form import Form, plain
from polymodal.export import graphs
from polymodal.export.package.pretrained import FACTS
from polymodal.modalities._pretrained import PretrainedForm

MODELS = "models"
# Cells that a graph is traced with.
EXAMPLE = 3


def owners(forms: Sequence[Form]) -> list[PretrainedForm]:
    """The forms of pretrained models among some, those inside others included."""
    return [form for form in plain(forms) if isinstance(form, PretrainedForm)]


def write(form: PretrainedForm, folder: Path, to: str, cells: Sequence[Any]) -> list[str]:
    """Write what a form of a pretrained model needs into a new folder.

    Args:
        to: "onnx" or "torch".
        cells: two at least that it can encode; its model is traced with what it reads of them.

    Raises:
        UserError: transformers alone can prepare its cells, or ONNX lacks an operation.

    Returns:
        What of other packages its cells need, by import name.
    """
    folder.mkdir(parents=True)
    facts = form.along(folder)
    needs: list[str] = facts.pop("needs", [])
    if facts.pop("graph", True) and not form.tune:
        reader = form.reader
        heard = reader.heard(lambda: form.encode_many(cells))
        # Of one row a program would know no other.
        given = [
            torch.from_numpy(np.resize(heard[n], (max(2, len(heard[n])), *heard[n].shape[1:])))
            for n in reader.names
        ]
        module = copy.deepcopy(reader.module).cpu()
        program = graphs.traced(module, given, [reader.ragged] * len(given))
        runtime, suffix = graphs.RUNTIMES[to]
        file = f"graph{suffix}"
        graphs.write(program, reader.names, reader.outputs, folder / file, to)
        ends = {"inputs": list(reader.names), "outputs": list(reader.outputs)}
        facts |= {"runtime": runtime, "file": file, **ends}
    write_json(folder / FACTS, facts)
    return needs
