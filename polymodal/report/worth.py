"""The page's part on what each modality is worth, and how the model holds without."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from polymodal.base.spelling import cut
from polymodal.report import plots
from polymodal.report.plots import Line, Mark
from polymodal.report.words import NOISE, Path, Shown, card

EMPTY = "nothing (the same answer always)"


def contributions(shown: Shown, target: str) -> list[str]:
    at = ("contributions", target)
    found = shown.at(*at)
    better = "" if found["greater_is_better"] else " (an error: less is better)"
    zero = [Line(0.0, "zero")]
    nothing = found["values"][""]["value"]
    sets = sorted(found["values"], key=lambda name: (name.count("+") + bool(name), name))
    values = plots.forest(
        shown,
        [Mark(_team(name), (*at, "values", name)) for name in sets],
        [] if nothing is None else [Line(nothing, "zero")],
        base=nothing,
    )
    felt = [name for name, span in found["shapley"].items() if not _nothing(span)]
    unfelt = [
        f'<span class="name">{escape(cut(n, 40))}</span>' for n in found["shapley"] if n not in felt
    ]
    none = f'<p class="note">No answer depends on: {", ".join(unfelt)}.</p>' if unfelt else ""
    worth = plots.forest(
        shown,
        [Mark(escape(cut(name, 40)), (*at, "shapley", name)) for name in felt],
        zero,
        signed=True,
    )
    orders = f" and {shown.number(*at, 'orders')} orders of joining" if found["orders"] else ""
    cards = [
        card(
            "What the fused model scores with each set of modalities",
            f'<p class="note">{found["metric"]}{better} of {shown.number(*at, "rows")} rows'
            f"{orders}; the others are {found['absent']}. "
            "Bars start at what nothing scores.</p>" + values,
        ),
        card(
            "What each modality is worth to it",
            f'<p class="note">Shapley values: shares of what all add to nothing, in '
            f"{found['metric']}.</p>{none}{worth if felt else ''}{_use(shown, target)}",
        ),
    ]
    if "sample" in found:
        cards.append(_exchanged(shown, target, felt))
    if found["cooperation"]:
        cooperation = card(
            "Cooperation",
            '<p class="note">Above 0 modalities bring more together than one by one; below 0 less, '
            "because they repeat each other or because each alone brings much of it.</p>"
            + plots.forest(
                shown,
                [Mark(_team(name), (*at, "cooperation", name)) for name in found["cooperation"]],
                zero,
                signed=True,
            ),
        )
        cards.insert(2, cooperation)
    return cards


def _exchanged(shown: Shown, target: str, felt: Collection[str]) -> str:
    """What cells of other rows cost, and what is owed to interactions.

    Args:
        felt: modalities on which answers depend.
    """
    at = ("contributions", target)
    found, zero = shown.at(*at), [Line(0.0, "zero")]
    perceptual = plots.forest(
        shown,
        [
            Mark(f"{escape(cut(name, 40))} exchanged", (*at, "sample", "perceptual", name))
            for name in found["sample"]["perceptual"]
            if name in felt
        ],
        zero,
        signed=True,
    )
    gain = plots.forest(
        shown, [Mark("interaction", (*at, "sample", "emap_gain"))], zero, signed=True
    )
    return card(
        "What it loses when cells are exchanged among rows",
        f'<p class="note">A sample of {shown.number(*at, "sample", "rows")} rows. Perceptual '
        f"score: the share of its {found['metric']} that goes when one modality's cells are "
        f"those of other rows.</p>{perceptual}<h4>Gain over its additive part (EMAP)</h4>"
        f'<p class="note">In {found["metric"]}: near 0, no modality changes what another '
        f"means.</p>{gain}",
    )


def _nothing(span: dict[str, float | None]) -> bool:
    """Whether a share is 0 on every resample, up to rounding."""
    return all(end is not None and abs(end) < NOISE for end in span.values())


def _use(shown: Shown, target: str) -> str:
    """Utilisation of every modality and, for classes, how unequal they are alone."""
    at = ("contributions", target)
    kinds = {
        "utilisation": "utilisation: share lost without it",
        "discrepancy": "discrepancy: how much surer it is of the true class than the others",
    }
    kinds = {kind: words for kind, words in kinds.items() if kind in shown.at(*at)}
    heads = "".join(f"<th>{kind}</th>" for kind in kinds)
    lines = "".join(
        f'<tr><th scope="row">{escape(cut(name, 40))}</th>'
        + "".join(f"<td>{shown.number(*at, kind, name)}</td>" for kind in kinds)
        + "</tr>"
        for name, span in shown.at(*at, "shapley").items()
        if not _nothing(span)
    )
    return (
        f'<h4>Balance</h4><p class="note">{"; ".join(kinds.values())}.</p><div class="scroll">'
        f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def robustness(shown: Shown, target: str) -> str:
    """Curves over corruptions and missing cells, all on one axis."""
    at = ("robustness", target)
    found = shown.at(*at)
    places: dict[str, Path] = {
        f"{cut(modality, 40)} missing": (*at, "missing", modality) for modality in found["missing"]
    }
    for modality, corruptions in found["corruptions"].items():
        for name in corruptions:
            places[f"{cut(modality, 40)}: {name}"] = (*at, "corruptions", modality, name)
    curves = [shown.at(*place) for place in places.values()]
    lines = [[c["fused"], c.get("late_fusion", []), *c["singles"].values()] for c in curves]
    axis = plots.Axis.over([value for one in lines for line in one for value in line])
    drawn = []
    for label, place in places.items():
        figures = f"τ {shown.number(*place, 'tau')}"
        if "rho" in shown.at(*place):
            figures += f", ρ {shown.number(*place, 'rho', signed=True)}"
        drawn.append(
            f'<figure><figcaption class="name">{escape(label)}</figcaption>'
            f"{plots.curves(shown, place, found['levels'], axis)}<small>{figures}</small></figure>"
        )
    return card(
        "When cells get worse or go missing",
        f'<p class="note">{found["metric"]} of {shown.number(*at, "rows")} rows by the level of a '
        "corruption, or the share of missing cells. τ is the area under the fused model's curve; ρ "
        "is how much less it falls than late fusion does, above 0 is better.</p>"
        '<p class="note"><span class="key fused"></span>fused'
        '<span class="key late"></span>late fusion of the single models'
        f'<span class="key single"></span>each alone</p><div class="panels">{"".join(drawn)}</div>',
    )


def _team(name: str) -> str:
    return escape(" + ".join(cut(one, 40) for one in name.split("+"))) if name else EMPTY
