"""vLLM by itself, nothing of this package in it: `vllm.LLM` answers the same prompts, and its own stamps are read.

    python raw_vllm.py JOB.json

The job names the checkpoint, vLLM's arguments, the prompts and where the result goes. After its imports the program
waits for a line on standard input, so that importing can overlap with what others measure on the device.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from vllm import LLM, SamplingParams

WARM_UPS = 2


def measured(job: dict[str, Any]) -> dict[str, Any]:
    """Load, then all prompts at once, twice, then some of them alone; the prefix cache is empty before each."""
    began = time.perf_counter()
    llm = LLM(model=job["model"], disable_log_stats=False, **job["engine"])
    load_s = time.perf_counter() - began
    tokenizer = llm.get_tokenizer()
    prompts: list[Any] = [{"prompt_token_ids": tokenizer.encode(text)} for text in job["prompts"]]
    params = SamplingParams(temperature=0, max_tokens=job["output_tokens"], ignore_eos=True)

    def ask(some: list[Any]) -> tuple[list[Any], float]:
        started = time.perf_counter()
        answers = llm.generate(some, params, use_tqdm=False)
        return answers, time.perf_counter() - started

    ask(prompts[:WARM_UPS])
    llm.reset_prefix_cache()
    answers, batch_s = ask(prompts)
    llm.reset_prefix_cache()
    _, again_s = ask(prompts)
    alone = [prompts[index] for index in job["alone"]]
    for prompt in alone[:WARM_UPS]:
        ask([prompt])
    llm.reset_prefix_cache()
    singles = [ask([prompt]) for prompt in alone]
    tokens = sum(len(answer.outputs[0].token_ids) for answer in answers)
    return {
        "load_s": load_s,
        "prompt_tokens": sum(len(prompt["prompt_token_ids"]) for prompt in prompts),
        "output_tokens": tokens,
        "batch_tok_s": tokens / batch_s,
        "again_tok_s": tokens / again_s,
        "wall_s": fmean(seconds for _, seconds in singles),
        **stamped([answers[0] for answers, _ in singles]),
    }


def stamped(answers: list[Any]) -> dict[str, float]:
    """Means by vLLM's own stamps (RequestStateStats); empty where this release keeps none."""
    kept = [(answer.metrics, len(answer.outputs[0].token_ids)) for answer in answers if answer.metrics]
    if not kept:
        return {}
    return {
        "response_s": fmean(m.last_token_ts - m.queued_ts for m, _ in kept),
        "ttft_s": fmean(m.first_token_ts - m.queued_ts for m, _ in kept),
        "output_tok_s": fmean((count - 1) / (m.last_token_ts - m.first_token_ts) for m, count in kept),
    }


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    sys.stdin.readline()
    Path(asked["result"]).write_text(json.dumps(measured(asked)))
    os._exit(
        0
    )  # whoever waits kills vLLM's processes with the group: a graceful end takes seconds of a device
