"""What the user asks of an annotation, checked as far as that goes without torch."""

from dataclasses import dataclass
from pathlib import Path

CLIP_NETWORK = "ViT-B-32"  # of clip:WEIGHTS, as open_clip names it
FORMS = "a run folder, clip:WEIGHTS, clip:NETWORK:WEIGHTS or timm:NETWORK:WEIGHTS"


@dataclass(frozen=True)
class EncoderName:
    """``kind`` run, clip or timm; ``network``: its name in that library, "" of a run; ``path``: the run, or weights."""

    kind: str
    network: str
    path: Path

    def __str__(self) -> str:
        return str(self.path) if self.kind == "run" else f"{self.kind}:{self.network}:{self.path}"


@dataclass(frozen=True)
class AnnotateOptions:
    """The command line of annotate.py; see its --help."""

    folder: Path
    encoder: EncoderName
    data: Path
    labels: str | None
    temperature: float
    scale: float
    batch: int
    threads: int


def parse_encoder(text: str) -> EncoderName:
    """Raises ValueError for another form, or a file or folder that is not there."""
    kind, *rest = text.split(":", 2)
    if kind == "clip" and len(rest) == 1:
        rest = [CLIP_NETWORK, *rest]
    if kind not in ("clip", "timm"):
        return _run(Path(text))
    if len(rest) != 2 or not all(rest):
        raise ValueError(f"--encoder {text}: give {FORMS}")
    if not Path(rest[1]).is_file():
        raise ValueError(f"--encoder {text}: {rest[1]} is no file of weights")
    return EncoderName(kind, rest[0], Path(rest[1]))


def _run(run: Path) -> EncoderName:
    if not (run / "config.yaml").is_file():
        raise ValueError(f"--encoder {run}: no run folder of pipeline/train.py; give {FORMS}")
    if not (run / "result.json").is_file():
        raise ValueError(f"--encoder {run}: the run has not finished; start it again to resume it")
    return EncoderName("run", "", run)


def check_numbers(options: AnnotateOptions) -> None:
    """Raises ValueError for a number that makes no sense."""
    for name, value in (("temperature", options.temperature), ("scale", options.scale)):
        if not 0 < value < float("inf"):
            raise ValueError(f"--{name} must be above 0")
    if options.batch < 1 or options.threads < 0:
        raise ValueError("--batch must be at least 1, and --threads at least 0")
