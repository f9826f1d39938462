"""One token a column; a missing cell is a masked position."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.table.encoders.cells import Cells
from polymodal.modalities.table.forms import cells as form_cells
from polymodal.models.model import encoded


def build(form: form_cells.Cells, field: Field) -> Cells:
    torch.manual_seed(0)
    encoder = Cells(form, 8)
    encoder.adapt([field])
    return encoder.eval()


def test_missing_cells_are_masked_and_zero(form: form_cells.Cells, field: Field) -> None:
    tokens = encoded(build(form, field), field)
    assert tokens.values.shape == (65, 4, 8)
    # Numbers first (slots 0 and 5), then the category (slot 1), then the set (slots 2 to 4).
    expected = torch.stack(
        [
            ~field.data[:, 0].isnan(),
            ~field.data[:, 5].isnan(),
            field.data[:, 1] > 0,
            ~field.data[:, 2].isnan(),
        ],
        1,
    )
    expected[64] = False  # the absent row
    assert torch.equal(tokens.mask, expected) and not expected.all()
    assert torch.isfinite(tokens.values).all() and not tokens.values[~tokens.mask].any()


def test_each_cell_changes_its_own_token_only(form: form_cells.Cells, field: Field) -> None:
    encoder = build(form, field)
    present = torch.ones(1, dtype=torch.bool)
    row = torch.tensor([[3.0, 1, 1, 0, 0, 100.0]])
    base = encoder(Field(row, None, present)).values[0]
    for slot, token in ((0, 0), (5, 1), (1, 2), (3, 3)):
        changed = row.clone()
        changed[0, slot] = 2 if slot == 1 else 1 - row[0, slot]
        values = encoder(Field(changed, None, present)).values[0]
        differs = [not torch.allclose(values[i], base[i]) for i in range(4)]
        assert differs == [i == token for i in range(4)]


def test_a_set_is_the_sum_of_its_members(form: form_cells.Cells, field: Field) -> None:
    encoder = build(form, field)

    def token(*members: float) -> torch.Tensor:
        row = torch.tensor([[0.5, 1, *members, 100.0]])
        values = encoder(Field(row, None, torch.ones(1, dtype=torch.bool))).values
        return torch.as_tensor(values[0, 3])

    none = token(0, 0, 0)
    torch.testing.assert_close(token(1, 1, 0) - none, token(1, 0, 0) + token(0, 1, 0) - 2 * none)


def test_buffers_travel_with_the_weights(form: form_cells.Cells, field: Field) -> None:
    encoder = build(form, field)
    other = Cells(form, 8)
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other.eval()(field).values, encoder(field).values)
