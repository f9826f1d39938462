"""How closely a network of pictures looks, and how many texts a step teaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Field
from polymodal.contract.recipe import Recipe
from polymodal.fitting import plan
from polymodal.fitting.backbones import Backbones
from polymodal.modalities.image.encoders.cnn import Cnn
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.table.infer import infer
from polymodal.table.read import read
from polymodal.tasks.generate import Generate


@pytest.mark.parametrize(("side", "tokens"), [({}, 16), ({"side": 8}, 64)])
def test_a_network_of_pictures_has_as_many_places_as_are_asked(side: dict, tokens: int) -> None:
    encoder = Cnn(Pixels(size=64), 8, channels=8, **side)
    field = Field(torch.zeros(2, 64, 64, 3, dtype=torch.uint8), None, torch.ones(2).bool())
    assert encoder.eval()(field).values.shape == (2, tokens, 8)


def test_a_row_with_five_texts_counts_as_five() -> None:
    one, five = plan.training(850), plan.training(850, texts=5.0)
    assert (one.batch_size, one.epochs, five.batch_size, five.epochs) == (32, 60, 8, 24)
    pictures = [np.full((4, 4, 3), i, np.uint8) for i in range(3)]
    table = read({"photo": pictures, "caption": [["a dog", "one dog", "some"], ["a cat"], None]})
    schema = infer(table, ["caption"], {"caption": "text"})
    known = plan.facts(table, schema, 1000, Recipe(), [Generate("caption")], Backbones())
    assert known.texts == 2.0
    (own,) = plan.members(schema, known, Recipe())
    assert own.training is not None and own.training.batch_size == 16
