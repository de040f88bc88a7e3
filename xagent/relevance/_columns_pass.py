"""Columns of an answer: carriers through the frozen forward, in chunks under a memory bound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import _columns_choices, _columns_rules  # noqa: F401 - importing them fills the table
from ._answer_forward import Script, visible
from ._answer_rows import Traced
from ._columns import ENTRIES_CARRIED, CarrierMode, NoColumns
from ._columns_activations import whole_activations_carried
from ._columns_plan import AnotherPath, Plan, Recorder
from ._errors import RelevanceError
from ._ledger import ENTRIES

GATES = {"conserving": "half", "fastest": "constant"}  # rule sets with constant attention, and their gates
MOST = 64  # carriers at once


def columns(script: Script, rules: str, masks: Tensor, memory: int, strict: bool = False) -> Traced:
    """One line for each answer token; parts are the groups of tokens, (T, groups).

    masks: (groups, P + T) of 0 and 1. memory: bytes that one chunk of carriers may take; strict: refuse if even one
    carrier takes more.
    Raises NoColumns for rules with relevance through attention, and for operations that carriers cannot follow.
    """
    if rules not in GATES:
        raise NoColumns(f'Columns exist for the rules {" and ".join(GATES)}, not for "{rules}".', "Ask for rows.")
    with torch.no_grad(), visible(script.model, experts=True):
        rows = (memory - attention_bytes(script)) // row_bytes(script)
        if strict and rows < 2:
            least = (2 * row_bytes(script) + attention_bytes(script)) / 2**20
            raise NoColumns(f"A carrier of {script.length} tokens needs about {least:.0f} MiB.", "Raise `memory`.")
        recorded, entries = _planned(script, GATES[rules])
        plan: Plan | None = recorded
        chunk = max(1, min(MOST, rows - 1))
        masks = masks[:, : script.length - 1].to(script.embeddings)
        wanted = len(masks) + len(entries)
        collected: list[Tensor] = []
        scores = torch.empty(0)
        while len(collected) < wanted:
            start = len(collected)
            part = masks[start : start + chunk]
            named = entries[max(0, start - len(masks)) :][: chunk - len(part)]
            try:
                scores, lines = _forward(script, GATES[rules], part, named, plan)
            except AnotherPath:
                plan = _followed(script, GATES[rules]) if plan is recorded else None
                continue
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise RelevanceError(
                        "The device has not enough memory for two rows of this prompt.", "Shorten the prompt."
                    ) from None
                chunk = max(1, chunk // 2)
                continue
            collected.extend(lines)
        if not wanted:
            scores, _ = _forward(script, GATES[rules], masks[:0], [], None)
    if not bool(torch.isfinite(scores).all()):
        raise RelevanceError("A score of the answer is not finite (NaN or infinite).", "Check the model's weights.")
    nothing = torch.zeros(script.answer, dtype=torch.float64)
    ledger = {name: nothing for name in ENTRIES if name != "inputs"}
    ledger |= dict(zip(entries, collected[len(masks) :], strict=True))
    parts = torch.stack(collected[: len(masks)], 1) if len(masks) else nothing[:, None][:, :0]
    return Traced(parts, ledger, scores, {})


def row_bytes(script: Script) -> int:
    """Bytes that the activations of one batch row take at most, about: 8 hidden states, 3 of the widest."""
    width = script.embeddings.shape[-1]
    head = getattr(script.model, "get_output_embeddings", lambda: None)()
    layers = [m for m in script.model.modules() if isinstance(m, nn.Linear) and m is not head]
    widest = max([m.out_features for m in layers] + [4 * width])
    values = script.length * (8 * width + 3 * widest)
    return max(1, values * script.embeddings.element_size())


def attention_bytes(script: Script) -> int:
    """Bytes of one block of attention weights, and of their softmax."""
    config = getattr(script.model, "config", None)
    config = getattr(config, "get_text_config", lambda: config)()
    heads = int(getattr(config, "num_attention_heads", None) or max(script.embeddings.shape[-1] // 64, 1))
    return 2 * heads * min(256, script.length) * script.length * max(script.embeddings.element_size(), 4)


def _forward(
    script: Script, gates: str, masks: Tensor, entries: list[str], plan: Plan | None
) -> tuple[Tensor, list[Tensor]]:
    """The real scores (T,) and, for each mask and entry, its line (T,); float64 on the CPU."""
    x = script.embeddings
    carriers = torch.cat([x, x * masks[:, :, None], x.new_zeros(len(entries), *x.shape[1:])])
    mode = CarrierMode(len(carriers), {name: 1 + len(masks) + i for i, name in enumerate(entries)}, gates)
    mode.plan, mode.length = plan, x.shape[1]
    mode.starts = [0, *(masks != 0).int().argmax(1).tolist(), *[0] * len(entries)]
    logits, narrow = _run(script, mode, carriers, script.answer)
    scores = script.scores(logits, narrow, 0, script.answer).cpu().double()
    return scores[0], list(scores[1:])


def _planned(script: Script, gates: str) -> tuple[Plan, list[str]]:
    """Which operations concern carriers, and which ledger entries this model books: two tokens tell, for little."""
    x = script.embeddings[:, :2]
    carriers = torch.cat([x, x.new_zeros(len(ENTRIES_CARRIED), *x.shape[1:])])
    mode = CarrierMode(len(carriers), {name: 1 + i for i, name in enumerate(ENTRIES_CARRIED)}, gates)
    mode.recorder = Recorder()
    logits, _ = _run(script, mode, carriers, 1)
    plan = mode.recorder.plan(logits)
    return plan, [name for name in ENTRIES_CARRIED if name in mode.recorder.entries(plan)]


def _followed(script: Script, gates: str) -> Plan:
    """The plan of the whole input, for a model whose steps depend on it (experts): one more forward."""
    mode = CarrierMode(1, None, gates)
    mode.recorder = Recorder()
    logits, _ = _run(script, mode, script.embeddings.clone(), script.answer)
    return mode.recorder.plan(logits)


def _run(script: Script, mode: CarrierMode, carriers: Tensor, answer: int) -> tuple[Tensor, bool]:
    with whole_activations_carried(script.model, mode), mode:
        mode.carry(carriers)
        logits, narrow = script.logits(carriers, 0, answer)
    if not mode.carries(logits):
        raise NoColumns("The scores do not depend on the embeddings.", "Ask for rows.")
    return logits, narrow
