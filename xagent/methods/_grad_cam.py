"""Grad-CAM for images, on whatever convolution the network runs last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from xagent.methods._game import Attribution, Game, MethodNotApplicable, Parameter, differentiable, finite

_CONVOLUTIONS = {
    functional.conv2d,
    torch.ops.aten.conv2d.default,
    torch.ops.aten.conv2d.padding,
    torch.ops.aten.convolution.default,
}


class _Watch(TorchFunctionMode):
    """Keeps what the last convolution returned, whether a layer, a function or an exported program called it."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None
        self.count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func in _CONVOLUTIONS and isinstance(answer, Tensor) and answer.ndim == 4:
            self.last, self.count = answer, self.count + 1
        return answer


def grad_cam(game: Game, *, seed: int = 0) -> Attribution:
    """Channels of the last convolution, each weighted by the mean gradient of the score (Selvaraju et al. 2017).

    Enlarged to the image (bilinear). Without the ReLU of the paper, so that what speaks against the target keeps its
    sign; without any claim to sum to the score.
    """
    del seed
    if game.x.ndim != 4:
        raise MethodNotApplicable("Grad-CAM needs an image.", "Choose integrated_gradients or a removal method.")
    x = game.x.detach().clone().requires_grad_()
    with torch.enable_grad():
        with _Watch() as watch:
            score = differentiable(game, x, "Grad-CAM")
        if watch.last is None or not watch.last.requires_grad:
            raise MethodNotApplicable("Grad-CAM needs a convolution, and this network has none.", "Choose occlusion.")
        gradient = torch.autograd.grad(score.sum(), watch.last, allow_unused=True)[0]
    if gradient is None:
        raise MethodNotApplicable("The score does not depend on the network's last convolution.", "Choose occlusion.")
    held = watch.last.detach()
    coarse = (gradient.mean((2, 3), keepdim=True) * held).sum(1, keepdim=True)
    size = (int(game.x.shape[2]), int(game.x.shape[3]))
    units = finite(functional.interpolate(coarse.double(), size, mode="bilinear")[0, 0].reshape(-1).cpu())
    full, empty = game.ends()
    parameters: dict[str, Parameter] = {
        "layer": f"convolution {watch.count} of {watch.count}",
        "channels": int(held.shape[1]),
        "height": int(held.shape[2]),
        "width": int(held.shape[3]),
    }
    return Attribution("grad_cam", game.per_player(units), full, empty, parameters, 5, False, units)
