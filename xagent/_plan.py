"""`xagent explain --dry-run`: what would run, why, and about how many rows the model would be given. Nothing runs.

The model is loaded, which tries one blank row, and the input is encoded, because the number of inputs decides the cost.
The case itself does not go through the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xagent.case import Case, TabularInput, load_card
from xagent.personas import Persona, load_persona
from xagent.settings import Settings
from xagent.subject import Encoded, load_subject
from xagent.tools import Context, registry
from xagent.tools._confidence_known import MOST_ROWS
from xagent.tools._confidence_profiles import MOST_REMOVED, MOST_TRACED
from xagent.tools._other_baselines import MOST_ANSWERED
from xagent.tools._refining import KINDS
from xagent.tools._trust_setup import exact_players
from xagent.tools.second_opinion import affordable
from xagent.trust import refined_rows

BATCH = 512
_TRACE = 3
"""A forward and a gradient, in rows of a forward."""


@dataclass(frozen=True)
class Step:
    """One tool. rows: at most so many rows of the model, None where nobody has estimated it."""

    tool: str
    why: str
    rows: int | None


@dataclass(frozen=True)
class Plan:
    """What a run on one case would do. players: inputs that a reason can name. asked_for: tools that the evidence may
    call for later."""

    case: str
    kind: str
    players: int
    steps: tuple[Step, ...]
    asked_for: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(step.rows or 0 for step in self.steps)

    def lines(self) -> list[str]:
        """The plan in words, a line a tool."""
        found = [f"{self.case}: {self.kind} input, {self.players} inputs to weigh; nothing was run."]
        for step in self.steps:
            cost = "not estimated" if step.rows is None else _counted(step.rows)
            found.append(f"  {step.tool:18} {cost:>16}  {step.why}")
        forwards = -(-self.rows // BATCH)
        found.append(f"  {'in all':18} {_counted(self.rows):>16}  forwards of at most {BATCH} rows: {forwards:,}")
        if self.asked_for:
            found.append(f"  on demand: {', '.join(self.asked_for)}")
        return found


def _counted(rows: int) -> str:
    return "no rows" if not rows else "1 row" if rows == 1 else f"{rows:,} rows"


def planned(case: Case, personas: Sequence[str | Persona], settings: Settings) -> Plan:
    """The plan of `explain` for a case and its readers. Raises what loading the case's model raises."""
    readers = [p if isinstance(p, Persona) else load_persona(p, folder=settings.personas) for p in personas]
    subject = load_subject(case, device=settings.device, allow_mismatch=settings.allow_mismatch)
    ctx = Context(
        case=case, card=load_card(case), subject=subject, seed=settings.seed, rules=settings.rules,
        methods=settings.methods, order=settings.trust.order, exact=settings.trust.exact,
        refine=settings.trust.refine,
    )  # fmt: skip
    encoded = subject.encode(case.input)
    required = {name: [p.name for p in readers if name in p.tools] for name in registry()}
    steps, later = [], []
    for name, tool in registry().items():
        if tool.on_request and not required[name]:
            later.append(name)
            continue
        why = f"required by {', '.join(required[name])}" if required[name] else "runs on every case"
        steps.append(Step(name, why, _ROWS[name](ctx, encoded) if name in _ROWS else None))
    return Plan(case.id, encoded.kind, len(encoded.players), tuple(steps), tuple(later))


def _relevance(ctx: Context, encoded: Encoded) -> int:
    """A trace or single removals, and what refining them would take; its coalitions are counted with the trust checks,
    which look at the same ones."""
    refined = refined_rows(len(encoded.players)) if ctx.refine and encoded.kind in KINDS else 0
    return 1 + (_TRACE if ctx.subject.module is not None else len(encoded.players) + 2) + refined


def _trust(ctx: Context, encoded: Encoded) -> int:
    """Coalitions, single removals, controls, other baselines, and ten rows for each if probes leave the data."""
    players = len(encoded.players)
    most = 64 if encoded.kind in ("tabular", "image") else 32
    blocks = min(players, most)
    sampled = 2 * max(128, 4 * blocks)
    every = 1 << players if players <= exact_players(ctx, encoded) else sampled
    fixed = 2 + min(players, 512) + 18 + (18 * (blocks + 1) if ctx.order else 0)
    again = 6 * refined_rows(players) if ctx.refine and encoded.kind in KINDS else 0
    baselines = (
        6 * _TRACE + again + (MOST_ANSWERED if ctx.case.reference and encoded.kind in ("tabular", "image") else 0)
    )
    filled = 10 * (sampled + fixed) if isinstance(ctx.case.input, TabularInput) and ctx.case.reference else 0
    return every + fixed + baselines + filled


def _second_opinion(ctx: Context, encoded: Encoded) -> int | None:
    if ctx.methods:
        return None
    name, options = affordable(encoded.kind, len(encoded.players))
    players = len(encoded.players)
    return {
        "exact_shapley": 1 << min(players, 12),
        "permutation": 2 * int(options.get("pairs", 0)) * max(players - 1, 0) + 2,
    }.get(name, players + 1)


def _confidence(ctx: Context, encoded: Encoded) -> int:
    if ctx.case.reference is None or encoded.kind not in MOST_ROWS:
        return 1
    traced = _TRACE * MOST_TRACED[encoded.kind] if ctx.subject.module is not None else MOST_REMOVED
    return int(1 + MOST_ROWS[encoded.kind] + traced)


_ROWS: dict[str, Callable[[Context, Encoded], int | None]] = {
    "reproduction": lambda ctx, encoded: 1,
    "relevance": _relevance,
    "trust": _trust,
    "second_opinion": _second_opinion,
    "confidence": _confidence,
    "deviation": lambda ctx, encoded: 0,
    "drift": lambda ctx, encoded: 0,
    "serving": lambda ctx, encoded: 0,
    "process": lambda ctx, encoded: 0,
}
