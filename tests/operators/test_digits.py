import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.graph.reader import read_pipeline
from operators.datasets import digits
from operators.digits import Classifier, encoded
from operators.operator import RowError, Variant
from tests.operators.test_scenes import PIPELINES

SPECS = {spec.name: spec for spec in read_pipeline(PIPELINES / "digits.yaml").stage("classify").variants}


@pytest.fixture(scope="module")
def held_out():
    return digits()[1]


@pytest.mark.parametrize("name", list(SPECS))
def test_a_variant_is_as_accurate_as_the_pipeline_file_says(classifier, held_out, name):
    answers = classifier(name).infer([held_out.row(index) for index in range(len(held_out))])
    labels = np.array([json.loads(answer)["label"] for answer in answers])
    assert (labels == held_out.labels).mean() == pytest.approx(SPECS[name].accuracy, abs=0.01)


def test_dearer_variants_are_more_accurate():
    accuracies = [spec.accuracy for spec in SPECS.values()]
    assert accuracies == sorted(set(accuracies))
    assert accuracies[-1] - accuracies[0] > 0.05


def test_an_answer_is_compact_json_with_label_and_confidence(classifier, held_out):
    (answer,) = classifier("cnn").infer([held_out.row(0)])
    fields = json.loads(answer)
    assert answer == b'{"label":%d,"confidence":%.4f}' % (fields["label"], fields["confidence"])
    assert fields["label"] == held_out.labels[0]
    assert 0.1 <= fields["confidence"] <= 1  # at least that of ten equal ones


@given(st.integers(0, 9), st.floats(0, 1, width=32))
def test_an_answer_that_was_written_before_says_the_same(label, confidence):
    said = [encoded(np.array([label]), np.array([confidence], np.float32)) for _ in range(2)]
    assert said == [[b'{"label":%d,"confidence":%.4f}' % (label, confidence)]] * 2


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_a_network_whose_weights_are_broken_answers_nothing():
    with pytest.raises(ValueError, match="its weights are broken"):
        encoded(np.array([3, 3]), np.array([0.5, np.nan], np.float32))


@pytest.mark.parametrize("name", list(SPECS))
def test_a_batch_gives_what_its_rows_give_one_by_one(classifier, held_out, name):
    network = classifier(name)
    rows = [held_out.row(index) for index in range(40)]
    single = [json.loads(network.infer([row])[0]) for row in rows]
    for batched, alone in zip(map(json.loads, network.infer(rows)), single, strict=True):
        assert batched["label"] == alone["label"]
        assert batched["confidence"] == pytest.approx(alone["confidence"], abs=2e-4)


def test_rows_that_are_no_image_fail_alone(classifier, held_out):
    network = classifier("linear")
    good = held_out.row(0)
    answers = network.infer([good, b"", good[:-1], b"\x11" + good[1:], good])
    assert answers[1] == RowError("bad-input", "the image has 0 bytes; use 64")
    assert answers[2] == RowError("bad-input", "the image has 63 bytes; use 64")
    assert answers[3] == RowError("bad-input", "a pixel is 17; use 0 to 16")
    assert answers[0] == answers[4] == network.infer([good])[0]


def test_no_rows_and_no_good_rows_need_no_network(classifier):
    network = classifier("linear")
    assert list(network.infer([])) == []
    assert [answer.reason for answer in network.infer([b"", b"x"])] == ["bad-input", "bad-input"]


def test_resize_sets_the_threads(classifier):
    network = classifier("linear", cores=1)
    network.resize(2)
    assert (network.cores, torch.get_num_threads()) == (2, 2)
    network.resize(1)
    assert torch.get_num_threads() == 1


def test_an_unknown_network_and_a_missing_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no network 'huge'; use one of linear, mlp, cnn, ensemble"):
        Classifier(Variant("v", 0.9, {"network": "huge"}, "1", tmp_path), 1)
    with pytest.raises(ValueError, match="variant cnn has no stored model; train it first"):
        Classifier(Variant("cnn", 0.9), 1)
