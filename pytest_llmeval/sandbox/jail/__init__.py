"""Programs that run inside the jail.

Their source is sent to an isolated interpreter over its control socket: they import the standard library
and one another, nothing else of this package, and nothing of this package exists in that interpreter.
"""
