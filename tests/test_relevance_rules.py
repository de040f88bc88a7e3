"""The rule sets against their formulas, written out as redistribution of relevance."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from relevance_models import randomised, values
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Trace, Tracer, _backward
from xagent.relevance._ledger import Books

HEADS, WIDTH, TOKENS = 2, 4, 5


class LlamaLayer(nn.Module):
    """One layer as in Touvron et al. 2023, without its rotations, and a score for every sample."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        d = HEADS * WIDTH
        self.fused = fused
        self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(d, 12, bias=False), nn.Linear(d, 12, bias=False)
        self.down = nn.Linear(12, d, bias=False)
        self.norms = nn.ParameterList([nn.Parameter(torch.ones(d)) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.normed(x, 0)
        q, k, v = (f(h).unflatten(-1, (HEADS, WIDTH)).transpose(1, 2) for f in (self.q, self.k, self.v))
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-1, -2)) * WIDTH**-0.5
            y = (scores + torch.full((TOKENS, TOKENS), -torch.inf, dtype=x.dtype).triu(1)).softmax(-1) @ v
        x = x + self.o(y.transpose(1, 2).flatten(-2))
        h = self.normed(x, 1)
        return (x + self.down(F.silu(self.gate(h)) * self.up(h)))[:, -1]

    def normed(self, x: Tensor, i: int) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.norms[i]


def back_dense(x: Tensor, layer: Any, R: Tensor) -> Tensor:
    """R_i = sum_j x_i w_ji R_j / z_j."""
    z = x @ layer.weight.T
    return x * ((R / z) @ layer.weight)


def share(parts: list[Tensor], R: Tensor) -> list[Tensor]:
    """Of a sum, to each addend in proportion."""
    total = torch.stack(parts).sum(0)
    return [part / total * R for part in parts]


def by_hand(m: LlamaLayer, x: Tensor, target: int, alpha: float) -> Tensor:
    """AttnLRP (Achtibat et al. 2024, eq. 8-14) of one sample (tokens, d), one redistribution after the other."""
    h = m.normed(x, 0)
    q, k, v = (f(h).view(TOKENS, HEADS, WIDTH).transpose(0, 1) for f in (m.q, m.k, m.v))
    S = q @ k.transpose(-1, -2) * WIDTH**-0.5 + torch.full((TOKENS, TOKENS), -torch.inf, dtype=x.dtype).triu(1)
    A = S.softmax(-1)
    y = A @ v
    flat = y.transpose(0, 1).reshape(TOKENS, -1)
    attended = m.o(flat)
    middle = x + attended
    h2 = m.normed(middle, 1)
    g, u = F.silu(m.gate(h2)), m.up(h2)
    out = m.down(g * u)
    R = torch.zeros_like(x)
    R[-1, target] = (middle + out)[-1, target]
    R_skip, R_mlp = share([middle, out], R)
    R_product = back_dense(g * u, m.down, R_mlp)
    # the gate's activation by the identity rule, the product by halves, the norm by the identity rule
    R_middle = R_skip + back_dense(h2, m.gate, R_product / 2) + back_dense(h2, m.up, R_product / 2)
    R_x, R_attended = share([x, attended], R_middle)
    R_y = back_dense(flat, m.o, R_attended).view(TOKENS, HEADS, WIDTH).transpose(0, 1)
    ratio = R_y / y
    R_A = alpha * A * (ratio @ v.transpose(-1, -2))
    R_v = (1 - alpha) * v * (A.transpose(-1, -2) @ ratio)
    finite = S.masked_fill(S.isinf(), 0)
    R_S = finite * (R_A - A * R_A.sum(-1, keepdim=True))
    quotient = torch.where(finite == 0, 0, R_S / finite) * WIDTH**-0.5
    R_q, R_k = q * (quotient @ k) / 2, k * (quotient.transpose(-1, -2) @ q) / 2
    for R_part, f in ((R_q, m.q), (R_k, m.k), (R_v, m.v)):
        R_x = R_x + back_dense(h, f, R_part.transpose(0, 1).reshape(TOKENS, -1))
    return R_x


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("rules", "alpha"), [("attnlrp", 0.5), ("blend:0.25", 0.25), ("blend:0", 0.0)])
def test_attnlrp_equals_a_layer_of_llama_by_hand(rules: str, alpha: float, fused: bool) -> None:
    layer = randomised(LlamaLayer(fused))
    x = values(2, TOKENS, HEADS * WIDTH)
    trace = Tracer(layer, rules).trace({"x": x}, ["x"], Target.index(3))
    expected = torch.stack([by_hand(layer, row, 3, alpha) for row in x]).detach()  # type: ignore[arg-type]
    torch.testing.assert_close(trace.relevance["x"], expected, rtol=1e-7, atol=1e-9)
    lost = trace.score - expected.flatten(1).sum(1)
    torch.testing.assert_close(trace.ledger.softmax, lost, rtol=1e-7, atol=1e-9)
    assert bool(lost.abs().max() > 1e-3) == (alpha > 0)


