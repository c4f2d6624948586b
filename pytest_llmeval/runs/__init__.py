"""A run read back from its folder: every report is made of this, also the one a run makes of itself.

from pytest_llmeval.runs import load_run

run = load_run("reports/latest")
for model in run.models:
    for problem_set, figures in model.problem_sets.items():
        print(model.spec.name, model.status, problem_set, figures.pass_at_1)

`loading` reads it, `compact` keeps its samples small, `results` says what became of each model, `costs` what it cost,
`summary` is its summary.json.
"""

from pytest_llmeval.runs.loading import LoadedRun, load_run

__all__ = ["LoadedRun", "load_run"]
