"""What a run's items come to, and with which exit code."""

from __future__ import annotations

import json

import pytest

from pytest_llmeval.parsing import COUNTS_FOR_ALL_THREADS

LIMIT = "--llmeval-limit=4"


def test_right_answers_pass_and_wrong_ones_fail_with_the_models_own_failure(project):
    result = project(LIMIT)
    result.assert_outcomes(passed=6, failed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.no_fnmatch_line("*record.explain()*")  # the model's failure, not our plumbing
    result.stdout.fnmatch_lines(
        ["*weak-HumanEval/2*", "wrong_answer: assert candidate(3.5) == 0.5: got None"]
    )


def test_wrong_answers_can_be_expected_failures(project):
    result = project(LIMIT, "--llmeval-wrong=xfail")
    result.assert_outcomes(passed=6, xfailed=2)
    assert result.ret == pytest.ExitCode.OK


def test_another_assertion_of_the_suite_still_fails_under_xfail(project, pytester):
    pytester.makepyfile(
        test_humaneval="""
        import pytest
        @pytest.mark.problems("humaneval")
        def test_speed(record):
            assert record.samples[0].completion.timing.ttft_s < 0.01
        """
    )
    project(LIMIT, "--llmeval-wrong=xfail").assert_outcomes(failed=8)


def test_a_model_that_does_not_load_is_an_error_explained_once(project):
    result = project(
        LIMIT,
        registry='[models.broken]\nmodel = "fake"\nengine = { fail_load = "out of patience" }\n',
    )
    result.assert_outcomes(passed=6, failed=2, errors=4)
    # Lines of the ERRORS section; pytest's short summary may repeat them behind "ERROR".
    explained = "engine broken did not start: out of patience"
    referred = "engine broken is not available (explained at the first error of broken)"
    assert result.outlines.count(explained) == 1
    assert result.outlines.count(referred) == 3
    assert not [line for line in result.outlines if "another exception occurred" in line]


def test_behind_a_long_list_of_errors_the_outcome_is_said_once_more(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    broken = '[models.broken]\nmodel = "fake"\nengine = { fail_load = "out of patience" }\n'
    chosen = ("--llmeval-models=good,broken", "--color=no")
    result = project("--llmeval-limit=40", *chosen, registry=broken)
    lines = result.outlines
    listed = next(at for at, line in enumerate(lines) if "short test summary info" in line)
    assert sum(line.startswith("ERROR ") for line in lines[listed:]) == 40, (
        "pytest's own list is left as it is"
    )
    again = next(at for at, line in enumerate(lines) if "= in short =" in line)
    assert not [line for line in lines[again:] if line.startswith("ERROR ")]
    assert len(lines) - again < 10
    said = " ".join(lines[again:])
    for words in ("good has pass@1 100.0 %", "broken had faults", "broken: out of patience", "run: "):
        assert words in said
    short = project(LIMIT, *chosen, registry=broken).stdout.str()
    assert "in short" not in short, "what is in sight is not repeated"
    assert "in short" not in project("--llmeval-limit=40", *chosen, "-rN", registry=broken).stdout.str()


def test_an_engine_that_dies_keeps_what_it_had_answered(project, records):
    registry = '[models.mortal]\nmodel = "fake"\nengine = { dies_after = 2 }\n'
    result = project(LIMIT, registry=registry)
    result.assert_outcomes(passed=8, failed=2, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert sum(record.model == "mortal" for record in records()) == 2
    result.stdout.fnmatch_lines(["mortal * faulted *"])


def test_a_problem_that_is_refused_costs_the_model_no_timings(project, pytester):
    """Single-stream requests are those of the problems that were answered."""
    pytester.makepyfile(
        picky="""
        from concurrent.futures import Future
        from pytest_llmeval.errors import EngineFault
        from pytest_llmeval.testing import FakeEngine

        class Picky(FakeEngine):
            def submit(self, request):
                if request.task_id != "HumanEval/1":
                    return super().submit(request)
                refused = Future()
                refused.set_exception(EngineFault("prompt too long"))
                return refused
        """
    )
    pytester.syspathinsert()
    registry = '[models.picky]\nmodel = "fake"\nkind = "picky:Picky"\n'
    result = project(LIMIT, "--llmeval-models=picky", "--llmeval-probe=4", registry=registry)
    result.assert_outcomes(passed=3, errors=1)
    summary = json.loads((pytester.path / "reports/latest/summary.json").read_text())["models"]["picky"]
    assert summary["figures"]["single_stream"]["requests"] == 3


@pytest.mark.parametrize("kind", ["AtOnce", "Later"])
def test_an_engine_whose_submit_raises_loses_that_answer_alone(project, pytester, kind):
    """Its contract forbids it; all the same nobody waits for ever, also where answers come in another thread."""
    pytester.makepyfile(
        choking="""
        import threading
        from concurrent.futures import Future
        from pytest_llmeval.testing import FakeEngine

        class AtOnce(FakeEngine):
            def submit(self, request):
                if request.task_id == "HumanEval/1":
                    raise OSError("no route to the answer")
                return super().submit(request)

        class Later(AtOnce):
            def submit(self, request):
                answered, future = super().submit(request), Future()
                threading.Timer(0.01, lambda: future.set_result(answered.result())).start()
                return future
        """
    )
    pytester.syspathinsert()
    registry = f'[models.choking]\nmodel = "fake"\nkind = "choking:{kind}"\n'
    asked = (LIMIT, "--llmeval-models=choking", "--llmeval-concurrency=1", "--llmeval-probe=off")
    result = project(*asked, registry=registry)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines([f"*{kind}.submit() raised OSError: no route to the answer*"])


def test_a_fault_is_never_an_expected_failure(project):
    registry = '[models.mortal]\nmodel = "fake"\nengine = { dies_after = 0 }\n'
    result = project(LIMIT, "--llmeval-wrong=xfail", "--llmeval-models=mortal", registry=registry)
    result.assert_outcomes(errors=4)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


UNAVAILABLE = '[models.big]\nmodel = "a/b"\nneeds = { device = "gpu", device_memory_gib = 9000 }\n'


def test_a_model_this_machine_cannot_run_is_skipped_with_the_reason(project):
    result = project(LIMIT, "-rs", registry=UNAVAILABLE)
    result.assert_outcomes(passed=6, failed=2, skipped=4)
    result.stdout.fnmatch_lines(["*big: needs an NVIDIA GPU with 9000 GiB; *"])
    result.stdout.fnmatch_lines(["big * unavailable *"])
    alone = project(LIMIT, "--llmeval-models=big", registry=UNAVAILABLE)
    alone.stdout.no_fnmatch_line("model *95 % interval*")  # a column without any interval


def test_strict_makes_an_unavailable_model_an_error(project):
    result = project(LIMIT, "--llmeval-strict", "--llmeval-models=big", registry=UNAVAILABLE)
    result.assert_outcomes(errors=4)


def test_one_load_per_model_whatever_the_suites_and_their_order(project, pytester):
    pytester.makepyfile(
        test_again="""
        import pytest
        @pytest.mark.problems("humaneval")
        def test_again(record):
            assert record.samples
        @pytest.mark.problems("humaneval")
        def test_loads(record):
            from pytest_llmeval.testing import FakeEngine
            assert len(FakeEngine.loads) == len(set(FakeEngine.loads))
        """
    )
    result = project("--llmeval-limit=2", "-p", "cacheprovider", "--ff")
    result.assert_outcomes(passed=12)


def test_exit_first_stops_and_reports(project):
    result = project("-x", "--llmeval-models=weak")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["weak * of 164*"])


def test_the_benchmark_file_holds_engine_time_and_no_addresses(project, pytester):
    import json

    project("--llmeval-limit=2", "--llmeval-models=good", "--benchmark-json=b.json")
    text = (pytester.path / "b.json").read_text()
    assert "0x" not in text.replace("0x0", "")
    benchmarks = json.loads(text)["benchmarks"]
    assert [b["stats"]["min"] for b in benchmarks] == [0.5, 0.5]
    assert {b["group"] for b in benchmarks} == {"good"}
    told = benchmarks[0]["extra_info"]["llmeval"]
    assert told["ttft_s"] == [0.1]
    assert told["output_tok_s"] == [(told["completion_tokens"][0] - 1) / 0.4], "after the first token"
    assert benchmarks[0]["params"]["engine"] == "good"


def test_the_benchmark_table_stays_quiet_unless_it_is_asked_for(project):
    quiet = project("--llmeval-limit=2", "--llmeval-models=good")
    quiet.stdout.no_fnmatch_line("*Name (time in*")
    project("--llmeval-limit=2", "--llmeval-models=good", "--benchmark-columns=min").stdout.fnmatch_lines(
        ["*Name (time in*"]
    )


@pytest.mark.parametrize(
    "switch", ["--benchmark-disable", "--benchmark-skip", "--benchmark-cprofile=tottime"]
)
def test_benchmark_switches_do_not_break_the_verdict(project, switch):
    result = project("--llmeval-limit=2", "--llmeval-models=good", switch)
    assert result.ret == pytest.ExitCode.OK


def test_concurrency_bounds_what_an_engine_has_at_a_time(project, pytester, records):
    pytester.makepyfile(
        counting="""
        import threading
        from concurrent.futures import Future
        from pytest_llmeval.testing import FakeEngine

        class Counting(FakeEngine):
            open_now, most = 0, 0

            def submit(self, request):
                Counting.open_now += 1
                Counting.most = max(Counting.most, Counting.open_now)
                inner, outer = super().submit(request), Future()

                def answer():
                    Counting.open_now -= 1
                    outer.set_result(inner.result())

                threading.Timer(0.02, answer).start()
                return outer

            def close(self):
                with open("most", "w") as file:
                    file.write(str(Counting.most))
        """
    )
    pytester.syspathinsert()
    registry = '[models.counted]\nmodel = "fake"\nkind = "counting:Counting"\n'
    arguments = (
        "--llmeval-limit=9",
        "--llmeval-models=counted",
        "--llmeval-concurrency=3",
        "--llmeval-probe=off",
    )
    project(*arguments, registry=registry).assert_outcomes(passed=9)
    assert (pytester.path / "most").read_text() == "3"
    assert len(records()) == 9


@pytest.mark.parametrize("given", ["0", "-1", "many"])
def test_a_concurrency_that_makes_no_sense_is_a_usage_error(project, given):
    assert project(f"--llmeval-concurrency={given}").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("columns", [60, 80])
def test_the_closing_tables_fit_the_terminal_and_quiet_runs_say_no_more_than_the_leaderboard(
    project, monkeypatch, columns
):
    monkeypatch.setenv("COLUMNS", str(columns))
    result = project("--llmeval-limit=3", "--no-header", "--color=no")
    said = result.stdout.str()
    assert "sandbox:" not in said
    ours = said[said.index("= leaderboard =") : said.index("run: ")]
    assert max(map(len, ours.splitlines())) <= columns
    assert "good has pass@1 100.0 %" in " ".join(said.split())
    quiet = project("--llmeval-limit=3", "-q", "--color=no").stdout.str()
    assert "leaderboard" in quiet
    assert not [words for words in ("sandbox:", "llmeval:", "speed, memory, energy") if words in quiet]
    failure = [line for line in quiet.splitlines() if line.startswith("wrong_answer: ")]
    assert len(failure) == 1, "the model's failing assertion, and nothing of ours"
    assert "assert record.passed" not in quiet


def test_pytest_parses_in_turn_with_our_threads_while_items_run(project, pytester):
    pytester.makepyfile(
        parses="""
        import ast
        before = ast.parse
        guarded = set()

        def pytest_runtest_makereport(item, call):
            guarded.add(ast.parse is not before)

        def pytest_unconfigure(config):
            print("guarded", guarded, "restored", ast.parse is before)
        """
    )
    pytester.syspathinsert()
    result = project("-p", "parses", "--llmeval-limit=1")
    result.stdout.fnmatch_lines([f"guarded {{{COUNTS_FOR_ALL_THREADS}}} restored True"])