def test_a_blend_of_nothing_is_conserving() -> None:
    layer, x = randomised(LlamaLayer(True)), {"x": values(2, TOKENS, HEADS * WIDTH)}
    blend, plain = (Tracer(layer, r).trace(x, ["x"], Target.index(0)) for r in ("blend:0", "conserving"))
    torch.testing.assert_close(blend.relevance, plain.relevance)


def test_fastest_gives_the_gate_nothing() -> None:
    layer, x = randomised(LlamaLayer(True)), {"x": values(2, TOKENS, HEADS * WIDTH)}
    trace = Tracer(layer, "fastest").trace(x, ["x"], Target.index(0))
    assert trace.ledger.gap.max() < 1e-9
    parts = Tracer(nn.Module(), "fastest", lambda i: F.silu(i["a"]) * i["b"]).trace(
        {"a": values(2, 1), "b": values(2, 1, seed=2)}, ["a", "b"], Target.value()
    )
    assert not parts.relevance["a"].any()
    torch.testing.assert_close(parts.relevance["b"][:, 0], parts.score)


def gamma_by_hand(x: Tensor, w: Tensor, b: Tensor, R: Tensor, gamma: float) -> Tensor:
    """x (n,), w (m, n), R (m,): outputs above zero favour positive contributions, the others negative ones."""
    relevance = torch.zeros_like(x)
    for j in range(len(w)):
        parts = torch.cat([x * w[j], b[j : j + 1]])
        favoured = parts.clamp(min=0) if parts.sum() > 0 else parts.clamp(max=0)
        weights = favoured if math.isinf(gamma) else parts + gamma * favoured
        relevance += (weights / weights.sum() * R[j])[:-1]
    return relevance


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), rules=st.sampled_from(["gamma", "gamma:0", "gamma:2.5", "z+"]))
def test_the_gamma_rule_of_a_dense_layer(seed: int, rules: str) -> None:
    gamma = {"gamma": 0.25, "z+": math.inf}.get(rules) if ":" not in rules else float(rules.split(":")[1])
    layer, x = randomised(nn.Linear(5, 3), seed), values(1, 5, seed=seed)
    trace = Tracer(layer, rules, lambda i: layer(i["x"]).sum(1)).trace({"x": x}, ["x"], Target.value())
    expected = gamma_by_hand(x[0], layer.weight, layer.bias, layer(x)[0], gamma)  # type: ignore[arg-type]
    torch.testing.assert_close(trace.relevance["x"][0], expected.detach(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(trace.score, layer(x).sum(1).detach())
    assert trace.ledger.gap.max() < 1e-8


@pytest.mark.parametrize("rules", ["gamma", "z+"])
def test_the_gamma_rule_of_a_convolution_is_that_of_its_unfolded_form(rules: str) -> None:
    conv = randomised(nn.Conv2d(2, 3, 3, padding=1, stride=2))
    dense = randomised(nn.Linear(18, 3))
    dense.load_state_dict({"weight": conv.weight.flatten(1), "bias": conv.bias})  # type: ignore[union-attr,operator]
    x = values(2, 2, 5, 5)

    def unfolded(i: dict[str, Tensor]) -> Tensor:
        return dense(F.unfold(i["x"], 3, padding=1, stride=2).transpose(1, 2)).flatten(1).sum(1)  # type: ignore[no-any-return]

    ours = Tracer(conv, rules, lambda i: conv(i["x"]).flatten(1).sum(1)).trace({"x": x}, ["x"], Target.value())
    theirs = Tracer(dense, rules, unfolded).trace({"x": x}, ["x"], Target.value())
    torch.testing.assert_close(ours.relevance, theirs.relevance)
    torch.testing.assert_close(ours.ledger.biases, theirs.ledger.biases)
    assert ours.ledger.gap.max() < 1e-9


@pytest.mark.parametrize("name", ["blend", "blend:1.5", "gamma:-1", "gamma:x", "blend:nan", "attnlrp:0.5"])
def test_rule_sets_need_their_number(name: str) -> None:
    with pytest.raises(RelevanceError):
        Tracer(nn.Module(), name)


# -------------------------------------------------------------------------------------------------------- targets


def net(outputs: int = 3) -> nn.Module:
    return randomised(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, outputs)))


