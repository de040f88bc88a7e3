"""Subjects from objects in memory: a torch module, a transformer or a language model with its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xagent.case import OutputSpec
from xagent.errors import UsageFault
from xagent.subject._answer import MAX_TOKENS as MAX_GENERATED
from xagent.subject._answer import AnswerSubject
from xagent.subject._arrays import ImageSubject, TabularSubject
from xagent.subject._encoder import TabularEncoder
from xagent.subject._estimator import column_players
from xagent.subject._image import ImageEncoder
from xagent.subject._load import probe
from xagent.subject._subject import Subject
from xagent.subject._text import MAX_TOKENS, TextSubject


class LiveModel(nn.Module):
    """The user's module under the argument name `input`; its weights stay its own."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = False

    def forward(self, input: Tensor) -> Any:
        return self.network(input)


def module_subject(
    module: nn.Module,
    encoder: TabularEncoder | ImageEncoder | Sequence[str],
    output: OutputSpec,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Subject:
    """See `Subject.from_module`."""
    device, dtype = _placed(module)
    subject: Subject
    if isinstance(encoder, ImageEncoder):
        subject = ImageSubject(LiveModel(module), output, device=device, dtype=dtype, encoder=encoder)
    elif isinstance(encoder, TabularEncoder):
        subject = TabularSubject(LiveModel(module), output, device=device, dtype=dtype, encoder=encoder)
    else:
        players = column_players(encoder, groups)
        features = [{"name": name, "kind": "numeric"} for name in encoder]
        plain = TabularEncoder.model_validate({"schema": "xagent.encoder/1", "kind": "tabular", "features": features})
        subject = TabularSubject(LiveModel(module), output, device=device, dtype=dtype, encoder=plain, players=players)
    if groups and not (isinstance(subject, TabularSubject) and not isinstance(encoder, TabularEncoder)):
        raise UsageFault("groups go with a list of columns.", "An encoder already says which columns are one feature.")
    probe(subject)
    return subject


def transformer_subject(model: nn.Module, tokenizer: Any, output: OutputSpec | None = None) -> TextSubject:
    """See `Subject.from_transformer`."""
    device, dtype = _placed(model)
    if not getattr(tokenizer, "is_fast", False):
        raise UsageFault("The tokenizer does not say where its tokens stand.", "Use a fast tokenizer.")
    config: Any = model.config
    if output is None:
        labels = getattr(config, "id2label", {})
        output = OutputSpec(kind="logits", classes=tuple(str(labels[place]) for place in sorted(labels)))
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS
    limit = min(MAX_TOKENS, int(positions), int(getattr(tokenizer, "model_max_length", MAX_TOKENS)))
    subject = TextSubject(model, output, device=device, dtype=dtype, tokenizer=tokenizer, limit=limit)
    probe(subject)
    return subject


def language_model_subject(model: nn.Module, tokenizer: Any) -> AnswerSubject:
    """See `Subject.from_language_model`."""
    device, dtype = _placed(model)
    if not getattr(tokenizer, "is_fast", False):
        raise UsageFault("The tokenizer does not say where its tokens stand.", "Use a fast tokenizer.")
    config: Any = model.config
    limit = min(MAX_GENERATED, int(getattr(config, "max_position_embeddings", None) or MAX_GENERATED))
    template = getattr(tokenizer, "chat_template", None)
    subject = AnswerSubject(
        model,
        OutputSpec(kind="generation"),
        device=device,
        dtype=dtype,
        tokenizer=tokenizer,
        limit=limit,
        template=template if isinstance(template, str) else None,
    )
    probe(subject)
    return subject


def _placed(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where the module lives and in which precision. It is neither moved nor switched to another mode."""
    if module.training:
        raise UsageFault("The model is in training mode.", "Call model.eval() before explaining it.")
    parameter = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(0))
    return parameter.device, parameter.dtype
