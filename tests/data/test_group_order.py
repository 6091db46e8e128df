"""Which generated images come with a labelled one: against a slow form with dictionaries, and what never happens."""

import numpy as np
import pytest

from pipeline.config.sections import AugmentedConfig
from pipeline.data.group_order import GroupOrder, GroupsByClass, Places
from pipeline.data.streams import VirtualShards, labelled_order
from pipeline.randomness import BETWEEN, draw_key, uniform

CLASSES, SIZE, SEED = 5, 8, 3
NUM_TRAIN = 200
SPLIT = np.arange(0, NUM_TRAIN, 3)
LABELS = np.arange(len(SPLIT)) * 7 % CLASSES
PAIRS = [(a, b) for a in range(CLASSES) for b in range(a + 1, CLASSES)]
FIRST, SECOND = (np.array([pair[end] for pair in PAIRS * 2 + PAIRS[:4]]) for end in (0, 1))
BATCH = 8
CHOICES = [
    AugmentedConfig(),
    AugmentedConfig(per_image=1),
    AugmentedConfig(per_image=1, ends="always"),
    AugmentedConfig(per_image=7),
    AugmentedConfig(labels="one_hot"),
    AugmentedConfig(labels="one_hot", per_image=1),
    AugmentedConfig(labels="one_hot", per_image=1, ends="always"),
]
EACH = pytest.mark.parametrize("options", CHOICES, ids=lambda o: f"{o.labels}-{o.per_image}-{o.ends}")


def order(options: AugmentedConfig, rank: int = 0, world: int = 1, sharded: bool = False) -> GroupOrder:
    shards = VirtualShards.of(NUM_TRAIN, BATCH, 0)
    labelled = labelled_order(SPLIT, shards, BATCH, SEED, rank, world, sharded=sharded)
    groups = GroupsByClass.of(FIRST, SECOND, CLASSES)
    return GroupOrder(labelled, LABELS, groups, Places.of(options, SIZE), SIZE, SEED)


def slowly(options: AugmentedConfig, index: int, visit: int) -> list[int]:
    """The images of one labelled image, as the method is told."""
    label = dict(zip(SPLIT.tolist(), LABELS.tolist(), strict=True))[index]
    groups = {k: [g for g in range(len(FIRST)) if k in (FIRST[g], SECOND[g])] for k in range(CLASSES)}
    key = np.uint64(draw_key(SEED, BETWEEN, visit, index, 0))
    group = groups[label][int(uniform(key, 0) * len(groups[label]))]
    one_hot = options.labels == "one_hot"
    places = [0, SIZE - 1] if one_hot else list(range(SIZE))  # from the end of the class
    drawn = []
    if options.per_image > 1 or options.ends == "always":
        drawn, places = [0], [SIZE - 1] if one_hot else places[1:-1]
    for slot in range(options.per_image - len(drawn)):
        other = slot + int(uniform(key, 1 + slot) * (len(places) - slot))
        places[slot], places[other] = places[other], places[slot]
        drawn.append(places[slot])
    at = {SECOND[group]: lambda place: place, FIRST[group]: lambda place: SIZE - 1 - place}[label]
    return [group * SIZE + at(place) for place in drawn]


@EACH
@pytest.mark.parametrize("sharded", [False, True])
def test_it_is_the_slow_form(options: AugmentedConfig, sharded: bool) -> None:
    made = order(options, sharded=sharded)
    assert made.size == BATCH * options.per_image
    labelled, visit = made.labelled.draw(5, 20)
    images, _ = made.draw(5, 20)
    assert images.shape == (20, made.size) and images.dtype == np.int64
    for step in range(20):
        who = zip(labelled[step].tolist(), visit[step].tolist(), strict=True)
        assert images[step].tolist() == [image for index, at in who for image in slowly(options, index, at)]


