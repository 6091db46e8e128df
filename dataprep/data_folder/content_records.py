"""contents.npz: from which content each image of a data folder was made, rejected ones too, in storage order."""

from pathlib import Path

import numpy as np

from dataprep.data_folder.checksums import describe
from dataprep.data_folder.manifest import FileRecord
from dataprep.sources.contents import Records

NAME = "contents.npz"


def write_contents(folder: Path, records: dict[str, Records]) -> FileRecord:
    """Write or replace the file, with the records of each beton; returns the manifest's record of it."""
    temporary = folder / f".{NAME}.partial.npz"
    np.savez(temporary, **records)  # type: ignore[arg-type]
    return describe(temporary.rename(folder / NAME))


def read_contents(folder: Path) -> dict[str, Records]:
    """The records of each beton. Raises ValueError when the file is missing or damaged."""
    try:
        with np.load(folder / NAME) as file:
            return {beton: file[beton] for beton in file.files}
    except Exception as error:  # nearly any, of a damaged zip
        raise ValueError(
            f"{folder / NAME} cannot be read ({' '.join(str(error).split())}); restore it, or remove {folder} and make "
            "it again"
        ) from error
