from bench.repro import runs
from bench.repro.runs import Found
from bench.repro.study import Study


def found_of(study: Study, seeds: int = 1) -> Found:
    """What comes of a study by itself, in this process."""
    ((_, found),) = runs.run([study], seeds, 1, 1, lambda study, done, of: None, processes=1)
    return found
