"""Messages, help texts and the comments of conf/ use the field's words, and none of our own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from documented import PROJECT

SOURCES = sorted(PROJECT.glob("gan_cli/**/*.py"))
INSTEAD = {
    r"figures?(?! \d)": "metric, value",  # but figure 4 of a paper
    r"floors?": "real-vs-real baseline",
    r"films?": "animation",
    r"push(es|ed)?": "gradient",
    r"the game": "the losses, adversarial training",
    r"go(es)? on": "resume, continue",
    r"judges?|judged": "evaluate; discriminator",
    r"anew": "again",
    r"nobody": "no one, not interactive",
    r"in vain": "without success",
    r"asked for": "given, named, requested",
}
OURS = re.compile(rf"(?<![\w.])({'|'.join(INSTEAD)})(?![\w.=])", re.IGNORECASE)


def sentences(source: Path) -> Iterator[str]:
    """The texts of three or more words that a module can show: no docstrings, and no keys."""
    tree = ast.parse(source.read_text("utf-8"))
    hidden: set[ast.AST | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            hidden.add(node.value)
        elif isinstance(node, ast.Assert):
            hidden.add(node.msg)
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and node not in hidden else None
        if isinstance(text, str) and len(re.findall(r"[A-Za-z]{2,}", text)) >= 3:
            yield text


def comments(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.yaml")):
        for line in file.read_text("utf-8").splitlines():
            yield line.partition("# ")[2]


def test_what_programs_show() -> None:
    found = [(str(path), text) for path in SOURCES for text in sentences(path)]
    assert len(found) > 1000
    assert not [one for one in found if OURS.search(one[1])]


def test_what_comments_of_conf_say() -> None:
    assert not [text for text in comments(PROJECT / "conf") if OURS.search(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no such figure", True),
        ("see figure 4 of the paper", False),
        ("the floor of the metric", True),
        ("model.floor = 3: must be positive", False),
        ("film=true draws it", False),
        ("a prefigured value", False),
        ("Films are made", True),
    ],
)
def test_a_word_of_ours_is_found(text: str, found: bool) -> None:
    assert bool(OURS.search(text)) == found
