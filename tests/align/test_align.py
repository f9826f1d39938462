"""Alignments do what their names say; a fit has them, and a file of one's own works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.linalg import qr, svd
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from torch import nn

import polymodal as pm
from polymodal.align.cca import Cca
from polymodal.align.deep_cross import DeepCross
from polymodal.align.hierarchical import Hierarchical
from polymodal.align.linear import Linear
from polymodal.align.mlp import Mlp
from polymodal.align.pca import Pca
from polymodal.align.residual import Residual
from polymodal.base.errors import UserError
from polymodal.contract import resolve
from polymodal.contract.batch import Tokens
from polymodal.contract.kind import Kind
from polymodal.contract.recipe import Recipe
from polymodal.fitting.learners import gradient
from polymodal.models.aligned import Aligned


def tokens(values: np.ndarray, lengths: np.ndarray | None = None) -> Tokens:
    """`(rows, size)` one token a row, or `(rows, length, size)`."""
    found = torch.from_numpy(values).float()
    found = found.unsqueeze(1) if found.dim() == 2 else found
    mask = torch.ones(found.shape[:2], dtype=torch.bool)
    if lengths is not None:
        mask = torch.arange(found.shape[1]) < torch.from_numpy(lengths).unsqueeze(1)
    return Tokens(found, mask)


def parts(values: np.ndarray, size: int = 100) -> list[np.ndarray]:
    return [values[i : i + size] for i in range(0, len(values), size)]


def numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_linear_and_mlp_are_as_large_as_they_say():
    assert numbers(Linear(30, 8)) == 30 * 8 + 8
    assert numbers(Mlp(30, 8)) == (30 * 16 + 16) + (16 * 8 + 8)
    assert numbers(Mlp(30, 8, hidden=5, depth=3)) == (31 * 5) + 2 * (6 * 5) + (6 * 8)
    x = tokens(np.random.default_rng(0).normal(size=(4, 30)))
    linear = Linear(30, 8)
    doubled = linear(Tokens(2 * x.values, x.mask)).values - linear.linear.bias
    torch.testing.assert_close(doubled, 2 * (linear(x).values - linear.linear.bias))
    with pytest.raises(UserError, match="hidden and depth"):
        Mlp(30, 8, depth=0)


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_starts_as_scikit_learns(whiten):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 4, 10)) @ rng.normal(size=(10, 10)) + 3
    lengths = rng.integers(0, 5, 300)
    real = np.arange(4) < lengths[:, None]
    align = Pca(10, 6, whiten=whiten)
    batches = [{"a": tokens(v, n)} for v, n in zip(parts(values), parts(lengths), strict=True)]
    Pca.start({"a": align}, batches)
    theirs = PCA(6, whiten=whiten).fit(values[real])
    found = align(tokens(values, lengths)).values.detach().numpy()[real]
    wanted = theirs.transform(values[real])
    signs = np.sign((found * wanted).sum(0))
    np.testing.assert_allclose(found, wanted * signs, rtol=1e-3, atol=1e-3)


def test_pca_of_fewer_directions_than_the_width_leaves_the_rest_as_it_was():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 5))
    align = Pca(5, 4)
    before = align.linear.weight.detach().clone()
    Pca.start({"a": align}, [{"a": tokens(flat)}])
    after = align.linear.weight.detach()
    assert torch.equal(before[2:], after[2:]) and not torch.equal(before[:2], after[:2])
    assert align.linear.weight.requires_grad
    with pytest.raises(UserError, match="too few tokens"):
        Pca.start({"a": align}, [{"a": tokens(flat[:1])}])


def canonical_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The closed form: singular values between orthonormal bases (Björck and Golub 1973)."""
    bases = [qr(one - one.mean(0), mode="economic")[0] for one in (x, y)]
    return svd(bases[0].T @ bases[1], compute_uv=False)


def views(rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(rows, 3))
    mixed = (shared * [1, 0.7, 0.4]) @ rng.normal(size=(3, 7))
    return mixed + rng.normal(size=(rows, 7)), shared @ rng.normal(size=(3, 5)) + rng.normal(
        size=(rows, 5)
    )