def draws(options: AugmentedConfig, steps: int = 2000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels [m], groups [m] and, from the end of the class, places [m, n] of m labelled images."""
    made = order(options)
    labelled, _ = made.labelled.draw(0, steps)
    labels = LABELS[np.searchsorted(SPLIT, labelled.ravel())]
    group, place = np.divmod(made.draw(0, steps)[0].reshape(-1, options.per_image), SIZE)
    assert (group == group[:, :1]).all()
    group = group[:, 0]
    assert ((FIRST[group] == labels) | (SECOND[group] == labels)).all()  # the class is always there
    return labels, group, np.where((SECOND[group] == labels)[:, None], place, SIZE - 1 - place)


def check_uniform(values: np.ndarray, among: np.ndarray) -> None:
    """Pearson's statistic within five standard deviations of its mean."""
    counts = np.array([(values == value).sum() for value in among])
    assert counts.sum() == len(values)
    expected, freedom = len(values) / len(among), len(among) - 1
    assert ((counts - expected) ** 2 / expected).sum() <= freedom + 5 * np.sqrt(2 * freedom), counts


@EACH
def test_what_is_drawn(options: AugmentedConfig) -> None:
    labels, group, away = draws(options)
    for label in range(CLASSES):
        mine = group[labels == label]
        check_uniform(mine, np.flatnonzero((label == FIRST) | (label == SECOND)))
    assert (np.diff(np.sort(away, axis=1), axis=1) > 0).all()  # never an image twice
    if options.per_image == 1 and options.ends == "default":
        check_uniform(away[:, 0], np.array([0, SIZE - 1] if options.labels == "one_hot" else range(SIZE)))
        return
    assert (away[:, 0] == 0).all()  # the end of the class
    for slot in range(1, options.per_image):
        check_uniform(away[:, slot], np.array([SIZE - 1] if options.labels == "one_hot" else range(1, SIZE - 1)))


def test_pairs_of_inner_places_are_uniform() -> None:
    _, _, away = draws(AugmentedConfig(per_image=3))
    every = np.array([a * SIZE + b for a in range(1, SIZE - 1) for b in range(1, SIZE - 1) if a != b])
    check_uniform(away[:, 1] * SIZE + away[:, 2], every)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_draw_those_of_their_own_labelled_images(world: int, sharded: bool) -> None:
    options = AugmentedConfig(per_image=3)
    ranks = [order(options, rank, world, sharded) for rank in range(world)]
    together = [np.concatenate(parts, axis=1) for parts in zip(*(each.draw(3, 6) for each in ranks), strict=True)]
    np.testing.assert_array_equal(together, order(options, sharded=sharded).draw(3, 6))
    assert {r.size for r in ranks} == {BATCH * 3 // world}


def test_no_view_of_an_image_comes_twice() -> None:
    """Keys of views hold the image and this visit, so equal ones would be equal crops."""
    made = order(AugmentedConfig(per_image=3))
    images, visit = made.draw(0, 500)
    views = np.unique(np.stack([images.ravel(), visit.ravel()]), axis=1)
    assert views.shape[1] == images.size and len(np.unique(images)) < images.size / 10


def test_steps_do_not_depend_on_how_they_are_drawn() -> None:
    made, again = order(AugmentedConfig()), order(AugmentedConfig())
    whole = made.draw(0, 40)
    for name, part in enumerate(zip(again.draw(0, 15), again.draw(15, 25), strict=True)):
        np.testing.assert_array_equal(np.concatenate(part), whole[name])


@pytest.mark.parametrize(
    ("options", "places", "enough"),
    [
        (AugmentedConfig(per_image=3), 4, True),
        (AugmentedConfig(per_image=4), 4, False),
        (AugmentedConfig(per_image=1), 2, True),
        (AugmentedConfig(per_image=2), 2, False),
        (AugmentedConfig(per_image=2, labels="one_hot"), 2, True),
    ],
)
def test_groups_need_places_enough(options: AugmentedConfig, places: int, enough: bool) -> None:
    assert Places.of(options, places).enough == enough
