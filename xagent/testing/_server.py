"""A server of the Chat Completions interface that answers by a script, over real HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]
MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What the server answers to one request.

    text and tool_calls make the message; body replaces the whole of it. hang: seconds before the first byte. drip:
    seconds between bytes.
    """

    text: str | None = None
    tool_calls: tuple[Json, ...] = ()
    finish: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hang: float = 0.0
    drip: float = 0.0


Script = Callable[[Json, int], Reply]
"""The body of a request and how many came before it, to the reply."""


class ScriptedServer:
    """Use it as a context: `with ScriptedServer("good") as server: settings(base_url=server.base_url)`.

    script: the name of a scenario in `SCENARIOS`, or a function of the request and of the number of requests before it.
    requests: bodies received, in order. headers: those of the same requests.
    """

    model = "scripted"

    def __init__(self, script: str | Script = "good") -> None:
        from xagent.testing._scenarios import SCENARIOS

        self._script: Script = SCENARIOS[script] if isinstance(script, str) else script
        self.requests: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802 - the name that the standard library calls
                owner._answer(self)

            def do_GET(self) -> None:  # noqa: N802
                models = {"object": "list", "data": [{"id": owner.model, "object": "model"}]}
                _send(self, 200, json.dumps(models).encode(), {})

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def base_url(self) -> str:
        """Address for `[llm] base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        if not 0 < length <= MAX_BYTES or not handler.path.endswith("/chat/completions"):
            _send(handler, 404, b'{"error": {"message": "not found"}}', {})
            return
        body = json.loads(handler.rfile.read(length))
        with self._lock:
            number = len(self.requests)
            self.requests.append(body)
            self.headers.append({key.lower(): value for key, value in handler.headers.items()})
        reply = self._script(body, number)
        if reply.hang and self._closing.wait(reply.hang):
            handler.close_connection = True
            return
        content = reply.body if reply.body is not None else self._completion(reply, number)
        try:
            _send(handler, reply.status, content, reply.headers, drip=reply.drip, closing=self._closing)
        except OSError:  # whoever asked has left
            handler.close_connection = True

    def _completion(self, reply: Reply, number: int) -> bytes:
        if reply.status != 200:
            return json.dumps({"error": {"message": reply.text or "refused", "type": "scripted"}}).encode()
        message: Json = {"role": "assistant", "content": reply.text}
        if reply.tool_calls:
            message["tool_calls"] = list(reply.tool_calls)
        return json.dumps(
            {
                "id": f"chatcmpl-{number}",
                "object": "chat.completion",
                "created": 0,
                "model": self.model,
                "system_fingerprint": "fp_scripted",
                "choices": [{"index": 0, "finish_reason": reply.finish, "message": message}],
                "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            }
        ).encode()


def _send(
    handler: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    headers: Mapping[str, str],
    *,
    drip: float = 0.0,
    closing: threading.Event | None = None,
) -> None:
    handler.send_response(status)
    for key, value in {"content-type": "application/json", **headers}.items():
        handler.send_header(key, value)
    handler.send_header("content-length", str(len(content)))
    handler.end_headers()
    if not drip or closing is None:
        handler.wfile.write(content)
        return
    for place in range(len(content)):
        handler.wfile.write(content[place : place + 1])
        handler.wfile.flush()
        if closing.wait(drip):
            return
