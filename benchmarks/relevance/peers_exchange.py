"""Peers that live in environments of their own: writes the models and inputs, runs them there, judges what they say.

Nothing but safetensors and JSON is exchanged. Areas, correlations and the gaps of the accounts are computed here, by
the same code as for everybody else; times are ratios to a plain forward and gradient in the peer's own environment.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faithfulness
import faithfulness_tasks as tasks
import peers_models
import signed
import torch
from peers_methods import trace
from peers_question import Question
from safetensors.torch import load_file, save_file
from torch import Tensor

HERE = Path(__file__).parent
PEERS = ("zennit", "lxt", "inseq", "flashtrace", "dl-backtrace")
PATIENCE = 900
"""Seconds that a peer may take for all its tasks."""

KEPT = [
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "layer_norm_eps",
    "tie_word_embeddings",
    "hidden_act",
    "type_vocab_size",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "attention_bias",
    "mlp_bias",
]
"""Of a model's configuration: what older versions of transformers know too."""


def main(folder: Path, samples: int, quick: bool) -> None:
    """Write the tasks, run every peer that is installed in `folder`, print one row a peer, task and method."""
    exchange = folder / "exchange"
    answer, words = tasks.answer(samples), tasks.triage(samples)
    sums = signed.task(samples, 10 if quick else signed.STEPS)
    digits = tasks.digits(samples)
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"llama": (1, 64, 8), "bert": (1, 64, 8), "resnet": (16, 4)} if quick else {}
    random = {name: getattr(peers_models, name)(*shapes.get(name, ())) for name in ("llama", "bert", "resnet")}
    tokenizer = tasks.FIXTURES / "answer" / "model"
    write(exchange / "answer", "llama", answer.questions, ("lxt", "inseq", "flashtrace"), _spoken(answer, tokenizer))
    write(exchange / "triage", "bert", words.questions, ("lxt",))
    write(exchange / "signed", "bert", sums.questions, ("lxt",))
    write(exchange / "digits", "digits", digits.questions, ("zennit",))
    for name, model in random.items():
        peers = ("zennit",) if name == "resnet" else ("lxt",)
        write(exchange / f"random-{name}", name, [model.question], peers, {"repeat": 1 if quick else 5})
    questions = {
        "answer": answer.questions, "triage": words.questions, "signed": sums.questions, "digits": digits.questions,
        **{f"random-{name}": [model.question] for name, model in random.items()},
    }  # fmt: skip
    print("\n**Peers in their own environments**\n")
    for peer in PEERS:
        print(f"{peer}: {run(folder, peer, exchange)}")
    print("\n| task | peer | LeRF - MoRF | against conserving, x - baseline | correlation with truth | gap | time |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, asked in questions.items():
        reference = [_area(q, trace(q, "conserving", True).units) for q in asked]
        for rules in ("conserving", "attnlrp") if len(asked) > 1 else ():
            own = [trace(q, rules) for q in asked]
            cells = judged(asked, [a.units for a in own], reference, sums if name == "signed" else None)
            print(f"| {name} | this engine, {rules} | {' | '.join(cells)} | {own[0].gap:.0e} | - |", flush=True)
        for peer in PEERS:
            for line in rows(exchange / name, peer, asked, reference, sums if name == "signed" else None):
                print(f"| {name} | {peer} {line} |", flush=True)


def write(
    folder: Path, architecture: str, questions: Sequence[Question], peers: Sequence[str], extra: Any = None
) -> None:
    """One task: the model of the questions, their inputs, scores and columns; a foil of -1 stands for none."""
    folder.mkdir(parents=True, exist_ok=True)
    network: Any = questions[0].module.network
    config: Any = {"width": network.stem[0].out_channels} if architecture == "resnet" else {}
    names = {"llama": ("LlamaConfig", "LlamaForCausalLM"), "bert": ("BertConfig", "BertForSequenceClassification")}
    if architecture in names:
        full = network.config.to_dict()
        config = {key: full[key] for key in KEPT if key in full}
    task = {
        "architecture": architecture, "config": config, "peers": list(peers), "count": len(questions), "repeat": 1,
        "config_class": names.get(architecture, ("", ""))[0], "model_class": names.get(architecture, ("", ""))[1],
        **(extra or {}),
    }  # fmt: skip
    (folder / "task.json").write_text(json.dumps(task, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    foils = [-1 if q.module.foil is None else q.module.foil for q in questions]
    tensors = {f"x/{i}": q.x.contiguous() for i, q in enumerate(questions)} | {
        "score": torch.tensor([q.score for q in questions], dtype=torch.float64),
        "target": torch.tensor([q.module.target for q in questions]),
        "foil": torch.tensor(foils),
    }
    save_file(tensors, str(folder / "inputs.safetensors"))
    save_file({k: v.clone().contiguous() for k, v in network.state_dict().items()}, str(folder / "model.safetensors"))


def _spoken(task: tasks.Task, tokenizer: Path) -> dict[str, Any]:
    """Prompts and answers as text, for peers that take nothing else: found back from the word vectors."""
    make = tasks.script("answer", "make")
    table = task.questions[0].module.network.get_input_embeddings().weight  # type: ignore[union-attr,operator]
    ids = [torch.cdist(q.x[0], table).argmin(1).tolist() for q in task.questions]
    return {
        "tokenizer": str(tokenizer.resolve()),
        "prompts": [" ".join(make.VOCABULARY[i] for i in row) for row in ids],
        "answers": [make.VOCABULARY[q.module.target] for q in task.questions],
    }


def run(folder: Path, peer: str, exchange: Path) -> str:
    """Run a peer in its environment; one line about how that went."""
    python = folder / peer / "bin" / "python"
    if not python.exists():
        return "no environment"
    command = [str(python), str(HERE / "peers_foreign.py"), "--peer", peer]
    check = subprocess.run([*command, "--check"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    said = (check.stdout.strip().splitlines() or ["no answer"])[-1]
    if check.returncode:
        return said
    try:
        subprocess.run(
            [*command, "--exchange", str(exchange)], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{said}; stopped after {PATIENCE} s"
    return said


def rows(
    folder: Path, peer: str, questions: Sequence[Question], reference: Sequence[float], truth: signed.Signed | None
) -> list[str]:
    """What a peer said about one task, judged; its error in words where it has one."""
    report_file = folder / f"{peer}.json"
    if not report_file.exists():
        return []
    report = json.loads(report_file.read_text(encoding="utf-8"))
    if "error" in report:
        return [f"| failed: {report['error'][:120]} | | | |"]
    tensors = load_file(str(folder / f"{peer}.safetensors"))
    lines = []
    for method, figures in report["methods"].items():
        if "error" in figures:
            lines.append(f"{method} | failed: {figures['error'][:120]} | | | |")
            continue
        raw = [tensors[f"{method}/{i}"].double() for i in range(len(questions))]
        units = [_units(q, r) for q, r in zip(questions, raw, strict=True)]
        gaps = [abs(float(r.sum()) - q.score) / abs(q.score) for q, r in zip(questions, raw, strict=True)]
        cells = judged(questions, units, reference, truth)
        off = f" (score off by {report['score_off']:.0e})" if report["score_off"] > 1e-3 else ""
        cells += [f"{statistics.median(gaps):.0e}", f"{figures['ratio']:.2f}"]
        lines.append(f"{method}{off} | {' | '.join(cells)}")
    return lines


def judged(
    questions: Sequence[Question], units: Sequence[Tensor], reference: Sequence[float], truth: signed.Signed | None
) -> list[str]:
    """Area, paired lead over the reference, correlation with the truth where there is one; of one sample nothing."""
    agreement = "" if truth is None else "{:.3f} ± {:.3f}".format(*signed.agreement(units, truth).correlation)
    if len(questions) < 2:
        return ["-", "-", agreement]
    areas = [_area(q, u) for q, u in zip(questions, units, strict=True)]
    lead = [a - b for a, b in zip(areas, reference, strict=True)]
    return [*("{:.3f} ± {:.3f}".format(*faithfulness.mean_and_error(x)) for x in (areas, lead)), agreement]


def _units(q: Question, found: Tensor) -> Tensor:
    """By unit, from the shape of the input or from (tokens,)."""
    return q.summed(found if found.shape == q.x.shape else found.reshape(1, -1, 1))


def _area(q: Question, units: Tensor) -> float:
    return faithfulness.area(q, units) if q.count < 200 else float("nan")
