"""Pieces of a page: escaped text, sortable tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from gan_cli.evaluation.telling import number


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: what is read; escaped when it is written, unless it is `markup`.
        value: what a column of numbers is sorted by; None for words, NaN for "nothing here".
        style: CSS classes.
        markup: the text is HTML.
    """

    text: str
    value: float | None = None
    style: str = ""
    markup: bool = False

    def __str__(self) -> str:
        style = f"num {self.style}".strip() if self.value is not None else self.style
        sort = ""
        if self.value is not None:
            sort = f' data-value="{self.value if math.isfinite(self.value) else ""}"'
        named = f' class="{style}"' if style else ""
        return f"<td{named}{sort}>{self.text if self.markup else escape(self.text)}</td>"


def amount(value: float | None, text: str | None = None, style: str = "") -> Cell:
    """A cell with a number, or an empty one."""
    if value is None:
        return Cell("", math.nan, style)
    return Cell(number(value) if text is None else text, value, style)


def table(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table whose columns sort."""
    lines = [list(row) for row in rows]
    numeric = [bool(lines) and line.value is not None for line in (lines[0] if lines else [])]
    top = "".join(
        f'<th scope="col"{" class=num" if is_number else ""}>'
        f'<button type="button">{escape(head)}</button></th>'
        for head, is_number in zip(heads, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(str, line))}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def section(title: str, *parts: str) -> str:
    """A part of the page; nothing where all its parts are empty."""
    body = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def paragraph(text: str, style: str = "") -> str:
    """Plain text as a paragraph; nothing where there is none."""
    named = f' class="{style}"' if style else ""
    return f"<p{named}>{escape(text)}</p>" if text else ""


def capital(text: str) -> str:
    """The text as it begins a sentence."""
    return text[:1].upper() + text[1:]
