"""Cells for the tests that every component passes."""

from __future__ import annotations

CELLS = ["#ff8800", "#000000", "#1a2b3c", "#fefefe"]
