"""The commands in the code blocks of README, CONTRIBUTING and docs/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
PAGES = [README, *PROJECT.glob("CONTRIBUTING.md"), *sorted(PROJECT.glob("docs/*.md"))]
FENCE = re.compile(r"^```(\w*)$")
SHELLS = ("", "sh", "bash", "console")


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command of ours, of Python or of torchrun, in the order of the page."""
    text = "\n".join(lines(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    for line in text.splitlines():
        for words in parts(line):
            if words[:1] == ["srun"]:
                words.pop(0)
            if words and (words[0].startswith("gan-") or words[0] in ("python", "torchrun")):
                yield words


def mentions(page: Path) -> Iterator[list[str]]:
    """The words of each whole command between backticks in a page's sentences."""
    text = re.sub(r"^```.*?^```|^    .*?$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for said in re.findall(r"`((?:gan-[a-z]+|python|torchrun) [^`]+)`", text):
        yield from parts(" ".join(said.split()))


def examples(text: str) -> Iterator[list[str]]:
    """The words of each command that a help text shows, two spaces before what it does."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("  gan-"):
            yield from parts(line.strip().partition("  ")[0])


def lines(text: str) -> Iterator[str]:
    """The lines of the code blocks, indented or fenced, that a shell could read."""
    fence: str | None = None
    for line in text.splitlines():
        if match := FENCE.match(line):
            fence = match[1] if fence is None else None
        elif fence is not None:
            if fence in SHELLS:
                yield line
        elif line.startswith("    "):
            yield line.strip()


def parts(line: str) -> Iterator[list[str]]:
    """The commands of a line, between && and ;, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set(";&|"):
                yield words
                words = []
            else:
                words.append(word)
    except ValueError:  # prose or output with an apostrophe
        return
    yield words


def readme_files() -> dict[str, str]:
    """The files of the README's own GAN, and of docs/extending.md, by name."""
    pages = (README, PROJECT / "docs/extending.md")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    return dict(re.findall(r"`([\w./]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL))
