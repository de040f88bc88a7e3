"""The model under explanation, behind one face for rows, images and texts."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import BoolTensor, Tensor, nn

from xagent.case import GenerationInput, ImageInput, OutputSpec, TabularInput, TextInput
from xagent.errors import ConfigurationFault, InvalidCase, UsageFault
from xagent.subject._units import Encoded

if TYPE_CHECKING:
    import pandas as pd

    from xagent.subject._answer import AnswerSubject
    from xagent.subject._encoder import TabularEncoder
    from xagent.subject._estimator import EstimatorSubject, Linear
    from xagent.subject._image import ImageEncoder
    from xagent.subject._trees_subject import ExactRelevance

CHUNK = 512
Input = TabularInput | TextInput | ImageInput | GenerationInput
HashState = Literal["ok", "deviation", "cannot tell"]


class Subject(ABC):
    """One loaded model with its encoder.

    kind: tabular, text, image or generation. output: what its numbers mean. classes: names in output order, empty where
    there are none. device, dtype: where and in which precision it computes. sha256: hash of each file it was made from,
    by role (`model`, `encoder`). hash_state: the model file against the case's `model.sha256`; `cannot tell` when none
    is stated. module: the network, in inference mode, for the tracer; None when the model is no torch module.
    lock: held by every call that runs the model, so that tools in threads never see each other's hooks.
    """

    kind: str

    def __init__(
        self,
        module: nn.Module | None,
        output: OutputSpec,
        *,
        device: torch.device,
        dtype: torch.dtype,
        sha256: dict[str, str] | None = None,
        hash_state: HashState = "cannot tell",
    ) -> None:
        self.module = module
        self.output = output
        self.classes = tuple(output.classes)
        self.device = device
        self.dtype = dtype
        self.sha256 = dict(sha256 or {})
        self.hash_state: HashState = hash_state
        self.lock = threading.RLock()

    @staticmethod
    def from_module(
        module: nn.Module,
        encoder: TabularEncoder | ImageEncoder | Sequence[str],
        output: OutputSpec,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> Subject:
        """A torch module in memory, in eval mode, that takes one tensor (batch, d) or (batch, C, H, W).

        encoder: what turns raw values into that tensor, or just the names of its d columns when raw values are what
        the module takes. groups: columns that are one feature, by the feature's name. Raises UsageFault, InvalidCase.
        """
        from xagent.subject._live import module_subject

        return module_subject(module, encoder, output, groups)

    @staticmethod
    def from_transformer(model: nn.Module, tokenizer: Any, output: OutputSpec | None = None) -> Subject:
        """A Hugging Face sequence classifier in memory, in eval mode, with its fast tokenizer.

        output: by default logits with the classes of `config.id2label`. Raises UsageFault, InvalidCase.
        """
        from xagent.subject._live import transformer_subject

        return transformer_subject(model, tokenizer, output)

    @staticmethod
    def from_language_model(model: nn.Module, tokenizer: Any) -> AnswerSubject:
        """A decoder-only Hugging Face language model in memory, in eval mode, with its fast tokenizer.

        Raises UsageFault, InvalidCase.
        """
        from xagent.subject._live import language_model_subject

        return language_model_subject(model, tokenizer)

    @staticmethod
    def from_estimator(
        estimator: Any,
        columns: pd.DataFrame | Sequence[str] | None = None,
        output: OutputSpec | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> EstimatorSubject:
        """A fitted scikit-learn classifier, regressor or pipeline.

        columns: rows like those it was fitted on (needed when a column holds texts), or the columns' names; by default
        the names it was fitted with. output: its class names or unit, when they are to be other than its own. groups:
        columns that are one feature. `module` is None: methods that need gradients do not apply. Raises UsageFault.
        """
        from xagent.subject._estimator import estimator_subject

        return estimator_subject(estimator, columns, output, groups)

    @abstractmethod
    def encode(self, input: Input) -> Encoded:
        """One raw input as tensors. Raises InvalidCase that names the feature and the mend."""

    @abstractmethod
    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        """What "not there" looks like: (1, ...), broadcastable to the traced tensor.

        Rows and images: the mean of `reference` (n, ...), zeros when there is none. Texts: the mask token's embedding
        (pad or unk when the tokenizer has no mask), with the special tokens of `encoded` left as they are. Trees and
        sums of terms: rows of `reference` (n, d), which scores are averaged over.
        """

    def encode_table(self, frame: pd.DataFrame, field: str = "reference") -> Tensor:
        """Rows of a table as (n, d). Raises InvalidCase, naming `field`."""
        raise InvalidCase(f"{field}: the model takes no table.", f"It takes {self.kind} input.")

    def encode_images(self, path: Path, field: str = "reference") -> Tensor:
        """Images of an npz file as (n, C, H, W). Raises InvalidCase, naming `field`."""
        raise InvalidCase(f"{field}: the model takes no images.", f"It takes {self.kind} input.")

    def encode_texts(self, texts: list[str]) -> list[Encoded]:
        """Many texts, one Encoded each. Raises InvalidCase."""
        raise InvalidCase("input: the model takes no text.", f"It takes {self.kind} input.")

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Differentiable scores (batch, K): logits; [0, z] for output kind `logit`; (batch, 1) for `value`.

        The caller holds `lock` when hooks or modes are in play.
        """
        return self._shaped(self._call(inputs))

    def linear_coefficients(self) -> Linear | None:
        """The model as one linear map of its raw columns, where it is one; None for any other."""
        return None

    def exact_relevance(self, encoded: Encoded, background: Tensor | None = None) -> ExactRelevance | None:
        """Shapley values in closed form, where the model has such a form (trees, sums of terms); None for any other."""
        return None

    def exact_values(self, rows: Tensor, background: Tensor | None = None) -> Tensor | None:
        """(n, P, K): the values of `exact_relevance` for many encoded rows (n, d); None where that is None."""
        return None

    def coalition_logits(self, encoded: Encoded, keep: Tensor, background: Tensor | None = None) -> Tensor:
        """Scores (m, K) of coalitions keep (m, P): of the altered inputs that `ablate` makes, or, for a subject that
        compares with every row of its background, their mean over the rows."""
        return self.logits(self.ablate(encoded, keep, background))

    @torch.no_grad()
    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """Scores (batch, K) without gradients, on the CPU in float32 (float64 for a float64 model), in chunks."""
        size = max(len(tensor) for tensor in inputs.values())
        rows = self._chunk(inputs)
        parts = []
        with self.lock:
            for start in range(0, size, rows):
                chunk = {name: tensor[start : start + rows].to(self.device) for name, tensor in inputs.items()}
                parts.append(self.forward(chunk).cpu())
        result = torch.cat(parts)
        return result if result.dtype == torch.float64 else result.float()

    def _chunk(self, inputs: dict[str, Tensor]) -> int:
        """How many rows go through the model at a time."""
        return CHUNK

    def score(self, logits: Tensor, target: int | None = None, scale: str = "probability") -> Tensor:
        """One number a row (batch,), float64, of what the case calls its score.

        scale `probability`: softmax over (batch, K); `logit`: the target's logit, or for output kind `logit` z signed
        towards the target; `value`: the regression's value. target is needed unless the model has one output.
        """
        logits = logits.double()
        if scale == "value" or self.output.kind == "value":
            if self.output.kind != "value" or scale != "value":
                raise UsageFault(f"A score on the scale {scale!r} does not fit output kind {self.output.kind!r}.")
            return logits[:, 0]
        if target is None:
            raise UsageFault("A classification's score needs the class it is about.")
        if scale == "probability":
            return logits.softmax(dim=1)[:, target]
        if scale != "logit":
            raise UsageFault(f"There is no scale {scale!r}.", "Use probability, logit or value.")
        return logits[:, target] - logits[:, 1 - target] if self.output.kind == "logit" else logits[:, target]

    def target_index(self, name: str | None) -> int:
        """Place of a class among the outputs; 0 for a regression and for an answer."""
        if self.output.kind in ("value", "generation"):
            return 0
        if name not in self.classes:
            raise InvalidCase(f"The model has no class {name!r}.", f"Its classes are {', '.join(self.classes)}.")
        return self.classes.index(name)

    def ablate(
        self, encoded: Encoded, keep: BoolTensor | Tensor, background: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Inputs of batch m in which the players not kept take the background's positions.

        keep: (m, P) booleans in the order of `encoded.players`. background: as `background()` gives it.
        """
        traced = encoded.inputs[encoded.traced]
        base = self.background(encoded=encoded) if background is None else background
        base = base.to(traced).expand_as(traced)
        units = self._units(encoded)
        owner = torch.zeros(len(encoded.players), units, dtype=torch.bool)
        for place, player in enumerate(encoded.players):
            owner[place, list(player.index)] = True
        removed = ((~keep.bool().cpu()).float() @ owner.float() > 0).to(traced.device)  # (m, units)
        mask = self._mask(removed, traced)
        result = {
            name: tensor.expand(len(keep), *tensor.shape[1:])
            for name, tensor in encoded.inputs.items()
            if name != encoded.traced
        }
        result[encoded.traced] = torch.where(mask, base, traced)
        return result

    def _units(self, encoded: Encoded) -> int:
        """How many positions the traced tensor has along the unit axis."""
        return encoded.inputs[encoded.traced].shape[1]

    def _mask(self, removed: Tensor, traced: Tensor) -> Tensor:
        """(m, units) as booleans that broadcast against the traced tensor."""
        return removed.reshape(len(removed), -1, *([1] * (traced.ndim - 2)))

    def _call(self, inputs: dict[str, Tensor]) -> Any:
        if self.module is None:
            raise UsageFault("This model is no torch module.")
        return self.module(**inputs)

    def _shaped(self, raw: Any) -> Tensor:
        """The model's answer as (batch, K), checked against the output that the case describes."""
        answer = tensor_of(raw)
        if self.output.kind == "logits":
            if answer.ndim == 2 and answer.shape[1] == len(self.classes):
                return answer
        elif answer.ndim == 1 or (answer.ndim == 2 and answer.shape[1] == 1):
            column = answer.reshape(-1, 1)
            return column if self.output.kind == "value" else torch.cat([torch.zeros_like(column), column], dim=1)
        wanted = f"(batch, {len(self.classes)})" if self.output.kind == "logits" else "(batch, 1) or (batch,)"
        raise InvalidCase(
            f"model.output: the model answers with shape {tuple(answer.shape)}, not {wanted}.",
            f"Correct kind ({self.output.kind!r}) or classes.",
        )


def tensor_of(raw: Any) -> Tensor:
    """The scores in what a model returns: a tensor, `.logits`, a dictionary with `logits`, or a tuple's first item."""
    if isinstance(raw, Tensor):
        return raw
    if isinstance(getattr(raw, "logits", None), Tensor):
        return raw.logits  # type: ignore[no-any-return]
    items = (
        [raw["logits"]] if isinstance(raw, dict) and "logits" in raw else list(raw) if isinstance(raw, tuple) else []
    )
    if items and isinstance(items[0], Tensor):
        return items[0]
    raise InvalidCase(f"model.output: the model answers with a {type(raw).__name__}.", "It must return a tensor.")


def chosen_device(device: str) -> torch.device:
    """`auto` (CUDA when there is one), `cpu` or `cuda`. Raises ConfigurationFault."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    if device == "cuda" or device.startswith("cuda:"):
        if torch.cuda.is_available():
            return torch.device(device)
        raise ConfigurationFault(
            "The device 'cuda' was asked for, but torch finds no CUDA device.", "Use --device cpu."
        )
    raise ConfigurationFault(f"There is no device {device!r}.", "Use auto, cpu or cuda.")


Resolve = Callable[[str, str], Path]
"""From a path in the case and the field it stands in to a file that may be read."""
