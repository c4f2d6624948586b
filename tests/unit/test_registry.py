"""models.toml: what an entry becomes, and how its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.registry import BUILTIN_REGISTRY, load_registry
from pytest_llmeval.schema import PromptStyle, SetOverrides, Strategy, TruncationPolicy


@pytest.fixture
def registry(tmp_path):
    """Writes a models.toml and reads it."""

    def read(text: str, **others: str):
        for name, content in others.items():
            (tmp_path / f"{name}.toml").write_text(content)
        path = tmp_path / "models.toml"
        path.write_text(text)
        return load_registry(path)

    return read


def test_ours_holds_the_five_coding_models_and_the_embedded_two():
    specs = load_registry(BUILTIN_REGISTRY)
    coding = [name for name, spec in specs.items() if "coding" in spec.categories]
    assert coding == ["qwen3_8b", "qwen3_14b", "qwen3_coder_30b", "deepseek_coder_16b", "codestral_22b"]
    assert [n for n, s in specs.items() if "demo" in s.categories] == ["tiny_coder", "tiny_coder_hot"]
    for name in coding:
        assert specs[name].sampling.temperature == 0
        assert specs[name].sampling.max_tokens == 1024
        assert specs[name].engine["generation_config"] == "vllm"
    assert specs["codestral_22b"].needs.gated
    assert specs["deepseek_coder_16b"].engine["attention_backend"] == "FLASHMLA"
    assert "attention_backend" not in specs["deepseek_coder_16b_default"].engine


def test_extends_changes_one_thing_and_keeps_the_rest(registry):
    specs = registry("""
        [defaults]
        engine = { seed = 7 }
        [models.base]
        model = "org/base"
        categories = ["coding"]
        engine = { max_model_len = 4096, quantization = "awq" }
        [models.derived]
        extends = "base"
        unset = ["engine.quantization"]
        engine = { kv_cache_dtype = "fp8" }
    """)
    assert specs["derived"].engine == {"seed": 7, "max_model_len": 4096, "kv_cache_dtype": "fp8"}
    assert specs["derived"].model == "org/base"
    assert specs["derived"].categories == ("coding",)
    assert specs["base"].engine["quantization"] == "awq"


def test_an_engine_table_belongs_to_its_kind(registry):
    specs = registry("""
        [defaults]
        engine = { generation_config = "vllm" }
        [models.base]
        model = "org/base"
        [models.served]
        model = "org/base"
        kind = "openai"
        engine = { base_url = "http://127.0.0.1:8000/v1" }
        [models.plain]
        extends = "base"
        kind = "transformers"
        [models.plainer]
        extends = "plain"
        engine = { batch_size = 2 }
    """)
    assert specs["base"].engine == {"generation_config": "vllm"}
    assert specs["served"].engine == {"base_url": "http://127.0.0.1:8000/v1"}
    assert specs["plain"].engine == {}
    assert specs["plainer"].engine == {"batch_size": 2}


def test_equal_entries_are_equal_values(registry):
    text = '[models.a]\nmodel = "org/a"\nengine = { max_model_len = 1 }\n'
    assert registry(text) == registry(text)


def test_a_project_builds_on_ours_and_on_files_of_its_own(registry):
    specs = registry(
        'include = ["builtin", "team.toml"]\n[models.mine]\nextends = "qwen3_8b"\n',
        team='[models.theirs]\nmodel = "./weights"\n',
    )
    assert specs["mine"].model == "Qwen/Qwen3-8B"
    assert Path(specs["theirs"].model).is_absolute()
    assert specs["tiny_coder"].model.endswith("models/tiny_coder")


def test_all_mistakes_are_named_at_once_with_key_and_suggestion(registry):
    with pytest.raises(ConfigurationError) as error:
        registry("""
            [modles.x]
            [models.a]
            model = "org/a"
            samplng = {}
            [models.b]
            model = 3
            [models.c]
            extends = "aa"
            [models.d]
            model = "org/d"
            sampling = { temperature = -1, max_token = 5 }
            [models.e]
            model = "org/e"
            categories = ["skip"]
        """)
    text = str(error.value)
    for mistake in (
        "modles: unknown table; did you mean 'models'?",
        "models.a.samplng: unknown key; did you mean 'sampling'?",
        "models.b.model: input should be a valid string (got 3)",
        "models.c.extends: no model 'aa'",
        "models.d.sampling.temperature: input should be greater than or equal to 0 (got -1)",
        "models.d.sampling.max_token: unknown key; did you mean 'max_tokens'?",
        "models.e.categories: 'skip' has a meaning as a marker already",
    ):
        assert mistake in text
    assert "has 7 mistakes" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[models.a]\nextends = "b"\n[models.b]\nextends = "a"', "goes in a circle: a → b → a"),
        ('[models.a]\nextends = "a"', "goes in a circle: a → a"),
        ('include = ["gone.toml"]', "gone.toml does not exist"),
        ('include = "gone.toml"', "include: must be a list of strings"),
        ('include = ["models.toml"]', "includes itself"),
        ('[models."a/b"]\nmodel = "x"', "letters, digits"),
        ("[models]\na = 3", "models.a: must be a table"),
        ("[models.a]\nengine = {}", "models.a.model: is missing"),
        ("[models.a\n", "is not valid TOML"),
        ('[models.a]\nmodel = "x"\nunset = ["kind"]', "models.a.unset: drops keys of the entry it extends"),
        ('[models.a]\nextends = ["b"]', "models.a.extends: must be the name of one model, found ['b']"),
        ('[models.a]\nmodel = "x"\ncategories = ["_x"]', "models.a.categories.0"),
        (
            '[models.a]\nmodel = "x"\nengine = { hf_overrides = { a = nan } }',
            "models.a.engine: a is not a finite",
        ),
        (
            '[models.a]\nmodel = "x"\nneeds = { device_memory_gib = inf }',
            "models.a.needs.device_memory_gib: input should be a finite number (got inf)",
        ),
        (
            '[models.a]\nmodel = "x"\nengine = { dtype = "half" }\n'
            '[models.b]\nextends = "a"\nunset = ["engine.dtyp"]',
            "models.b.unset: there is no 'engine.dtyp' to drop; did you mean 'engine.dtype'?",
        ),
    ],
)
def test_each_mistake_is_explained(registry, text, message):
    with pytest.raises(ConfigurationError, match=__import__("re").escape(message)):
        registry(text)


WORDS = """
    [models.base]
    model = "org/base"
    instruction = "Solve {entry_point}:\\n{prompt}"
    assistant_prefill = "```python\\n"
    chat_template = "{{ messages }}"
    truncation = "tail"
    [models.base.problem_sets.mbpp]
    prompt_style = "completion"
    stop = ["END"]
    [models.derived]
    extends = "base"
    truncation = { strategy = "head_tail", head_share = 0.5 }
