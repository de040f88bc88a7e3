"""A language model that is made, not trained: each token is followed by one other token, whatever stood before.

The embedding is the identity, attention and feed-forward layers are zero, and the output layer is the table of
successors. The last token of the prompt, which the chat template chooses, decides which text is written.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

START, END, WORD, PLAN = "<|im_start|>", "<|im_end|>", "<|word|>", "<|plan|>"
TEMPLATE = (
    "{% for m in messages %}" + START + "{{ m['role'] }}\n{{ m['content'] }}" + END + "\n{% endfor %}"
    "{% if add_generation_prompt %}" + START + "assistant\n{{ '" + PLAN + "' if tools else '" + WORD + "' }}{% endif %}"
)


def pieces_of(text: str, taken: set[str]) -> list[str]:
    """The text cut into pieces that occur nowhere else, so that each has one successor."""
    found, start = [], 0
    while start < len(text):
        end = start + 8
        while text[start:end] in taken and end < len(text):
            end += 1
        if text[start:end] in taken:  # the last piece has no room to grow
            start -= len(found[-1])
            taken.remove(found.pop())
            end = len(text)
        taken.add(text[start:end])
        found.append(text[start:end])
        start = end
    return found


def build(folder: Path, wording: str, planning: str) -> None:
    """A folder that `transformers` loads: asked with tools it writes `planning`, without them `wording`."""
    taken: set[str] = set()
    chains = {WORD: pieces_of(wording, taken), PLAN: pieces_of(planning, taken)}
    vocabulary = ["<unk>", START, END, WORD, PLAN, *(piece for chain in chains.values() for piece in chain)]
    number = {piece: n for n, piece in enumerate(vocabulary)}
    size = -(-len(vocabulary) // 8) * 8
    config = Qwen2Config(
        vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=65536, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=number[END], pad_token_id=number[END],
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.model.norm.weight.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        for first, chain in chains.items():
            for before, after in zip([first, *chain], [*chain, END], strict=True):
                model.lm_head.weight[number[after], number[before]] = 1.0
    model.generation_config = GenerationConfig(eos_token_id=number[END], pad_token_id=number[END], do_sample=False)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel(number, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", eos_token=END, pad_token=END,
        additional_special_tokens=[START, WORD, PLAN],
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
