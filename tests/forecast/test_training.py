"""Training in torch, what is stored of it, and who must not import torch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from autoscaler.forecast import cli, store
from autoscaler.forecast.examples import Load
from autoscaler.forecast.forecaster import QUANTILES
from autoscaler.forecast.generated import generated
from autoscaler.forecast.trained import SCORES, arrays, restored, settings
from autoscaler.forecast.training import Effort, Slices, split, train
from operators.repository import RepositoryError
from tests.forecast.builders import poisson, trained

SMALL = Effort(100, 800, 800, 2, 60)


@pytest.fixture(scope="module")
def learned():
    random = np.random.default_rng(1)
    slices = Slices(generated(3, random), generated(1, random))
    said = []
    return train(slices, 10.0, 1, SMALL, say=said.append), slices, said


def test_the_same_loads_and_seed_give_the_same_weights(learned):
    found, slices, _ = learned
    again = train(slices, 10.0, 1, SMALL)
    assert {name: values.tobytes() for name, values in arrays(again).items()} == {name: values.tobytes() for name, values in arrays(found).items()}
    assert settings(again) == settings(found)


def test_training_says_how_it_goes(learned):
    assert [line for line in learned[2] if line.startswith("exceeded, epoch 2 of 2: loss 0.")]
    assert learned[2][0].startswith("Holt-Winters")


def test_every_forecaster_learns_its_misses(learned):
    for scores in learned[0].scores.values():
        assert {quantile: each.shape for quantile, each in scores.items()} == dict.fromkeys(QUANTILES, (SCORES,))
        assert all((np.diff(each) >= 0).all() for each in scores.values())


def test_what_is_trained_forecasts_from_the_first_second(learned):
    load = poisson(80, 300)
    for forecaster in learned[0].forecasters().values():
        assert 60 < forecaster.forecast(300.0, load).at(0.5) < 160


def test_longer_training_is_better_than_a_glance(learned):
    """On a load that the epochs saw: the loss that is said falls."""
    said = []
    train(learned[1], 10.0, 1, replace(SMALL, network=3000, epochs=6), say=said.append)
    losses = [float(line.rsplit(" ", 1)[1]) for line in said if line.startswith("exceeded")]
    assert losses[-1] < losses[0]


def test_the_last_seventh_chooses():
    slices = split(Load(np.arange(1400.0), 50.0))
    assert (slices.training[0].counts[-1], slices.choosing[0].counts[0], slices.choosing[0].start_s) == (1199, 1200, 1250)


def test_stored_and_read_again_it_says_the_same(tmp_path):
    load, before = poisson(50, 700), trained()
    place = store.save(tmp_path, before, {"seed": 3})
    assert sum(file.stat().st_size for file in place.iterdir()) < 50_000
    after = store.load(tmp_path, 10.0)
    for name, forecaster in after.forecasters().items():
        expected = before.forecasters()[name].forecast(700.0, load).quantiles
        assert list(forecaster.forecast(700.0, load).quantiles.values()) == pytest.approx(list(expected.values()), rel=1e-4)
    assert after.chooser().horizon_s == 10.0


def test_the_next_one_is_another_version_and_a_changed_file_is_refused(tmp_path):
    assert [store.save(tmp_path, trained(), {}).name for _ in range(2)] == ["1", "2"]
    (tmp_path / "forecast" / "10s" / "2" / store.ARRAYS).write_bytes(b"something else")
    for read in (store.load, store.has):
        with pytest.raises(RepositoryError, match="is not what was stored"):
            read(tmp_path, 10.0)
    with pytest.raises(RepositoryError, match="no stored model forecast/60s"):
        store.load(tmp_path, 60.0)


def test_another_releases_quantiles_are_refused_and_trained_again(tmp_path):
    assert not store.has(tmp_path, 10.0)
    place = store.save(tmp_path, trained(), {})
    assert store.has(tmp_path, 10.0)
    said = {**settings(trained()), "quantiles": [0.5]}
    with pytest.raises(ValueError, match="train again"):
        restored(arrays(trained()), json.loads(json.dumps(said)))
    facts = json.loads((place / "model.json").read_text())
    (place / "model.json").write_text(json.dumps({**facts, "settings": said}))
    assert not store.has(tmp_path, 10.0)


def test_the_command_trains_on_a_trace(tmp_path):
    trace = tmp_path / "load.csv"
    trace.write_text("second,events\n" + "".join(f"{second},{count:g}\n" for second, count in enumerate(poisson(20, 4500))))
    done = CliRunner().invoke(cli.app, ["train", "--trace", str(trace), "--out", str(tmp_path), "--horizon", "20"])
    assert done.exit_code == 0, done.output
    assert store.load(tmp_path, 20.0).lstm.shape.horizon_s == 20.0
    facts = json.loads((tmp_path / "forecast" / "20s" / "1" / "model.json").read_text())
    assert (facts["trained_on"], facts["seed"]) == ("load.csv", 1)


def test_what_is_there_is_kept(tmp_path):
    store.save(tmp_path, trained(), {})
    done = CliRunner().invoke(cli.app, ["train", "--out", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, "forecasters for 10 s: there\n")


def test_a_wrong_trace_says_where_and_what(tmp_path):
    trace = tmp_path / "load.csv"
    trace.write_text("events\n5\nmany\n")
    done = CliRunner().invoke(cli.app, ["train", "--trace", str(trace), "--out", str(tmp_path)])
    assert (done.exit_code, "load.csv:3: 'many' is not a number" in done.output) == (1, True)


def test_the_loop_does_not_import_torch():
    modules = ("autoscaler.cli", "autoscaler.loop", "autoscaler.sidecar", "autoscaler.forecast.store", "autoscaler.forecast.chooser", "autoscaler.forecast.cli",
               "simulator.simulation")
    program = f"import sys\nfor name in {modules}:\n    __import__(name)\nassert 'torch' not in sys.modules\nprint('without')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "without\n"), done.stderr
