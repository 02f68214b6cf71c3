"""The editor's server: what it refuses, what it sends."""

from __future__ import annotations

import html
import http.client
import json
import re
import socket
from collections.abc import Iterator
from threading import Thread

import pytest
from test_editor import Bands

from gan_cli.priors import Gaussian
from gan_cli.sampling.editor import Editor
from gan_cli.sampling.editor_server import LARGEST, EditorServer

POINT = json.dumps({"z": [0.0] * 8, "y": None})
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[EditorServer]:
    with EditorServer(Editor(Bands(Gaussian(8)), []), "a <run>", "step 3") as made:
        thread = Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def request(
    server: EditorServer,
    method: str = "POST",
    path: str | None = None,
    body: str | None = POINT,
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer; an underscore in a header's name is a hyphen."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    path = f"/{server.token}/draw" if path is None else path
    given = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body if method == "POST" else None, given)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def refused(answer: tuple[int, dict[str, str], str]) -> tuple[int, str]:
    assert answer[1]["Connection"] == "close"
    return answer[0], json.loads(answer[2])["error"]


def test_it_listens_on_this_machine_alone(server) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_address[1]}/{server.token}/"
    assert len(server.token) == 32
    other = EditorServer(server.editor, "", "")
    other.server_close()
    assert other.token != server.token


def test_the_page_is_sent_whole_and_for_no_frame(server) -> None:
    status, headers, text = request(server, "GET", f"/{server.token}/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "<h1>a &lt;run&gt;</h1>" in text
    (policy,) = re.findall('Content-Security-Policy" content="([^"]*)"', text)
    assert html.unescape(policy).startswith("default-src 'none'")
    assert "connect-src &#39;self&#39;" in policy
    assert "unsafe" not in policy
    assert not re.findall(r"""\s(?:on\w+|style)=["']""", text)
    links = re.findall(r"""\s(?:src|href)=["']([^"']*)""", text)
    assert all(link.startswith("data:") for link in links)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_answers_its_own_page(server, host) -> None:
    address = f"{host}:8123"  # the other end of a tunnel may have another port
    fetched = {"Host": address, "Origin": f"http://{address}", "Sec_Fetch_Site": "same-origin"}
    status, headers, text = request(server, **fetched)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(text)["z"] == [0.0] * 8


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["", "wrong", "%C3%A9"])
def test_a_wrong_token_is_refused(server, method, token) -> None:
    for path in (f"/{token}/draw", f"/{server.token[:-1]}/", "/"):
        assert refused(request(server, method, path)) == (403, "wrong token")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""]
)
def test_a_foreign_host_is_refused(server, method, host) -> None:
    path = f"/{server.token}/" + ("draw" if method == "POST" else "")
    assert refused(request(server, method, path, Host=host)) == (403, "foreign host")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https"])
def test_a_foreign_origin_is_refused(server, method, origin) -> None:
    path = f"/{server.token}/" + ("draw" if method == "POST" else "")
    assert refused(request(server, method, path, Origin=origin)) == (403, "foreign origin")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_a_request_that_the_browser_calls_foreign_is_refused(server, site) -> None:
    assert refused(request(server, Sec_Fetch_Site=site)) == (403, "foreign origin")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Content_Type": "text/plain"}, (415, "application/json is required")),
        ({"Content_Length": str(LARGEST + 1)}, (413, f"more than {LARGEST} bytes")),
        ({"Content_Length": "-1"}, (411, "Content-Length is required")),
        ({"body": "{"}, (400, "draw: : Invalid JSON: EOF while parsing an object")),
        ({"body": '{"z": [1], "y": null}'}, (400, "z: 8 numbers are required, not 1")),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(server, changed, expected) -> None:
    status, error = refused(request(server, **changed))
    assert status == expected[0]
    assert error.startswith(expected[1])


def test_nothing_else_is_there(server) -> None:
    for method, path in (("GET", "x"), ("POST", "setup"), ("POST", ""), ("POST", "draw/x")):
        assert refused(request(server, method, f"/{server.token}/{path}"))[0] == 404
    assert request(server, "PUT")[0] == 501


def test_a_fault_is_told_and_the_server_goes_on(server, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(server.editor, "answer", broken)
    assert refused(request(server)) == (500, "RuntimeError: out of order")
    monkeypatch.undo()
    assert request(server)[0] == 200


def test_a_client_that_leaves_is_no_fault(server, capfd) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_address[1])) as client:
            text = f"POST /{server.token}/draw HTTP/1.1\r\nHost: localhost\r\n"
            client.sendall((text + "Content-Type: application/json\r\n").encode())
    assert request(server)[0] == 200
    assert capfd.readouterr() == ("", "")
