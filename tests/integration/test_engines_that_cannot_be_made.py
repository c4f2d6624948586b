"""An engine whose table is wrong, or whose package is missing, is its own model's fault."""

from __future__ import annotations

import pytest

MISTAKEN = """
[models.mistaken]
kind = "openai"
model = "served"
categories = ["coding"]
engine = { base_url = "http://127.0.0.1:9/v1", concurency = 3 }
"""


@pytest.mark.parametrize("models", ["mistaken", "good,mistaken"], ids=["first", "next"])
def test_a_mistake_in_an_engine_table_faults_that_model_only(project, models):
    result = project("--llmeval-limit=2", f"--llmeval-models={models}", registry=MISTAKEN)
    result.assert_outcomes(passed=2 * ("good" in models), errors=2)
    result.stdout.fnmatch_lines(
        [
            "*engine mistaken did not start: models.mistaken: its engine table does not fit kind 'openai':",
            "*engine.concurency: unknown key; did you mean 'concurrency'?*",
        ]
    )


BROKEN = """
from pytest_llmeval.testing import FakeEngine

class NotMade(FakeEngine):
    def __init__(self, spec, context):
        raise ValueError("it has a bug")

class NotLoaded(FakeEngine):
    def load(self, progress):
        raise ValueError("it has a bug")
"""


@pytest.mark.parametrize("models", ["broken", "good,broken,late"], ids=["alone", "among others"])
@pytest.mark.parametrize(
    ("module", "kind", "says"),
    [
        ("raise ValueError('it has a bug')", "NotMade", "engine_of_mine cannot be imported: ValueError: it has a bug"),
        ("from os import nothing", "NotMade", "engine_of_mine cannot be imported: ImportError: cannot import name*"),
        (BROKEN, "NotMade", "ValueError: it has a bug (engine_of_mine.py, line 5)"),
        (BROKEN, "NotLoaded", "ValueError: it has a bug (engine_of_mine.py, line 9)"),
    ],
    ids=["imported", "missing", "made", "loaded"],
)  # fmt: skip
def test_an_engine_with_a_bug_faults_its_own_model_only(project, pytester, models, module, kind, says):
    """While a model loads the next one's engine is made: what that raised took the items of the first."""
    pytester.makepyfile(engine_of_mine=module)
    pytester.syspathinsert()
    registry = (
        f'[models.broken]\nmodel = "x"\nkind = "engine_of_mine:{kind}"\n[models.late]\nmodel = "fake"\n'
    )
    result = project("--llmeval-limit=2", f"--llmeval-models={models}", registry=registry)
    result.assert_outcomes(passed=4 * ("good" in models), errors=2)
    result.stdout.fnmatch_lines([f"*engine broken did not start: *{says}*", "broken * faulted *"])


CARELESS = """
[models.careless]
kind = "openai"
model = "served"
categories = ["coding"]
engine = { base_url = "http://alice:pa55word@127.0.0.1:9/v1", api_key = "sk-abcdefghijklmnopqrst" }
"""


def test_a_secret_in_a_wrong_place_is_written_nowhere(project, pytester):
    result = project(
        "--llmeval-limit=1", "--llmeval-models=careless", "--junitxml=reports/junit.xml", registry=CARELESS
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*engine.base_url: *secrets belong into engine.api_key_env*"])
    left = [
        path for path in (pytester.path / "reports").rglob("*") if path.is_file() and not path.is_symlink()
    ]
    assert {"junit.xml", "manifest.json", "summary.json", "report.html"} <= {path.name for path in left}
    written = "".join(path.read_text(errors="replace") for path in left) + result.stdout.str()
    assert "pa55word" not in written
    assert "sk-abcdefghijklmnopqrst" not in written
