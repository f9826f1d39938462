"""Networks: an encoder a modality, a fusion, heads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.contract.recipe import Modality, Spec, Training
from polymodal.contract.task import Task
from polymodal.contract.tuning import Tuning
from polymodal.models import build
from polymodal.models.aligned import Aligned
from polymodal.models.design import Design
from polymodal.models.model import Model
from polymodal.table.schema import Column


class Gradient(Design):
    """A network, trained step by step."""

    paced: ClassVar[bool] = True

    def components(
        self, grouped: Mapping[str, list[Column]], targets: Collection[str]
    ) -> list[tuple[str, Spec]]:
        member = self.member
        found: list[tuple[str, Spec]] = [
            ("models/designs", member.learner),
            ("fusion", member.fusion),
        ]
        for name, modality in member.modalities.items():
            kind = build.folder_kind(grouped[name])
            spec = build.encoder_spec(modality, kind, member.fusion)
            found.append((f"modalities/{kind}/encoders", spec))
            if (align := build.align_spec(member, name)) is not None:
                found.append(("align", align))
            if isinstance(modality.augment, dict):
                found.append((f"modalities/{kind}", {"name": "augment", **modality.augment}))
        if member.training is not None and member.training.balance is not None:
            # Built, not only looked up: its package may be missing.
            lookup.build("train/balance", member.training.balance)
        self._check_tuning([*grouped, *targets])
        return found

    def _check_tuning(self, known: Collection[str]) -> None:
        """UserError for names of no modality or target, and for missing packages."""
        tuning = self.tuning()
        if tuning is not None:
            tuning.check()
        for name in getattr(tuning, "names", ()):
            if name not in known:
                what = f"tuning names '{name}', which is no modality or target"
                raise lookup.unknown(what, name, known)

    def form(self, name: str, modality: Modality, kind: str) -> str:
        spec = build.encoder_spec(modality, kind, self.member.fusion)
        return str(lookup.find(f"modalities/{kind}/encoders", spec["name"]).form)

    def runs(self, name: str) -> bool:
        tuning = self.tuning()
        return tuning is not None and tuning.reaches(name)

    def tuning(self) -> Tuning | None:
        """Which of its parameters learn."""
        if self.member.tuning is None:
            return None
        found = lookup.build("tuning", self.member.tuning)
        assert isinstance(found, Tuning)
        return found

    def resolved(self, modality: Modality, kind: str) -> dict[str, Any]:
        if modality.pretrained is not None:
            return {}
        return {"encoder": build.encoder_spec(modality, kind, self.member.fusion)}

    def predictor(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
    ) -> Model:
        member = self.member
        encoders: dict[str, Encoder] = {}
        for name, form in forms.items():
            folder = f"modalities/{kinds[name]}/encoders"
            spec = build.encoder_spec(member.modalities[name], kinds[name], member.fusion)
            asked = sorted({one for task in tasks.values() for one in task.asks.get(name, ())})
            spec = lookup.find(folder, spec["name"]).suited(asked) | spec
            encoders[name] = self._encoder(name, folder, spec, form, asked)
        fusion = lookup.build("fusion", member.fusion, list(forms), member.width)
        training = member.training or Training()
        model = Model(
            encoders,
            fusion,
            tasks,
            member.width,
            training.dropout,
            training.modality_dropout,
            read_in=forms,
        )
        if (tuning := self.tuning()) is not None:
            tuning.shape(model)
        return model

    def _encoder(
        self, name: str, folder: str, spec: dict[str, Any], form: Form, asked: Collection[str]
    ) -> Encoder:
        """A modality's encoder, of the member's width by itself or by an alignment.

        Raises:
            UserError: it does not declare what is asked.
        """
        member = self.member
        align = build.align_spec(member, name)
        own: int | None = member.width
        if align is not None:
            given = member.modalities[name].width
            own = given or (None if lookup.find(folder, spec["name"]).bare else own)
        encoder: Encoder = lookup.build(folder, spec, form, own)
        if lack := [one for one in asked if not getattr(encoder, one)]:
            raise _unfit(name, folder, spec["name"], lack)
        if align is None:
            return encoder
        size = encoder.width if own is None else own
        return Aligned(encoder, lookup.build("align", align, size, member.width))


def _unfit(modality: str, folder: str, encoder: str, lack: list[str]) -> UserError:
    """An encoder that does not declare what the tasks ask of it."""
    able = [one for one in lookup.names(folder) if not build.lacking(folder, one, lack)]
    return UserError(
        f"The encoder '{encoder}' of '{modality}' does not suit what is to be learned",
        expected=f"one that declares {', '.join(lack)}: {', '.join(able) or 'there is none'}",
        do=f"set modalities.{modality}.encoder to one of them, or leave the task out; a frozen one "
        "may suit if it is trained on (`tune: true`)",
    )