"""


def test_the_words_around_problems_and_what_is_cut_are_set_per_model_and_problem_set(registry):
    specs = registry(WORDS)
    base, derived = specs["base"], specs["derived"]
    assert base.instruction == "Solve {entry_point}:\n{prompt}"
    assert (base.assistant_prefill, base.chat_template) == ("```python\n", "{{ messages }}")
    assert base.problem_sets["mbpp"] == SetOverrides(prompt_style=PromptStyle.COMPLETION, stop=("END",))
    assert base.truncation == TruncationPolicy(Strategy.TAIL)
    assert derived.truncation == TruncationPolicy(Strategy.HEAD_TAIL, head_share=0.5)
    assert derived.instruction == base.instruction


def test_templates_may_lie_in_files_beside_the_registry_that_names_them(registry, tmp_path):
    (tmp_path / "team").mkdir()
    (tmp_path / "team/ask.txt").write_text("Do {prompt}!")
    (tmp_path / "team/chat.jinja").write_text("{{ messages }}")
    (tmp_path / "team/models.toml").write_text(
        '[models.base]\nmodel = "org/base"\ninstruction = "ask.txt"\nchat_template = "./chat.jinja"\n'
    )
    specs = registry('include = ["team/models.toml"]\n[models.own]\nextends = "base"\n')
    assert specs["own"].instruction == "Do {prompt}!"
    assert specs["own"].chat_template == "{{ messages }}"


def test_mistakes_in_templates_and_truncation_are_told_with_their_key(registry):
    with pytest.raises(ConfigurationError) as error:
        registry("""
            [models.m]
            model = "org/m"
            instruction = "Solve {promt}"
            chat_template = "deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/deep/nowhere.jinja"
            truncation = "hed"
            [models.m.problem_sets.mbpp]
            instrucion = "x"
        """)
    told = str(error.value)
    assert "models.m.instruction: knows the fields {prompt} and {entry_point}, and not {promt}" in told
    assert (
        "models.m.chat_template: holds nothing in braces, so it names a file, which cannot be read: " in told
    )
    assert "nowhere.jinja')" in told
    assert "models.m.truncation.strategy: input should be 'head_tail', 'head'" in told
    assert "models.m.problem_sets.mbpp.instrucion: unknown key; did you mean 'instruction'?" in told
