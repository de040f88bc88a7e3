"""Explaining an answer of a language model in memory: `xagent.explain(model=..., tokenizer=..., prompt=...)`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.bring._live import live_case, with_answer
from xagent.bring._moment import moment_of
from xagent.bring._record import record_prediction
from xagent.case import GenerationInput, RecordedPrediction, SystemCard, validated
from xagent.errors import UsageFault

if TYPE_CHECKING:
    from xagent.personas import Persona
    from xagent.report import Report
    from xagent.settings import Settings


def explain_answer(
    model: Any,
    tokenizer: Any,
    prompt: str | None = None,
    answer: str | None = None,
    *,
    messages: Sequence[Mapping[str, str]] | None = None,
    sources: Mapping[str, str] | Sequence[Mapping[str, str]] = (),
    by: str | None = None,
    reference: Sequence[str] | None = None,
    persona: str | Persona = "regulator",
    settings: Settings | None = None,
    max_new_tokens: int = 128,
    seed: int | None = None,
    card: SystemCard | Mapping[str, Any] | None = None,
    decided_at: datetime | None = None,
    name: str | None = None,
    version: str = "live",
    case_id: str = "live",
    subject: str = "this-prompt",
    reference_name: str = "the reference prompts",
) -> Report:
    """The verified report on why a language model in memory gave this answer.

    model: a decoder-only Hugging Face model in eval mode, tokenizer: its fast tokenizer. prompt, or messages to which
    the tokenizer's chat template is applied. answer: by default the model's own, greedy, or sampled where `seed` is
    given, at most `max_new_tokens` long. sources: passages of the prompt, by name, or with `name`, `kind` and `text`;
    by: see `GenerationInput`. reference: other prompts that the model is asked, for deviation. decided_at: by default
    now, to the second; give it when two reports on the same evidence are to be the same bytes.

    Raises UsageFault, InvalidCase, RelevanceError.
    """
    from xagent.agent import run
    from xagent.personas import Persona, load_persona
    from xagent.settings import load_settings
    from xagent.subject import Subject

    moment = moment_of(decided_at)
    live = Subject.from_language_model(model, tokenizer)
    given: dict[str, Any] = {"kind": "generation", "prompt": prompt, "messages": messages or ()}
    named = [{"name": n, "text": t} for n, t in sources.items()] if isinstance(sources, Mapping) else list(sources)
    given |= {"answer": answer or "-", "sources": named, "by": by}
    asked = validated(GenerationInput, given, "explain()")
    if answer is None:
        given |= _generated(model, tokenizer, live.prompt_text(asked), asked, max_new_tokens, seed)
        asked = validated(GenerationInput, given, "explain()")
    with tempfile.TemporaryDirectory(prefix="xagent-") as folder:
        unknown = RecordedPrediction(score=0.0, scale="log_probability", decided_at=moment)
        draft, _ = live_case(
            asked,
            reference,
            unknown,
            folder=Path(folder),
            output=live.output,
            name=name or type(model).__name__,
            version=version,
            card=card,
            case_id=case_id,
            subject=subject,
            reference_name=reference_name,
        )
        case, known = with_answer(draft, live.output, record_prediction(live, asked, decided_at=moment))
        settings = settings or load_settings()
        reader = persona if isinstance(persona, Persona) else load_persona(persona, folder=settings.personas)
        return run(case, known, live, [reader], settings)[0]


def _generated(
    model: Any, tokenizer: Any, text: str, asked: GenerationInput, most: int, seed: int | None
) -> dict[str, Any]:
    """What the model answers: text and token ids, without the token that ends it."""
    from xagent.relevance import record_answer

    # a text that holds its special tokens already is given as it is
    bos = tokenizer.bos_token
    whole = bool(asked.messages) or (bool(bos) and text.startswith(str(bos)))
    record = record_answer(
        model,
        tokenizer,
        None if whole else text,
        [{"role": "user", "content": text}] if whole else None,
        template={"chat_template": "{{ messages[0].content }}", "add_generation_prompt": False} if whole else None,
        max_new_tokens=most,
        seed=seed,
    )
    ids = record.answer_ids.tolist()
    ends = {int(i) for i in _as_list(model.generation_config.eos_token_id)} | {tokenizer.eos_token_id}
    while ids and ids[-1] in ends:
        ids.pop()
    if not ids:
        raise UsageFault("The model's answer to this prompt is empty.", "Give the answer that is to be explained.")
    return {"answer": str(tokenizer.decode(ids)), "answer_ids": ids}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
