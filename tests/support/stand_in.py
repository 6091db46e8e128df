"""The project with a stand-in for the trainer, which notes who runs beside whom; for jobs that need no training."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.devices import SHARING
from slurm.grids.grid import PROJECT

# Waits until ``together`` runs are there at a time, or for a while; then does what ``plan`` says for its folder.
TRAINER = """
import json, os, sys, time
from pathlib import Path
import yaml
notes = Path({notes!r})
config = yaml.safe_load(Path(sys.argv[2]).read_text())
run = Path(config["out"])
name = "-".join(run.parts[-3:-1]) + "-" + run.name[0]
plan = json.loads((notes / "plan.json").read_text())
mine = notes / f"{{name}}.{{os.getpid()}}.here"
mine.write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
def note(**what):
    with (notes / "journal.jsonl").open("a") as file:
        file.write(json.dumps(what | {{"run": name}}) + "\\n")
def beside():
    return sorted(path.read_text() for path in notes.glob("*.here"))
def status(state):
    (run / "status.json").write_text(json.dumps({{"state": state, "step": 1, "steps": config["steps"]}}))
note(event="start", gpu=os.environ.get("CUDA_VISIBLE_DEVICES"), share=os.environ[{sharing!r}],
     threads=config["threads"])
status("running")
try:
    end = time.monotonic() + plan["patience"]
    while len(beside()) < plan["together"] and time.monotonic() < end:
        time.sleep(0.02)
    note(event="together", gpus=beside())
    time.sleep(0.3)  # so that all have looked
    what = plan["runs"].get(name, "finish")
    seen = len(list(notes.glob(f"{{name}}.*.ended")))
    if what == "mistake":
        sys.exit(2)
    if what == "crash once" and not seen:
        raise RuntimeError("no luck")
    (run / "result.json").write_text(json.dumps({{"step": config["steps"], "error": 1, "ece": 2}}))
    status("finished")
finally:
    mine.rename(mine.with_suffix(".ended"))
"""


def stand_in_project(folder: Path, *, together: int, patience: float = 20, **runs: str) -> Path:
    """A copy of the project under ``folder`` with that trainer; ``runs`` say which do not simply finish."""
    notes = folder / "notes"
    notes.mkdir()
    plan = {"together": together, "patience": patience, "runs": {k.replace("__", "-"): v for k, v in runs.items()}}
    (notes / "plan.json").write_text(json.dumps(plan))
    for part in ("pipeline", "slurm"):
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / part, folder / "project" / part, ignore=leave)
    (folder / "project/pipeline/train.py").write_text(TRAINER.format(notes=str(notes), sharing=SHARING))
    return folder / "project"


def journal(folder: Path, event: str) -> list[dict[str, Any]]:
    """What the trainers noted of that event, in the order of time."""
    lines = (json.loads(line) for line in (folder / "notes/journal.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == event]
