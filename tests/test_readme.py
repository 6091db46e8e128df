"""The README's example of an own algorithm does what it says."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The example's folder stands beside pipeline/methods/algorithms/: a copy of the tree would compile all kernels anew.
RUN = """
import sys
import pipeline.methods.algorithms as algorithms
algorithms.__path__.append(sys.argv[1])
exec(sys.argv[2])
algorithms.ALGORITHMS |= eval("{" + sys.argv[3] + "}")
from pipeline import train
sys.exit(train.main(sys.argv[4:]))
"""


def test_an_own_algorithm_is_a_file_and_a_line(data: Path, tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    code = re.search(r"`pipeline/methods/algorithms/(\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL)
    lines = re.search(r"`pipeline/methods/algorithms/__init__\.py`:\n\n```python\n(.*?)\n(.*?)\n```", text, re.DOTALL)
    assert code and lines
    (tmp_path / code[1]).write_text(code[2])
    sets = [f"data={data}", f"out={tmp_path / 'run'}", "algorithm=entropymatch", "steps=3", "mix=calibratemix"]
    given = ["--config", str(ROOT / "configs/digits.yaml"), "--set", *sets, "warmup_steps=1", "log_every=1"]
    command = [sys.executable, "-c", RUN, str(tmp_path), lines[1], lines[2].strip(), *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "entropymatch+calibratemix" in done.stdout
    assert (tmp_path / "run/result.json").exists()
