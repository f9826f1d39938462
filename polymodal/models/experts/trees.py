"""Boosted trees over table cells and descriptors, on top of a linear model of texts and cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from torch import nn

from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.models.experts._boosting import boost
from polymodal.models.experts._forest import Forest
from polymodal.models.experts._layered import Layered, Work


@final
class Trees(Layered):
    """Gradient boosting (Friedman 2001; Ke et al., "LightGBM", 2017) on top of a linear model.

    A missing cell goes where the tree learned that missing ones go, or counts as the training mean
    if training had none; a missing modality likewise. What the trees see: `Layered`.

    Args:
        kinds, forms, tasks: as of `Solved`.
        leaves: of a tree.
        rate: share of each tree's answer that is taken.
        folds: parts that training rows are cut into for out-of-fold logits.
        components: principal components of a frozen model's outputs.

    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        forms: Mapping[str, Form],
        tasks: Mapping[str, Task],
        *,
        leaves: int = 15,
        rate: float = 0.1,
        folds: int = 5,
        components: int = 30,
    ) -> None:
        super().__init__(kinds, forms, tasks, folds, components)
        self.leaves, self.rate = leaves, rate

    def layer(self, size: int) -> nn.Module:
        return Forest(size)

    def learn(self, layer: nn.Module, work: Work) -> None:
        assert isinstance(layer, Forest)
        job = work.problem
        grown = boost(
            work.features,
            job.loss,
            work.begin,
            job.rows,
            work.cut,
            self.leaves,
            self.rate,
            work.seed,
        )
        layer.load(grown)

    def numbers(self) -> int:
        """A split counts as two numbers and a leaf as one, whatever their text is like."""
        others = (tensor for name, tensor in self.state_dict().items() if "layers." not in name)
        trees = sum(forest.numbers for forest in self.layers if isinstance(forest, Forest))
        return sum(tensor.numel() for tensor in others) + trees
