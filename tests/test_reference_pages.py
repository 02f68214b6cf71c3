"""The pages of docs/reference/ are what their command writes, and show code as code."""

from __future__ import annotations

import pytest

from docs.reference.__main__ import HERE, md, pages

PAGES = pages()


@pytest.mark.parametrize("name", sorted({*PAGES, *(page.name for page in HERE.glob("*.md"))}))
def test_a_page_is_what_the_command_writes(name: str) -> None:
    page = HERE / name
    assert page.is_file(), "run python -m docs.reference"
    assert page.read_text("utf-8") == PAGES.get(name), "run python -m docs.reference"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("|z - E(G(z))|^2", r"\|z - E(G(z))\|^2"),
        ("weight * max(0, a) * b", r"weight \* max(0, a) \* b"),
        ("of p_c and _self_", r"of p_c and \_self\_"),
        ("`last` is kept", "`last` is kept"),
        ("needs penalty=weight_clip, or", "needs `penalty=weight_clip`, or"),
        ("see docs/evaluation.md", "see [docs/evaluation.md](../evaluation.md)"),
        ("gan-eval RUN --metrics list", "`gan-eval RUN --metrics` list"),
        ("<model>-<data>", "&lt;model>-&lt;data>"),
        ("code1=X, code2=Y ...", "`code1=X`, `code2=Y` ..."),
    ],
)
def test_a_comment_as_markdown(text: str, shown: str) -> None:
    assert md(text) == shown
