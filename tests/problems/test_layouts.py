"""Every published layout of a set gives the same problems, and a row with mistakes names them all."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys

import published
import pytest
from published import written

from pytest_llmeval.errors import ConfigurationError, MissingExtraError, ProblemSetUnavailableError
from pytest_llmeval.problems import evalplus, load_problem_set, mbpp, plain
from pytest_llmeval.problems.hub_tests import cases_of
from pytest_llmeval.problems.rows import read_rows
from pytest_llmeval.problems.shapes import shaped


def the_only(problem_set):
    (problem,) = problem_set.problems
    return problem


def asked(problem) -> list:
    """The argument lists of a generated test."""
    namespace = {problem.entry_point: None}
    exec(problem.test, namespace)
    return plain.loads(namespace["ARGUMENTS"])


def test_evalplus_own_layout_and_the_hubs_are_one_problem(tmp_path):
    own = the_only(evalplus.load_mbppplus(written(tmp_path / "a.jsonl", published.SIMILAR)))
    hub = the_only(evalplus.load_mbppplus(written(tmp_path / "b.jsonl", published.HUB_SIMILAR)))
    assert own.task_id == hub.task_id == "Mbpp/2"
    assert own.entry_point == hub.entry_point == "similar_elements"
    assert own.canonical_solution == hub.canonical_solution
    assert asked(own) == [[(3, 4), (4, 5)]]
    assert asked(hub) == [[(3, 4), (4, 5)], [(), ()], [(float("inf"),), (float("inf"), 1)]]
    assert (own.measures, hub.measures) == ("answers", "times")


def test_the_hubs_prompt_is_worded_as_evalplus_words_it(tmp_path):
    hub = the_only(evalplus.load_mbppplus(written(tmp_path / "b.jsonl", published.HUB_SIMILAR)))
    assert hub.prompt == (
        '"""\nWrite a function to find the shared elements. \n'
        'assert set(similar_elements((3, 4),(4, 5))) == set((4,))\n"""\n'
    )


def test_a_hub_test_that_computes_its_results_leaves_them_to_the_canonical_solution(tmp_path):
    problem = the_only(evalplus.load_humanevalplus(written(tmp_path / "a.jsonl", published.HUB_DOUBLE)))
    assert asked(problem) == [[1], [2], [3]]
    assert problem.measures == "answers"


@pytest.mark.parametrize(
    ("test", "atol"),
    [
        (
            "inputs = [[1]]\nresults = [Counter({'a': 1})]\nfor i in x:\n    assertion(f(*inp), exp, 0.01)",
            0.01,
        ),
        (
            "inputs = [[1]]\nresults = [{'a': 1}]\nfor i in x:\n    assert _poly(*f(*inp), inp) <= 0.0001",
            0.0001,
        ),
    ],
)
def test_tolerance_and_unusual_literals_are_read_from_a_hub_test(test, atol):
    assert cases_of(test) == ([[1]], [{"a": 1}], atol)


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("def check(:", "is not Python"),
        ("x = 1", "no list `inputs`"),
        ("inputs = [open('x')]\nfor i in x: pass", "more than literals"),
        ("inputs = [[1]]\nresults = []\nfor i in x: pass", "1 inputs and 0 results"),
    ],
)
def test_a_hub_test_of_another_form_is_refused_with_the_reason(test, why):
    with pytest.raises(ValueError, match=why):
        cases_of(test)


def test_nothing_in_a_hub_test_is_ever_run(tmp_path):
    evil = (
        f"import pathlib\ninputs = [[pathlib.Path({str(tmp_path / 'ran')!r}).touch()]]\nfor i in inputs: pass"
    )
    with pytest.raises(ValueError, match="literals"):
        cases_of(evil)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("task", "given", "meant"),
    [
        (2, [[1], [2]], [(1,), (2,)]),
        (63, [[[1, 2]]], [[(1, 2)]]),
        (75, [[[1, 2]], 3], [[(1, 2)], 3]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1], []]], [[{1}, {}]]),
        (124, ["0", "1j"], [0.0, 1j]),
        (252, ["1+2j"], [1 + 2j]),
        (250, [[1], 2], [(1,), 2]),
        (259, [[[1], [2]]], [((1,), (2,))]),
        (278, [[1, [2]]], [(1, (2,))]),
        (307, [[1], 2, 3], [(1,), 2, 3]),
        (580, [[[1, [2]]]], [((1, (2,)),)]),
        (722, [{"a": [1, 2]}, 3], [{"a": (1, 2)}, 3]),
        (3, [[1]], [[1]]),
    ],
)
def test_mbppplus_arguments_become_the_python_values_they_stand_for(task, given, meant):
    (found,) = shaped(f"Mbpp/{task}", [given])
    assert found == meant
    assert [type(value) for value in found] == [type(value) for value in meant]


