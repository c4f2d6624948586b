"""What is sent: one BOS, an open assistant turn, and a text that gives way before anything around it does."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers", reason="needs the CPU environment: make setup")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompting_tokenizers import (
    BOS,
    CHATML,
    EOS,
    SILENT,
    STRIPPING,
    WITH_BOS,
    fast_tokenizer,
    slow_tokenizer,
)

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.prompting.fitting import MARKERS
from pytest_llmeval.prompting.rendering import Renderer
from pytest_llmeval.prompting.truncation import PromptTooLongError
from pytest_llmeval.schema import (
    ModelSpec,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Strategy,
    TruncationPolicy,
)

MARKER = MARKERS[PromptStyle.CHAT]
KINDS = {
    "adds BOS": lambda template: fast_tokenizer(template, adds_bos=True),
    "knows BOS, adds none": fast_tokenizer,
    "has no BOS": lambda template: fast_tokenizer(template, has_bos=False),
    "slow, adds BOS": slow_tokenizer,
}


def spec(strategy=Strategy.HEAD_TAIL, **fields):
    return ModelSpec("m", "weights", truncation=TruncationPolicy(strategy), **fields)


def request(prompt, max_tokens=20):
    return Request("r", "t", prompt, Sampling(max_tokens=max_tokens))


def rendered(tokenizer, prompt, window=4096, model=None, max_tokens=20):
    return Renderer(tokenizer, window, model or spec()).render(request(prompt, max_tokens))


def text_of(tokenizer, prompt, **kwargs):
    (one,) = rendered(tokenizer, prompt, **kwargs)
    return tokenizer.decode(one.token_ids)


def chat(text, **fields):
    return Prompt(PromptStyle.CHAT, text, **fields)


@pytest.mark.parametrize("template", [CHATML, WITH_BOS], ids=["template without BOS", "template with BOS"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", PromptStyle)
def test_exactly_one_bos_is_sent_where_the_model_has_one(kind, template, style):
    tokenizer = KINDS[kind](template)
    (one,) = rendered(tokenizer, Prompt(style, "def f(x):\n"))
    written = style is PromptStyle.CHAT and template is WITH_BOS
    wanted = ("adds" in kind and "none" not in kind) or (written and "no BOS" not in kind)
    bos = tokenizer.convert_tokens_to_ids(BOS)
    assert one.token_ids.count(bos) == wanted
    assert one.token_ids.index(bos) == 0 if wanted else bos not in one.token_ids


def test_a_text_that_brings_its_own_bos_gets_no_second_one():
    tokenizer = fast_tokenizer(adds_bos=True)
    (one,) = rendered(tokenizer, Prompt(PromptStyle.COMPLETION, f"{BOS}def f(x):\n"))
    assert one.token_ids.count(tokenizer.bos_token_id) == 1


def test_nothing_ends_the_prompt_of_a_base_model():
    """Some tokenizers add an EOS: a model would take it that there is nothing to go on with."""
    tokenizer = fast_tokenizer()
    tokenizer.backend_tokenizer.post_processor = None
    (one,) = rendered(tokenizer, Prompt(PromptStyle.COMPLETION, "def f(x):\n"))
    assert tokenizer.convert_tokens_to_ids(EOS) not in one.token_ids


def test_a_chat_holds_system_prompt_user_text_and_an_open_answer():
    said = text_of(fast_tokenizer(), chat("solve it", system="be brief"))
    assert said == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nsolve it<|im_end|>\n<|im_start|>assistant\n"
    )


def test_arguments_reach_the_template():
    said = text_of(fast_tokenizer(), chat("x", chat_template_kwargs={"enable_thinking": False}))
    assert said.endswith("assistant\n<think></think>")


def test_a_template_of_the_users_takes_the_place_of_the_tokenizers():
    model = spec(chat_template="{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert text_of(fast_tokenizer(), chat("x"), model=model) == "[x]"
    assert text_of(fast_tokenizer(template=None), chat("x"), model=model) == "[x]"
    with pytest.raises(ValueError, match="chat_template is not set"):
        text_of(fast_tokenizer(template=None), chat("x"))


@pytest.mark.parametrize("template", [CHATML, STRIPPING], ids=["verbatim", "stripping"])
@pytest.mark.parametrize("prefill", ["```python\n", "Sure:\n\n", "def f("])
def test_an_answer_goes_on_from_its_prefill(template, prefill):
    """White space at its end too: without the line feed a model would write the fence's language again."""
    said = text_of(fast_tokenizer(template), chat("solve it", assistant_prefill=prefill))
    assert said.endswith(f"<|im_start|>assistant\n{prefill}")


