"""The project in here is run by a pytest of its own, never collected by ours."""

collect_ignore = ["project"]
