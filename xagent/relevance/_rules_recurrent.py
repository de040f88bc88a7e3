"""Fused recurrent kernels (`nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells) are unrolled into operations with rules.

With the gates as constants the cell state of an LSTM and the state of a GRU are sums, and relevance goes through the
candidates and the past state (Arras et al. 2017, 2019: "LRP-all").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._step import Step, carries
from ._table import linear

State = tuple[Tensor, ...]
# from the projected input, the state and the recurrent weight and bias, the next state; its first part is the output
Cell = Callable[[Tensor, State, Tensor, Tensor | None], State]


def lstm_cell(x: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """c' = f c + i g, h' = o tanh(c'); i, f, o are gates."""
    h, c = state
    i, f, g, o = (x + F.linear(h, weight, bias)).chunk(4, -1)
    c = torch.sigmoid(f) * _traced(c, g) + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_cell(x: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """n = tanh(x_n + r h_n), h' = n + z (h - n); r and z are gates."""
    (h,) = state
    xr, xz, xn = x.chunk(3, -1)
    hr, hz, hn = F.linear(h, weight, bias).chunk(3, -1)
    n = torch.tanh(xn + torch.sigmoid(xr + hr) * _traced(hn, xn))
    return (n + torch.sigmoid(xz + hz) * (h - n),)


def _traced(past: Tensor, x: Tensor) -> Tensor:
    """A gate stays a gate where the past state is a constant: in the first step."""
    return past if carries(past) or not carries(x) else past + x * 0


def tanh_cell(x: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """h' = tanh(x + W h)."""
    return (torch.tanh(x + F.linear(state[0], weight, bias)),)


def relu_cell(x: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """h' = relu(x + W h)."""
    return (torch.relu(x + F.linear(state[0], weight, bias)),)


@linear("_pack_padded_sequence", "_pad_packed_sequence")
def packed(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Values are moved; a padding other than zero is booked."""
    return step.residual("constants")


def _single(cell: Cell) -> Callable[..., Any]:
    def rule(step: Step, input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Any:
        """One step of a recurrent cell."""
        with step.mode:
            state = cell(F.linear(input, w_ih, b_ih), (hx,) if isinstance(hx, Tensor) else tuple(hx), w_hh, b_hh)
        return state if len(state) > 1 else state[0]

    return rule


def _net(cell: Cell) -> Callable[..., Any]:
    def rule(step: Step, input: Tensor, *args: Any) -> Any:
        """A whole recurrent net, step by step."""
        return unrolled(step, cell, input, args)

    return rule


for _name, _cell in (("lstm", lstm_cell), ("gru", gru_cell), ("rnn_tanh", tanh_cell), ("rnn_relu", relu_cell)):
    linear(_name)(_net(_cell))
    linear(f"{_name}_cell")(_single(_cell))


def unrolled(step: Step, cell: Cell, input: Tensor, args: Sequence[Any]) -> Any:
    """All layers and directions of a recurrent net, for padded input and for the data of a packed sequence.

    Returns what the kernel returns: the output, then the last state of every layer and direction.
    """
    packed = not isinstance(args[2], bool)
    sizes = args[0].tolist() if packed else None
    hx, weights, has_biases, layers, dropout, train, both_ways = args[1:8] if packed else args[:7]
    if train and dropout:
        return step.unhandled()
    states = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    directions = 2 if both_ways else 1
    per_cell = len(weights) // (layers * directions)
    last: list[State] = []
    with step.mode:
        # batch first inside, so that constants are booked to their samples
        x = input if packed or args[7] else input.transpose(0, 1)
        for layer in range(layers):
            outputs = []
            for backwards in range(directions):
                number = layer * directions + backwards
                own = weights[number * per_cell : (number + 1) * per_cell]
                first = tuple(s[number] for s in states)
                y, state = _run(cell, x, first, own, has_biases, bool(backwards), sizes)
                outputs.append(y)
                last.append(state)
            x = torch.cat(outputs, -1) if both_ways else outputs[0]
        ends = tuple(torch.stack([state[i] for state in last]) for i in range(len(states)))
        return (x if packed or args[7] else x.transpose(0, 1), *ends)


def _run(
    cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor], has_biases: bool, backwards: bool, sizes: Any
) -> tuple[Tensor, State]:
    """One layer in one direction: the outputs of all steps, and the state after the last one."""
    b_ih, b_hh = (weights[2], weights[3]) if has_biases else (None, None)
    projection = weights[-1] if len(weights) in (3, 5) else None  # proj_size of an LSTM
    projected = F.linear(x, weights[0], b_ih)
    parts = projected.unbind(1) if sizes is None else torch.split(projected, sizes)
    outputs: list[Tensor] = []
    for part in reversed(parts) if backwards else parts:
        count = len(part)
        new = cell(part, tuple(s[:count] for s in state), weights[1], b_hh)
        if projection is not None:
            new = (F.linear(new[0], projection), *new[1:])
        outputs.append(new[0])
        if count < len(state[0]):  # the shorter sequences of a packed batch wait
            new = tuple(torch.cat([a, s[count:]]) for a, s in zip(new, state, strict=True))
        state = new
    outputs = outputs[::-1] if backwards else outputs
    return (torch.stack(outputs, 1) if sizes is None else torch.cat(outputs)), state
