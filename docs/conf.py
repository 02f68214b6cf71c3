"""Settings of the site that `sphinx-build -c docs . site` makes of README, docs/ and others."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

project = "gan-train"
root_doc = "README"
include_patterns = ["*.md", "docs/**.md"]
extensions = ["myst_parser"]
myst_heading_anchors = 3  # as on GitHub
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
html_theme = "furo"  # fonts of the system: nothing is loaded from elsewhere
html_title = project
html_show_sphinx = html_show_copyright = html_copy_source = html_use_index = False

# The navigation: captions, and the pages below each. Of a README, its folder's pages are below it.
NAVIGATION = {
    "First steps": ["docs/learning"],
    "Guides": ["docs/data", "docs/extending", "docs/sweeps", "docs/tuning", "docs/distributed"],
    "Models": ["docs/models/README"],
    "Theory": ["docs/theory"],
    "After training": ["docs/after-training", "docs/evaluation", "docs/comparing", "docs/python"],
    "Reference": ["docs/reference/README"],
    "Reliability": ["docs/reliability", "docs/security", "docs/runs", "docs/performance"],
    "Results": ["docs/reproducing", "docs/published"],
    "Contributing": ["CONTRIBUTING", "CHANGELOG"],
}
FIRST = ["commands", "settings", "model", "data", "experiment"]  # of the reference


def add_navigation(app: Any, page: str, source: list[str]) -> None:
    """Append a list of pages, which only the side bar shows, to each README."""
    lines: list[str] = []
    if page == root_doc:
        for caption, pages in NAVIGATION.items():
            lines += ["```{toctree}", ":hidden:", f":caption: {caption}", *pages, "```"]
    elif page.endswith("/README"):
        first = FIRST if page == "docs/reference/README" else []
        lines = ["```{toctree}", ":hidden:", ":glob:", *first, "*", "```"]
    source[0] += "\n".join(["", *lines, ""])


def add_index(app: Any, error: Exception | None) -> None:
    """Let the site begin at index.html."""
    if error is None:
        shutil.copyfile(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", add_index)
