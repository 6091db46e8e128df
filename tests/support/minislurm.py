"""A real SLURM on the loopback of this machine: munged, slurmctld and one slurmd a node, gone at the end.

Any user may run it, next to any other. It touches nothing outside its folder and ends only what it started.
Two partitions can be preempted by ``main``: ``low`` with ten seconds of grace, ``lowkill`` with none.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "srun")
# getaddrinfo reads such a name as 127.0.0.1: every node must resolve, and /etc/hosts is not ours to edit.
NODES = ("0x7f000001", "0x7f000002")
PRIVATE = ("SLURM", "SBATCH_", "SRUN_", "SUBMITIT_")

CONF = """\
ClusterName=mini
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/run/munge.socket,cred_expire=5
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmdSpoolDir={root}/spool/%n
StateSaveLocation={root}/state
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
SlurmctldDebug=verbose
SlurmdDebug=verbose
SlurmdParameters=config_overrides
KillWait={kill_wait}
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout=30
UnkillableStepTimeout=20
CompleteWait=0
JobRequeue=1
MaxArraySize={max_array}
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,bf_min_age_reserve=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PriorityType=priority/basic
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
NodeName=0x7f00000[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=4 RealMemory=4000 Gres=gpu:4
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=10
PartitionName=lowkill Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
"""


def missing() -> list[str]:
    """The programs that this machine lacks."""
    return [name for name in DAEMONS if shutil.which(name, path=_search_path()) is None]


class MiniSlurm:
    """Two nodes of 4 cores and 4 GPUs each (the devices are /dev/null). ``env`` is for clients."""

    def __init__(self, root: Path, max_array: int = 1001, kill_wait: int = 15) -> None:
        self.root, self.max_array, self.kill_wait = root, max_array, kill_wait
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        scrubbed = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
        self.env = scrubbed | {"SLURM_CONF": str(root / "slurm.conf"), "PATH": _search_path()}

    def start(self) -> None:
        """Returns once both nodes are idle."""
        for folder in ("run", "log", "state", "dev", *(f"spool/{node}" for node in NODES)):
            (self.root / folder).mkdir(parents=True)
        (self.root / "run").chmod(0o755)  # munged refuses a looser or tighter one
        self._start_munge()
        self._write_conf()
        self._daemon("slurmctld", "slurmctld", "-D", "-c", "-f", self.env["SLURM_CONF"])
        for node in NODES:
            self._daemon(node, "slurmd", "-D", "-N", node, "-f", self.env["SLURM_CONF"])
        wait_for(
            lambda: self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == ["idle"] * 2, 60, self._logs
        )

    def run(self, *command: str) -> str:
        """What a client command prints."""
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> dict[str, str]:
        """State of every job that is not over, by its id (A_i for an array's element)."""
        lines = self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def cancel_all(self) -> None:
        """No job is left."""
        if self.jobs():
            user = getpass.getuser()
            self.run("scancel", "--signal=KILL", "--full", "-u", user)
            self.run("scancel", "-u", user)
            wait_for(lambda: not self.jobs(), 30, self._logs)

    def stop(self) -> None:
        """Ends the daemons, munged last."""
        if "slurmctld" in self._daemons and self._daemons["slurmctld"].poll() is None:
            self.cancel_all()
        munged = self._daemons.pop("munged", None)
        for group in (list(self._daemons.values()), [munged] if munged else []):
            for daemon in group:
                daemon.terminate()
            for daemon in group:
                try:
                    daemon.wait(10)
                except subprocess.TimeoutExpired:
                    daemon.kill()

    def _start_munge(self) -> None:
        run, key = self.root / "run", self.root / "run/munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"key-file": key, "socket": run / "munge.socket", "pid-file": run / "munged.pid"}
        files |= {"seed-file": run / "munged.seed", "log-file": self.root / "log/munged.log"}
        self._daemon("munged", "munged", "--foreground", "--force", *(f"--{k}={v}" for k, v in files.items()))
        wait_for(files["socket"].exists, 10, self._logs)

    def _write_conf(self) -> None:
        port = _consecutive_ports(3)
        for index in range(4):
            (self.root / f"dev/nvidia{index}").symlink_to("/dev/null")  # SLURM asks for a character device, no more
        gres = f"AutoDetect=off\nNodeName=0x7f00000[1-2] Name=gpu File={self.root}/dev/nvidia[0-3]\n"
        (self.root / "gres.conf").write_text(gres)
        values = {"root": self.root, "host": socket.gethostname().split(".")[0], "user": getpass.getuser()}
        ports = {"port": port, "first": port + 1, "last": port + 2}
        limits = {"max_array": self.max_array, "kill_wait": self.kill_wait}
        (self.root / "slurm.conf").write_text(CONF.format(**values, **ports, **limits))

    def _daemon(self, name: str, *command: str) -> None:
        # The package installs slurmd-wlm, but a daemon of that name loses its GPUs: argv[0] must stay slurmd.
        path = shutil.which(f"{command[0]}-wlm", path=_search_path()) or shutil.which(command[0], path=_search_path())
        with (self.root / f"log/{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                command, executable=path, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def _logs(self) -> str:
        return "\n".join(
            f"{path.name}: {path.read_text()[-800:]}" for path in sorted((self.root / "log").glob("*.out"))
        )


def wait_for(condition: Callable[[], object], seconds: float, explain: Callable[[], object] = str) -> None:
    """Returns once ``condition()`` holds; AssertionError with ``explain()`` if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {explain()}"
        time.sleep(0.05)


def _search_path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _consecutive_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        if first + count < 65000 and all(_is_free(first + i) for i in range(count)):
            return first
    raise AssertionError("no free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
