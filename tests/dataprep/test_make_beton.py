"""The script as a process: signals, and how soon it answers."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from tests.support.dataprep_fixtures import fingerprint, make
from tests.support.encoding_runs import COUNT, LENGTH, PATIENCE, ROOT, EncodingRun, is_alive, wait_until, workers_of


def test_a_cancelled_job_keeps_its_parts(run: EncodingRun, undisturbed: tuple) -> None:
    process = run.start()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=PATIENCE / 2)  # held workers would go on only later
    assert process.returncode == 130 and error.startswith(b"make_beton.py: interrupted; finished parts are kept")
    kept = len(run.finished())
    run.forget_decodes()
    assert make(*run.words()) == 0
    assert len(run.decoded()) == COUNT - kept * LENGTH
    assert fingerprint(run.out / "folder") == undisturbed and not list(run.out.glob(".*"))


def test_a_killed_run_leaves_no_workers_and_is_taken_over(run: EncodingRun, capsys: pytest.CaptureFixture[str]) -> None:
    process = run.start()
    workers = workers_of(process.pid)
    assert len(workers) == 2
    assert make(*run.words()) == 2, "two runs at once"
    assert "another run is making this data set" in capsys.readouterr().err
    process.kill()
    process.communicate()
    wait_until(lambda: not any(is_alive(worker) for worker in workers))
    kept = len(run.finished())
    run.forget_decodes()
    assert make(*run.words("--max-rejected", 0.5)) == 0
    assert len(run.decoded()) == COUNT - kept * LENGTH and not list(run.out.glob(".*"))


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 2), (["digitz"], 2), (["digits", "--sead", "3"], 2)])
def test_answers_at_once(words: list[str], code: int) -> None:
    """Nothing slow is imported: the modules are looked at, and the processor time, which a busy machine stretches."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", str(ROOT / "dataprep/make_beton.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"ffcv", "torch", "torchvision", "numba", "scipy", "sklearn", "rich.progress"}
    assert after.ru_utime - before.ru_utime < 5


def test_ctrl_c_before_anything_is_imported() -> None:
    """The first import of ours waits, so that the interrupt comes while modules are being imported."""
    waiting = (
        "import runpy, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Waits:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'dataprep.command':\n"
        "            print('waiting', flush=True); time.sleep(60)\n"
        "sys.meta_path.insert(0, Waits())\n"
        f"runpy.run_path({str(ROOT / 'dataprep/make_beton.py')!r}, run_name='__main__')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", waiting, "digits"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout and process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (130, b"make_beton.py: interrupted; nothing was begun\n")
