"""Values that people hold in memory, as Arrow can hold them."""

from __future__ import annotations

import io
import math
import os
from collections import deque
from collections.abc import Mapping
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np

from polymodal.table.media import wav

# Modes of pictures that a PNG can hold.
_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
# What pandas calls a missing value.
_MISSING = frozenset({"NAType", "NaTType"})


def cell(value: Any) -> Any:
    """A value as Arrow can hold it.

    Arrays of two axes or more become .npy bytes, sounds WAV bytes, pictures PNG bytes (.npy bytes
    where a pixel is a float or 32 bits wide), tensors arrays or numbers, intervals, periods
    and paths texts; sets and ranges become lists, fractions numbers.
    """
    if isinstance(value, float) and math.isnan(value):
        return None
    if type(value) in (str, int, bool):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value if isinstance(value, str | int) else value.name
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, set | frozenset | range | deque):
        ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [cell(one) for one in ordered]
    name, package = type(value).__name__, type(value).__module__.partition(".")[0]
    if name in _MISSING:
        return None
    if package == "torch" and hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, np.datetime64 | np.timedelta64):
        unit = "datetime64[us]" if isinstance(value, np.datetime64) else "timedelta64[us]"
        return None if np.isnat(value) else value.astype(unit).item()
    if isinstance(value, Mapping) and value.get("array") is not None and value.get("sampling_rate"):
        sound = wav(value["array"], int(value["sampling_rate"]))
        return {"bytes": sound, "path": value.get("path")}
    if package == "PIL" and hasattr(value, "save"):
        return _picture(value)
    if name in ("Interval", "Period") and package == "pandas":
        return str(value)
    return value


def _array(value: np.ndarray[Any, Any]) -> Any:
    if value.ndim == 0:
        return cell(value.item())
    if value.ndim >= 2 and value.dtype.kind in "biuf":
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return file.getvalue()
    return value


def _picture(value: Any) -> bytes:
    if value.mode in ("F", "I"):
        found = _array(np.asarray(value))
        assert isinstance(found, bytes)
        return found
    file = io.BytesIO()
    # "La" and "RGBa" hold colours that are multiplied by their opacity.
    mode = value.mode.upper() if value.mode in ("La", "RGBa") else "RGB"
    kept = value if value.mode in _PNG else value.convert(mode)
    kept.save(file, format="PNG")
    return file.getvalue()
