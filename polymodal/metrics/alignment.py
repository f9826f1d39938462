"""How modalities' embeddings lie to each other: similarity, gap, retrieval, and views to look at.

A small modality gap or a high CKA does not mean that the embeddings match row by row: show
retrieval beside them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array, mean
from polymodal.metrics.statistics import Clusters, intervals

# Similarities held at once: 32 MiB.
BLOCK = 2**22
# HSIC_1 is not defined for fewer rows.
FEWEST = 4
# Equal items may get float32 similarities that differ in the last digits.
TIE = 1e-6
PESSIMISTIC = f"of items whose similarities differ by less than {TIE:g} wrong ones come first"


def cka(x: Array, y: Array) -> float:
    """Linear CKA of two embeddings of the same rows by the unbiased HSIC_1, about 0 to 1.

    Independent embeddings score 0 on average however wide they are; the usual, biased form
    approaches 1 where columns outnumber rows. Rotations, scales and shifts change nothing. Memory
    is width squared, not rows squared. NaN if either embedding is constant.

    Args:
        x: `(rows, d)`.
        y: `(rows, e)`.

    Raises:
        UserError: fewer than 4 rows, for which HSIC_1 is not defined.

    Papers: "Similarity of Neural Network Representations Revisited" (Kornblith et al. 2019,
    arXiv 1905.00414); HSIC_1: "Feature Selection via Dependence Maximization" (Song et al. 2012).
    """
    if len(x) < FEWEST:
        raise UserError(
            "CKA needs more rows",
            expected=f"at least {FEWEST}",
            got=f"{len(x)}",
            do="measure more rows",
        )
    # Shifts cancel exactly; centred, they cancel without loss of digits too.
    x, y = (side.astype(float) - side.mean(0, dtype=float) for side in (x, y))
    size = _hsic(x, x) * _hsic(y, y)
    return float(_hsic(x, y) / np.sqrt(size)) if size > 0 else float("nan")


def modality_gap(x: Array, y: Array) -> float:
    """Distance between the means of two modalities' embeddings, each made a unit vector: 0 to 2.

    Args:
        x: `(rows, d)`.
        y: `(others, d)`.

    Paper: "Mind the Gap" (Liang et al. 2022, arXiv 2203.02053).
    """
    return float(np.linalg.norm(unit(x).mean(0) - unit(y).mean(0)))


@dataclass(frozen=True)
class Retrieval:
    """What each query found in a gallery.

    Attributes:
        direction: what asks for what ("text to image").
        gallery: its size; figures of different sizes cannot be compared.
        first: `(queries,)` rank of the first right item, from 1; infinite if it was not found.
        precision: `(queries,)` average precision over all right items; those not found count 0.
        ties: what was done about items that rank equally.
        depth: ranks that were looked at; by default the whole gallery.
    """

    direction: str
    gallery: int
    first: Array
    precision: Array
    ties: str = PESSIMISTIC
    depth: int | None = None

    @property
    def reach(self) -> int:
        """`depth`, whether given or not."""
        return self.gallery if self.depth is None else self.depth

    def conditions(self) -> dict[str, Any]:
        """Without which the figures say little: direction, gallery, depth and ties."""
        return {
            "direction": self.direction,
            "gallery": self.gallery,
            "depth": self.reach,
            "ties": self.ties,
        }

    def metrics(self, cutoffs: Sequence[int] = (1, 5, 10)) -> dict[str, Metric]:
        """recall_at_k (a right item among the first k), mrr, map, median_rank, over queries.

        Left out: a cutoff beyond `depth` where that is less than the gallery, and the median rank
        if some query found nothing.
        """
        found = {
            f"recall_at_{k}": Metric(mean((self.first <= k).astype(float)))
            for k in cutoffs
            if k <= self.reach or self.reach >= self.gallery
        }
        found |= {"mrr": Metric(mean(1 / self.first)), "map": Metric(mean(self.precision))}
        if np.isfinite(self.first).all():
            found["median_rank"] = Metric(self._median_rank, greater_is_better=False)
        return found

    def followed_by(self, other: Retrieval) -> Retrieval:
        """These queries and then the other's: a second system's on the same queries and gallery."""
        return replace(
            self,
            first=np.concatenate([self.first, other.first]),
            precision=np.concatenate([self.precision, other.precision]),
            depth=max(self.reach, other.reach),
        )

    def _median_rank(self, weights: Array) -> Array:
        order = np.argsort(self.first)
        ranks = self.first[order]
        running = np.cumsum(weights[:, order], axis=1)
        half = running[:, -1:] / 2
        # The first rank that reaches half of the weight and the first to pass it: the same one
        # unless exactly half lies below, as for an even number of queries.
        reached, passed = (running >= half).argmax(1), (running > half).argmax(1)
        return np.asarray((ranks[reached] + ranks[passed]) / 2)


def retrieval(
    queries: Array,
    gallery: Array,
    direction: str,
    query_ids: Array | None = None,
    gallery_ids: Array | None = None,
) -> Retrieval:
    """Rank the gallery for every query by cosine similarity.

    Ties are pessimistic: of items whose similarities differ by less than TIE the wrong ones come
    first, so a model that gives everything the same similarity finds nothing.

    Args:
        queries: `(queries, d)` embeddings.
        gallery: `(items, d)` embeddings.
        direction: what asks for what, to show ("text to image").
        query_ids: `(queries,)` what each query is of; by default its row number.
        gallery_ids: `(items,)` likewise. An item is right for a query if their ids are equal.

    Raises:
        UserError: a query has no right item.
    """
    asked = np.arange(len(queries)) if query_ids is None else np.asarray(query_ids)
    offered = np.arange(len(gallery)) if gallery_ids is None else np.asarray(gallery_ids)
    lonely = np.flatnonzero(~np.isin(asked, offered))
    if len(lonely):
        raise UserError(
            f"{len(lonely)} queries have nothing to find in the gallery ({direction})",
            expected="an item with the same id for every query",
            got=f"none with the id {asked[lonely[0]]}",
        )
    queries, gallery = unit(queries), unit(gallery)
    found = []
    size = max(1, BLOCK // len(gallery))
    for start in range(0, len(queries), size):
        similar = queries[start : start + size] @ gallery.T
        for row, own in zip(similar, asked[start : start + size], strict=True):
            found.append(_ranked(row, offered == own))
    first, precision = np.array(found, dtype=float).T
    return Retrieval(direction, len(gallery), first, precision)


def ranks(queries: Array, gallery: Array) -> Array:
    """Rank `(rows,)`, from 1, of each query's own item in the gallery, by cosine similarity.

    Ties are pessimistic, as of `retrieval`.

    Args:
        queries, gallery: `(rows, d)` embeddings; row i of both belongs together.
    """
    queries, gallery = unit(queries), unit(gallery)
    size, found = max(1, BLOCK // max(1, len(gallery))), [np.zeros(0)]
    for start in range(0, len(queries), size):
        similar = queries[start : start + size] @ gallery.T
        own = similar[np.arange(len(similar)), start + np.arange(len(similar))]
        found.append((similar >= own[:, None] - TIE).sum(1).astype(float))
    return np.concatenate(found)


def found_in(
    lists: Sequence[Sequence[Hashable]],
    right: Sequence[Set[Hashable]],
    direction: str,
    gallery: int | None = None,
) -> Retrieval:
    """What was found by rankings that were made elsewhere.

    Args:
        lists: for each query the items it ranks, best first; all of the gallery or its first part.
            What is not listed counts as not found.
        right: for each query its right items, one or more, each once.
        direction: what asks for what, to show.
        gallery: its size; by default the number of different items in `lists` and `right`.

    Raises:
        UserError: a list names an item twice.
    """
    first, precision = np.full(len(lists), np.inf), np.zeros(len(lists))
    everything: set[Hashable] = set()
    for query, (ranked, wanted) in enumerate(zip(lists, right, strict=True)):
        if len(set(ranked)) < len(ranked):
            raise UserError(
                f"A ranking names an item twice ({direction})",
                expected="every item once, best first",
                got=repr(list(ranked))[:80],
            )
        everything.update(ranked, wanted)
        ranks = np.flatnonzero([item in wanted for item in ranked]) + 1
        if len(ranks):
            first[query] = ranks[0]
            precision[query] = (np.arange(1, len(ranks) + 1) / ranks).sum() / len(wanted)
    depth = max((len(ranked) for ranked in lists), default=0)
    size = len(everything) if gallery is None else gallery
    return Retrieval(direction, size, first, precision, "in the order of the lists", depth)


def pca(embeddings: Mapping[str, Array]) -> dict[str, Array]:
    """The two directions in which all modalities' embeddings together vary most.

    Args:
        embeddings: modality -> `(rows, d)`, d from 2 and shared.

    Returns:
        Modality -> `(rows, 2)`.
    """
    from sklearn.decomposition import PCA

    flat = PCA(2, svd_solver="covariance_eigh").fit_transform(_stacked(embeddings))
    return _parted(flat, embeddings)


def tsne(embeddings: Mapping[str, Array], seed: int = 0) -> dict[str, Array]:
    """Neighbours of all modalities' embeddings together in two dimensions, by t-SNE.

    Only who is near whom can be read off it; distances between groups, their sizes and their
    density cannot. It takes minutes from about 10 000 rows on.

    Args:
        embeddings: modality -> `(rows, d)`, d from 2 and shared.

    Returns:
        Modality -> `(rows, 2)`.

    Paper: "Visualizing Data using t-SNE" (van der Maaten, Hinton 2008).
    """
    from sklearn.manifold import TSNE

    points = _stacked(embeddings)
    perplexity = min(30, (len(points) - 1) / 3)
    flat = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    return _parted(flat, embeddings)


def describe(embeddings: Mapping[str, Array], clusters: Clusters | None = None) -> dict[str, Any]:
    """Every pair of modalities compared, and all of them seen from above.

    Of a query, the item of its own row is right; equal items of other rows count as wrong, and
    come first.

    Args:
        embeddings: modality -> `(rows, d)`, NaN in rows without it, d from 2 and shared.
        clusters: of the rows, for the intervals.

    Returns:
        "pairs", of those that FEWEST rows have: "modalities", "rows" that have both, "cka", "gap",
        and "retrieval" in both directions ("direction", "gallery", and recall_at_1, _5, _10 and
        median_rank with their 95 % intervals). "views": modality -> "rows" (positions), "pca",
        "tsne" (points `(rows, 2)` within -1 and 1); none where all embeddings are one point.
    """
    known = {name: np.asarray(np.isfinite(own).all(1)) for name, own in embeddings.items()}
    pairs = []
    for one, other in combinations(embeddings, 2):
        both = np.flatnonzero(known[one] & known[other])
        if len(both) < FEWEST:
            continue
        x, y = embeddings[one][both], embeddings[other][both]
        own = None if clusters is None else np.asarray(clusters)[both]
        pairs.append(
            {
                "modalities": [one, other],
                "rows": len(both),
                "cka": cka(x, y),
                "gap": modality_gap(x, y),
                "retrieval": [
                    _found(retrieval(x, y, f"{one} to {other}"), own),
                    _found(retrieval(y, x, f"{other} to {one}"), own),
                ],
            }
        )
    return {"pairs": pairs, "views": _views(embeddings, known)}


def _found(ranks: Retrieval, clusters: Clusters | None) -> dict[str, Any]:
    metrics = ranks.metrics()
    shown = [name for name in metrics if name.startswith(("recall", "median"))]
    spans = intervals({name: metrics[name] for name in shown}, len(ranks.first), clusters)
    return {
        "direction": ranks.direction,
        "gallery": ranks.gallery,
        **{name: asdict(span) for name, span in spans.items()},
    }


def _views(embeddings: Mapping[str, Array], known: Mapping[str, Array]) -> dict[str, Any]:
    points = {name: own[known[name]] for name, own in embeddings.items() if known[name].any()}
    together = _stacked(points) if points else np.zeros((0, 2))
    # t-SNE asks for three neighbours, and neither view can turn a point.
    if len(together) < FEWEST or not (np.ptp(together, axis=0) > 0).any():
        return {}
    described: dict[str, Any] = {
        name: {"rows": np.flatnonzero(known[name]).tolist()} for name in points
    }
    for view, flat in {"pca": pca(points), "tsne": tsne(points)}.items():
        reach = max(float(np.abs(own).max()) for own in flat.values())
        for name, own in flat.items():
            # More digits than one sees would make the page large.
            described[name][view] = np.round(own.astype(float) / reach, 3).tolist()
    return described


def _hsic(x: Array, y: Array) -> float:
    """HSIC_1 of linear kernels K, L of `(rows, d)`, `(rows, e)` whose diagonals are set to 0.

    [tr(KL) + 1'K1 1'L1 / ((n - 1)(n - 2)) - 2 / (n - 2) 1'KL1] / (n (n - 3)), from sums that
    never form the kernels.
    """
    n = len(x)
    own_x, own_y = (x**2).sum(1), (y**2).sum(1)
    trace = ((x.T @ y) ** 2).sum() - own_x @ own_y
    sums_x, sums_y = x @ x.sum(0) - own_x, y @ y.sum(0) - own_y
    total = sums_x.sum() * sums_y.sum() / ((n - 1) * (n - 2))
    return float((trace + total - 2 / (n - 2) * (sums_x @ sums_y)) / (n * (n - 3)))


def unit(x: Array) -> Array:
    """Vectors, along the last axis, of length 1; one of zeros, which has no direction, stays."""
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(x / np.where(lengths > 0, lengths, 1))


def _ranked(similar: Array, right: Array) -> tuple[float, float]:
    """Rank of the first right item and average precision, from `(items,)` similarities."""
    wrong = np.sort(similar[~right])
    own = -np.sort(-similar[right])
    count = np.arange(1, len(own) + 1)
    ranks = count + len(wrong) - np.searchsorted(wrong, own - TIE)
    return ranks[0], float((count / ranks).mean())


def _stacked(embeddings: Mapping[str, Array]) -> Array:
    return np.concatenate([points.astype(float) for points in embeddings.values()])


def _parted(points: Array, like: Mapping[str, Array]) -> dict[str, Array]:
    ends = np.cumsum([len(rows) for rows in like.values()])[:-1]
    return dict(zip(like, np.split(points, ends), strict=True))
