"""Small tokenizers of several kinds, as transformers hands them out: what real ones differ in, without a hub."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

BOS, EOS, END = "<s>", "</s>", "<|im_end|>"
SPECIAL = ["<unk>", BOS, EOS, "<|im_start|>", END]
CORPUS = [
    "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n    return False\n",
    "for index, element in enumerate(numbers):\n        if element > threshold:\n            return True\n",
    "The quick brown fox jumps over the lazy dog. Füße, naïve, 你好世界 🙂\n",
]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% endif %}{% endif %}"
)
WITH_BOS = "{{ bos_token }}" + CHATML
STRIPPING = CHATML.replace("m.content", "(m.content | trim)")
SILENT = CHATML.replace("m.content", "('' if m.role == 'assistant' else m.content)")


@cache
def byte_level() -> str:
    """A byte-level BPE, as JSON."""
    fast = Tokenizer(models.BPE(unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    fast.train_from_iterator(
        CORPUS * 4,
        trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
        ),
    )
    return str(fast.to_str())


def fast_tokenizer(template: str | None = CHATML, *, adds_bos: bool = False, has_bos: bool = True) -> Any:
    """A byte-level BPE with offsets; `adds_bos` as Llama's does, `has_bos=False` as Qwen's."""
    fast = Tokenizer.from_str(byte_level())
    if adds_bos:
        bos = fast.token_to_id(BOS)
        fast.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, bos)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token=BOS if has_bos else None, eos_token=EOS, model_max_length=256
    )
    tokenizer.chat_template = template
    return tokenizer


class Pieces(PreTrainedTokenizer):
    """Pieces with "▁" for spaces and one character each beyond them, in Python: it knows no offsets."""

    def __init__(self, **kwargs: Any) -> None:
        self._ids = {token: index for index, token in enumerate(SPECIAL)}
        super().__init__(unk_token="<unk>", bos_token=BOS, eos_token=EOS, **kwargs)

    @property
    def vocab_size(self) -> int:
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        return dict(self._ids)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return re.findall(r"▁?\w{1,4}|▁|[^\w▁]", text.replace(" ", "▁"))

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.setdefault(token, len(self._ids))

    def _convert_id_to_token(self, index: int) -> str:
        return next(token for token, found in self._ids.items() if found == index)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens).replace("▁", " ")

    def build_inputs_with_special_tokens(self, ids: list[int], other: list[int] | None = None) -> list[int]:
        return [self.bos_token_id, *ids, *(other or [])]


def slow_tokenizer(template: str | None = CHATML) -> Any:
    """SentencePiece-like, without offsets; it adds a BOS."""
    tokenizer = Pieces(model_max_length=256)
    tokenizer.chat_template = template
    return tokenizer
