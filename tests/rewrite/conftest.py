"""A chat server per test, and pairs."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pairaug.pair import Branch, Pair, Report
from pairaug.rewrite import Rewrite, RewriteSettings, openai_backend
from pairaug.stage import RunContext
from support.chat import ChatServer, Reply, completion


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    state = ChatServer(lambda request, number: Reply("No answer was set."))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._write(state.listed or Reply(status=501, body=b""))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(length))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._write(state.reply_to(request, self.path, headers))

        def _write(self, reply: Reply) -> None:
            body = completion(reply.text) if reply.body is None else reply.body
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.cuts_off:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
                return
            if reply.drips:
                with contextlib.suppress(OSError):  # the client has closed the connection
                    for index in range(len(body)):
                        self.wfile.write(body[index : index + 1])
                        time.sleep(0.05)
                self.close_connection = True
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing, so that the test's output stays readable."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def real_pair(text: str, name: str = "a", **changes: Any) -> Pair:
    """A real pair of the data set "set" whose findings section is `text`."""
    return Pair(
        id=f"set/{name}",
        branch=Branch.REAL,
        patient_id=f"patient-{name}",
        report=Report(findings=text),
        **changes,
    )


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between retries are a hundredth of the real ones."""
    monkeypatch.setattr(openai_backend, "_FIRST_WAIT_SECONDS", 0.005)


@pytest.fixture
def rewrite(
    chat_server: ChatServer, tmp_path: Path, quick_retries: None
) -> Callable[..., list[Pair]]:
    """The children of pairs, rewritten by the test server; keyword arguments are settings."""

    def rewritten(
        pairs: list[Pair],
        seed: int = 0,
        folder: Path | None = None,
        report_status: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> list[Pair]:
        values = {
            "backend": "openai",
            "model": "some-model",
            "base_url": chat_server.url,
            "cache": tmp_path / "answers.sqlite",
            **settings,
        }
        context = RunContext(seed=seed, folder=folder, report_status=report_status)
        stage = Rewrite(RewriteSettings.model_validate(values), context)
        stage.fit(pairs)
        return [pair for pair in stage(pairs) if pair.parent_id]

    return rewritten


@pytest.fixture
def make_pair() -> Callable[..., Pair]:
    return real_pair
