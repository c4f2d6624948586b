"""What this project adds: names, imported when they are first used."""


def pytest_llmeval_engines():
    return {"recall": "recall:RecallEngine"}


def pytest_llmeval_problem_sets():
    return {"arithmetic": "arithmetic:load"}
