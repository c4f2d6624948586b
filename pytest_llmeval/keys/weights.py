"""What a model's weights are, told cheaply: a commit for the hub, a hash for files of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from pytest_llmeval.devices import SERVED_ELSEWHERE
from pytest_llmeval.schema import ModelSpec

WHOLE_BYTES = 32 << 20  # files up to this size are hashed whole
BLOCKS = 16  # larger ones: this many blocks, evenly spread, the first and the last among them
BLOCK_BYTES = 1 << 16
_COMMIT = re.compile(r"[0-9a-f]{40}")


def identify(spec: ModelSpec) -> dict[str, Any]:
    """Plain values that change when the weights, the tokenizer or the chat template beside them do.

    Files: names and sizes, the whole content of small files, of large ones blocks spread over them: a fine-tune
    changes every block, a single flipped byte may go unseen. Hub: the commit that the revision stands for in this
    machine's cache, None where nothing is cached. Anything else (the name a server gives a model) is only a name.
    """
    path = Path(spec.model)
    if spec.kind in SERVED_ELSEWHERE:
        return {"model": spec.model, "revision": spec.revision, "commit": None}
    if path.is_file():
        return {"file": _digest([path], path.parent)}
    if path.is_dir():
        files = [f for f in sorted(path.rglob("*")) if f.is_file() and ".git" not in f.parts]
        return {"files": _digest(files, path)}
    return {"model": spec.model, "revision": spec.revision, "commit": cached_commit(spec)}


def _digest(files: list[Path], home: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(home)}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
        _hash_content(file, digest)
    return digest.hexdigest()[:32]


def _hash_content(file: Path, digest: Any) -> None:
    size = file.stat().st_size
    with file.open("rb") as content:
        if size <= WHOLE_BYTES:
            digest.update(content.read())
            return
        for block in range(BLOCKS):
            content.seek(block * (size - BLOCK_BYTES) // (BLOCKS - 1))
            digest.update(content.read(BLOCK_BYTES))


def cached_commit(spec: ModelSpec) -> str | None:
    """The commit of a hub model in this machine's cache, as huggingface_hub lays it out; None where it has none."""
    revision = spec.revision or "main"
    if _COMMIT.fullmatch(revision):
        return revision
    reference = _hub_cache(spec) / f"models--{spec.model.replace('/', '--')}" / "refs" / revision
    try:
        return reference.read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None


def _hub_cache(spec: ModelSpec) -> Path:
    environment = {**os.environ, **spec.environment}
    if folder := spec.engine.get("download_dir") or environment.get("HF_HUB_CACHE"):
        return Path(str(folder)).expanduser()
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "huggingface" / "hub"
