"""The gate: is this run worse than an earlier one? Rules, paired tests, baselines, Findings.

Everything is judged from what runs leave on disk; nothing here knows pytest (`gating/` does). Statistics are
the standard library's and ours, each with its formula and source: docs/gate.md says them in plain words.
"""
