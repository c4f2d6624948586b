"""transformers inside an engine host. Importing this module pays its imports, so only the host does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pytest_llmeval.engines.host import protocol
from pytest_llmeval.engines.host.rows import Backlog, Place, Row
from pytest_llmeval.engines.host.transformers_steps import Draw, Ends
from pytest_llmeval.engines.host.worker import Inbox, Loaded, Outbox, one_line
from pytest_llmeval.engines.tables import read_table
from pytest_llmeval.engines.transformers import Settings
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.prompting.rendering import Renderer
from pytest_llmeval.prompting.windows import Windows
from pytest_llmeval.schema import (
    MemoryBreakdown,
    ModelSpec,
    Prompt,
    PromptStyle,
    Request,
    Sampling,
    Timing,
)

WARM_UP = Request("warm-up", "", Prompt(PromptStyle.COMPLETION, "def"), Sampling(max_tokens=2))


class TransformersDriver:
    """Answers waiting requests batch by batch with the model's own `generate()`."""

    def load(self, spec: ModelSpec) -> Loaded:
        self.settings = read_table(spec, Settings)
        shared = {"revision": spec.revision, "trust_remote_code": self.settings.trust_remote_code}
        self.tokenizer = AutoTokenizer.from_pretrained(spec.model, **shared)
        self.model = load_model(spec.model, self.settings, shared)
        self.max_model_len = self.settings.max_model_len or positions(self.model.config)
        self.renderer = Renderer(self.tokenizer, self.max_model_len, spec)
        self.ends = end_tokens(self.model.generation_config, self.tokenizer)
        # The repository's own sampling defaults (a repetition penalty, say) would override what was asked.
        self.model.generation_config = GenerationConfig()
        self.generate(self.windows(WARM_UP), lambda row: None)
        return Loaded(self.facts(), self.memory())

    def memory(self) -> MemoryBreakdown:
        """The weights; what a batch takes besides comes and goes with it."""
        on_device = self.model.device.type != "cpu"
        total = torch.cuda.mem_get_info(self.model.device)[1] if self.model.device.type == "cuda" else None
        return MemoryBreakdown(
            where="device" if on_device else "host",
            weights_bytes=int(self.model.get_memory_footprint()),
            total_bytes=total,
        )

    def facts(self) -> dict[str, Any]:
        """What was really chosen, for the manifest."""
        return {
            "engine": "transformers",
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "platform": self.model.device.type,
            "processors": torch.get_num_threads() if self.model.device.type == "cpu" else 1,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "attention": self.model.config._attn_implementation,
            "max_model_len": self.max_model_len,
            "batch_size": self.settings.batch_size,
            **self.renderer.facts(),
        }

    def serve(self, inbox: Inbox, outbox: Outbox) -> None:
        backlog = Backlog(inbox)
        while True:
            rows = self.rows(backlog.next(self.settings.batch_size), outbox)
            for start in range(0, len(rows), self.settings.batch_size):
                self.answer(rows[start : start + self.settings.batch_size], outbox, backlog)

    def rows(self, requests: Sequence[Request], outbox: Outbox) -> list[Row]:
        """The requests that can be answered; the others are refused here."""
        rows = []
        for request in requests:
            try:
                rows += self.windows(request)
            except Exception as error:  # its prompt does not fit, or the tokenizer chokes on it; others go on
                outbox.send(protocol.RequestFailed(request.request_id, one_line(error)))
        return rows

    def windows(self, request: Request) -> list[Row]:
        """A row for each window of the request's prompt; most have one."""
        renderings = self.renderer.render(request)
        windows = Windows(len(renderings))
        return [
            Row(request, rendering, Place(index, windows), self.tokenizer, self.ends)
            for index, rendering in enumerate(renderings)
        ]

    def answer(self, rows: Sequence[Row], outbox: Outbox, backlog: Backlog) -> None:
        """Generate a batch; each row is sent when it ends, not when the longest does."""
        started, unanswered = time.monotonic(), list(rows)

        def step() -> None:
            outbox.alive()
            for request_id in backlog.cancelled():
                for row in rows:
                    row.cancel(request_id)

        def send(row: Row) -> None:
            timing = Timing(concurrency=len(rows), e2e_s=time.monotonic() - started)
            if whole := row.place.windows.add(row.place.index, row.completion(timing)):
                outbox.send(protocol.Done(row.request.request_id, whole))
            unanswered.remove(row)

        try:
            self.generate(rows, send, step)
        except Exception as error:  # out of memory, most often: a batch's fault, the model is still there
            for row in unanswered:
                outbox.send(protocol.RequestFailed(row.request.request_id, one_line(error)))

    def generate(
        self, rows: Sequence[Row], ended: Callable[[Row], None], step: Callable[[], None] = lambda: None
    ) -> None:
        """Run the batch until every row has ended; `ended` is called with each, `step` after each token."""
        width = max(len(row.prompt_ids) for row in rows)
        pad = self.tokenizer.pad_token_id or 0
        padded = [[pad] * (width - len(row.prompt_ids)) + row.prompt_ids for row in rows]
        mask = [[0] * (width - len(row.prompt_ids)) + [1] * len(row.prompt_ids) for row in rows]
        self.model.generate(
            torch.tensor(padded, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            generation_config=GenerationConfig(
                do_sample=False,  # Draw has drawn: what it leaves has one choice
                max_new_tokens=max(row.request.sampling.max_tokens for row in rows),
                pad_token_id=pad,
            ),
            logits_processor=[Draw(rows, self.model.device)],
            stopping_criteria=[Ends(rows, ended, step)],
        )


def load_model(name: str, settings: Settings, shared: Mapping[str, Any]) -> Any:
    """The model on its device, ready to answer."""
    arguments = {"dtype": settings.dtype, **shared, **settings.from_pretrained}
    model = AutoModelForCausalLM.from_pretrained(name, **arguments).eval()
    return model if "device_map" in arguments else model.to(settings.device or best_device())


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def positions(config: Any) -> int:
    """How many tokens the model was built for, prompt and answer together."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(limit, int):
        raise ConfigurationError("the model's config names no length limit: set engine.max_model_len")
    return limit


def end_tokens(config: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's own and those that the repository lists."""
    listed = config.eos_token_id if config is not None else None
    ids = listed if isinstance(listed, list) else [listed]
    return frozenset(token for token in (*ids, tokenizer.eos_token_id) if token is not None)
