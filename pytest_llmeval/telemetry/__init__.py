"""What a model costs while it works: device memory, utilisation, power and energy, host memory, CPU time.

`nvml` and `host` read, `sampler` reads at a set rate, `watch` gives what was read to the phases of one model,
`figures` is what is left of a phase. A figure that could not be had is None, and `why` says for what reason.
"""
