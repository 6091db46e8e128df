"""What the pages say holds: examples run as they stand, links lead somewhere, pictures are small."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]
EXAMPLE = re.compile(r"`(pipeline/[\w/]+\.py)`(, in the dictionary)?:\n\n```python\n(.*?)```", re.DOTALL)


def apply(root: Path, file: str, in_dictionary: bool, code: str) -> None:
    """Follows the page: a new file, a line in a dictionary with its import, or a list of names that gets longer."""
    path = root / file
    if in_dictionary:
        line, entry = code.splitlines()
        text = re.sub(r"(?m)^(from (?:pipeline|torch))", rf"{line}\n\1", path.read_text(), count=1)
        path.write_text(re.sub(r"(?m)^([A-Z_]+: .*\{.*)$", rf"\1\n{entry}", text, count=1))
    elif path.exists():
        name = code.split(" = ")[0]
        path.write_text(re.sub(rf"(?m)^{name} = .*$", code.strip(), path.read_text(), count=1))
    else:
        path.write_text(code)


@pytest.mark.slow
def test_the_examples_of_extending_run(data: Path, tmp_path: Path) -> None:
    """All three together: an algorithm, a mix that replaces the clean loss, a network."""
    copy = tmp_path / "checkout"  # times of files are kept, so the compiled kernels still fit
    shutil.copytree(ROOT / "pipeline", copy / "pipeline")
    examples = EXAMPLE.findall((ROOT / "docs/extending.md").read_text())
    assert len(examples) == 8
    for file, in_dictionary, code in examples:
        apply(copy, file, bool(in_dictionary), code)
    chosen = ["algorithm=entropymatch", "mix=neighbourmix", "model.name=tinynet"]
    sets = [f"data={data}", f"out={tmp_path / 'run'}", *chosen, "steps=3", "warmup_steps=1", "log_every=1"]
    command = [sys.executable, "pipeline/train.py", "--config", str(ROOT / "configs/digits.yaml"), "--set", *sets]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "entropymatch+neighbourmix" in done.stdout
    lines = [line for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines() if '"loss"' in line]
    terms = [re.findall(r'"(loss_\w+)": ([\d.]+)', line) for line in lines]
    assert [{name for name, value in step if float(value)} for step in terms] == [
        {"loss_labelled", "loss_unlabelled"},
        *[{"loss_mix", "loss_unlabelled"}] * 2,
    ]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_pictures_stay_small() -> None:
    assert sum(file.stat().st_size for file in (ROOT / "docs/images").iterdir()) < 300_000


def test_the_readme_names_every_method() -> None:
    from pipeline.config.options import ALGORITHMS, MIXES

    text = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in text for name in (*ALGORITHMS, *MIXES[1:])) and "`mix=none`" in text
