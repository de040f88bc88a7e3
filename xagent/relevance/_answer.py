"""Explains a whole answer of a language model: which source of the prompt each answer token came from.

In: a decoder-only model, prompt and answer as token ids, sources. Out: an `Answer` whose lines add up to the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor, nn

from ._answer_closure import Closure, close, weights_of
from ._answer_fit import MEMORY, in_segments
from ._answer_forward import Script, Seed
from ._answer_rows import Traced, rows, span
from ._answer_sources import Source, token_sources
from ._columns import NoColumns
from ._columns_pass import columns
from ._errors import NotFinite, RelevanceError
from ._foreign import refuse_foreign_patches
from ._ledger import Ledger, adds_up, balance
from ._precision import ENOUGH, checked, computed_in_float32, name_of, no_autocast, sixteen_bits
from ._table import RuleSet, rule_set
from ._tracer import _lock

Way = Literal["auto", "span", "rows", "columns"]
BACKWARD, CARRIER = 0.7, 0.65  # cost of one row and one column in forwards, about


@dataclass(frozen=True)
class Answer:
    """The relevance of a prompt's sources for an answer. Tensors are float64 on the CPU, one line per answer token.

    With way "span" there is a single line, the weighted sum of all. For every line
    matrix.sum(1) + sink + other + own = ledger.inputs, and with the rest of the ledger = the score.

    sources: C parts of the prompt. matrix: (T, C), signed. tokens: (T, P + T) by token, None if made by columns.
    sink: (T,) the first tokens, where attention leaves what it does not need. other: (T,) prompt tokens in no source.
    own: (T,) earlier tokens of the answer itself. ledger: fields (T,); also biases, positions and constants.
    way: span, rows or columns. seed: what the score of a token is, see `trace_answer`.
    audit, status, precision: as in a `Trace`.
    """

    sources: tuple[Source, ...]
    matrix: Tensor
    tokens: Tensor | None
    sink: Tensor
    other: Tensor
    own: Tensor
    ledger: Ledger
    groups: Tensor
    way: str
    seed: str
    rules: str
    audit: dict[str, int]
    status: Literal["exact", "audited"]
    precision: str = ""

    @property
    def scores(self) -> Tensor:
        """(T,) the explained scores."""
        return self.ledger.score

    def span(self, weights: Tensor | Sequence[float] | None = None) -> Answer:
        """The weighted sum of all lines (all ones by default), as one line; no further pass."""
        w = weights_of(weights, len(self.matrix))
        account = {field.name: w @ getattr(self.ledger, field.name) for field in fields(Ledger)}
        account = {name: value.view(1) for name, value in account.items() if name not in ("total", "score", "gap")}
        summed = {name: (w @ getattr(self, name)).view(1) for name in ("sink", "other", "own")}
        tokens = None if self.tokens is None else (w @ self.tokens)[None]
        ledger = balance(account, (w @ self.scores).view(1))
        return replace(self, matrix=(w @ self.matrix)[None], tokens=tokens, ledger=ledger, way="span", **summed)

    def closure(self, weights: Tensor | Sequence[float] | None = None, floor: float = 1e-3) -> Closure:
        """Hand what generated tokens absorbed back to the prompt: one triangular solve, the total is conserved.

        weights: (T,) which answer tokens are asked about, all by default; for a reasoning trace, those of the final
        answer. Needs rows, best with the seed "centred", whose scores are mostly positive (see `close`).
        """
        if self.tokens is None or self.way != "rows":
            raise RelevanceError("A closure needs one line for each answer token.", 'Trace with way="rows".')
        count = len(self.tokens)
        prompt = self.tokens.shape[1] - count
        rest = self.ledger.score - self.ledger.inputs  # what the ledger holds, and the gap
        given = torch.cat([self.tokens[:, :prompt], rest[:, None]], 1)
        w = weights_of(weights, count)
        handed, kept, through = close(self.tokens[:, prompt:], given, self.scores, w, floor)
        by_group = torch.zeros(len(self.sources) + 3, dtype=torch.float64)
        by_group.index_add_(0, self.groups[:prompt], handed[:-1])
        *by_source, sink, other, _ = by_group.tolist()
        sources = torch.tensor(by_source, dtype=torch.float64)
        score = float(w @ self.scores)
        return Closure(handed[:-1], sources, sink, other, float(handed[-1]), kept, through, score)


def trace_answer(
    model: nn.Module,
    prompt_ids: Tensor | Sequence[int],
    answer_ids: Tensor | Sequence[int],
    sources: Sequence[Source] | None = None,
    *,
    way: Way = "auto",
    weights: Tensor | Sequence[float] | None = None,
    seed: Seed = "logit",
    foils: Tensor | Sequence[int] | None = None,
    rules: str | RuleSet = "conserving",
    sink: int = 1,
    chunk: int | None = None,
    memory: int | None = None,
    precision: str = "auto",
) -> Answer:
    """Explain every token of an answer, or their weighted sum, by the sources of the prompt.

    prompt_ids (P,), answer_ids (T,): one sequence without padding. sources: every prompt token, by default; none may
    share a position with another. Costs, in forwards over prompt and answer:

    - "span": 1 forward + 1 backward whatever T is, one line, `weights` (T,) all ones by default.
    - "rows": 1 backward for each answer token; the only way to relevance by token; any rules.
    - "columns": 1 + C forwards in batches, for all answer tokens at once, no graph; rules "conserving" or "fastest".
    - "auto": the cheaper of rows and columns; rows where the model has an operation that columns cannot follow.

    seed: the score of a token: "logit" (best known faithfulness), "centred" (minus the mean logit; for closures),
    "log_probability" (minus the expected logit), "contrast" (minus the logit of foils (T,): why this and not that).
    sink: so many first tokens are reported apart, in no source. chunk: rows traced in one backward (GPU).
    memory: bytes that activations, graph and gradients may take beyond the model, about: rows and span then compute
    the decoder layers again where needed, for one more forward a backward, and columns take fewer carriers at a time;
    where even that does not fit, an error says what it needs. None: 1 GiB as a goal, without an error.
    precision: of a model in 16 bits, as of a `Tracer`: "auto" computes once more in float32 where the account of a line
    misses more than a hundredth of its score.
    """
    model = getattr(model, "_orig_mod", model)  # a compiled model is traced as it was written
    refuse_foreign_patches(model)
    rule = rules if isinstance(rules, RuleSet) else rule_set(rules)
    if way not in ("auto", "span", "rows", "columns") or (weights is not None and way != "span"):
        raise RelevanceError("way is auto, span, rows or columns; weights belong to a span.")

    def traced(wide: bool) -> Answer:
        with computed_in_float32(wide), no_autocast(wide):
            script = Script(model, prompt_ids, answer_ids, seed, foils)
            return _traced(script, sources, way, weights, rule, sink, chunk, memory)

    low = checked(precision) != "model" and sixteen_bits(model, {}) is not None
    if low and precision == "float32":
        return traced(wide=True)
    try:
        found = traced(wide=False)
    except (NotFinite, NoColumns):  # the latter also where carriers in 16 bits do not add up
        if not low:
            raise
        return traced(wide=True)
    return traced(wide=True) if low and bool((found.ledger.gap > ENOUGH).any()) else found


def _traced(
    script: Script,
    sources: Sequence[Source] | None,
    way: Way,
    weights: Tensor | Sequence[float] | None,
    rule: RuleSet,
    sink: int,
    chunk: int | None,
    memory: int | None,
) -> Answer:
    chosen = token_sources(script.prompt) if sources is None else tuple(sources)
    groups = _groups(chosen, script, sink)
    copies = (8 if script.embeddings.is_cuda else 1) if chunk is None else chunk
    if copies < 1:
        raise RelevanceError("chunk is at least 1.")
    present = torch.tensor(sorted(set(groups.tolist())))
    masks = (groups[None] == present[:, None]).double()
    with _lock(script.model):
        found: Traced | None = None
        used = way
        cheaper = 1 + CARRIER * len(present) < BACKWARD * script.answer
        if way == "columns" or (way == "auto" and cheaper):
            try:
                found = columns(script, rule.name, masks, MEMORY if memory is None else memory, memory is not None)
                used = "columns"
                if not _closes(found, script):
                    raise NoColumns("The carriers do not add up to the scores.", "Ask for rows.")
            except NoColumns:
                if way == "columns":
                    raise
                found = None
        if found is None and way == "span":
            segments = in_segments(script, rule, 1, memory)
            found = span(script, rule, weights_of(weights, script.answer), segments)
        elif found is None:
            segments = in_segments(script, rule, copies, memory)
            found, used = rows(script, rule, copies, segments=segments), "rows"
    return _answer(found, script, chosen, groups, present, used, rule.name)


def _answer(
    found: Traced, script: Script, sources: tuple[Source, ...], groups: Tensor, present: Tensor, way: str, rules: str
) -> Answer:
    lines, count = len(found.scores), len(sources)
    table = torch.zeros(lines, count + 3, dtype=torch.float64)
    if way == "columns":
        table[:, present] = found.parts
    else:
        table.index_add_(1, groups, found.parts)
    ledger = balance({"inputs": found.parts.sum(1), **found.entries}, found.scores)
    audit = dict(sorted(found.audit.items()))
    if not adds_up(ledger, script.embeddings.dtype):
        audit["unseen"] = 1
    return Answer(
        sources=sources,
        matrix=table[:, :count],
        tokens=None if way == "columns" else found.parts,
        sink=table[:, count],
        other=table[:, count + 1],
        own=table[:, count + 2],
        ledger=ledger,
        groups=groups,
        way=way,
        seed=script.seed,
        rules=rules,
        audit=audit,
        status="audited" if audit else "exact",
        precision=name_of(script.embeddings.dtype),
    )


def _closes(found: Traced, script: Script) -> bool:
    return adds_up(balance({"inputs": found.parts.sum(1), **found.entries}, found.scores), script.embeddings.dtype)


def _groups(sources: tuple[Source, ...], script: Script, sink: int) -> Tensor:
    """(P + T,) the group of every token: its source, or C sink, C + 1 other, C + 2 the answer itself."""
    count = len(sources)
    groups = torch.full((script.length,), count + 1)
    groups[script.prompt :] = count + 2
    for i, source in enumerate(sources):
        for position in source.positions:
            if not 0 <= position < script.prompt:
                raise RelevanceError(f'The source "{source.name}" names position {position} outside the prompt.')
            if int(groups[position]) != count + 1:
                raise RelevanceError(f'The source "{source.name}" shares position {position} with another.')
            groups[position] = i
    groups[: min(max(sink, 0), script.prompt)] = count
    return groups
