"""Runs one peer in its own environment on models and inputs that `peers.py` wrote, and writes its attributions back.

    FOLDER/lxt/bin/python peers_foreign.py --peer lxt --check
    FOLDER/lxt/bin/python peers_foreign.py --peer lxt --exchange FOLDER/exchange

A task is a folder with `task.json` (architecture, configuration), `model.safetensors` and `inputs.safetensors`. The
answer is `PEER.safetensors` ("method/number": attribution in the shape of the input, or by position) and `PEER.json`
(versions, time in forwards with gradient of this environment, how far the reproduced score is off, or the error).
Knows torch, safetensors, transformers and the peer; nothing of this project but the file formats and the CNN.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Explain = Callable[[int], Tensor]
PACKAGES = {
    "zennit": "zennit",
    "lxt": "lxt.efficient",
    "inseq": "inseq",
    "flashtrace": "flashtrace",
    "dl-backtrace": "dl_backtrace",
}


class Work:
    """One task: the model, its inputs, and the score that everybody explains."""

    def __init__(self, folder: Path, modeling: Any = None) -> None:
        from safetensors.torch import load_file

        self.task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        self.folder = folder
        tensors = load_file(str(folder / "inputs.safetensors"))
        self.count = int(self.task["count"])
        self.x = [tensors[f"x/{i}"] for i in range(self.count)]
        self.score, self.target, self.foil = tensors["score"], tensors["target"].tolist(), tensors["foil"].tolist()
        self.model = self._model(modeling)
        self.model.load_state_dict(load_file(str(folder / "model.safetensors")))
        self.model.eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    def _model(self, modeling: Any) -> Any:
        kind, config = self.task["architecture"], self.task["config"]
        if kind == "digits":
            return nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
                nn.Linear(96, 10),
            )  # fmt: skip
        if kind == "resnet":
            return importlib.import_module("peers_models").ResNet(config["width"])
        import transformers

        made = getattr(transformers, self.task["config_class"])(**config)
        return getattr(modeling or transformers, self.task["model_class"])(made)

    def columns(self, x: Tensor) -> Tensor:
        if self.task["architecture"] in {"digits", "resnet"}:
            return self.model(x)
        if self.task["architecture"] == "llama":
            return self.model(inputs_embeds=x, use_cache=False, logits_to_keep=1).logits[:, -1]
        return self.model(inputs_embeds=x).logits

    def lead(self, x: Tensor, number: int) -> Tensor:
        columns = self.columns(x)[0]
        foil = self.foil[number]
        return columns[self.target[number]] - (columns[foil] if foil >= 0 else 0)

    def gradient(self, number: int) -> Tensor:
        """Input times gradient of the score; with a peer's patches in place, its relevance."""
        x = self.x[number].clone().requires_grad_()
        return x.detach() * torch.autograd.grad(self.lead(x, number), x)[0]

    def off(self) -> float:
        """How far the score is from the one of the environment that wrote the task, relative, at most."""
        with torch.no_grad():
            mine = torch.stack([self.lead(x, i) for i, x in enumerate(self.x)]).double()
        return float(((mine - self.score).abs() / self.score.abs().clamp(min=1e-6)).max())


# one generator a peer: (method, explain) ------------------------------------------------------------------------------


def zennit(work: Work) -> Iterator[tuple[str, Explain]]:
    from zennit.attribution import Gradient
    from zennit.canonizers import AttributeCanonizer, CompositeCanonizer, SequentialMergeBatchNorm
    from zennit.composites import EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat
    from zennit.layer import Sum

    class Shortcut(AttributeCanonizer):  # its documented way to make a residual sum visible
        def __init__(self) -> None:
            super().__init__(lambda name, module: _summed(module, Sum))

    low, high = min(float(x.min()) for x in work.x), max(float(x.max()) for x in work.x)
    for name, make in {
        "EpsilonPlus": EpsilonPlus,
        "EpsilonPlusFlat": EpsilonPlusFlat,
        "EpsilonGammaBox": lambda canonizers: EpsilonGammaBox(low=low, high=high, canonizers=canonizers),
    }.items():

        def explain(number: int, make: Any = make) -> Tensor:
            composite = make(canonizers=[CompositeCanonizer([SequentialMergeBatchNorm(), Shortcut()])])
            sign = torch.zeros(1, work.columns(work.x[number]).shape[1])
            sign[0, work.target[number]] = 1
            if work.foil[number] >= 0:
                sign[0, work.foil[number]] = -1
            with Gradient(model=work.model, composite=composite) as attributor:
                return attributor(work.x[number], lambda output: output.detach() * sign)[1].detach()

        yield name, explain


def _summed(module: nn.Module, sum_class: Any) -> dict[str, Any]:
    """Attributes that put a residual block's addition into a module."""
    if type(module).__name__ != "Block":
        return {}

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.norm2(self.second(self.relu1(self.norm1(self.first(x)))))
        return self.relu2(self.canonizer_sum(torch.stack([y, self.shortcut(x)], dim=-1)))

    return {"forward": types.MethodType(forward, module), "canonizer_sum": sum_class()}


def lxt(work: Work) -> Iterator[tuple[str, Explain]]:
    """Its patches are in place already (they must come before the model is made for BERT)."""
    yield "AttnLRP", work.gradient


def inseq(work: Work) -> Iterator[tuple[str, Explain]]:
    import inseq as library
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work.task["tokenizer"])
    for method, options in {
        "input_x_gradient": {}, "integrated_gradients": {"n_steps": 50}, "occlusion": {}
    }.items():  # fmt: skip
        model = library.load_model(work.model, method, tokenizer=tokenizer)

        def explain(number: int, model: Any = model, options: Any = options) -> Tensor:
            prompt, answer = work.task["prompts"][number], work.task["answers"][number]
            out = model.attribute(
                prompt, f"{prompt} {answer}", attributed_fn="logit", show_progress=False, skip_special_tokens=False,
                **options,
            )  # fmt: skip
            found = out.sequence_attributions[0].target_attributions
            found = found.sum(-1) if found.dim() == 3 else found
            return torch.nan_to_num(found[: work.x[number].shape[1], -1]).float()

        yield method, explain


