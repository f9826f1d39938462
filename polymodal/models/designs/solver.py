"""Predictors of `models/experts/`, each of which is solved for as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.beside import BESIDE
from polymodal.contract.form import Form
from polymodal.contract.kind import kinds as all_kinds
from polymodal.contract.recipe import Modality, Spec, name_of
from polymodal.contract.task import Task
from polymodal.models.design import Design
from polymodal.models.solved import Solved
from polymodal.table.schema import Column


class Solver(Design):
    """One expert on fixed features, and on a frozen model's outputs where `pretrained` names it."""

    paced: ClassVar[bool] = False

    def components(
        self, grouped: Mapping[str, list[Column]], targets: Collection[str]
    ) -> list[tuple[str, Spec]]:
        return [("models/experts", self.member.learner)]

    def form(self, name: str, modality: Modality, kind: str) -> str:
        form = all_kinds()[kind].described
        if form is None:
            readable = [one.name for one in all_kinds().values() if one.described]
            expert = name_of(self.member.learner)
            raise UserError(
                f"The expert '{expert}' cannot read '{name}', which is {kind}",
                expected=f"modalities of the kinds {', '.join(readable)}",
                do="leave this modality out of the member, or use learner: gradient",
            )
        if modality.pretrained is None:
            return form
        if BESIDE not in lookup.names(f"modalities/{kind}/forms"):
            known = [k for k in all_kinds() if BESIDE in lookup.names(f"modalities/{k}/forms")]
            raise UserError(
                f"No pretrained model can read '{name}', which is {kind}, for an expert",
                expected=f"'pretrained' of modalities of the kinds {', '.join(known)}",
                do="leave 'pretrained' out of it",
            )
        return BESIDE

    def resolved(self, modality: Modality, kind: str) -> dict[str, Any]:
        return {}

    def predictor(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
    ) -> Solved:
        built = lookup.build("models/experts", self.member.learner, kinds, forms, tasks)
        assert isinstance(built, Solved)
        return built
