"""A page in a real browser: what a script of ours sees there, and what went wrong."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here (apt-get install chromium)")
# Runs before the page: faults, and breaches of the page's policy.
CATCH = """window.faults = [];
addEventListener("error", e => faults.push(String(e.message || e.target.src)), true);
addEventListener("securitypolicyviolation", e => faults.push(e.violatedDirective));
console.error = console.warn = (...words) => faults.push(words.join(" "));
"""
# Runs behind the page's own script and writes what it saw into the page.
LOOK = """addEventListener("load", () => {
const seen = {};
%s
seen.faults = window.faults;
const told = document.createElement("pre");
told.id = "seen";
told.textContent = JSON.stringify(seen);
document.body.append(told);
});"""


def visit(
    page: Path, probe: str, folder: Path, *, dark: bool = False, width: int = 1200
) -> dict[str, Any]:
    """What `probe`, a script that fills `seen`, sees of a page; `folder` is for what is written.

    The copy of the page that is opened has its policy, which admits these scripts in addition.
    """
    text = page.read_text(encoding="utf-8")
    look = LOOK % probe
    words = " ".join(f"'sha256-{_digest(script)}'" for script in (CATCH, look))
    text, found = re.subn(r"script-src (&#39;none&#39;)?", f"script-src {words} ", text, count=1)
    assert found, "the page has no policy"
    text = text.replace("<style>", f"<script>{CATCH}</script><style>", 1)
    probed = folder / "probed.html"
    probed.write_text(text.replace("</body>", f"<script>{look}</script></body>"), "utf-8")
    assert BROWSER
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    command += ["--virtual-time-budget=2000", "--enable-logging=stderr", "--log-level=0"]
    if dark:
        command.append("--blink-settings=preferredColorScheme=0")
    done = subprocess.run([*command, probed.as_uri()], capture_output=True, text=True, timeout=120)
    told = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    return json.loads(html.unescape(told[1]))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
