"""What a trace of an answer needs in memory, found out on short beginnings of it, and which way stays below a bound."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ._answer_forward import Script
from ._answer_memory import LiveBytes, decoder_layers
from ._answer_rows import backward, graph
from ._columns_pass import row_bytes
from ._errors import RelevanceError
from ._table import RuleSet

MEMORY = 1 << 30  # bytes, where nobody says another bound
SHORT = 64  # tokens of the first of three beginnings, each twice as long as the one before
RESERVE = 1.25  # kernels choose other blocks for longer inputs


def in_segments(script: Script, rules: RuleSet, copies: int, memory: int | None) -> bool:
    """Whether rows or a span must compute layers again to stay below `memory` bytes (1 GiB, where none is said).

    The bound is on what is allocated during the trace beyond the model: activations, graph, gradients. Memory grows
    with the tokens as a polynomial of second degree (attention masks), which three short beginnings determine.
    Raises RelevanceError if a bound was given and even segments need more.
    """
    bound = MEMORY if memory is None else memory
    layers = len(decoder_layers(script.model))
    if 2 * copies * row_bytes(script) * max(layers, 1) <= bound:  # an upper bound, without a look
        return False
    if script.length <= 4 * SHORT and memory is None:
        return False
    if needed(script, rules, copies, segments=False) <= bound:
        return False
    if layers and (memory is None or needed(script, rules, copies, segments=True) <= bound):
        return True
    if memory is None:
        return False
    least = needed(script, rules, copies, segments=bool(layers))
    raise RelevanceError(
        f"The trace of {script.length} tokens needs about {least / 2**20:.0f} MiB, more than the {bound / 2**20:.0f} "
        "MiB of `memory`.",
        'Raise it, shorten the prompt, or ask for columns (way="columns").',
    )


def needed(script: Script, rules: RuleSet, copies: int, segments: bool) -> int:
    """Bytes that the trace of all tokens of `script` takes at its peak, about."""
    tokens = script.length - 1
    if tokens <= 4 * SHORT:
        return _peak(script, rules, copies, segments, tokens)
    first, second, third = (_peak(script, rules, copies, segments, SHORT * k) for k in (1, 2, 4))
    steep, early = (third - second) / (2 * SHORT), (second - first) / SHORT
    square = max(0.0, (steep - early) / (3 * SHORT))
    slope = steep - 6 * SHORT * square
    rest = tokens - 4 * SHORT
    return int(RESERVE * (third + slope * rest + square * (tokens**2 - (4 * SHORT) ** 2)))


def _peak(script: Script, rules: RuleSet, copies: int, segments: bool, tokens: int) -> int:
    short = copy.copy(script)
    short.prompt, short.answer, short.targets = tokens, 1, script.targets[:1]
    short.foils = None if script.foils is None else script.foils[:1]
    short.embeddings = script.embeddings[:, :tokens]
    with LiveBytes() as bytes_, graph(short, rules, 0, 1, copies, segments) as (leaf, scores, mode):
        seeds: Tensor = torch.ones_like(scores)
        backward(short, leaf, scores, seeds, mode, 1, segments)
    return int(bytes_.peak)
