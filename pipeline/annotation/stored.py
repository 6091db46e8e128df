"""annotation.npz: what an encoder says of every image of a data folder of groups. Written whole or not at all."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.annotation.packed import Groups
from pipeline.runs.files import replacing

NAME = "annotation.npz"
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Annotation:
    """``lambda_e`` float32 [N] (Eq. 9) and ``zero_shot`` float32 [N, K] of N images; ``prototypes`` float32 [K, D].

    ``encoder``: its name; ``encoder_sha256``: of its weights. ``dataset``: of the labelled images. Positions in
    train.beton, sorted int64: of the labelled images that the prototypes are means of, and of those that the encoder
    was trained on, None where these are not known. ``temperature``: of the zero-shot distribution of an encoder without
    a head, 0 of one with a head.
    """

    lambda_e: Floats
    zero_shot: Floats
    prototypes: Floats
    encoder: str
    encoder_sha256: str
    dataset: str
    prototype_positions: Ints
    encoder_positions: Ints | None
    temperature: float


def write_annotation(groups: Groups, annotation: Annotation) -> None:
    """Raises OSError when the disk is full; then an older annotation stays."""
    fields = {name: value for name, value in vars(annotation).items() if value is not None}
    with replacing(groups.folder / NAME) as file:
        np.savez(file, images_sha256=groups.images_sha256, **fields)


def read_annotation(groups: Groups, distributions: bool = True) -> Annotation:
    """Raises ValueError where there is none, or it is damaged or of other images.

    ``distributions``: else ``zero_shot``, most of the file, is left unread and empty [0, 0].
    """
    file = groups.folder / NAME
    again = f"annotate again: python pipeline/annotate.py {groups.folder}"
    if not file.is_file():
        raise ValueError(f"{file}: no such file; {again}")
    try:
        with np.load(file) as parts:
            found = {name: parts[name] for name in parts.files if distributions or name != "zero_shot"}
        found.setdefault("zero_shot", np.empty((0, 0), np.float32))
        sha256 = str(found.pop("images_sha256"))
        words = {name: str(found.pop(name)) for name in ("encoder", "encoder_sha256", "dataset")}
        temperature, positions = float(found.pop("temperature")), found.pop("encoder_positions", None)
        annotation = Annotation(**found, **words, temperature=temperature, encoder_positions=positions)  # type: ignore[arg-type]
    except Exception as error:  # nearly any, of a damaged zip
        raise ValueError(f"{file}: cannot be read ({error}); {again}") from error
    if sha256 != groups.images_sha256 or len(annotation.lambda_e) != groups.num_images:
        raise ValueError(f"{file}: is of other images than {groups.beton.name} holds; {again}")
    return annotation
