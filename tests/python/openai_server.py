"""A small server that speaks the OpenAI protocol's chat completions, for tests: it answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = dict[str, str]
Answer = Callable[[dict[str, Any]], tuple[int, Any, Headers]]
"""Body of the request -> status, body (an object, or bytes as they are), headers."""


@dataclass
class Server:
    url: str
    answer: Answer
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    served = Server("", answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.requests.append(body)
            served.headers.append(dict(self.headers))
            served.paths.append(self.path)
            status, content, headers = served.answer(body)
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            with suppress(BrokenPipeError):  # whoever asked has given up
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(text: str, top: dict[str, float] | None = None, **choice: Any) -> dict[str, Any]:
    """An answer of one choice; ``top`` are log-probabilities of its first token."""
    logprobs = None
    if top is not None:
        likeliest = [{"token": token, "logprob": value} for token, value in top.items()]
        logprobs = {"content": [likeliest[0] | {"top_logprobs": likeliest}]}
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": logprobs} | choice],
        "usage": {"prompt_tokens": 100, "completion_tokens": 2},
    }
