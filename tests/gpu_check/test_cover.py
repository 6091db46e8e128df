"""Few combinations that hold every pair of values."""

import itertools

from gpu_check import cover

from pipeline import config


def pairs(cases: list[cover.Case]) -> set[tuple[tuple[str, str], ...]]:
    return {pair for case in cases for pair in itertools.combinations(sorted(case.items()), 2)}


def test_every_possible_pair_is_in_the_cover() -> None:
    rest = {"model.name": cover.SMALL, **cover.REST}
    values = [dict(zip(rest, values, strict=True)) for values in itertools.product(*rest.values())]
    possible = [{**method, **case} for method in cover.methods() for case in values]
    chosen = cover.pairwise()
    assert pairs(chosen) == pairs(possible) and len(chosen) < len(possible) / 25


def test_methods_are_those_that_the_options_allow() -> None:
    found = {(case["algorithm"], case["mix"], case["recipe"], case["forward"]) for case in cover.methods()}
    assert ("fixmatch", "calibratemix", "release", "joint") in found
    assert not found & {("supervised", "all", "paper", "joint"), ("fixmatch", "calibratemix", "release", "observe")}
    assert {case[0] for case in found} == {"fixmatch", "flexmatch", "softmatch", "supervised"}


def test_single_options_are_options() -> None:
    for case in cover.single_options():
        config.load(None, ["dataset=x", *cover.settings(case)[0]])


def test_the_product_has_every_method_network_precision_and_both_worlds() -> None:
    cases = cover.product()
    assert len(cases) == len(cover.methods()) * len(cover.KINDS) * (len(cover.NUMBERS) - 1) * 2
    assert len({tuple(case.items()) for case in cases}) == len(cases)
