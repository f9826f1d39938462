"""A small network on the fixed descriptors of a sound: cheap and strong on small data."""

from __future__ import annotations

from typing import final

from polymodal.nn.stepwise import DescriptorEncoder


@final
class Statistics(DescriptorEncoder):
    """`audio/summary` to one token; options as `DescriptorEncoder` says."""

    kind = "audio"
    form = "summary"
