"""Facts that only the system card states: role, procedure, validation, changes, and how to contest an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.case import SystemCard
from xagent.evidence import Claim

MOST = 20
"""Entries of a list that become claims."""


def card_claims(card: SystemCard) -> Iterator[Claim]:
    """Claims of what the card states; a field that it leaves open gives none."""
    contest, validation = card.contest, card.validation
    texts = {
        "system.automation": (card.automation, "/automation"),
        "system.procedure": (card.procedure, "/procedure"),
        "system.effects": (card.effects, "/effects"),
        "system.scope": (card.in_scope, "/in_scope"),
        "system.owner": (card.owner and card.owner.name, "/owner/name"),
        "system.deployer": (card.deployer and card.deployer.name, "/deployer/name"),
        "system.deployer.contact": (card.deployer and card.deployer.contact, "/deployer/contact"),
        "oversight.person": (card.oversight and card.oversight.person, "/oversight/person"),
        "oversight.authority": (card.oversight and card.oversight.authority, "/oversight/authority"),
        "contest.channel": (contest and contest.channel, "/contest/channel"),
        "contest.deadline": (contest and contest.deadline, "/contest/deadline"),
        "contest.evidence": (contest and contest.new_data, "/contest/new_data"),
        "contest.complaints": (card.complaints, "/complaints"),
        "validation.status": (validation and validation.status, "/validation/status"),
        "validation.conditions": (validation and validation.conditions, "/validation/conditions"),
        "validation.calibration": (card.calibration, "/calibration"),
    }
    for key, (text, pointer) in texts.items():
        if text is not None:
            yield _claim(key, "text", str(text), pointer)
    if validation is not None and validation.date is not None:
        day = validation.model_dump(mode="json")["date"]
        yield _claim("validation.date", "time", day, "/validation/date")
    yield from _lists(card)


def _lists(card: SystemCard) -> Iterator[Claim]:
    if card.validation is not None:
        findings = card.validation.open_findings
        yield _claim("validation.open.count", "count", len(findings), "/validation/open_findings")
        for n, text in enumerate(findings[:MOST], start=1):
            yield _claim(f"validation.open.{n}.text", "text", text, f"/validation/open_findings/{n - 1}")
    for n, text in enumerate(card.changes[:MOST], start=1):
        yield _claim(f"change.{n}.text", "text", text, f"/changes/{n - 1}")
    if card.performance:
        yield _claim("performance.count", "count", len(card.performance), "/performance")
    for n, row in enumerate(card.performance[:MOST], start=1):
        at, stem = f"/performance/{n - 1}", f"performance.{n}"
        yield _claim(f"{stem}.metric", "text", row.metric, f"{at}/metric")
        yield _claim(f"{stem}.value", "value", row.value, f"{at}/value", scale="raw")
        for part, words in (("segment", row.segment), ("period", row.period)):
            if words is not None:
                yield _claim(f"{stem}.{part}", "text", words, f"{at}/{part}")
        if row.n is not None:
            yield _claim(f"{stem}.n", "count", row.n, f"{at}/n")


def _claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
    return Claim(id=key, kind=kind, value=value, artifact="system_card", pointer=pointer, subject="process", **more)
