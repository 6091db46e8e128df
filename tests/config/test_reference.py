"""docs/options.md is what the options are."""

from pipeline.config import OPTIONS, generator
from pipeline.config.reference import FILE, SECTIONS, markdown


def test_the_page_is_up_to_date() -> None:
    assert FILE.read_text() == markdown(), "run python -m pipeline.config.reference"


def test_every_option_is_on_it_once() -> None:
    lines = markdown().split("## Recipes")[0].splitlines()
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert rows == list(OPTIONS)
    assert {name.rpartition(".")[0] for name in OPTIONS} == set(SECTIONS)
    lines = markdown().split("# Options of a generator")[1].splitlines()
    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == list(generator.SCHEMA.options)


def test_every_help_text_says_something() -> None:
    for name, option in [*OPTIONS.items(), *generator.SCHEMA.options.items()]:
        text = option.metadata["help"]
        assert len(text.split()) >= 3 and not text.startswith("of "), f"{name}: {text}"
