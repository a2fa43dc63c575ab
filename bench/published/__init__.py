"""What the papers published: profiles, traces and results, read from the shared data folder beside the checkout into the planner's terms."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
"""<checkout>/../shared/data. A clone elsewhere does not have it."""


def data_file(*parts: str) -> Path:
    """A file of the shared data. FileNotFoundError names it and where it was looked for."""
    path = DATA.joinpath(*parts)
    if not path.is_file():
        raise FileNotFoundError(f"needs ../shared/data: there is no {'/'.join(parts)} in {DATA}")
    return path
