"""The verdict in words, and what the fused model is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from polymodal.metrics.statistics import EXCHANGES, RANDOMISATION
from polymodal.report.words import Plain, Shown, counted

# How the constant's answer is said.
SAME = "always the same answer"

ANSWERS = {
    "pays": "Fusion pays",
    "does not pay": "Fusion does not pay",
    "undecided": "Whether fusion pays is undecided",
    "nothing fused": "Nothing was fused",
}
# What a model that is doubted is, by the side that it is on.
SIDES = {"rival": "rival", "joint": "fusion"}
# So many doubts are told; the others are only counted.
TOLD = 3


def headline(shown: Shown, *at: str | int) -> str:
    """The answer in a few words.

    Args:
        at: where the verdict is in the document.
    """
    found = shown.at(*at)
    little = found["answer"] == "pays" and found["high"] < found["least"]
    words = ANSWERS[found["answer"]]
    if found["answer"] == "undecided" and found["by_rows"] != "undecided":
        words += f", because {_because(shown, *at)}"
    return words + (f", but by less than {shown.number(*at, 'least')}" if little else "")


def _because(shown: Shown, *at: str | int) -> str:
    """The first doubt about what the rows say, in a few words."""
    found = shown.at(*at)
    side = "rival" if found["by_rows"] == "pays" else "joint"
    i = next(i for i, doubt in enumerate(found["doubts"]) if doubt["side"] == side)
    name, what = shown.text(*at, "doubts", i, "model"), SIDES[side]
    return {
        "cut": f"the {what} {name} was cut short",
        "shorter": f"the {what} {name} made fewer steps",
        "skipped": f"the {what} {name} was not trained",
        "none": f"{name} has no such model of its own",
        "tries": "the gain may come of more tries",
    }[found["doubts"][i]["why"]]


def _doubts(shown: Shown, *at: str | int) -> list[str]:
    """What time, or the recipe, has left open."""
    found = shown.at(*at)
    words: list[str] = []
    if found["answer"] in ("pays", "does not pay"):
        return words  # What is left open then would not change the answer.
    for i, doubt in enumerate(found["doubts"][:TOLD]):
        own = (*at, "doubts", i)
        name = f"The {SIDES[doubt['side']]} {shown.text(*own, 'model')}"
        steps, whole = shown.number(*own, "steps"), shown.number(*own, "whole")
        words.append(
            {
                "cut": f"{name} ran out of time at step {steps} of {whole} (its best was step "
                f"{shown.number(*own, 'best_step')}) and may be stronger than it looks.",
                "shorter": f"{name} made {steps} steps and the fusion {whole}: it may be stronger "
                "than it looks.",
                "skipped": f"{name} was not trained: {shown.text(*own, 'reason', most=200)}.",
                "none": f"{shown.text(*own, 'model')} has no model of its own like the fusion's "
                "and might be a stronger rival.",
                "tries": "The fused model averages more models, or is the best of more, than that "
                "rival had tries; with as many the gain is "
                f"{_gain(shown, *at, 'evenly') if found['evenly'] else ''}, which is not proven.",
            }[doubt["why"]]
        )
    more = len(found["doubts"]) - TOLD
    words += [f"{counted(more, 'more model')} are like these."] if more > 0 else []
    if any(doubt["why"] in ("cut", "shorter", "skipped") for doubt in found["doubts"]):
        words.append("A longer budget would tell.")
    return words


def _unfused(shown: Shown, *at: str | int) -> str:
    """Why the fused model reads one modality."""
    found, metric = shown.at(*at, "unfused"), shown.at(*at, "metric")
    words = f"the model reads {shown.text(*at, 'unfused', 'reads')} alone, "
    if found["joint"] is not None:
        value, joint = (shown.number(*at, "unfused", key) for key in ("value", "joint_value"))
        words += (
            f"which validation preferred by its loss ({metric} {value}) to every model of several "
            f"modalities (the best, {shown.text(*at, 'unfused', 'joint')}: {joint})."
        )
    elif found["skipped"]:
        why = shown.text(*at, "unfused", "skipped", most=200)
        words += f"because no model of several modalities was trained: {why}."
    else:
        words += "because the recipe has no model of several modalities."
    value, rows = shown.number(*at, "fused"), shown.number(*at, "rows")
    return f"{words} Here its {metric} is {value} on {rows} rows."


def missing(shown: Shown, *at: str | int) -> str:
    """Why there is no verdict.

    Args:
        at: where the target's `unjudged` is in the document.
    """
    found = shown.at(*at)
    lost = [
        f"{shown.text(*at, 'models', i, 0)} ({shown.text(*at, 'models', i, 1, most=200)})"
        for i in range(len(found["models"]))
    ]
    return {
        "unlabelled": "There is no verdict: this was learned from how modalities go together, and "
        "a fit that starts from it has one.",
        "one modality": "There is no verdict: there is one modality, and nothing to fuse.",
        "no rivals": "There is no verdict: no model of a single modality was trained beside this "
        "one; `rivals: true` in the recipe asks for them.",
        "skipped": "There is no verdict: no model of a single modality was trained: "
        f"{', '.join(lost)}. A longer budget trains them.",
        "not validated": "There is no verdict: the metric is not defined on the validation rows, "
        "so no single modality's model could be chosen.",
    }[found["why"]]


def sentence(shown: Shown, *at: str | int) -> str:
    """What the answer rests on, and what else it takes to read it rightly."""
    found = shown.at(*at)
    if found["unfused"]:
        return _unfused(shown, *at)
    single = f"the best single modality ({shown.text(*at, 'best_single')})"
    rival = f"{shown.number(*at, 'single')} of {single}"
    if found["against"] == "constant":
        rival = (
            f"{shown.number(*at, 'constant', 'value')} of {SAME}, which validated better than "
            f"{single}, here at {shown.number(*at, 'single')}"
        )
    groups = f" in {shown.number(*at, 'groups')} groups" if found["groups"] else ""
    # Of so many exchanges none was as far apart.
    least = found["test"] == RANDOMISATION and found["p"] <= 1 / (EXCHANGES + 1)
    words = [
        f"{found['metric']} {shown.number(*at, 'fused')} against {rival}: gain "
        f"{_gain(shown, *at, key='gain')}, p {'≤' if least else '='} {shown.number(*at, 'p')} "
        f"({found['test']}) on {shown.number(*at, 'rows')} rows{groups}."
    ]
    words += _doubts(shown, *at)
    if found["answer"] == "pays" and found["high"] < found["least"]:
        words.append(
            f"The gain is proven, and all of its interval lies below the smallest gain worth "
            f"having, {shown.number(*at, 'least')}."
        )
    if found["answer"] == "undecided" and found["rows_needed"] is not None:
        words.append(f"About {shown.number(*at, 'rows_needed')} rows would decide.")
    stronger = found["stronger"]
    if stronger is not None:
        name = SAME if stronger["against"] == "constant" else shown.text(*at, "stronger", "name")
        words.append(
            f"On these rows {name} scores better than that rival, which validation chose: "
            f"{shown.number(*at, 'stronger', 'value')}."
        )
    # Missing figures are None in a page's document.
    value, low = found["constant"]["value"], found["constant"]["gain"]["low"]
    known = value is not None and not math.isnan(value)
    if found["against"] == "single" and known and not (low is not None and low > 0):
        words.append(
            f"The fused model is not shown to be better than {SAME} "
            f"({shown.number(*at, 'constant', 'value')}): gain "
            f"{_gain(shown, *at, 'constant', 'gain')}."
        )
    return " ".join(words)


def _gain(shown: Shown, *at: str | int, key: str = "value") -> str:
    """A gain and, where it has a width, its interval."""
    span = shown.interval(*at, signed=True)
    return f"{shown.number(*at, key, signed=True)} {span}".rstrip()


def made_of(shown: Shown, *at: str | int) -> str:
    """What the fused model is made of.

    Args:
        at: where the target's `composition` is in the document.
    """
    members = shown.at(*at)
    sets = [set(member["modalities"]) for member in members.values()]
    parts = [f"{shown.number(*at, name, 'share')} {shown.name(name)}" for name in members]
    words = f"The fused model is the weighted mean of {', '.join(parts)}."
    if len(members) == 1:
        words = f"The fused model is {shown.name(next(iter(members)))} alone."
    if len(set.union(*sets)) == 1:
        return f"{words} It reads one modality, {shown.name(*sets[0])}: nothing is fused."
    if max(map(len, sets)) == 1:
        words += " Each of these reads one modality: only their answers are averaged."
    return words


def pretrained(shown: Shown, *at: str | int) -> str:
    """Which weights of others' training the model reads with; "" if none.

    Args:
        at: where `Run.origin`'s "pretrained" is in the document.
    """
    said = []
    for i, one in enumerate(shown.at(*at[:-1]).get(at[-1], ())):
        what = "; ".join(shown.text(*at, i, key) for key in ("knows", "licence") if one[key])
        reads = ", ".join(shown.name(name) for name in one["reads"])
        said.append(f"{shown.text(*at, i, 'name')} ({what}) reads {reads}")
    return f"Pretrained: {'. '.join(said)}." if said else ""


def text(found: Mapping[str, Any]) -> str:
    """The verdict for a terminal."""
    shown = Plain(found)
    return f"{headline(shown)}: {sentence(shown)}"
