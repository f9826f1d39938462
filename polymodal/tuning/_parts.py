"""What of a model is pretrained, and what is new: every mode chooses among these parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import nn

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.predictor import Predictor
from polymodal.contract.tuning import Tuning
from polymodal.models.model import Model

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Chosen(Tuning):
    """A mode that changes the pretrained parts of some modalities and targets, or of all.

    Attributes:
        names: of which; none: of all.
    """

    names: Sequence[str] = ()

    def reaches(self, modality: str) -> bool:
        return not self.names or modality in self.names

    def stems(self, model: Predictor) -> dict[str, nn.Module]:
        """The pretrained parts that it changes; all of the model's are frozen.

        Raises:
            UserError: there are none where it would change some.
        """
        found = {name: stem for name, stem in freeze(model).items() if self.reaches(name)}
        asked = [name for name in model.targets if name in self.names and name not in found]
        if asked or (not found and any(self.reaches(name) for name in model.names)):
            raise nothing(self, model)
        return found


def as_model(model: Predictor) -> Model:
    assert isinstance(model, Model)
    return model


def backbones(module: nn.Module) -> list[nn.Module]:
    """What of a part is pretrained: models with their own in `model`, or the whole part."""
    return [inner for inner in module.modules() if getattr(inner, "is_backbone", False)]


def stems(model: Predictor) -> dict[str, nn.Module]:
    """Modality or target -> what of its encoder or head is pretrained: a backbone, a decoder, or
    all that a parent learned."""
    own = as_model(model)
    parts = zip([*own.names, *own.targets], [*own.encoders, *own.heads], strict=True)
    return {name: inner[0] for name, part in parts if (inner := backbones(part))}


def freeze(model: Predictor) -> dict[str, nn.Module]:
    """Freeze all that is pretrained: `stems`."""
    for inner in backbones(as_model(model)):
        inner.requires_grad_(False)
    as_model(model).hold()
    return stems(model)


def nothing(tuning: Tuning, model: Predictor) -> UserError:
    """That there is no pretrained part to tune."""
    name, known = lookup.name_of(type(tuning)), stems(model)
    others = [one for one in [*model.names, *model.targets] if one not in known]
    return UserError(
        f"'tuning: {name}' has nothing to tune: no part of the model is pretrained",
        expected="a modality with `pretrained`, a pretrained decoder with `learns: true`, or a "
        "parent run",
        got=f"parts trained from scratch or held frozen: {', '.join(others)}",
        do="name a model in modalities.NAME.pretrained, let the decoder learn, or leave tuning out",
    )


def check_names(names: Collection[str], known: Collection[str], where: str) -> None:
    """UserError for a name of no part."""
    for name in names:
        if name not in known:
            raise lookup.unknown(f"'tuning: {where}' names '{name}', which is no part", name, known)


def hugging_face(stem: nn.Module) -> PreTrainedModel | None:
    """The model of transformers inside a stem, if there is one."""
    from transformers import PreTrainedModel

    return next((inner for inner in stem.modules() if isinstance(inner, PreTrainedModel)), None)


def vocabulary(model: PreTrainedModel) -> nn.Embedding | None:
    """A model of words' table of their vectors; None of another."""
    if model.main_input_name != "input_ids":
        return None
    table = model.get_input_embeddings()
    return table if isinstance(table, nn.Embedding) else None


def blocks(module: nn.Module) -> list[nn.Module]:
    """A deep model's repeated blocks, bottom first: its longest list of modules of one class."""
    lists = [
        list(inner)
        for inner in module.modules()
        if isinstance(inner, nn.ModuleList) and len({type(one) for one in inner}) == 1
    ]
    return max(lists, key=len, default=[])


def linear(module: nn.Module) -> Iterator[tuple[str, nn.Module, tuple[int, int]]]:
    """Name, layer and (inputs, outputs) of every linear layer, those of GPT-2's kind included."""
    for name, inner in module.named_modules():
        if isinstance(inner, nn.Linear):
            yield name, inner, (inner.in_features, inner.out_features)
        elif type(inner).__name__ == "Conv1D" and hasattr(inner, "nf"):
            yield name, inner, (inner.nx, inner.nf)


def feed_forward(block: nn.Module) -> list[str]:
    """Names of a block's feed-forward layers: those that lead to another width and back.

    Layers of attention lead from the block's width to the same, or, where keys are fewer or made
    with the queries, to one from which none leads back.
    """
    shapes = {name: shape for name, _, shape in linear(block)}
    return [name for name, (a, b) in shapes.items() if a != b and (b, a) in shapes.values()]
