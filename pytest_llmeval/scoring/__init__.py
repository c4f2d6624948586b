"""What judges a run's Programs: the sandbox of this machine or of a cluster, started while the first model loads.

`background` starts it, `judge` has problems completed before they are used, `repeats` spares endless loops that were
waited for before.
"""
