"""One family of errors; every message says what happened, where, and what to do about it."""

from pathlib import PurePath
from traceback import extract_tb

__all__ = [
    "ConfigurationError",
    "EngineFault",
    "LLMEvalError",
    "MissingExtraError",
    "ModelUnavailableError",
    "NotMeasurableError",
    "ProblemSetUnavailableError",
    "SandboxFault",
]


class LLMEvalError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(LLMEvalError):
    """The user's options, models.toml or suite cannot be used as written.

    hooks.py turns it into `pytest.UsageError`, so that it ends the session before anything runs.
    """


class MissingExtraError(LLMEvalError):
    """An optional package is not installed; the message names the extra that brings it."""


class ModelUnavailableError(LLMEvalError):
    """This machine cannot run the model (no device, no memory, no access): its items are skipped."""


class ProblemSetUnavailableError(LLMEvalError):
    """A problem set's data cannot be had here; the message says which command would fetch it."""


class EngineFault(LLMEvalError):
    """An engine did not load, or died: a fault of the infrastructure, never a wrong answer."""


class NotMeasurableError(LLMEvalError):
    """This engine, or these lengths, cannot be measured so; the message says why. The item is skipped."""


class SandboxFault(LLMEvalError):
    """The sandbox cannot give a verdict, or no allowed isolation level works on this machine."""


def what_and_where(error: Exception) -> str:
    """What code of others raised: `ValueError: it has a bug (engine_of_mine.py, line 7)`."""
    said = f"{type(error).__name__}: {error}"
    frames = extract_tb(error.__traceback__)
    return f"{said} ({PurePath(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else said