def started(x: np.ndarray, y: np.ndarray, width: int = 4, shrink: float = 0.0) -> list[np.ndarray]:
    """What the two alignments make of the rows that they start from."""
    own = {"x": Cca(x.shape[1], width, shrink=shrink), "y": Cca(y.shape[1], width, shrink=shrink)}
    batches = [{"x": tokens(a), "y": tokens(b)} for a, b in zip(parts(x), parts(y), strict=True)]
    Cca.start(own, batches)
    given = {"x": tokens(x), "y": tokens(y)}
    return [own[name](given[name]).values.squeeze(1).detach().numpy() for name in own]


def test_cca_starts_with_the_canonical_correlations():
    x, y = views()
    a, b = started(x, y)
    found = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(4)]
    np.testing.assert_allclose(found, canonical_correlations(x, y)[:4], atol=1e-4)
    theirs = CCA(2, max_iter=5000, tol=1e-10).fit(x, y)
    pairs = zip(*(scores.T for scores in theirs.transform(x, y)), strict=True)
    np.testing.assert_allclose(found[:2], [np.corrcoef(*pair)[0, 1] for pair in pairs], atol=1e-3)
    # Variance 1, uncorrelated within a modality and across different places.
    np.testing.assert_allclose(np.cov(a.T), np.eye(4), atol=1e-3)
    np.testing.assert_allclose(np.cov(b.T), np.eye(4), atol=1e-3)
    crossed = np.corrcoef(a.T, b.T)[:4, 4:]
    np.testing.assert_allclose(crossed - np.diag(np.diag(crossed)), 0, atol=1e-3)


def test_shrinking_keeps_chance_from_correlating():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 40, 30))

    def first(shrink: float) -> float:
        own = {"x": Cca(30, 4, shrink=shrink), "y": Cca(30, 4, shrink=shrink)}
        Cca.start(own, [{"x": tokens(x), "y": tokens(y)}])
        made = [own[n](tokens(v)).values[:, 0, 0].detach().numpy() for n, v in (("x", x), ("y", y))]
        return float(np.corrcoef(*made)[0, 1])

    assert first(0.0) > 0.999 > first(0.5)
    with pytest.raises(UserError, match="shrink from 0 to 1"):
        Cca(4, 4, shrink=2.0)


def test_cca_reads_rows_that_have_all_and_their_mean_tokens():
    x, y = views(100)
    own = {"x": Cca(7, 3, shrink=0.0), "y": Cca(5, 3, shrink=0.0)}
    # Two tokens whose mean is the row's vector, and rows that lack one of the modalities.
    apart = np.random.default_rng(2).normal(size=x.shape)
    two = np.stack([x + apart, x - apart], 1)
    lacking = np.where(np.arange(100) < 80, 1, 0)
    Cca.start(own, [{"x": tokens(two), "y": tokens(y, lacking)}])
    a = own["x"](tokens(two)).mean().detach().numpy()[:80]
    b = own["y"](tokens(y)).mean().detach().numpy()[:80]
    found = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found, canonical_correlations(x[:80], y[:80])[:3], atol=1e-4)
    with pytest.raises(UserError, match="too few rows have x and y"):
        Cca.start(own, [{"x": tokens(two), "y": tokens(y, 0 * lacking)}])


def test_cca_of_three_correlates_what_all_share_and_of_one_whitens():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 1))
    made = {
        n: np.hstack([shared, rng.normal(size=(500, 3))]) @ rng.normal(size=(4, 4)) for n in "xyz"
    }
    own = {n: Cca(4, 2, shrink=0.0) for n in made}
    Cca.start(own, [{n: tokens(v) for n, v in made.items()}])
    first = [own[n](tokens(v)).values[:, 0, 0].detach().numpy() for n, v in made.items()]
    correlations = np.abs(np.corrcoef([*first, shared[:, 0]]))
    assert correlations.min() > 0.999
    alone = Cca(4, 3, shrink=0.0)
    Cca.start({"x": alone}, [{"x": tokens(made["x"])}])
    found = alone(tokens(made["x"])).values.squeeze(1).detach().numpy()
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=1e-3)


