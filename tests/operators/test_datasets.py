import numpy as np

from operators.datasets import DIGIT_BYTES, SCENE_BYTES, Digits, compose_scene, compose_scenes, digits


def bar(level: int) -> np.ndarray:
    """A digit of three full columns."""
    square = np.zeros((8, 8), dtype=np.uint8)
    square[:, 2:5] = level
    return square.reshape(-1)


BARS = Digits(np.stack([bar(16)]), np.array([1], dtype=np.uint8))


def test_the_halves_hold_every_digit_alike_and_no_image_twice():
    train, held_out = digits()
    assert (len(train), len(held_out)) == (898, 899)
    for half in (train, held_out):
        assert half.images.dtype == np.uint8
        assert half.images.max() == 16
        assert np.bincount(half.labels).min() >= 87  # of ten digits, about 90 each
    assert not {train.row(i) for i in range(len(train))} & {held_out.row(i) for i in range(len(held_out))}


def test_the_split_is_the_same_for_the_same_seed():
    assert np.array_equal(digits(3)[1].images, digits(3)[1].images)
    assert not np.array_equal(digits(3)[1].images, digits(4)[1].images)


def test_a_row_is_the_image_as_bytes():
    train, _ = digits()
    assert len(train.row(0)) == DIGIT_BYTES
    assert np.array_equal(np.frombuffer(train.row(0), dtype=np.uint8), train.images[0])


def test_scenes_hold_none_to_five_digits_and_repeat_by_seed():
    _, held_out = digits()
    scenes = compose_scenes(1, held_out, 100)
    assert {len(scene.number) for scene in scenes} == {0, 1, 2, 3, 4, 5}
    assert all(len(scene.row()) == SCENE_BYTES for scene in scenes)
    assert [scene.row() for scene in compose_scenes(1, held_out, 100)] == [scene.row() for scene in scenes]


def test_digits_of_a_scene_do_not_overlap():
    for seed in range(50):
        scene = compose_scene(np.random.default_rng(seed), BARS, count=5)
        assert scene.number == "11111"
        assert (scene.image > 128).sum() == 5 * 3 * 8 * 4  # five bars of 3 x 8 pixels, each enlarged to 2 x 2
