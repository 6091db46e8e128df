"""Time limits as SLURM writes them."""

import pytest

from slurm.jobs.resources import minutes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("30:30", 30.5),
        ("02:30:00", 150),
        ("1-00", 1440),
        ("2-12:30", 3630),
        ("1-01:01:30", 1501.5),
        ("infinite", float("inf")),
    ],
)
def test_time_limits(text: str, expected: float) -> None:
    assert minutes(text) == expected


def test_a_time_limit_that_is_none() -> None:
    with pytest.raises(ValueError, match="--time soon: expected minutes"):
        minutes("soon")
