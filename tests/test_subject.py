"""Subjects: loaded from a case, they predict what the model predicts and take inputs apart without loss."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from xagent.case import Case, ImageInput, TabularInput, TextInput, load_case, sha256_of
from xagent.errors import ConfigurationFault, InvalidCase, ModelMismatch, UsageFault
from xagent.subject import Subject, load_subject, reproduce
from xagent.subject._text import words

LOGITS = {"kind": "logits", "classes": ["no", "yes"]}
LOGIT = {"kind": "logit", "classes": ["no", "yes"]}
VALUE = {"kind": "value", "unit": "EUR"}
FEATURES = [
    {"name": "income", "kind": "numeric", "mean": 100, "scale": 50},
    {"name": "purpose", "kind": "onehot", "levels": ["car", "home"]},
    {"name": "age", "kind": "numeric", "missing": {"fill": 40}},
]
VALUES = {"income": 120, "purpose": "home", "age": 30}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "##s", "a", "b", "don", "'", "t"]
WORDS = {word: place for place, word in enumerate(VOCABULARY)}


class Net(nn.Module):
    def __init__(self, outputs: int, *, flat: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stack = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, outputs))
        self.flat = flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.stack(x)
        return answer[:, 0] if self.flat else answer


def export(path: Path, module: nn.Module, shape: tuple[int, ...], *, rows: bool = True) -> None:
    torch.set_num_threads(1)
    free = ({0: torch.export.Dim("batch", min=1, max=4096)},) if rows else None
    sample = torch.zeros(2 if rows else 1, *shape)
    torch.export.save(torch.export.export(module.eval(), (sample,), dynamic_shapes=free), path)


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    export(folder / "two.pt2", Net(2), (4,))
    export(folder / "one.pt2", Net(1), (4,))
    export(folder / "flat.pt2", Net(1, flat=True), (4,))
    export(folder / "single.pt2", Net(2), (4,), rows=False)
    export(folder / "image.pt2", Net(2), (1, 2, 2))
    schema = "xagent.encoder/1"
    (folder / "rows.json").write_text(json.dumps({"schema": schema, "kind": "tabular", "features": FEATURES}))
    square = {"schema": schema, "kind": "image", "height": 2, "width": 2, "scale": 10}
    (folder / "image.json").write_text(json.dumps(square))
    transformer(folder / "bert")
    return folder


def transformer(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = Tokenizer(models.WordPiece(WORDS, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"mask_token": {"content": "[MASK]"}, "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=24, initializer_range=0.5, **size)
    BertForSequenceClassification(config).save_pretrained(folder)


Make = Callable[..., Case]


@pytest.fixture
def case_of(models_folder: Path) -> Make:
    def make(path: str, output: dict[str, Any], input: dict[str, Any] | None = None, **model: Any) -> Case:
        value = output["kind"] == "value"
        data = {
            "schema": "xagent.case/1",
            "id": "c-1",
            "subject": "applicant 7",
            "model": {"format": "torch-export", "path": path, "encoder": "rows.json", "name": "m", "version": "1"}
            | {"output": output}
            | model,
            "input": input or {"kind": "tabular", "values": VALUES},
            "prediction": {"score": 0.5, "decided_at": "2026-01-01T00:00:00Z"}
            | ({"scale": "value"} if value else {"label": output["classes"][0]}),
        }
        file = models_folder / f"case-{os.getpid()}.json"
        file.write_text(json.dumps(data))
        return load_case(file)

    return make


@pytest.fixture
def bert(case_of: Make) -> Subject:
    return load_subject(text_case(case_of))


def text_case(case_of: Make, path: str = "bert", output: dict[str, Any] = LOGITS) -> Case:
    return case_of(path, output, {"kind": "text", "text": "good films"}, format="transformers", encoder=None)


def test_row_is_predicted_as_the_module_does(case_of: Make) -> None:
    case = case_of("two.pt2", LOGITS)
    subject = load_subject(case)
    encoded = subject.encode(case.input)
    assert encoded.inputs["input"].tolist() == [[pytest.approx(0.4), 0, 1, 30]]
    expected = Net(2).eval()(encoded.inputs["input"]).detach()
    torch.testing.assert_close(subject.logits(encoded.inputs), expected)
    assert [(p.feature, p.index) for p in encoded.players] == [("income", (0,)), ("purpose", (1, 2)), ("age", (3,))]
    again = reproduce(case, subject)
    assert again.label == ("no", "yes")[int(expected.argmax())]
    assert again.score == pytest.approx(float(expected.softmax(1)[0, 0]), abs=1e-6)


@pytest.mark.parametrize("path", ["one.pt2", "flat.pt2"])
def test_one_logit_becomes_two_classes(path: str, case_of: Make) -> None:
    subject = load_subject(case_of(path, LOGIT))
    inputs = {"input": torch.tensor([[1.0, 0, 1, 2]])}
    z = float(Net(1).eval()(inputs["input"]).detach())
    logits = subject.logits(inputs)
    assert logits[0].tolist() == [0, pytest.approx(z, abs=1e-6)]
    assert float(subject.score(logits, 1, "probability")) == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-6)
    assert float(subject.score(logits, 0, "logit")) == pytest.approx(-z, abs=1e-6)


def test_regression_has_a_value_and_no_class(case_of: Make) -> None:
    case = case_of("one.pt2", VALUE)
    subject = load_subject(case)
    assert subject.target_index(None) == 0
    assert reproduce(case, subject).label is None
    with pytest.raises(UsageFault):
        subject.score(torch.zeros(1, 1), 0, "probability")


def test_one_row_programs_run_row_by_row(case_of: Make) -> None:
    rows = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    single, batched = (load_subject(case_of(path, LOGITS)) for path in ("single.pt2", "two.pt2"))
    torch.testing.assert_close(single.logits({"input": rows}), batched.logits({"input": rows}))


def test_chunks_do_not_change_the_answer(case_of: Make) -> None:
    subject = load_subject(case_of("two.pt2", LOGITS))
    rows = torch.randn(1200, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        subject.logits({"input": rows})[[0, 600, 1199]], subject.logits({"input": rows[[0, 600, 1199]]})
    )


def test_forward_is_differentiable_and_parameters_are_frozen(case_of: Make) -> None:
    subject = load_subject(case_of("two.pt2", LOGITS))
    row = torch.zeros(1, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(subject.forward({"input": row})[0, 1], row)
    assert gradient.abs().sum() > 0
    assert subject.module is not None
    assert not any(parameter.requires_grad for parameter in subject.module.parameters())
    assert not subject.module.eval().training


@pytest.mark.parametrize(
    ("path", "output", "said"),
    [
        ("two.pt2", {"kind": "logits", "classes": ["a", "b", "c"]}, "model.output"),
        ("two.pt2", LOGIT, "model.output"),
        ("one.pt2", LOGITS, "model.output"),
        ("image.pt2", LOGITS, r"takes 1 x 2 x 2 numbers, the encoder makes 4"),
    ],
)
def test_a_model_that_does_not_fit_the_case(path: str, output: dict[str, Any], said: str, case_of: Make) -> None:
    with pytest.raises(InvalidCase, match=said):
        load_subject(case_of(path, output))


def test_wrong_hash_is_an_error_unless_allowed(case_of: Make, models_folder: Path) -> None:
    good, bad = sha256_of(models_folder / "two.pt2"), "0" * 64
    assert load_subject(case_of("two.pt2", LOGITS)).hash_state == "cannot tell"
    subject = load_subject(case_of("two.pt2", LOGITS, sha256=good))
    assert subject.hash_state == "ok"
    assert subject.sha256 == {"model": good, "encoder": sha256_of(models_folder / "rows.json")}
    with pytest.raises(ModelMismatch, match=f"000000000000…, but two.pt2 has {good[:12]}…") as caught:
        load_subject(case_of("two.pt2", LOGITS, sha256=bad))
    assert caught.value.exit_code == 7
    assert load_subject(case_of("two.pt2", LOGITS, sha256=bad), allow_mismatch=True).hash_state == "deviation"
    with pytest.raises(ModelMismatch, match=r"model\.safetensors"):
        load_subject(text_case(lambda *a, **k: case_of(*a, **k, sha256=bad)))


def test_devices(case_of: Make) -> None:
    case = case_of("two.pt2", LOGITS)
    assert load_subject(case, device="cpu").device.type == "cpu"
    with pytest.raises(ConfigurationFault, match="no device 'tpu'"):
        load_subject(case, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigurationFault, match="no CUDA device"):
            load_subject(case, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(case_of: Make) -> None:
    for case in (case_of("two.pt2", LOGITS), text_case(case_of)):
        cpu, gpu = (load_subject(case, device=device) for device in ("cpu", "cuda"))
        ours, theirs = (s.logits(s.encode(case.input).inputs) for s in (cpu, gpu))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_background_and_reference(case_of: Make) -> None:
    subject = load_subject(case_of("two.pt2", LOGITS))
    reference = subject.encode_table(pd.DataFrame([VALUES, VALUES | {"income": 200, "purpose": "car", "age": None}]))
    assert subject.background().tolist() == [[0, 0, 0, 0]]
    assert subject.background(reference).tolist() == [[pytest.approx(1.2), 0.5, 0.5, 35]]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_ablation_moves_exactly_the_players_left_out(keep: list[list[bool]]) -> None:
    from xagent.case import OutputSpec
    from xagent.subject import TabularEncoder, TabularSubject

    spec = {"schema": "xagent.encoder/1", "kind": "tabular", "features": FEATURES}
    subject = TabularSubject(
        Net(2), OutputSpec(**LOGITS), device=torch.device("cpu"), dtype=torch.float32,
        encoder=TabularEncoder.model_validate(spec),
    )  # fmt: skip
    encoded = subject.encode(TabularInput(kind="tabular", values=VALUES))
    base = torch.full((1, 4), -7.0)
    rows = subject.ablate(encoded, torch.tensor(keep), base)["input"]
    for row, flags in zip(rows, keep, strict=True):
        for player, kept in zip(encoded.players, flags, strict=True):
            source = encoded.inputs["input"][0] if kept else base[0]
            assert row[list(player.index)].tolist() == source[list(player.index)].tolist()


def test_image_subject(case_of: Make, models_folder: Path) -> None:
    case = case_of("image.pt2", LOGITS, {"kind": "image", "pixels": [[1, 2], [3, 4]]}, encoder="image.json")
    subject = load_subject(case)
    encoded = subject.encode(case.input)
    assert encoded.inputs["input"].shape == (1, 1, 2, 2)
    np.savez(models_folder / "images.npz", pixels=np.ones((3, 2, 2)))
    base = subject.background(subject.encode_images(models_folder / "images.npz"))
    keep = torch.tensor([[True, False, True, True]])
    ablated = subject.ablate(encoded, keep, base)["input"]
    torch.testing.assert_close(ablated, torch.tensor([[[[0.1, 0.1], [0.3, 0.4]]]]))
    assert subject.logits({"input": ablated}).shape == (1, 2)
    with pytest.raises(InvalidCase, match=r"input\.path: '../x\.png'"):
        subject.encode(ImageInput(kind="image", path="../x.png"))
    with pytest.raises(InvalidCase, match=r"input\.kind"):
        subject.encode(TabularInput(kind="tabular", values=VALUES))


def test_text_is_predicted_as_transformers_does(bert: Subject, models_folder: Path) -> None:
    from transformers import BertForSequenceClassification

    encoded = bert.encode(TextInput(kind="text", text="Good films, don't"))
    assert [(p.feature, p.label) for p in encoded.players] == [
        ("word.1", "Good"), ("word.2", "films"), ("word.3", "don't"),
    ]  # fmt: skip
    assert encoded.players[1].index == (2, 3, 4)
    model = BertForSequenceClassification.from_pretrained(models_folder / "bert").eval()
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[2, *(WORDS[w] for w in ("good", "film", "##s")), 1, 11, 12, 13, 3]]))
    torch.testing.assert_close(bert.logits(encoded.inputs), expected.logits, rtol=1e-5, atol=1e-6)


def test_words_left_out_become_masks(bert: Subject) -> None:
    encoded, masked = bert.encode_texts(["good films", "[MASK] films"])
    rows = bert.ablate(encoded, torch.tensor([[True, True], [False, True]]))
    assert torch.equal(rows["inputs_embeds"][:1], encoded.inputs["inputs_embeds"])
    assert torch.equal(rows["inputs_embeds"][1], masked.inputs["inputs_embeds"][0])
    assert rows["attention_mask"].shape == (2, 5)
    base = bert.background(encoded=encoded)
    assert torch.equal(base[:, [0, -1]], encoded.inputs["inputs_embeds"][:, [0, -1]])
    assert bert.background().shape == (1, 1, 16)


def test_a_text_that_cannot_be_read_whole(bert: Subject) -> None:
    with pytest.raises(InvalidCase, match="32 tokens, the model reads at most 24"):
        bert.encode(TextInput(kind="text", text="good " * 30))
    with pytest.raises(InvalidCase, match="text 2: the text holds no word"):
        bert.encode_texts(["good", " \n "])


@given(st.text(alphabet="ab '-.,é\n漢", max_size=20), st.lists(st.integers(0, 4), max_size=12))
def test_every_token_with_text_has_one_owner(text: str, lengths: list[int]) -> None:
    """However a tokenizer cuts the text, players share no token and stand in the order of the text."""
    offsets, start = [], 0
    for length in lengths:
        offsets.append((start, min(start + length, len(text))))
        start = offsets[-1][1]
    players = words(text, [(0, 0), *offsets], [1, *[0] * len(offsets)])
    owned = [position for player in players for position in player.index]
    assert len(owned) == len(set(owned))
    assert 0 not in owned
    for position, (a, b) in enumerate(offsets, 1):
        if any(character.isalnum() for character in text[a:b]):
            assert position in owned
    assert all(player.label in text for player in players)


HARM: dict[str, Callable[[Path], object]] = {
    "'pytorch_model.bin'": lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"),
    "'modeling.py'": lambda folder: (folder / "modeling.py").write_text("print(1)"),
    "'adapter_config.json'": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "'sub'": lambda folder: (folder / "sub").mkdir(),
    "no tokenizer.json": lambda folder: (folder / "tokenizer.json").unlink(),
    "'auto_map'": lambda folder: _config(folder, auto_map={"AutoConfig": "a.B"}),
    "kernel 'evil/kernel'": lambda folder: _config(folder, _attn_implementation="evil/kernel"),
    "num_hidden_layers is 1000000": lambda folder: _config(folder, num_hidden_layers=10**6),
    "partly random": lambda folder: _config(folder, num_hidden_layers=3),
    "own order is yes, no": lambda folder: _config(folder, id2label={"0": "yes", "1": "no"}),
    "cannot load": lambda folder: _config(folder, model_type="unknown-type"),
    "not valid JSON": lambda folder: (folder / "config.json").write_text("{"),
}


def _config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("said", HARM)
def test_a_folder_that_is_refused(said: str, case_of: Make, models_folder: Path) -> None:
    copy = models_folder / "copy"
    copy.mkdir()
    try:
        for file in (models_folder / "bert").iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        HARM[said](copy)
        with pytest.raises(InvalidCase, match=said) as caught:
            load_subject(text_case(case_of, "copy"))
        assert caught.value.hint
    finally:
        import shutil

        shutil.rmtree(copy)


def test_format_and_input_must_go_together(case_of: Make) -> None:
    text = {"kind": "text", "text": "good"}
    with pytest.raises(InvalidCase, match=r"model\.format: a torch-export model takes rows"):
        load_subject(case_of("two.pt2", LOGITS, text))
    with pytest.raises(InvalidCase, match=r"model\.format: a transformers model takes text"):
        load_subject(case_of("bert", LOGITS, format="transformers"))
    with pytest.raises(InvalidCase, match=r"model\.encoder is missing"):
        load_subject(case_of("two.pt2", LOGITS, encoder=None))
    with pytest.raises(InvalidCase, match=r"image\.json encodes image input"):
        load_subject(case_of("two.pt2", LOGITS, encoder="image.json"))