def test_a_cross_layer_is_its_closed_form():
    x = tokens(np.random.default_rng(0).normal(size=(4, 6)))
    align = DeepCross(6, 3, crosses=2).eval()
    first, second = (cross.map[-1] for cross in align.crosses)
    one = x.values * (x.values @ first.weight.T + first.bias) + x.values
    two = x.values * (one @ second.weight.T + second.bias) + one
    for ours, wanted in zip(align.crossed(x.values), (one, two), strict=True):
        torch.testing.assert_close(ours, wanted)
    whole = align.project(two) + align.deep(x.values)
    torch.testing.assert_close(align(x).values, whole)
    # W of rank 2: 6 * 2 + 2 * 6 numbers and the bias.
    assert numbers(DeepCross(6, 3, rank=2).crosses[0]) == 6 * 2 + 2 * 6 + 6
    assert numbers(DeepCross(6, 3).crosses[0]) == 6 * 6 + 6
    with pytest.raises(UserError, match="a rank from 1 to 6"):
        DeepCross(6, 3, rank=7)


def test_residual_is_the_identity_at_the_start_and_learns():
    x = tokens(np.random.default_rng(0).normal(size=(4, 6)))
    align = Residual(6, 6, blocks=2)
    assert torch.equal(align(x).values, x.values)
    other = Residual(6, 3)
    torch.testing.assert_close(other(x).values, other.project(x.values))
    optimizer = torch.optim.SGD(align.parameters(), 0.1)
    align(x).values.square().sum().backward()
    optimizer.step()
    assert not torch.equal(align(x).values, x.values)
    with pytest.raises(UserError, match="blocks of 1 or more"):
        Residual(6, 6, blocks=0)


def test_hierarchical_adds_the_means_of_passage_and_whole():
    rng = np.random.default_rng(0)
    values, lengths = rng.normal(size=(3, 7, 4)), np.array([7, 3, 1])
    align, x = Hierarchical(4, 5, window=2), tokens(values, lengths)
    found = align(x).values
    for row, length in enumerate(lengths):
        own = x.values[row, :length]
        for i in range(length):
            passage = own[i // 2 * 2 : i // 2 * 2 + 2].mean(0)
            wanted = align.token(own[i]) + align.passage(passage) + align.whole(own.mean(0))
            torch.testing.assert_close(found[row, i], wanted)
    with pytest.raises(UserError, match="a window of 1 or more"):
        Hierarchical(4, 5, window=0)


# -- in a fit ------------------------------------------------------------------------------------

TRAINING = {"epochs": 2, "batch_size": 16, "precision": "fp32", "attention": "plain", "threads": 1}
OWN = """
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens
from torch import nn


class Scaled(Align):
    def __init__(self, size, width, *, scale=1.0):
        super().__init__()
        self.scale, self.linear = scale, nn.Linear(size, width, bias=False)

    def forward(self, tokens):
        return Tokens(self.scale * self.linear(tokens.values), tokens.mask)
"""


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYMODAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Kind, "installed", lambda room: ())


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 80)
    words = np.array(["calm sea", "dark wood"])
    return pd.DataFrame(
        {
            "note": [f"{words[k]} on day {i}" for i, k in enumerate(kinds)],
            "a": 0.3 * rng.normal(size=80) + kinds,
            "b": rng.normal(size=80),
            "label": np.where(kinds == 1, "yes", "no"),
        }
    )


def recipe(**given: object) -> Recipe:
    described = {
        "targets": {"label": None},
        "modalities": {"note": {"encoder": {"name": "ngrams", "size": 50}}, "table": {}},
        "width": 8,
        "training": TRAINING,
    }
    return Recipe.model_validate(described | given)


def aligns(run: pm.Run) -> list[Aligned]:
    (member,) = run.members.values()
    return [one for one in member.module.encoders if isinstance(one, Aligned)]


