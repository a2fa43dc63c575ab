"""What is wrong with a pipeline file, with the line and the mend."""

from __future__ import annotations

from collections.abc import Iterable


class PipelineError(ValueError):
    """A pipeline file that cannot be used: the author's fault, never worth a retry.

    Its text is `file:line: what is wrong; the mend`.
    """

    def __init__(self, file: str, line: int, what: str, mend: str) -> None:
        super().__init__(f"{file}:{line}: {what}; {mend}")
        self.file = file
        self.line = line
        self.what = what
        self.mend = mend


class PipelineErrors(PipelineError):
    """All that is wrong with one file, in the order of its lines; the text is one line for each."""

    def __init__(self, errors: Iterable[PipelineError]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: error.line))
        first = self.errors[0]
        super().__init__(first.file, first.line, first.what, first.mend)
        self.args = ("\n".join(str(error) for error in self.errors),)
