from pathlib import Path

import pytest

from jobs.embedded.run import Ports, RunConfig, machine

HERE = Path(__file__).parent
FREE = Ports(*[0] * len(Ports.__dataclass_fields__))


ONE_MODE = pytest.mark.parametrize("stream", ["echo.yaml"], ids=["at-least-once"], indirect=True)
"""For what has nothing to do with the delivery mode."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the shared machines come last: these run to the end of the session, and would slow down whatever came after."""
    items.sort(key=lambda item: "stream" in getattr(item, "fixturenames", ()))


def started(pipeline: Path, tmp_path_factory, **settings):
    """A machine on free ports, whose directory outlives a failure in pytest's own."""
    return machine(RunConfig(pipeline, ports=FREE, directory=tmp_path_factory.mktemp("machine"), **settings))


def written(tmp_path_factory, name: str, text: str) -> Path:
    """A pipeline file of a test's own."""
    path = tmp_path_factory.mktemp("pipeline") / name
    path.write_text(text)
    return path


@pytest.fixture(scope="session", params=["echo.yaml", "echo-once.yaml"], ids=["at-least-once", "exactly-once"])
def stream(request, tmp_path_factory):
    """A running echo pipeline in either delivery mode, with everything supervised. A test may change the file, and must change it back."""
    with started(written(tmp_path_factory, request.param, (HERE / request.param).read_text()), tmp_path_factory) as running:
        yield running
