"""A web server on this machine that plays the official mirror."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gan_cli.data.published import Remote


class Mirror:
    """Serves `files` (by path) after `failures` answers of status `status`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files: dict[str, bytes] = {}
        self.failures = 0
        self.status = 503
        self.requests: list[str] = []

    def remote(self, name: str, content: bytes) -> Remote:
        """Serve `content` as `name`; how to fetch it."""
        self.files[f"/{name}"] = content
        return self.promised(name, content)

    def promised(self, name: str, content: bytes) -> Remote:
        """How to fetch a file with this content, served or not."""
        sha256 = hashlib.sha256(content).hexdigest()
        return Remote(name, len(content), sha256, (f"{self.address}/{name}",))


@contextmanager
def serving() -> Iterator[Mirror]:
    """A running mirror."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.requests.append(self.path)
            content = mirror.files.get(self.path)
            status = 404 if content is None else 200
            if mirror.failures:
                mirror.failures -= 1
                status, content = mirror.status, b""
            content = content or b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror = Mirror(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
