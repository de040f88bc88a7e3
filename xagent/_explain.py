"""The Python face: explain a case from a file, or a prediction of a model that is already in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.agent import Progress, run
from xagent.case import Case, load_card, load_case
from xagent.errors import UsageFault
from xagent.personas import Persona, load_persona
from xagent.report import Report
from xagent.settings import Settings, load_settings
from xagent.subject import load_subject

if TYPE_CHECKING:
    import torch

    from xagent.relevance import Trace


def explain(
    case: Case | str | Path | None = None,
    persona: str | Persona = "regulator",
    settings: Settings | None = None,
    *,
    language: str | None = None,
    **live: Any,
) -> Report:
    """The verified report on one prediction for one reader.

    case: a `Case`, or the path of a `case.json`. Without a case, `model`, `x` and (for tables) `reference` describe a
    live prediction: see `xagent.bring.explain_live`, which takes the same keywords. `model`, `tokenizer` and `prompt`
    or `messages` describe an answer of a language model: see `xagent.bring.explain_answer`.

    language: of the report, `en` or `de`; None for that of the persona. What the case itself says is not translated.

    Raises an XagentError whose message names the field or file and the mend.
    """
    settings = settings or load_settings()
    persona = _reader(persona, language, settings.personas)
    if case is None:
        from xagent.bring import explain_answer, explain_live

        if {"model", "tokenizer"} <= set(live) and {"prompt", "messages"} & set(live):
            return explain_answer(persona=persona, settings=settings, **live)
        if not {"model", "x"} <= set(live):
            raise UsageFault(
                "explain() needs a case, or model= and x=, or model=, tokenizer= and prompt=.",
                "Pass the path of a case.json.",
            )
        return explain_live(persona=persona, settings=settings, **live)
    if live:
        raise UsageFault(f"explain() got a case and also {', '.join(sorted(live))}.", "Pass one or the other.")
    return explain_all(case, [persona], settings)[0]


def explain_all(
    case: Case | str | Path,
    personas: Sequence[str | Persona],
    settings: Settings | None = None,
    progress: Progress | None = None,
    language: str | None = None,
) -> list[Report]:
    """The reports for several readers, from one computation of the evidence."""
    settings = settings or load_settings()
    readers = [_reader(persona, language, settings.personas) for persona in personas]
    if not isinstance(case, Case):
        case = load_case(case, allow_outside=settings.allow_outside)
    card = load_card(case)
    subject = load_subject(case, device=settings.device, allow_mismatch=settings.allow_mismatch)
    return run(case, card, subject, readers, settings, progress)


def _reader(persona: str | Persona, language: str | None, folder: Path | None) -> Persona:
    if not isinstance(persona, Persona):
        return load_persona(persona, language, folder)
    if language not in (None, persona.language):
        raise UsageFault(
            f"language: the persona {persona.name!r} is written in {persona.language!r}, not in {language!r}.",
            "Give its name, or a persona that is written in that language.",
        )
    return persona


def trace(
    model: torch.nn.Module, inputs: Any, *, of: Sequence[str] = ("input",), target: int = 0, rules: str = "conserving"
) -> Trace:
    """Signed, conserved relevance of a network's inputs for output `target`, at the price of one backward pass.

    inputs: a mapping from the model's argument names to tensors; `of` names those that relevance is wanted for.
    """
    from xagent.relevance import Target, Tracer

    return Tracer(model, rules=rules).trace(inputs, of=list(of), target=Target.index(target))