def explained(target: Target, forward: Any = None, x: Tensor | None = None) -> Trace:
    model = net()
    wrapped = None if forward is None else (lambda i: forward(model(i["input"])))
    return Tracer(model, forward=wrapped).trace({"input": values(3, 4) if x is None else x}, ["input"], target)


def test_a_linear_target_is_the_sum_of_its_parts() -> None:
    whole, parts = explained(Target.linear({0: 2.0, 2: -0.5})), [explained(Target.index(i)) for i in (0, 2)]
    expected = 2 * parts[0].relevance["input"] - 0.5 * parts[1].relevance["input"]
    torch.testing.assert_close(whole.relevance["input"], expected)


def test_log_probability_weighs_all_columns() -> None:
    x = values(3, 4)
    trace, logits = explained(Target.log_probability(1), x=x), net()(x).detach()
    torch.testing.assert_close(trace.score, logits.log_softmax(1)[:, 1])
    seeds = F.one_hot(torch.tensor([1] * 3), 3) - logits.softmax(1)
    columns = torch.stack([explained(Target.index(j), x=x).relevance["input"] for j in range(3)], 1)
    torch.testing.assert_close(trace.relevance["input"], (columns * seeds.unsqueeze(-1)).sum(1))
    torch.testing.assert_close(trace.ledger.softmax, trace.score - (logits * seeds).sum(1))
    assert trace.ledger.gap.max() < 1e-9


def test_a_margin_is_a_contrast_to_the_runner_up() -> None:
    x = values(3, 4)
    trace, logits = explained(Target.margin(1), x=x), net()(x).detach()
    for row in range(3):
        foil = max((0, 2), key=lambda j: float(logits[row, j]))
        contrast = explained(Target.contrast(1, foil), x=x)
        torch.testing.assert_close(trace.relevance["input"][row], contrast.relevance["input"][row])
    assert trace.ledger.gap.max() < 1e-9


def _forms(y: Tensor) -> dict[str, Any]:
    from transformers.modeling_outputs import SequenceClassifierOutput

    hidden = torch.ones(3, 7)
    return {
        "tuple": (y, hidden),
        "dict": {"hidden": hidden, "logits": y},
        "dataclass": SequenceClassifierOutput(logits=y, hidden_states=(hidden,)),
    }


@pytest.mark.parametrize("form", ["tuple", "dict", "dataclass"])
def test_outputs_of_any_form(form: str) -> None:
    plain = explained(Target.index(2))
    trace = explained(Target.index(2), lambda y: _forms(y)[form])
    torch.testing.assert_close(trace.relevance, plain.relevance)
    read = {"tuple": lambda o: o[0], "dict": lambda o: o["logits"], "dataclass": lambda o: o.logits}[form]
    own = explained(Target.of_output(lambda o: read(o)[:, 2] - read(o)[:, 0].exp()), lambda y: _forms(y)[form])
    logits = net()(values(3, 4)).detach()
    torch.testing.assert_close(own.score, logits[:, 2] - logits[:, 0].exp())
    slope = logits[:, :1].exp()
    expected = plain.relevance["input"] - slope * explained(Target.index(0)).relevance["input"]
    torch.testing.assert_close(own.relevance["input"], expected)
    assert own.ledger.gap.max() < 1e-9


