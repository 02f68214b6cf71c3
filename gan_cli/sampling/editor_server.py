"""A web server for the editor's page: on this machine alone, with a secret in its address.

Other pages in the same browser must not reach it: a random token is part of each address, the Host
must be this machine's (DNS rebinding), the Origin the page's own, and a request is JSON, which no
foreign form can send.
"""

from __future__ import annotations

import json
import logging
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from gan_cli import pages
from gan_cli.errors import UserError
from gan_cli.exits import one_line
from gan_cli.sampling.editor import Editor

log = logging.getLogger(__name__)
ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
LARGEST = 8 << 20  # bytes of a request
PATIENCE = 30  # seconds for a client to send what it announced
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class EditorServer(ThreadingHTTPServer):
    """Serves one editor.

    Args:
        editor: that answers.
        title: of the page.
        about: a line about the run.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, editor: Editor, title: str, about: str, port: int = 0) -> None:
        self.editor = editor
        self.token = secrets.token_urlsafe(24)
        self.lock = Lock()  # one request computes at a time
        self.page = pages.render(
            "editor",
            title,
            also="editor",
            connects=True,
            about=about,
            setup=json.dumps(editor.setup()),
        ).encode()
        super().__init__((ADDRESS, port), Handler)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{ADDRESS}:{self.server_address[1]}/{self.token}/"


class RefusedError(Exception):
    """A request that is not answered."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: EditorServer  # type: ignore[assignment] - the one that made it
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gan-edit", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Send the page."""
        try:
            if self._action():
                raise RefusedError(HTTPStatus.NOT_FOUND, "no such page")
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
        except RefusedError as refused:
            self._refuse(refused)

    def do_POST(self) -> None:
        """Send the answer to a request of the page."""
        try:
            action = self._action()
            if action not in self.server.editor.actions:
                raise RefusedError(HTTPStatus.NOT_FOUND, "no such action")
            if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
                raise RefusedError(HTTPStatus.FORBIDDEN, "foreign origin")
            body = self._body()
            self._send_json(HTTPStatus.OK, self._answer(action, body))
        except RefusedError as refused:
            self._refuse(refused)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep the terminal free of a line for each request."""
        log.debug(format, *args)

    def _action(self) -> str:
        """The last part of the address, if the request may come from the page."""
        host = self.headers.get("Host", "")
        if _hostname(f"//{host}") not in HOSTS:
            raise RefusedError(HTTPStatus.FORBIDDEN, "foreign host")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "foreign origin")
        _, token, action = [*self.path.split("/", 2), "", ""][:3]
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "wrong token")
        return action

    def _body(self) -> bytes:
        if self.headers.get_content_type() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "application/json is required")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is required")
        if len(length) > 9 or int(length) > LARGEST:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {LARGEST} bytes")
        return self.rfile.read(int(length))

    def _answer(self, action: str, body: bytes) -> dict[str, Any]:
        try:
            with self.server.lock:
                return self.server.editor.answer(action, body)
        except UserError as error:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(error)) from error
        except Exception as error:  # such as a GPU without memory; the page says it and goes on
            log.debug("unexpected", exc_info=True)
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, one_line(error)) from error

    def _refuse(self, refused: RefusedError) -> None:
        self.close_connection = True  # what it may still send is not read
        self._send_json(refused.status, {"error": str(refused)})

    def _send_json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in {**HEADERS, "Content-Type": kind}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:  # the page was closed
            self.close_connection = True


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
