"""Talking to a server that speaks OpenAI's API: settings, what is sent, what comes back, what to try again.

Nothing here imports the `openai` package; `pytest_llmeval.engines.openai` does, when an engine is made.
"""
