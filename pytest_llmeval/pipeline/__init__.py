"""From the plan to Records: prompts are asked for, answers are judged as they come, and all of it is written down.

Nothing is imported here: a session that only collects needs the plan's words (`asking`, `batch`), not the work.
"""