def same_answers(run: pm.Run, other: pm.Run) -> None:
    pd.testing.assert_frame_equal(run.predict(table()), other.predict(table()))


def test_modalities_that_start_by_cca_are_correlated_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    adapt = gradient._adapt

    def adapted(module, trial, train):
        adapt(module, trial, train)
        module.eval()
        inputs = trial.lesson.collator.inputs
        with torch.no_grad():
            made = module.encode({n: inputs[n].gather(train) for n in module.names})
        module.train()
        first = [one.mean()[:, 0].numpy() for one in made.values()]
        found.append(float(np.corrcoef(*first)[0, 1]))

    monkeypatch.setattr(gradient, "_adapt", adapted)
    run = pm.fit(
        table(), recipe=recipe(align={"name": "cca", "shrink": 0.01}), out=tmp_path / "run"
    )
    assert found[0] > 0.8
    same_answers(pm.load(tmp_path / "run"), run)


def test_a_pretrained_model_keeps_its_own_width_until_it_is_aligned(
    bert_path: str, tmp_path: Path
) -> None:
    note = {"pretrained": bert_path}
    plain = pm.fit(table(), recipe=recipe(modalities={"note": note}))
    (member,) = plain.members.values()
    size = member.module.encoders[0].frozen.project[1].in_features
    for tune in (False, True):
        note = {"pretrained": bert_path, "align": "pca", "tune": tune}
        out = tmp_path / str(tune)
        run = pm.fit(table(), recipe=recipe(modalities={"note": note}), out=out)
        (one,) = aligns(run)
        assert one.align.linear.in_features == size != 8
        assert not any(
            isinstance(m, nn.Linear) for name, m in one.encoder.named_modules() if "project" in name
        )
        same_answers(pm.load(out), run)


def test_an_alignment_of_ones_own_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "my_file.py").write_text(OWN)
    spec = {"name": f"{tmp_path}/my_file.py:Scaled", "scale": 0.5}
    modalities = {
        "note": {"encoder": {"name": "ngrams", "size": 50}, "align": spec, "width": 20},
        "table": {},
    }
    run = pm.fit(table(), recipe=recipe(modalities=modalities), out=tmp_path / "run")
    (one,) = aligns(run)
    assert one.align.scale == 0.5 and one.align.linear.weight.shape == (8, 20)
    with pytest.raises(UserError, match="trust"):
        pm.load(tmp_path / "run")
    (tmp_path / "my_file.py").unlink()
    same_answers(pm.load(tmp_path / "run", trust=True), run)


def test_a_parents_alignment_goes_over_and_another_does_not(tmp_path: Path) -> None:
    pm.fit(table(), recipe=recipe(align="pca"), out=tmp_path / "parent")
    child = pm.fit(
        table(),
        recipe=recipe(modalities={"note": {}, "table": {"align": "linear"}}),
        parent=tmp_path / "parent",
    )
    lineage = child.origin["parent"]
    assert lineage["started"] == {"note": "note"}
    assert "alignment" in lineage["left"]["table"]
    kinds = [type(one.align).__name__ for one in aligns(child)]
    assert kinds == ["Pca", "Linear"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"align": "pcaa"}, "did you mean 'pca'"),
        ({"align": {"name": "mlp", "hiden": 3}}, "did you mean 'hidden'"),
        ({"align": {"name": "mlp", "hidden": "many"}}, "has the wrong type"),
        ({"align": {"name": "cca", "shrink": 3.0}}, "shrink from 0 to 1"),
    ],
)
def test_what_cannot_be_aligned_is_told(given, told):
    with pytest.raises(UserError, match=told):
        pm.fit(table(), recipe=recipe(**given))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modalities": {"table": {"width": 8}}}, "goes with 'align'"),
        ({"models": [{"name": "one", "learner": "linear", "align": "pca"}]}, "no align in"),
    ],
)
def test_a_recipe_of_which_nothing_would_be_aligned_is_none(given, told):
    with pytest.raises(UserError, match=told):
        resolve.validate({"targets": {"label": None}, **given}, "recipe")
