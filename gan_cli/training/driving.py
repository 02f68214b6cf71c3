"""A run as a course of steps, so that one process can make those of several runs at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")
Course = Generator[bool, None, Result]  # yields whether to measure the step that is wanted


def drive(course: Course[Result], advance: Callable[[bool], None]) -> Result:
    """Make the steps that a course wants, until it ends; what goes wrong is told to it."""
    try:
        measure = next(course)
        while True:
            try:
                advance(measure)
            except BaseException as error:
                measure = course.throw(error)
            else:
                measure = next(course)
    except StopIteration as end:
        return end.value
