"""The smallest case that a tool's test needs."""

from __future__ import annotations

from typing import Any


def bare_case(given: dict[str, Any], *, name: str = "m", classes: tuple[str, str] = ("no", "yes")) -> dict[str, Any]:
    """`case.json` of a prediction of the second class, for the input `given`; the model file need not exist."""
    return {
        "schema": "xagent.case/1",
        "id": "a-1",
        "subject": "applicant 7",
        "model": {
            "format": "torch-export",
            "path": "model.pt2",
            "name": name,
            "version": "1",
            "output": {"kind": "logit", "classes": list(classes)},
        },
        "input": given,
        "prediction": {"label": classes[1], "score": 0.7, "decided_at": "2026-11-02T09:30:01+00:00"},
    }
