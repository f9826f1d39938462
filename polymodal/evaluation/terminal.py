"""An evaluation for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from polymodal.base.spelling import cut
from polymodal.evaluation import regions
from polymodal.metrics.metrics import report_text
from polymodal.metrics.texts import COMPARED
from polymodal.report import sentences
from polymodal.report.sentences import SAME
from polymodal.report.words import Plain, counted, grid, span, written

# A metric that a rival's answers leave undefined.
NOT = {"value": math.nan}


def text(found: Mapping[str, Any]) -> str:
    """Every metric of the model, beside the rivals' values and, of texts, those of always the same
    one.

    Args:
        found: `Evaluation.to_json()`.
    """
    lines = [f"warning: {warning}\n" for warning in found["warnings"]]
    for target, numbers in found["targets"].items():
        if target in found["verdicts"]:
            lines.append(sentences.text(found["verdicts"][target]))
        elif target in found["unjudged"]:
            lines.append(sentences.missing(Plain(found["unjudged"][target])))
        lines += [sentences.made_of(Plain(found["members"][target])), ""]
        title = f"{target} ({counted(found['rows'], 'row')})"
        same = found["constants"].get(target)
        columns = [f"only {cut(name, 40)}" for name in found["rivals"]]
        table = [[title, "value", "95 %", *columns, *([] if same is None else [SAME])]]
        for metric, own in numbers.items():
            beside = [
                written(rival[target].get(metric, NOT)["value"])
                for rival in found["rivals"].values()
            ]
            beside += [] if same is None else [written(same.get(metric, NOT)["value"])]
            table.append([f"  {metric}", written(own["value"]), span(own), *beside])
        lines += grid(table)
        lines += [f"  (wer, cer: of texts {COMPARED})"] if "wer" in numbers else []
        if target in found["regions"]:
            lines += ["", regions.text(found["regions"][target])]
        stressed = found["robustness"].get(target, {"corruptions": {}})
        if stressed["corruptions"]:
            levels = " ".join(f"{level:g}" for level in stressed["levels"])
            lines += ["", f"{stressed['metric']} of the fused model, corrupted by {levels}:"]
        for modality, curves in stressed["corruptions"].items():
            for name, curve in curves.items():
                values = " ".join(map(written, curve["fused"]))
                lines.append(f"  {modality}, {name}: {values}  tau {written(curve['tau'])}")
        if target in found["reports"] and len(found["reports"][target]["classes"]) < 40:
            lines += ["", report_text(found["reports"][target])]
    return "\n".join(lines)
