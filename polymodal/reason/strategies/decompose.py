"""Sub-questions, each answered by itself; then the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polymodal.reason.model import Asked, Model, Thought
from polymodal.reason.strategy import Strategy


class Decompose(Strategy):
    """The model says what to find out next, answers that as a question of its own, and goes on so
    until it needs nothing more; then it answers from what it has found out.

    Papers: "Least-to-Most Prompting Enables Complex Reasoning in Large Language Models" (Zhou et
    al. 2022, arXiv 2205.10625); "Measuring and Narrowing the Compositionality Gap in Language
    Models" (Press et al. 2022, arXiv 2210.03350), whose sub-questions follow from one another as
    here.

    Args:
        most: sub-questions a row.
    """

    def __init__(self, *, most: int = 6) -> None:
        self.most = most

    def answers(self, model: Model, asked: Sequence[Asked]) -> list[Thought]:
        known, going = list(asked), list(range(len(asked)))
        for _ in range(self.most):
            wanted = model.questions([known[i] for i in going])
            open_ = [(i, ask) for i, ask in zip(going, wanted, strict=True) if ask]
            if not open_:
                break
            parts = [Asked(known[i].row, ask, "", known[i].blank) for i, ask in open_]
            for (i, ask), found in zip(open_, model.answers(parts), strict=True):
                step = f"{ask} {found.answer.rstrip('.')}."
                known[i] = replace(known[i], reason=f"{known[i].reason} {step}".strip())
            going = [i for i, _ in open_]
        last = model.answers(known)
        return [replace(one, reason=k.reason) for one, k in zip(last, known, strict=True)]
