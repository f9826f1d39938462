"""What speaks against an answer that the clock gave instead of the data.

A fused model that had more steps, or more tries, than its rivals may beat them without any gain
from a second modality: a picture and its mirror image do. So "pays" stands only where every rival
was trained to a stop, and "does not pay" only where a model of several modalities was. Facts about
the models that a fit planned go in, doubts come out; with a doubt the answer is "undecided".

A network was trained to a stop if

- validation ended it, or no validation in its last quarter was better (`Attempt.stopped`), or
- it made all steps that its epochs ask for, no fewer than the networks of several modalities made.

A network that only ran out of time may have been about to get better, above all where its last step
was its best. Where the fused model has no network, experts are compared with experts: what rivals'
networks had no time for is nothing that the fusion had. "Pays" may stand then, but "does not pay"
only beside a joint network that was trained, for only such a one finds what no sum of modalities
shows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Side = Literal["rival", "joint"]
Why = Literal["cut", "shorter", "skipped", "none", "tries"]

# A rival that made this share of the other's steps made as many: a last batch more or less.
AS_MANY = 0.95


@dataclass(frozen=True)
class Attempt:
    """What became of one model that a fit planned.

    Attributes:
        modalities: those that it reads.
        learner: how it learns: a network's, or the name of an expert.
        paced: whether it learns in steps whose number the time decides: a network.
        steps: that it made; 0 without training, and for what learns in none. Of folds: of the
            typical one, as all that follows.
        best_step: the one that validated best.
        whole: steps that its epochs ask for.
        stopped: whether it had stopped improving.
        skipped: why it was not trained; "" if it was.
    """

    name: str
    modalities: tuple[str, ...]
    learner: str = "gradient"
    paced: bool = True
    steps: int = 0
    best_step: int = 0
    whole: int = 0
    stopped: bool = False
    skipped: str = ""

    def settled(self, steps: int = 0) -> bool:
        """Whether more time would have been no use to it.

        Args:
            steps: what the networks made that it is compared with.
        """
        return self.stopped or self.steps >= max(self.whole, AS_MANY * steps)


@dataclass(frozen=True)
class Doubt:
    """Why an answer may be the clock's.

    Attributes:
        side: "rival": a rival may be stronger than it looks; "joint": the fusion may.
        why: "cut": a network ran out of time; "shorter": it made fewer steps than the networks it
            is compared with; "skipped": a model was planned and not trained; "none": no model was
            planned; "tries": the gain comes of averaging more models than the rival had tries.
        model: the model's name; the modality's where there is none.
        steps, best_step, whole: as of `Attempt`; `whole` of "shorter": the other's steps.
        reason: of "skipped".
    """

    side: Side
    why: Why
    model: str
    steps: int = 0
    best_step: int = 0
    whole: int = 0
    reason: str = ""


def doubts(attempts: Sequence[Attempt], able: Iterable[str], fused: Collection[str]) -> list[Doubt]:
    """All doubts about the models of one target.

    Args:
        attempts: all that were planned; none: nothing is known of them, and nothing doubted.
        able: the modalities that can have a model of their own.
        fused: names of the fused model's members.
    """
    if not attempts:
        return []
    joint = [one for one in attempts if len(one.modalities) > 1]
    paced = any(one.paced for one in attempts if one.name in fused)
    found = [doubt for name in able for doubt in _of_rival(name, attempts, joint, paced)]
    return found + _of_joint(attempts, joint)


def tempered(answer: str, found: Collection[Doubt]) -> str:
    """The answer that is left of one that the rows gave."""
    sides = {doubt.side for doubt in found}
    spoilt = {"pays": "rival", "does not pay": "joint"}
    return "undecided" if spoilt.get(answer) in sides else answer


def evenly(
    attempts: Sequence[Attempt], names: Collection[str], chosen: Collection[str]
) -> Callable[[Collection[str]], bool] | None:
    """What a fused model with no more tries than its rivals had may be made of.

    The mean of several networks is better than each of them whatever they read, and so is the best
    of several. So it has no more models that learn in one way than the rival with the fewest, and
    of several modalities only those tried first.

    Args:
        names: the models that can be chosen.
        chosen: the fused model's.

    Returns:
        Whether some models may be taken together; None where `chosen` may.
    """
    known = {one.name: one for one in attempts if one.name in names}
    rivals: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for one in known.values():
        if len(one.modalities) == 1:
            rivals[one.learner][one.modalities] += 1
    most = {learner: min(tries.values()) for learner, tries in rivals.items()}
    later: set[str] = set()
    joint: Counter[str] = Counter()
    for one in known.values():
        if len(one.modalities) > 1:
            joint[one.learner] += 1
            later |= {one.name} if joint[one.learner] > most.get(one.learner, 1) else set()

    def allowed(taken: Collection[str]) -> bool:
        counts = Counter(known[name].learner for name in taken if name in known)
        few = all(count <= most.get(learner, 1) for learner, count in counts.items())
        return few and not later & set(taken)

    return None if not rivals or allowed(chosen) else allowed


def read(described: Iterable[dict[str, Any]]) -> list[Attempt]:
    """Attempts as JSON keeps them."""
    return [Attempt(**{**one, "modalities": tuple(one["modalities"])}) for one in described]


def _of_rival(
    name: str, attempts: Sequence[Attempt], joint: Sequence[Attempt], paced: bool
) -> list[Doubt]:
    """Why a modality alone may be worth more than its own models show.

    Args:
        paced: whether the fused model has a network.
    """
    own = [one for one in attempts if one.modalities == (name,)]
    networks = [one for one in own if one.paced]
    trained = [one for one in networks if not one.skipped]
    solved = [one for one in own if not one.paced and not one.skipped]
    others = [one for one in joint if one.paced and not one.skipped and name in one.modalities]
    found: list[Doubt] = []
    if solved and not paced:
        pass  # Experts are compared with experts.
    elif trained:
        found += _unsettled("rival", trained, max((one.steps for one in others), default=0))
    elif networks or (own and not solved):
        found.append(_skipped("rival", (networks or own)[0]))
    elif others or not solved:
        found.append(Doubt("rival", "none", name))
    # What is solved for takes part on both sides or on none.
    fused = {one.learner for one in joint if not one.skipped and name in one.modalities}
    lost = [one for one in own if not one.paced and one.skipped and one.learner in fused]
    told = {doubt.model for doubt in found}
    return found + [_skipped("rival", one) for one in lost if one.name not in told]


def _of_joint(attempts: Sequence[Attempt], joint: Sequence[Attempt]) -> list[Doubt]:
    """Why all modalities together may be worth more than their models show."""
    networks = [one for one in joint if one.paced]
    trained = [one for one in networks if not one.skipped]
    found = []
    if trained:
        found += _unsettled("joint", trained, 0)
    elif networks:
        found.append(_skipped("joint", networks[0]))
    elif not any(not one.skipped for one in joint):
        found += [_skipped("joint", one) for one in joint[:1]]
    alone = {one.learner for one in attempts if len(one.modalities) == 1 and not one.skipped}
    lost = [one for one in joint if not one.paced and one.skipped and one.learner in alone]
    known = {doubt.model for doubt in found}
    return found + [_skipped("joint", one) for one in lost if one.name not in known]


def _unsettled(side: Side, networks: Sequence[Attempt], steps: int) -> list[Doubt]:
    """The doubt about networks none of which was trained to a stop."""
    if any(one.settled(steps) for one in networks):
        return []
    most = max(networks, key=lambda one: one.steps)
    short = most.steps >= most.whole
    whole = steps if short else most.whole
    why: Why = "shorter" if short else "cut"
    return [Doubt(side, why, most.name, most.steps, most.best_step, whole)]


def _skipped(side: Side, one: Attempt) -> Doubt:
    return Doubt(side, "skipped", one.name, reason=one.skipped)
