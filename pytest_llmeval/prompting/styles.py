"""The words around a problem: as it is for base models, as an instruction for chat models."""

from __future__ import annotations

from typing import Any

from pytest_llmeval.schema import ModelSpec, Problem, Prompt, PromptStyle

INSTRUCTION = (
    "Complete the following Python function. Answer with one Markdown code block that holds the whole "
    "function, its imports and any helper it needs.\n\n```python\n{prompt}\n```\n"
)


def build_prompt(problem: Problem, spec: ModelSpec) -> Prompt:
    """The Prompt of one problem for one model, before the model's own template is applied."""
    if spec.prompt_style is PromptStyle.COMPLETION:
        return Prompt(PromptStyle.COMPLETION, problem.prompt)
    return Prompt(
        style=PromptStyle.CHAT,
        text=INSTRUCTION.format(prompt=problem.prompt.rstrip("\n")),
        system=spec.system_prompt,
        chat_template_kwargs=spec.chat_template_kwargs,
    )


def prompting_settings(spec: ModelSpec) -> dict[str, Any]:
    """What decides the tokens a model sees and is not in a Prompt: part of every sample's generation key.

    Whatever is added to the way from a Prompt to tokens (templates, truncation) adds its settings here.
    """
    return {"style": str(spec.prompt_style)}
