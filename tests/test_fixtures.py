"""The fixtures are what their READMEs say: valid, unchanged, reproducible, small."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from xagent.case import Case, load_card, load_case, read_table, resolve_file, sha256_of

ROOT = Path(__file__).parent.parent / "fixtures"
CASES = (
    "diagnosis/case.json",
    "credit/case-declined.json",
    "credit/case-near-threshold.json",
    "digits/case.json",
    "triage/case.json",
)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return load_case(ROOT / request.param)


def planted() -> Any:
    return json.loads((ROOT / "credit/planted.json").read_text(encoding="utf-8"))


def test_card_describes_every_input_and_outcome(case: Case) -> None:
    card = load_card(case)
    assert {*case.model.output.classes} <= {*card.outcomes}
    if case.prediction.decision is not None:
        assert case.prediction.decision in card.outcomes
    assert all(outcome.next_step for outcome in card.outcomes.values())
    if case.input.kind == "tabular":
        assert list(card.features) == list(case.input.values)
        labels = [feature.label for feature in card.features.values()]
        assert len(set(labels)) == len(labels), "two inputs that a reader could not tell apart"


def test_hashes_are_those_of_the_files(case: Case) -> None:
    stated = {case.model.path: case.model.sha256}
    if case.model.format == "transformers":
        stated = {f"{case.model.path}/model.safetensors": case.model.sha256}
    for source in (case.reference, case.window, case.telemetry):
        if source is not None:
            stated[source.path] = source.sha256
    for path, digest in stated.items():
        assert digest == sha256_of(resolve_file(case, path, "path")), path


def test_raw_model_reproduces_the_recorded_score(case: Case) -> None:
    logits = {"tabular": tabular_logits, "image": image_logits, "text": text_logits}[case.input.kind](case)
    if case.model.output.kind == "logit":
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    probabilities = logits.softmax(1)[0]
    target = case.model.output.classes.index(case.prediction.target or case.prediction.label or "")
    assert probabilities[target].item() == pytest.approx(case.prediction.score, abs=1e-5)
    assert case.model.output.classes[int(probabilities.argmax())] == case.prediction.label


@pytest.mark.parametrize("folder", ["diagnosis", "credit", "digits"])
def test_exported_model_takes_any_batch(folder: str) -> None:
    encoder = json.loads((ROOT / folder / "encoder.json").read_text(encoding="utf-8"))
    if encoder["kind"] == "image":
        shape = [encoder["channels"], encoder["height"], encoder["width"]]
    else:
        shape = [sum(len(f["levels"]) if f["kind"] == "onehot" else 1 for f in encoder["features"])]
    model = program(ROOT / folder / "model.pt2")
    for batch in (1, 2, 513):
        assert model(torch.zeros(batch, *shape)).shape[0] == batch


def test_credit_generator_is_deterministic_and_seeded() -> None:
    generator = module("credit/generator.py")
    first, second, other = (generator.fingerprint(generator.applications(6000, seed)[0]) for seed in (11, 11, 12))
    assert first == second == planted()["generator_sha256"] != other


def test_credit_window_drifted_in_the_planted_column_alone() -> None:
    case = load_case(ROOT / "credit/case-declined.json")
    assert case.reference is not None and case.window is not None
    reference = read_table(resolve_file(case, case.reference.path, "reference"), "reference")
    window = read_table(resolve_file(case, case.window.path, "window"), "window")
    numbers = reference.select_dtypes("number").columns
    shift = (window[numbers].mean() - reference[numbers].mean()) / reference[numbers].std()
    drifted = planted()["drifted"]
    assert shift[drifted["feature"]] == pytest.approx(drifted["shift_sd"], abs=0.1)
    assert shift.drop(drifted["feature"]).abs().max() < 0.15


def test_credit_cases_lie_within_the_reference() -> None:
    reference = pd.read_csv(ROOT / "credit/reference.csv")
    for name in planted()["cases"]:
        values = json.loads((ROOT / "credit" / name).read_text(encoding="utf-8"))["input"]["values"]
        for feature, value in values.items():
            if isinstance(value, str):
                assert value in set(reference[feature])
            elif value is not None:
                assert reference[feature].quantile(0.01) <= value <= reference[feature].quantile(0.99), feature


@pytest.mark.parametrize("name", list(planted()["cases"]))
def test_credit_truth_holds_in_model_and_telemetry(name: str) -> None:
    """The planted drivers lead when inputs are set to their mean one by one, and the trace holds the planted events."""
    case, facts = load_case(ROOT / "credit" / name), planted()["cases"][name]
    encoder = json.loads((ROOT / "credit/encoder.json").read_text(encoding="utf-8"))
    effects = single_removals(case, encoder)
    ranked = sorted(effects, key=lambda feature: -abs(effects[feature]))
    assert ranked[: len(facts["top_drivers"])] == facts["top_drivers"]
    assert {*facts["within_top_6"]} <= {*ranked[:6]}

    assert case.telemetry is not None
    line = json.loads((ROOT / "credit" / case.telemetry.path).read_text(encoding="utf-8"))
    spans = line["resourceSpans"][0]["scopeSpans"][0]["spans"]
    names = [span["name"] for span in spans]
    assert [step for step in case.telemetry.expected_steps if step not in names] == facts["missing_steps"]
    assert sum(span["status"]["code"] == 2 for span in spans) == facts["retries"]
    assert {span["traceId"] for span in spans} == {case.telemetry.trace_id}
    keys = {attribute["key"] for span in spans for attribute in span["attributes"]}
    assert ("xagent.override.who" in keys) == (facts["override"] is not None)
    assert (f"xagent.feature.{facts['imputed']}.imputed" in keys) == (facts["imputed"] is not None)


@pytest.mark.parametrize("folder", ["diagnosis", "credit", "digits", "triage"])
def test_files_are_small_and_hold_no_code_to_run(folder: str) -> None:
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert path.stat().st_size < 2_000_000, path
            assert path.suffix in {".py", ".md", ".json", ".jsonl", ".csv", ".npz", ".pt2", ".safetensors"}, path
            assert path.suffix != ".py" or path.parent.name == folder, "code inside a model folder"


def test_triage_text_holds_a_trigger_and_a_negated_one() -> None:
    generator = module("triage/generator.py")
    case = load_case(ROOT / "triage/case.json")
    assert case.input.kind == "text"
    facts = json.loads((ROOT / "triage/planted.json").read_text(encoding="utf-8"))["case"]
    assert f"{facts['negation']} {facts['negated']}" in case.input.text
    assert generator.label_of(case.input.text) == "urgent"
    assert generator.label_of(case.input.text.replace(facts["trigger"], "tired")) == "routine"
    assert all(m["label"] == generator.label_of(m["text"]) for m in generator.messages(200, 0))


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def program(path: Path) -> Callable[..., torch.Tensor]:
    return torch.export.load(path).module()


def columns(encoder: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """The contract of the encoder file, written a second time and plainly."""
    for f in encoder["features"]:
        value = values[f["name"]]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            value = f["missing"]["fill"]
        if f["kind"] == "onehot":
            yield from ((f["name"], float(value == level)) for level in f["levels"])
        else:
            number = f["levels"].index(value) if f["kind"] == "ordinal" else value
            low, high = f.get("clip", (-math.inf, math.inf))
            yield f["name"], min(max((number - f["mean"]) / f["scale"], low), high)


def tabular_logits(case: Case) -> torch.Tensor:
    assert case.input.kind == "tabular" and case.model.encoder is not None
    encoder = json.loads(resolve_file(case, case.model.encoder, "encoder").read_text(encoding="utf-8"))
    row = torch.tensor([[x for _, x in columns(encoder, dict(case.input.values))]], dtype=torch.float32)
    with torch.no_grad():
        return program(resolve_file(case, case.model.path, "model"))(row)


def image_logits(case: Case) -> torch.Tensor:
    assert case.input.kind == "image" and case.model.encoder is not None
    encoder = json.loads(resolve_file(case, case.model.encoder, "encoder").read_text(encoding="utf-8"))
    pixels = torch.tensor(case.input.pixels, dtype=torch.float32)[None, None]
    x = (pixels / encoder["scale"] - encoder["mean"]) / encoder["std"]
    stored = np.load(ROOT / "digits/reference.npz", allow_pickle=False)["pixels"]
    assert stored.shape[1:] == pixels.shape[2:] and stored.max() == encoder["scale"]
    with torch.no_grad():
        return program(resolve_file(case, case.model.path, "model"))(x)


def text_logits(case: Case) -> torch.Tensor:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    assert case.input.kind == "text"
    folder = resolve_file(case, case.model.path, "model")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    assert list(model.config.id2label.values()) == list(case.model.output.classes)
    with torch.no_grad():
        logits = model(**tokenizer([case.input.text], return_tensors="pt")).logits
    assert isinstance(logits, torch.Tensor)
    return logits


def single_removals(case: Case, encoder: dict[str, Any]) -> dict[str, float]:
    """Change of the logit when one input takes its mean encoded value over the reference: (score - score without)."""
    assert case.input.kind == "tabular"
    reference = pd.read_csv(ROOT / "credit/reference.csv")
    rows = [
        [x for _, x in columns(encoder, {str(k): v for k, v in row.items()})] for row in reference.to_dict("records")
    ]
    names = [name for name, _ in columns(encoder, dict(case.input.values))]
    here = torch.tensor([x for _, x in columns(encoder, dict(case.input.values))])
    mean = torch.tensor(rows).mean(0)
    model = program(ROOT / "credit/model.pt2")
    effects = {}
    with torch.no_grad():
        for feature in case.input.values:
            gone = torch.tensor([name == feature for name in names])
            pair = torch.stack([here, torch.where(gone, mean, here)])
            effects[feature] = float(torch.diff(-model(pair)[:, 0]))
    return effects
