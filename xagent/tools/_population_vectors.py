"""Where a text or an image lies in the model's own embedding: the input of its last linear layer.

Distances are taken in all its dimensions. The main components alone would hide what they were not made for: what is
unlike the reference lies in the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from xagent.errors import InvalidCase
from xagent.tools._base import Context

Floats = NDArray[np.float64]

LAST = "the input of the model's last linear layer"
MEAN = "the mean of the model's input embeddings"
LEAST_TEXTS, MOST_TEXTS = 360, 1500
"""Fewer texts could not show a deviation; more are not worth the model's time."""
_WORK = 4e12
"""Multiplications that may be spent on a reference once, about a minute of two cores."""
_CHUNK_TEXTS, _CHUNK_IMAGES = 32, 256


class _LastLinear(TorchFunctionMode):
    """Keeps the input of the last linear layer that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.input: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear or func is torch.ops.aten.linear.default:
            self.input = args[0]
        elif func is torch.ops.aten.addmm.default:
            self.input = args[1]
        return func(*args, **(kwargs or {}))


def runs(ctx: Context) -> bool:
    """Whether the model is a network that could be looked into."""
    return isinstance(getattr(ctx.subject, "module", None), nn.Module)


def affordable(ctx: Context, tokens: float) -> int:
    """How many texts of about so many tokens the model may read; 0 when not even those that a verdict needs."""
    module = ctx.subject.module
    assert module is not None
    lookups = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    size = sum(p.numel() for p in module.parameters() if id(p) not in lookups) or 1
    most = int(_WORK * (1 if ctx.subject.device.type == "cpu" else 100) / (size * max(tokens, 1.0)))
    return min(most, MOST_TEXTS) if most >= LEAST_TEXTS else 0


def texts_encoded(ctx: Context, texts: Sequence[str], places: Iterable[int], field: str) -> Iterator[Any]:
    """The Encoded of the texts at these places, one after the other: the embeddings of all together may not fit.

    Raises InvalidCase with the place of the text.
    """
    for place in places:
        try:
            yield ctx.subject.encode_texts([texts[place]])[0]
        except InvalidCase as error:
            raise InvalidCase(f"{field}: text {place + 1} of {len(texts)}: {error.message}", error.hint) from None


def means(encoded: Iterable[Any]) -> Floats:
    """(n, E): the mean of the input embeddings of each text."""
    return np.stack([_array(item.inputs[item.traced])[0].mean(axis=0) for item in encoded])


def embedded_texts(ctx: Context, encoded: Sequence[Any]) -> Floats | None:
    """(n, h): the last linear layer's input, its mean over the tokens, or at the last token of a prompt. None for a
    model that has no such layer."""
    result: Floats | None = None
    by_length: dict[int, list[int]] = {}
    for place, item in enumerate(encoded):
        by_length.setdefault(item.inputs[item.traced].shape[1], []).append(place)
    for places in by_length.values():  # no padding, which some models would read
        for start in range(0, len(places), _CHUNK_TEXTS):
            some = places[start : start + _CHUNK_TEXTS]
            together = [encoded[p].inputs for p in some]
            batch = {name: torch.cat([inputs[name] for inputs in together]) for name in together[0]}
            if ctx.subject.kind == "generation":  # one token of an answer: what is asked for is the state before it
                batch["answer_ids"] = torch.zeros((len(some), 1), dtype=torch.long, device=ctx.subject.device)
            found = _last(ctx, batch, len(some))
            if found is None:
                return None
            if result is None:
                result = np.empty((len(encoded), found.shape[1]))
            result[some] = found
    return result


def embedded_images(ctx: Context, pixels: Floats) -> Floats | None:
    """(n, h) of encoded images (n, C, H, W); None for a model without such a layer."""
    parts = []
    for start in range(0, len(pixels), _CHUNK_IMAGES):
        some = torch.from_numpy(pixels[start : start + _CHUNK_IMAGES])
        found = _last(ctx, {"input": some.to(ctx.subject.device, ctx.subject.dtype)}, len(some))
        if found is None:
            return None
        parts.append(found)
    return np.concatenate(parts) if parts else None


def _last(ctx: Context, inputs: dict[str, Tensor], rows: int) -> Floats | None:
    mode = _LastLinear()
    with ctx.subject.lock, torch.no_grad(), mode:
        ctx.subject.forward(inputs)
    found = mode.input
    if found is None or found.shape[0] != rows or found.ndim < 2:
        return None
    array = _array(found)
    if array.ndim > 2:
        array = array.reshape(rows, -1, array.shape[-1])
        array = array[:, -1] if ctx.subject.kind == "generation" else array.mean(axis=1)
    return array if np.isfinite(array).all() else None


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
