"""What a network of several modalities starts from where its time is short.

The networks of one modality, its rivals, come before it, and their encoders have learned from the
same rows. Joint training from such encoders needs fewer steps, and misses less of what each
modality tells ("On Uni-Modal Feature Learning in Supervised Multi-Modal Learning", Du et al. 2023,
arXiv 2305.01233). Who has the time for all of its steps makes them from the start: then fusion and
rivals have learned equally long.
"""

from __future__ import annotations

import json

from polymodal.base.tensors import read_tensors
from polymodal.fitting.learn import DONE
from polymodal.fitting.learner import Trial
from polymodal.models.model import Model
from polymodal.nn.weights import fill, fits

# Of a network's only encoder.
PREFIX = "encoders.0."


def begin(model: Model, trial: Trial) -> int:
    """Load the rivals' encoders that are built, and read cells, as the model's own.

    Returns:
        The steps that the longest trained of them had made; 0 where none was loaded.
    """
    member, steps = trial.member, 0
    for rival, folder in trial.rivals:
        (name,) = rival.modalities
        same = (rival.width, rival.align, rival.tuning) == (member.width, member.align, None)
        if not same or rival.modalities[name] != member.modalities.get(name):
            continue
        tensors, described = read_tensors(folder / DONE)
        size = len(PREFIX)
        own = {k[size:]: v for k, v in tensors.items() if k.startswith(PREFIX)}
        encoder = model.encoders[model.names.index(name)]
        if fits(encoder, own):
            fill(encoder, own)
            steps = max(steps, json.loads(described["facts"])["best_step"])
    return steps
