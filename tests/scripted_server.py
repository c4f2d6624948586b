"""A server of our own that speaks OpenAI's API as badly as it is told to; it measures nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]

WORDS = ["one ", "two ", "three"]
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


class Handler(BaseHTTPRequestHandler):
    """Answers GET /models with `model`, and each POST with the script's next behaviour, else properly."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.on_models(self)

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        seen = Seen(self.path, dict(self.headers), json.loads(self.rfile.read(length)))
        self.server.next_behaviour(seen)(self)

    def json(self, status: int, body: Any, **headers: str) -> None:
        self.whole(status, json.dumps(body).encode(), "application/json", **headers)

    def whole(self, status: int, body: bytes, content_type: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def event(self, data: Any) -> None:
        """One event of the stream; texts go out as they are, everything else as JSON."""
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        self.part(f"data: {text}\n\n".encode())

    def part(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def end_stream(self) -> None:
        self.part(b"")

    def hang_up(self) -> None:
        """End the connection as a crash does, in the middle of whatever was being said."""
        self.close_connection = True
        self.connection.shutdown(2)

    def log_message(self, *args: object) -> None:
        """Nothing to standard error."""


class Seen:
    """A request as the server saw it."""

    def __init__(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        self.path, self.body = path, body
        self.headers = {name.lower(): value for name, value in headers.items()}


class ScriptedServer(ThreadingHTTPServer):
    """`script` holds what the next POSTs are to meet; `seen` what they were. `released` ends all waits."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = "served"
        self.on_models: Behaviour = lambda handler: handler.json(200, {"data": [{"id": self.model}]})
        self.script: list[Behaviour] = []
        self.otherwise: Behaviour = proper
        self.seen: list[Seen] = []
        self.released = threading.Event()
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def next_behaviour(self, seen: Seen) -> Behaviour:
        with self._lock:
            self.seen.append(seen)
            return self.script.pop(0) if self.script else self.otherwise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


@contextmanager
def running() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def chat(handler: Handler) -> bool:
    return handler.path.endswith("/chat/completions")


def piece(handler: Handler, text: str, finish_reason: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"delta": {"content": text}} if chat(handler) else {"text": text}
    return {"choices": [{"index": 0, "finish_reason": finish_reason, **content}]}


def stream(*, words: list[str] = WORDS, usage: Any = USAGE, finish: str | None = "stop") -> Behaviour:
    """A stream of words; `usage` None leaves it out."""

    def behave(handler: Handler) -> None:
        handler.start_stream()
        if chat(handler):
            handler.event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
        for word in words:
            handler.event(piece(handler, word))
        if finish:
            handler.event(piece(handler, "", finish))
        if usage is not None:
            handler.event({"choices": [], "usage": usage})
        handler.event("[DONE]")
        handler.end_stream()

    return behave


proper = stream()


def status(code: int, message: str = "no", **headers: str) -> Behaviour:
    return lambda handler: handler.json(code, {"error": {"message": message}}, **headers)


def drop(handler: Handler) -> None:
    """Hang up without a word."""
    handler.hang_up()


def drop_midway(handler: Handler) -> None:
    handler.start_stream()
    handler.event(piece(handler, WORDS[0]))
    handler.hang_up()


def events(*data: Any) -> Behaviour:
    """A stream of exactly these events."""

    def behave(handler: Handler) -> None:
        handler.start_stream()
        for one in data:
            handler.event(one)
        handler.end_stream()

    return behave


def stall(handler: Handler) -> None:
    """Say a word, then nothing more while the server runs."""
    handler.start_stream()
    handler.event(piece(handler, WORDS[0]))
    handler.server.released.wait()
    handler.hang_up()


def no_stream(handler: Handler) -> None:
    """Ignore that a stream was asked for."""
    handler.json(200, {"choices": [{"text": "all at once", "finish_reason": "stop"}]})
