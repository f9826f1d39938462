"""What models take, beforehand: published sizes, and those of what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn
from typed import one_error, polymodal
from typer.testing import CliRunner

from polymodal.base.errors import UserError
from polymodal.contract.recipe import Recipe
from polymodal.fitting.sizes import _count, sizes

GPT2 = {"vocabulary": 50257, "context": 1024}
# Radford et al. 2018 and 2019, Brown et al. 2020: millions of numbers.
PUBLISHED = [
    (116.5, {"depth": 12, "hidden": 768, "heads": 12, "vocabulary": 40478, "context": 512}),
    (124.4, {"depth": 12, "hidden": 768, "heads": 12, **GPT2}),
    (354.8, {"depth": 24, "hidden": 1024, "heads": 16, **GPT2}),
    (774.0, {"depth": 36, "hidden": 1280, "heads": 20, **GPT2}),
    (1557.6, {"depth": 48, "hidden": 1600, "heads": 25, **GPT2}),
    (174600, {"depth": 96, "hidden": 12288, "heads": 96, "vocabulary": 50257, "context": 2048}),
]


def recipe(vocabulary: int, **decoder: int) -> Recipe:
    spec = {"name": "generate", "vocabulary": vocabulary, "decoder": {"name": "gpt2", **decoder}}
    return Recipe.model_validate({"targets": {"text": spec}})


@pytest.mark.parametrize(("millions", "options"), PUBLISHED)
def test_published_sizes_without_allocating_them(millions, options):
    (found,) = sizes(recipe(**options))
    assert found.numbers == pytest.approx(millions * 1e6, rel=0.002)
    work = found.decoders["text"]
    assert work.kept == 2 * options["depth"] * options["hidden"]
    attention = 12 * options["depth"] * options["hidden"] * 100
    assert work.operations(100) == 6 * found.numbers + attention
    assert found.training == 20 * found.numbers


def test_grouped_keys_and_values_are_fewer():
    spec = {"name": "generate", "decoder": {"name": "llama", "hidden": 64, "groups": 2}}
    (found,) = sizes(Recipe.model_validate({"targets": {"text": spec}}))
    assert found.decoders["text"].kept == 2 * 3 * 2 * 16


def test_without_a_table_or_a_writer_there_is_no_size():
    with pytest.raises(UserError, match="nothing whose size"):
        sizes(Recipe.model_validate({"targets": {"y": "classify"}}))


def test_numbers_are_counted_as_a_fit_counts_them():
    # Weight, bias, running mean and variance, and how many batches there were.
    assert _count(nn.BatchNorm1d(5)) == 4 * 5 + 1


def test_a_table_that_is_still_to_be_made_is_told_with_how(tmp_path: Path, capsys):
    head = "# A recipe.\n#\n#     python make.py a 'b c'\n#     polymodal fit x.yaml\n"
    file = tmp_path / "x.yaml"
    file.write_text(f"{head}train: data/train.csv\ntarget: y\n")
    for command in ("plan", "fit", "pretrain", "check"):
        assert polymodal(command, str(file)) == 2
        said = one_error(capsys.readouterr().err, "data/train.csv', does not exist")
        assert "python make.py a 'b c'" in said and "polymodal fit" not in said


def test_from_the_command_line(tmp_path: Path):
    from polymodal.cli.main import app

    file = tmp_path / "large.yaml"
    file.write_text(
        "targets: {text: {name: generate, vocabulary: 50257, decoder: "
        "{name: gpt2, hidden: 768, depth: 12, heads: 12}}}\n"
    )
    result = CliRunner().invoke(app, ["plan", str(file)])
    assert result.exit_code == 0 and "124,439,808 parameters" in result.output
    assert "GFLOPs per token of training" in result.output
