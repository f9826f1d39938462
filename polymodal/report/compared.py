"""A comparison of models in words and figures, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polymodal.report.words import grid, written


def text(target: str, found: Mapping[str, Any]) -> str:
    """One target's models, best first, and which of them are as good.

    Args:
        found: as `compare.ranked` returns it, with what each model costs.
    """
    heads = ["", found["metric"], "95 %", "to the best", "95 %", "p"]
    lines = [[*heads, "parameters", "rows/s", "ms a row", "trained s"]]
    as_good = found["undistinguished"]
    for model in found["models"]:
        gap, cost = model["difference"], model["cost"]
        mark = "* " if model["name"] in as_good else "  "
        lines.append(
            [
                mark + model["name"],
                written(model["value"]),
                _span(model),
                *(
                    ["best", "", ""]
                    if gap is None
                    else [
                        written(gap["value"], signed=True),
                        _span(gap, signed=True),
                        f"{model['p']:.2g}",
                    ]
                ),
                f"{cost['parameters']:,}",
                f"{cost['rows_per_second']:,.0f}",
                f"{cost['latency_ms']:.2f}",
                f"{cost['training_seconds']:.1f}",
            ]
        )
    rows = grid(lines)
    count = len(found["pairs"])
    return "\n".join(
        [
            f"{target}: {found['metric']} of {found['rows']:,} rows. Below 0 is worse than the "
            f"best; p by {found['test']}, corrected for {count} pair{'s' * (count > 1)} (Holm).",
            *rows,
            f"Not distinguishable from the best: {', '.join(as_good) or 'none'}.",
        ]
    )


def _span(found: Mapping[str, float], signed: bool = False) -> str:
    return f"[{written(found['low'], signed)}, {written(found['high'], signed)}]"