def test_mbpp_takes_its_entry_point_from_its_assertions_and_shows_them_all(tmp_path):
    problem = the_only(mbpp.load(written(tmp_path / "mbpp.jsonl", published.SANITIZED)))
    assert (problem.task_id, problem.entry_point) == ("Mbpp/56", "check")
    assert problem.prompt.count("assert check(") == 3
    assert problem.prompt.startswith('"""\nWrite a python function')


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json"])
def test_a_set_is_read_from_every_form_of_file(tmp_path, suffix):
    path = written(tmp_path / "mbpp.jsonl", published.SANITIZED, published.SIZES)
    if suffix == ".json":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path = tmp_path / "sanitized-mbpp.json"
        path.write_text(json.dumps(rows))
    elif suffix == ".jsonl.gz":
        path = tmp_path / "mbpp.jsonl.gz"
        path.write_bytes(gzip.compress((tmp_path / "mbpp.jsonl").read_bytes()))
    assert mbpp.load(path).task_ids == ("Mbpp/56", "Mbpp/596")


def test_parquet_is_read_without_importing_arrow_here(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    import pyarrow

    path = tmp_path / "mbpp.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([published.SANITIZED, published.SIZES]), path)
    code = (
        "import sys; from pathlib import Path; from pytest_llmeval.problems import mbpp; "
        f"print(mbpp.load(Path({str(path)!r})).task_ids, 'pyarrow' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "('Mbpp/56', 'Mbpp/596') False\n"


def test_parquet_without_arrow_names_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(\"No module named 'pyarrow'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pytest-llmeval-bench\[datasets\]"):
        read_rows(tmp_path / "some.parquet")


def test_a_row_with_mistakes_names_line_and_field_of_each(tmp_path):
    row = {**published.DOUBLE, "atol": "none", "base_input": [1], "entrypoint": "double"}
    del row["entry_point"]
    problem_set = evalplus.load_humanevalplus(written(tmp_path / "bad.jsonl", published.DOUBLE | row))
    assert problem_set.task_ids == ("HumanEval/0",)
    del row["canonical_solution"]
    problem_set = evalplus.load_humanevalplus(written(tmp_path / "bad.jsonl", published.ROOT, row))
    with pytest.raises(ConfigurationError) as caught:
        problem_set.problem("HumanEval/0")
    said = str(caught.value)
    assert said.count("bad.jsonl, line 2: ") == 4
    for mistake in (
        "entry_point is missing; did you mean 'entrypoint'?",
        "canonical_solution is missing",
        "atol must be a number, at least 0, found 'none'",
        "base_input must be a list of argument lists, found [1]",
    ):
        assert mistake in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("7", "line 1: a problem is an object, found int"),
        ('{"prompt": ""}', "line 1: task_id must be a text or a number, found None"),
        ('{"task_id": 1}\n\n{"task_id": "Mbpp/1"}', "line 3: task_id 'Mbpp/1' stands at .*line 1 already"),
    ],
)
def test_a_file_whose_tasks_cannot_be_named_is_refused_at_once(tmp_path, text, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        evalplus.load_mbppplus(path)


@pytest.mark.parametrize("name", ["humanevalplus", "mbpp", "mbppplus"])
def test_a_set_that_was_not_fetched_says_how_to_get_it(tmp_path, monkeypatch, name):
    monkeypatch.setenv("PYTEST_LLMEVAL_CACHE", str(tmp_path))
    with pytest.raises(ProblemSetUnavailableError) as caught:
        load_problem_set(name)
    assert f"python -m pytest_llmeval fetch {name}" in str(caught.value)
    assert f"--llmeval-problems {name}=FILE" in str(caught.value)


def test_naming_tasks_makes_no_problem(tmp_path):
    broken = {**published.DOUBLE, "base_input": "not arguments"}
    problem_set = evalplus.load_humanevalplus(written(tmp_path / "a.jsonl", broken, published.ROOT))
    assert problem_set.task_ids == ("HumanEval/0", "HumanEval/32")
    assert problem_set.problem("HumanEval/32").entry_point == "find_zero"
    assert problem_set.problem("HumanEval/32") is problem_set.problem("HumanEval/32")
    with pytest.raises(ConfigurationError):
        problem_set.problem("HumanEval/0")


PLAIN = [
    None,
    True,
    -0.0,
    float("inf"),
    10**9000,
    [(), set(), frozenset({1}), {}],
    {(1, "a"): [b"\x00", 1j], None: {"i": 1}},
    "\ud800\x00",
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain_data_comes_back_as_it_was(value):
    found = plain.loads(plain.dumps(value))
    assert found == value
    assert type(found) is type(value)


def test_what_is_not_plain_is_named():
    with pytest.raises(plain.Unplain, match="Match"):
        plain.dumps([{"a": re.match("a", "a")}])