def test_one_position_of_a_sequence() -> None:
    model, x = net(), values(2, 5, 4)
    trace = Tracer(model).trace({"input": x}, ["input"], Target.contrast(1, 0).at(-2))
    single = Tracer(model).trace({"input": x[:, 3]}, ["input"], Target.contrast(1, 0))
    torch.testing.assert_close(trace.relevance["input"][:, 3], single.relevance["input"])
    assert not trace.relevance["input"][:, [0, 1, 2, 4]].any()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target.index(0).at(9), "position 9"),
        (Target.index(0), "say where"),
        (Target.of_output(lambda o: o.sum()), "one number for every sample"),
        (Target.of_output(lambda o: 3), "one number for every sample"),
    ],
)
def test_targets_that_do_not_fit_are_named(target: Target, says: str) -> None:
    with pytest.raises(RelevanceError, match=says):
        Tracer(net()).trace({"input": values(2, 5, 4)}, ["input"], target)
    with pytest.raises(RelevanceError, match="two columns"):
        Tracer(net(1)).trace({"input": values(2, 4)}, ["input"], Target.margin(0))
    with pytest.raises(RelevanceError, match="at least one column"):
        Target.linear({})


# ---------------------------------------------------------------------------------------- backwards of our own


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", ["none", "additive", "forbidding", "a row of nothing"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("read", ["everywhere", "at two places"])
def test_the_share_of_the_values_is_torchs_own(
    causal: bool, mask: str, shared: bool, read: str, monkeypatch: Any
) -> None:
    """Attention weights computed again in blocks give torch's gradient of the values."""
    monkeypatch.setattr(_backward, "BLOCK", 2 * 4 * 70)  # several blocks
    if causal and mask != "none":
        return  # torch refuses both at once
    queries, keys = 70, 70
    q, k, v = (values(2, heads, n, 3, seed=s) for heads, n, s in ((4, queries, 1), (2 if shared else 4, keys, 2),
                                                                  (2 if shared else 4, keys, 3)))  # fmt: skip
    given: dict[str, Any] = {"is_causal": causal, "enable_gqa": shared}
    if mask == "additive":
        given["attn_mask"] = values(1, 1, queries, keys, seed=4)
    elif mask != "none":
        given["attn_mask"] = values(2, 1, queries, keys, seed=4) > -0.5
        given["attn_mask"][:, :, 3] = mask == "forbidding"
    expected = v.clone().requires_grad_()
    weight = values(2, 4, queries, 3, seed=5)
    if read != "everywhere":
        weight[:, :, 2:-1] = 0
    (F.scaled_dot_product_attention(q, k, expected, **given) * weight).sum().backward()

    def forward(i: dict[str, Tensor]) -> Tensor:
        return (F.scaled_dot_product_attention(q, k, i["v"], **given) * weight).flatten(1).sum(1)

    trace = Tracer(nn.Module(), forward=forward).trace({"v": v}, ["v"], Target.value())
    assert expected.grad is not None
    torch.testing.assert_close(trace.relevance["v"], v * expected.grad)
    assert trace.ledger.gap.max() < 1e-9


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 60), used=st.lists(st.integers(0, 59), max_size=6), seed=st.integers(0, 99))
def test_rows_of_zeros_are_left_out_of_a_product(rows: int, used: list[int], seed: int) -> None:
    gradient, weight = torch.zeros(1, rows, 5, dtype=torch.float64), values(5, 3, seed=seed)
    for row in used:
        if row < rows:
            gradient[0, row] = values(5, seed=row)
    torch.testing.assert_close(_backward.through(gradient, weight, Books()), gradient @ weight)
