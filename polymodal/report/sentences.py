"""The verdict in words, and what the fused model is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from polymodal.metrics.statistics import EXCHANGES, RANDOMISATION
from polymodal.report.words import Plain, Shown

# How the constant's answer is said.
SAME = "always the same answer"

ANSWERS = {
    "pays": "Fusion pays",
    "does not pay": "Fusion does not pay",
    "undecided": "Whether fusion pays is undecided",
}


def headline(shown: Shown, *at: str) -> str:
    """The answer in a few words.

    Args:
        at: where the verdict is in the document.
    """
    found = shown.at(*at)
    little = found["answer"] == "pays" and found["high"] < found["least"]
    # "Does not pay" holds all the more against a stronger rival.
    doubted = found["answer"] == "pays" and found["untrained"]
    return (
        ANSWERS[found["answer"]]
        + (f", but by less than {shown.number(*at, 'least')}" if little else "")
        + (", against the rivals that were trained" if doubted else "")
    )


def sentence(shown: Shown, *at: str) -> str:
    """What the answer rests on, and what else it takes to read it rightly."""
    found = shown.at(*at)
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
    if found["untrained"]:
        names = ", ".join(shown.text(*at, "untrained", i) for i in range(len(found["untrained"])))
        words.append(
            f"No model of its own was trained for {names}, which might be a stronger rival."
        )
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


def _gain(shown: Shown, *at: str, key: str = "value") -> str:
    """A gain and, where it has a width, its interval."""
    span = shown.interval(*at, signed=True)
    return f"{shown.number(*at, key, signed=True)} {span}".rstrip()


def made_of(shown: Shown, *at: str) -> str:
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


def text(found: Mapping[str, Any]) -> str:
    """The verdict for a terminal."""
    shown = Plain(found)
    return f"{headline(shown)}: {sentence(shown)}"