def test_a_template_that_swallows_the_prefill_is_an_error_that_says_so():
    with pytest.raises(ConfigurationError, match="assistant_prefill '```'") as error:
        text_of(fast_tokenizer(SILENT), chat("solve " * 200, assistant_prefill="```"))
    assert len(str(error.value)) < 300


LONG = "".join(f"line {i} says something\n" for i in range(300))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", PromptStyle)
def test_a_text_that_is_too_long_is_cut_and_its_record_says_how(kind, style):
    tokenizer = KINDS[kind](WITH_BOS)
    prompt = Prompt(style, f"Keep this. {LONG}", protected=((0, 10),))
    (one,) = rendered(tokenizer, prompt, window=300)
    assert 260 < len(one.token_ids) <= 280
    assert one.cut.strategy is Strategy.HEAD_TAIL
    assert one.cut.tokens_before == len(tokenizer.encode(prompt.text, add_special_tokens=False))
    assert one.cut.tokens_after < 280
    kept = MARKERS[style].join(prompt.text[start:end] for start, end in one.cut.kept)
    assert kept.startswith("Keep this.")
    assert kept.endswith("line 299 says something\n")


def test_the_chat_around_a_cut_text_stays_whole():
    prompt = chat(LONG, system="be brief", assistant_prefill="```python\n")
    said = text_of(fast_tokenizer(), prompt, window=300)
    assert said.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nline 0 says")
    assert said.endswith("line 299 says something\n<|im_end|>\n<|im_start|>assistant\n```python\n")
    assert said.count(MARKER) == 1


def test_a_prompt_that_fits_is_sent_whole():
    (one,) = rendered(fast_tokenizer(), chat("short"))
    assert one.cut is None


def test_error_refuses_what_does_not_fit():
    with pytest.raises(PromptTooLongError, match="does not fit"):
        rendered(fast_tokenizer(), chat(LONG), window=300, model=spec(Strategy.ERROR))


def test_an_answer_longer_than_the_window_is_refused():
    with pytest.raises(PromptTooLongError, match="leaves 0"):
        rendered(fast_tokenizer(), chat("short"), window=300, max_tokens=400)


def test_a_sliding_window_sends_the_whole_text_in_several_prompts():
    prompt = chat(f"Keep this. {LONG}", protected=((0, 10),))
    windows = rendered(fast_tokenizer(), prompt, window=400, model=spec(Strategy.SLIDING_WINDOW))
    assert len(windows) > 3
    assert [(one.cut.window, one.cut.windows) for one in windows] == [
        (index, len(windows)) for index in range(len(windows))
    ]
    assert all(len(one.token_ids) <= 380 for one in windows)
    read = set()
    for one in windows:
        for start, end in one.cut.kept:
            read |= set(range(start, end))
    assert read == set(range(len(prompt.text)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(alphabet=st.sampled_from("ab \n\té你🙂\u0301_("), min_size=1, max_size=900),
    window=st.integers(60, 400),
    strategy=st.sampled_from([s for s in Strategy if s is not Strategy.ERROR]),
    style=st.sampled_from(PromptStyle),
)
def test_whatever_is_rendered_fits(kind, text, window, strategy, style):
    tokenizer = KINDS[kind](CHATML)
    prompt = Prompt(style, text, protected=((0, min(5, len(text))),))
    try:
        found = rendered(tokenizer, prompt, window=window, model=spec(strategy))
    except PromptTooLongError:
        return
    for one in found:
        assert 0 < len(one.token_ids) <= window - 20
        if one.cut is None:
            assert tokenizer.decode(one.token_ids, clean_up_tokenization_spaces=False).count(MARKER) == 0


def test_a_long_text_makes_no_warning(caplog):
    rendered(fast_tokenizer(), chat(LONG * 10), window=300)
    rendered(slow_tokenizer(), chat(LONG), window=300)
    assert "longer than" not in caplog.text
