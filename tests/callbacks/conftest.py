"""What the tests of callbacks share: a real TensorBoard, a root logger left as it was."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

OPEN = build_opener(ProxyHandler({})).open  # loopback, whatever proxy the environment names
PATIENCE = 60.0  # seconds; a start takes two to three


class Server:
    """A running TensorBoard."""

    def __init__(self, address: str) -> None:
        self.address = address

    def bytes(self, path: str, **query: str | int) -> bytes:
        """The answer to GET /data/<path>."""
        with OPEN(f"{self.address}/data/{path}?{urlencode(query)}", timeout=PATIENCE) as answer:
            return answer.read()

    def get(self, path: str, **query: str | int) -> Any:
        """The same, read as JSON; bare NaN in it, which browsers refuse, is an error."""
        return json.loads(self.bytes(path, **query), parse_constant=_refuse)

    def post(self, path: str, body: object) -> Any:
        """The answer to POST /data/<path>, read as JSON."""
        head = {"Content-Type": "application/json"}
        request = Request(f"{self.address}/data/{path}", json.dumps(body).encode(), head)
        with OPEN(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def curve(self, run: str, tag: str) -> list[tuple[int, float]]:
        """(step, value) of a scalar in the order shown."""
        points = self.get("plugin/scalars/scalars", run=run, tag=tag)
        return [(step, value) for _, step, value in points]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


@contextmanager
def _serving(folder: Path, ready: Callable[[Server], bool], fast: bool = False) -> Iterator[Server]:
    """TensorBoard on `folder`, once it has loaded enough to be `ready`."""
    options = ["--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    options += [f"--load_fast={'true' if fast else 'false'}", "--reload_interval", "1"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tensorboard.main", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("".join(said))
        server, deadline = Server(address.group()), time.monotonic() + PATIENCE
        while not ready(server):
            assert time.monotonic() < deadline, "TensorBoard has not loaded the logs"
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="session")
def serving() -> Any:
    """`serving(folder, ready, fast=False)`: a context in which TensorBoard shows a folder."""
    return _serving


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The root logger as it was: `setup_logging` changes it for the whole process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
