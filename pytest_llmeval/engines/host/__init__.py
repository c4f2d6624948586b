"""Engine hosts: one child process per model, in a process group of its own, spoken to over a socket.

`launch` is the side in pytest's process, `worker` the program in the child, `protocol` what they say to each
other. The group is gone when the socket ends, whoever ends it: pytest closing the engine, or dying.
"""
