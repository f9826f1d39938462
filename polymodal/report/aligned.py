"""The report's part on alignment: a table of pairs, and the modalities' vectors seen from above."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from polymodal.base.spelling import cut
from polymodal.report import plots
from polymodal.report.words import Shown, card

# Classes that get a colour of their own, the largest first; the others share one.
CLASSES = 4
VIEWS = {"pca": "PCA", "tsne": "t-SNE"}
FOUND = {
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "median_rank": "median rank",
}


def section(shown: Shown) -> str:
    """All of it, from the document's "alignment"."""
    found = shown.at("alignment")
    views = f'<div class="panels views">{"".join(_views(shown))}</div>' if found["views"] else ""
    return card(
        "Do the encoders place a row's modalities together?",
        f'<p class="note">Of the member {shown.text("alignment", "member")}, each modality\'s '
        "tokens, their mean a row, on a sample of rows. CKA: one is the same geometry, zero "
        "none in common. Gap: distance of the mean directions, two at most. R@k: how often a row's "
        "other modality is among the k most similar of the gallery; by chance k / gallery. Equal "
        f"items of other rows count as found first.</p>{_pairs(shown)}{views}"
        '<p class="note">In t-SNE only who is near whom can be read off; distances between groups '
        "cannot.</p>",
    )


def _pairs(shown: Shown) -> str:
    lines = []
    for i, pair in enumerate(shown.at("alignment", "pairs")):
        at = ("alignment", "pairs", i)
        for j in range(len(pair["retrieval"])):
            way = (*at, "retrieval", j)
            figures = "".join(
                f"<td>{shown.number(*way, name, 'value')} {shown.interval(*way, name)}</td>"
                for name in FOUND
            )
            both = (
                f'<td rowspan="2">{shown.number(*at, "cka")}</td>'
                f'<td rowspan="2">{shown.number(*at, "gap")}</td>'
            )
            lines.append(
                f'<tr><th scope="row">{shown.text(*way, "direction")}</th>{both if j == 0 else ""}'
                f"<td>{shown.number(*way, 'gallery')}</td>{figures}</tr>"
            )
    heads = "".join(f"<th>{name}</th>" for name in ("CKA", "gap", "gallery", *FOUND.values()))
    return (
        f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _views(shown: Shown) -> list[str]:
    """Each view coloured by modality and, where rows have a class, by that."""
    views = shown.at("alignment", "views")
    labels = shown.at("alignment").get("labels")
    panels = []
    for view, title in VIEWS.items():
        names = {name: own[view] for name, own in views.items()}
        panels.append(_panel(f"{title}, by modality", [*names.items()]))
    if labels is None:
        return panels
    largest = [name for name, _ in Counter(labels).most_common(CLASSES)]
    for view, title in VIEWS.items():
        groups: dict[str, list[list[float]]] = {name: [] for name in largest}
        others: list[list[float]] = []
        for own in views.values():
            for row, point in zip(own["rows"], own[view], strict=True):
                groups.get(labels[row], others).append(point)
        found = [*groups.items()] + ([("others", others)] if others else [])
        panels.append(_panel(f"{title}, by class", found))
    return panels


def _panel(title: str, groups: Sequence[tuple[str, list[list[float]]]]) -> str:
    keys = "".join(
        f'<span class="key-of"><span class="dot c{i}"></span>'
        f'<span class="name">{escape(cut(name, 30))}</span></span> '
        for i, (name, _) in enumerate(groups)
    )
    drawn = plots.scatter([points for _, points in groups])
    return (
        f'<figure><figcaption class="name">{title}</figcaption>{drawn}'
        f"<small>{keys}</small></figure>"
    )
