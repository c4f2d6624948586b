"""How long truncation takes, from ten thousand to a million tokens, with and without token offsets.

    python benchmarks/bench_truncation.py [tokens ...]

Each line: tokens of the text, tokenizer, strategy, seconds, seconds for tokenizing the text once.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from tokenizers import Tokenizer as Fast
from tokenizers import decoders, models, pre_tokenizers, trainers

from pytest_llmeval.prompting.truncation import truncate, windows
from pytest_llmeval.schema import Span, Strategy

BUDGET_TOKENS = 30_000
SIZES = (10_000, 100_000, 1_000_000)


def source_code(lines: int) -> str:
    """Real-looking Python, the same on every run."""
    dice = random.Random(5)
    names = [
        f"{verb}_{noun}" for verb in ("load", "parse", "merge", "check") for noun in ("row", "plan", "user")
    ]
    return "".join(
        f"def {dice.choice(names)}_{i}(values: list[int], limit: float = {dice.random():.3f}) -> int:\n"
        f'    """Return the {dice.choice(names)} of values."""\n'
        f"    return sum(value * {dice.randrange(99)} for value in values if value < limit)\n\n"
        for i in range(lines // 4)
    )


class Offsets:
    """A byte-level BPE trained on the text's own kind."""

    name = "offsets"

    def __init__(self) -> None:
        self._fast = Fast(models.BPE())
        self._fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._fast.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=4000, initial_alphabet=alphabet, show_progress=False)
        self._fast.train_from_iterator([source_code(4000)], trainer)

    def count(self, text: str) -> int:
        return len(self._fast.encode(text, add_special_tokens=False).ids)

    def offsets(self, text: str) -> Sequence[Span] | None:
        return list(self._fast.encode(text, add_special_tokens=False).offsets)


class CountsOnly(Offsets):
    name = "counting"

    def offsets(self, text: str) -> Sequence[Span] | None:
        return None


def text_of(tokens: int, tokenizer: Offsets) -> str:
    sample = source_code(400)
    whole = source_code(400 * tokens // tokenizer.count(sample) + 40)
    return whole[: int(len(whole) * min(1.0, tokens / tokenizer.count(whole)))]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(sizes: Sequence[int]) -> None:
    print(f"{'tokens':>9}  {'tokenizer':9} {'strategy':14} {'seconds':>8} {'tokenizing once':>16}")
    for tokenizer in (Offsets(), CountsOnly()):
        for size in sizes:
            text = text_of(size, tokenizer)
            counted, once = tokenizer.count(text), seconds(partial(tokenizer.count, text))
            for strategy in Strategy:
                if strategy is Strategy.ERROR or counted <= BUDGET_TOKENS:
                    continue
                spent = seconds(partial(cut, tokenizer, text, strategy))
                print(
                    f"{counted:>9}  {tokenizer.name:9} {strategy:14} {spent:>8.2f} {once:>16.2f}", flush=True
                )


def cut(tokenizer: Offsets, text: str, strategy: Strategy) -> None:
    span = (len(text) // 2, len(text) // 2 + 200)
    if strategy is Strategy.SLIDING_WINDOW:
        for _ in windows(text, tokenizer, BUDGET_TOKENS, protected=[span]):
            pass
    else:
        truncate(text, tokenizer, BUDGET_TOKENS, strategy=strategy, protected=[span])


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or SIZES)
