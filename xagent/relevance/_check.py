"""What can be wrong with a question before the model has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ._errors import RelevanceError
from ._inputs import Given, embeddings
from ._parts import modules


def check(model: nn.Module, inputs: Given, of: Sequence[str], baseline: Mapping[str, Tensor]) -> None:
    """Raise RelevanceError for names, types, shapes and modes that make a trace impossible."""
    for name in of:
        x = inputs.find(name)
        if x is None and name and name in modules(model):
            continue
        if not isinstance(x, Tensor):
            raise RelevanceError(
                f'There is no tensor called "{name}" among the inputs, and no module of that name.',
                f"Known inputs: {', '.join(inputs.tensors())}.",
            )
        if not x.is_floating_point():
            raise RelevanceError(
                f'The input "{name}" holds {x.dtype} values; relevance flows only through floating point.',
                f"Name an embedding of it instead: {', '.join(embeddings(model)) or 'inputs_embeds'}.",
            )
        if name in baseline and not _broadcasts(baseline[name], x):
            raise RelevanceError(f'The baseline of "{name}" does not have the shape {tuple(x.shape)}.')
    for name in baseline:
        if name not in of:
            raise RelevanceError(f'The baseline names "{name}", which is not traced.')
    random = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    if any(isinstance(module, random) and module.training for module in modules(model).values()):
        raise RelevanceError("The model is in training mode.", "Call model.eval() first.")


def _broadcasts(baseline: Tensor, x: Tensor) -> bool:
    try:
        return bool(baseline.expand_as(x).shape == x.shape)
    except RuntimeError:
        return False


def floating(name: str, x: Any) -> Tensor:
    """x, if it is a floating point tensor that can be explained."""
    if not isinstance(x, Tensor):
        raise RelevanceError(f'What "{name}" returns is no tensor, but a {type(x).__name__}.')
    if not x.is_floating_point():
        raise RelevanceError(f'"{name}" holds {x.dtype} values; relevance flows only through floating point.')
    if not x.numel():
        raise RelevanceError(f'"{name}" is empty: its shape is {tuple(x.shape)}.')
    return x


def all_called(modules: Sequence[str], leaves: Mapping[str, Tensor]) -> None:
    """Raise RelevanceError for a module to be explained that the forward did not use."""
    for name in modules:
        if name not in leaves:
            raise RelevanceError(f'The module "{name}" is not called in this forward.')


def suspect(model: nn.Module) -> str:
    """A hint at what makes a score infinite: a parameter, if one is at fault."""
    for name, x in model.named_parameters():
        if not bool(x.isfinite().all()):
            return f'The parameter "{name}" holds NaN or infinite values.'
    return "Check the input values, and that no sample is masked as a whole."