def flashtrace(work: Work) -> Iterator[tuple[str, Explain]]:
    from flashtrace import FlashTrace
    from transformers import AutoTokenizer

    work.model.set_attn_implementation("eager")  # it reads attention maps
    tracer = FlashTrace(work.model, AutoTokenizer.from_pretrained(work.task["tokenizer"]))
    for method in ("ifr-span", "flashtrace"):

        def explain(number: int, method: Any = method) -> Tensor:
            prompt, answer = work.task["prompts"][number], work.task["answers"][number]
            scores = torch.tensor(tracer.trace(prompt=prompt, target=f" {answer}", method=method).scores)
            length = work.x[number].shape[1]
            return torch.nn.functional.pad(scores, (length - len(scores), 0))[-length:]

        yield method, explain


PEERS: dict[str, Any] = {"zennit": zennit, "lxt": lxt, "inseq": inseq, "flashtrace": flashtrace}


def answer(peer: str, folder: Path) -> None:
    """Run the peer on one task and write what it says, or why it does not."""
    from safetensors.torch import save_file

    found: dict[str, Tensor] = {}
    report: dict[str, Any] = {"versions": versions(), "methods": {}}
    try:
        plain = Work(folder)
        report["score_off"] = plain.off()
        unit = _plain_seconds(plain)
        work = Work(folder, patched(plain.task["architecture"])) if peer == "lxt" else plain
        # lxt's patches stay, so that its plain gradient can only be timed before them
        units = (lambda: unit) if peer == "lxt" else (lambda: _plain_seconds(plain))
        for name, explain in PEERS[peer](work):
            try:
                results = [explain(i) for i in range(work.count)]
                found |= {f"{name}/{i}": r.detach().float().contiguous() for i, r in enumerate(results)}
                report["methods"][name] = {"ratio": _ratio(explain, units, work)}
            except Exception as fault:  # the peer's own failure is a result
                report["methods"][name] = {"error": f"{type(fault).__name__}: {str(fault)[:200]}"}
    except Exception as fault:
        report["error"] = f"{type(fault).__name__}: {str(fault)[:300]}"
    save_file(found or {"none": torch.zeros(1)}, str(folder / f"{peer}.safetensors"))
    (folder / f"{peer}.json").write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(folder.name, json.dumps(report, sort_keys=True), flush=True)


def patched(architecture: str) -> Any:
    """lxt's patches for this architecture, for the whole process and for ever; the patched modeling module."""
    from lxt.efficient import monkey_patch

    modeling = importlib.import_module(f"transformers.models.{architecture}.modeling_{architecture}")
    monkey_patch(modeling)
    return importlib.import_module(modeling.__name__)


def _ratio(explain: Explain, unit: Callable[[], float], work: Work) -> float:
    """Median over rounds of a method's time by that of the plain gradient beside it, at most 16 inputs a round."""
    few = range(min(work.count, 16))
    ratios = []
    for _ in range(max(3, work.task["repeat"])):
        plain = unit()
        begun = time.process_time()
        for i in few:
            explain(i)
        ratios.append((time.process_time() - begun) / plain)
    return sorted(ratios)[len(ratios) // 2]


def _plain_seconds(work: Work) -> float:
    """Of a plain forward and gradient of the same inputs, after one that does not count; the median of three."""
    few, times = range(min(work.count, 16)), []
    for _ in range(4):
        begun = time.process_time()
        for i in few:
            work.gradient(i)
        times.append(time.process_time() - begun)
    return sorted(times[1:])[1]


def versions() -> dict[str, str]:
    names = ("torch", "transformers", *PACKAGES)
    installed = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return {name: installed[name] for name in names if name in installed}


def without_torchvision() -> None:
    """zennit and lxt import classes of torchvision by name; its wheels do not go with a CPU build of torch."""
    with contextlib.suppress(ImportError):
        importlib.import_module("transformers")  # looks for torchvision when it is imported: it must not find this one
    classes = {
        "torchvision": (),
        "torchvision.models": (),
        "torchvision.models.resnet": ("Bottleneck", "BasicBlock"),
        "torchvision.models.vision_transformer": ("VisionTransformer", "EncoderBlock", "Encoder", "MLPBlock"),
    }
    for name, wanted in classes.items():
        module: Any = types.ModuleType(name)
        module.nn = nn
        for one in wanted:
            setattr(module, one, type(one, (), {}))
        sys.modules.setdefault(name, module)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, sys.modules[name])


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs one peer in its own environment.")
    parser.add_argument("--peer", required=True, choices=sorted(PACKAGES))
    parser.add_argument("--check", action="store_true", help="only import it")
    parser.add_argument("--exchange", type=Path, help="folder of tasks")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.peer in {"zennit", "lxt"}:
        without_torchvision()
    if asked.check:
        try:
            importlib.import_module(PACKAGES[asked.peer])
        except BaseException as fault:  # some stop the interpreter
            print(f"does not import: {type(fault).__name__}: {' '.join(str(fault).split())[:200]}; {versions()}")
            raise SystemExit(1) from None
        print(f"imports; {versions()}")
        return
    for folder in sorted(p for p in asked.exchange.iterdir() if (p / "task.json").exists()):
        if asked.peer in json.loads((folder / "task.json").read_text(encoding="utf-8"))["peers"]:
            answer(asked.peer, folder)


if __name__ == "__main__":
    main()
