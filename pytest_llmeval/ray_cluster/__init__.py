"""Scoring and engine hosts on a Ray cluster (`--llmeval-ray`).

Nothing else imports ray, and pytest's process only where the option was given. Actors run this package as it is
installed on their node: the same files as here, which is checked on every node before anything is started there.
"""
