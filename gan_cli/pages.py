"""Pages of HTML in one file: templates that escape every text, and a policy for the browser."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:"


def render(
    name: str, title: str, *, also: str = "", connects: bool = False, **values: object
) -> str:
    """The page of the template `<name>.html`, with page.css and page.js.

    Its policy lets the browser run and apply these two alone, known by their hashes, and load
    nothing. What UTF-8 cannot hold (lone surrogates of file names) becomes a question mark.

    Args:
        name: of the template.
        title: of the page.
        also: `<also>.css` and `<also>.js` come behind.
        connects: whether its script may send requests to the server that it came from.
        values: of the template.
    """
    style, script = (
        "".join(_asset(f"{part}.{kind}") for part in ("page", also) if part)
        for kind in ("css", "js")
    )
    policy = f"{POLICY}; style-src {_source(style)}; script-src {_source(script)}"
    policy += "; connect-src 'self'" if connects else ""
    page = _templates().get_template(f"{name}.html")
    text = page.render(title=title, style=style, script=script, policy=policy, **values)
    return text.encode(errors="replace").decode()


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """The policy's words for a style or script that is in the page itself."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
