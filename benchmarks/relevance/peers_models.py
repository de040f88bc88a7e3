"""Five models with random weights, as questions: what a method costs on them, and whether its account closes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from faithfulness_tasks import by_embeddings, last_by_embeddings, plain
from peers_question import Question, Scored, cell_units, token_units
from torch import Tensor, nn


@dataclass(frozen=True)
class Model:
    """kind: text, vit, image or table, for the methods that fit. large: slow methods run with fewer evaluations."""

    name: str
    kind: str
    question: Question
    large: bool = False


def bert(layers: int = 6, size: int = 384, tokens: int = 128) -> Model:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=size, num_hidden_layers=layers, num_attention_heads=size // 64, intermediate_size=4 * size
    )
    network = BertForSequenceClassification(config)
    return Model(f"BERT {layers} x {size}, {tokens} tokens", "text", _tokens(network, by_embeddings, tokens), True)


def llama(layers: int = 8, size: int = 512, tokens: int = 256) -> Model:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=size, num_hidden_layers=layers, num_attention_heads=size // 64,
        num_key_value_heads=max(1, size // 128), intermediate_size=1408 * size // 512,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    return Model(
        f"Llama {layers} x {size}, {tokens} tokens", "text", _tokens(network, last_by_embeddings, tokens), True
    )


def resnet(side: int = 64, width: int = 32) -> Model:
    """Residual blocks with batch normalisation, as in ResNet-18, with the statistics of random images."""
    network = ResNet(width)
    with torch.no_grad():
        network.train()(torch.randn(16, 3, side, side))
    cell = side // 8
    unit, count = cell_units(side, side, cell)
    return Model(f"ResNet-like CNN, 3 x {side} x {side}", "image", _question(
        network, plain, torch.randn(1, 3, side, side), torch.zeros(1, 3, side, side), unit, count, cell
    ))  # fmt: skip


def vit(layers: int = 6, size: int = 192, side: int = 96) -> Model:
    """Vision transformer; units are its patches of 8 x 8 pixels."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=size, num_hidden_layers=layers, num_attention_heads=size // 64, intermediate_size=4 * size,
        image_size=side, patch_size=8, num_labels=10,
    )  # fmt: skip
    unit, count = cell_units(side, side, 8)
    return Model(f"ViT {layers} x {size}, 3 x {side} x {side}", "vit", _question(
        ViTForImageClassification(config), _pixels, torch.randn(1, 3, side, side), torch.zeros(1, 3, side, side), unit,
        count, 8,
    ), True)  # fmt: skip


def mlp(columns: int = 30, width: int = 64) -> Model:
    network = nn.Sequential(
        nn.Linear(columns, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)
    )
    unit = torch.arange(columns)[None]
    x, baseline = torch.randn(1, columns), torch.zeros(1, columns)
    return Model(f"MLP {columns}-{width}-{width}-2", "table", _question(network, plain, x, baseline, unit, columns))


MODELS = (bert, llama, resnet, vit, mlp)


class Block(nn.Module):
    """Two convolutions and a shortcut. Every ReLU is a module of its own: DeepLift cannot tell reused ones apart."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        # in the order of their calls: zennit merges a normalisation into the convolution registered before it
        self.first, self.norm1, self.relu1 = _conv(inside, outside, stride), nn.BatchNorm2d(outside), nn.ReLU()
        self.second, self.norm2, self.relu2 = _conv(outside, outside, 1), nn.BatchNorm2d(outside), nn.ReLU()
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(self.relu1(self.norm1(self.first(x)))))
        return self.relu2(y + self.shortcut(x))  # type: ignore[no-any-return]


def _conv(inside: int, outside: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride, 1, bias=False)


class ResNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(
            Block(width, width, 1),
            Block(width, 2 * width, 2),
            Block(2 * width, 2 * width, 1),
            Block(2 * width, 4 * width, 2),
        )
        self.pool, self.flat, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.flat(self.pool(self.blocks(self.stem(x)))))  # type: ignore[no-any-return]


def _tokens(network: Any, forward: Any, tokens: int) -> Question:
    """Random word vectors; the baseline is the vector of one token at every position."""
    table = network.get_input_embeddings().weight.detach()
    ids = torch.randint(1, len(table), (1, tokens))
    unit = token_units(tokens, [[i] for i in range(tokens)])
    return _question(network, forward, table[ids], table[torch.zeros_like(ids)], unit, tokens, 0)


def _question(
    network: nn.Module, forward: Any, x: Tensor, baseline: Tensor, unit: Tensor, count: int, window: int = 0
) -> Question:
    network.eval().requires_grad_(False)
    return Question(Scored(network, forward, 1).eval(), x, baseline, unit, count, window, chunk=16)


def _pixels(network: Any, x: Tensor) -> Tensor:
    return network(pixel_values=x).logits  # type: ignore[no-any-return]
