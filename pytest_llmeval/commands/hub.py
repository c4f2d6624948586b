"""Which models the hub would give to this machine. Asked in a process of its own, whose library is the engines'.

As a program it reads `[[model, token_env], ...]` from standard input and writes `{model: refusal}`, "" where there
is none; a hub that does not answer is asked once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping

from pytest_llmeval.redaction import redact
from pytest_llmeval.schema import ModelSpec

ASK_TIMEOUT_S = 60
NO_ANSWER = "the hub does not answer"


def refusals(specs: Iterable[ModelSpec], environ: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """Model on the hub → why it would not be given, "" where it would; None where nothing here can ask.

    Tokens go into the process by the environment, and out of what it says.
    """
    asked = sorted({(spec.model, spec.token_env) for spec in specs})
    if not asked:
        return {}
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__],
            input=json.dumps(asked), capture_output=True, text=True, errors="replace",
            timeout=ASK_TIMEOUT_S, env={**environ},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {model: f"{NO_ANSWER} within {ASK_TIMEOUT_S} s" for model, _ in asked}
    if done.returncode:
        return None
    answers: dict[str, str] = json.loads(done.stdout)
    return {model: redact(said, environ) for model, said in answers.items()}


def main() -> int:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    except ImportError:
        return 1
    hub, answers, silence = HfApi(), {}, ""
    for model, token_env in json.load(sys.stdin):
        said = silence
        try:
            if not silence:
                hub.auth_check(model, token=os.environ.get(token_env) or None)
        except GatedRepoError:
            said = (
                f"accept the terms of {model} on its hub page, with the account of the token in {token_env}"
            )
        except RepositoryNotFoundError:
            said = f"the hub has no {model}, or not for the token in {token_env}"
        except HfHubHTTPError as error:
            said = f"the hub refuses {model}: {first_line(error)}"
        except Exception as error:  # whatever a network and its library come up with
            said = silence = f"{NO_ANSWER} ({first_line(error)})"
        answers[model] = said
    json.dump(answers, sys.stdout)
    return 0


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
