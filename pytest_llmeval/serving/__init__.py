"""How fast a loaded model serves: synthetic requests of exact lengths, measured one way or another.

Nothing is judged here. `requests` makes them, `loads` sends them, `bench` is what suites hold as `serving`,
`measurements` what is left of each measurement.
"""
