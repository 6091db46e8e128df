"""Whether the files of a source still have the content that a finished folder was made from."""

import numpy as np

from dataprep.command.options import BuildOptions
from dataprep.console import note, plural
from dataprep.data_folder import manifest
from dataprep.data_folder.checksums import describe
from dataprep.data_folder.content_records import NAME, read_contents, write_contents
from dataprep.layouts.listing import Listing
from dataprep.sources.contents import Records, changed_paths, doubtful
from dataprep.sources.entries import Entry
from dataprep.workers import WorkerPool, chunks


def check_contents(
    made: manifest.Manifest, listing: Listing, options: BuildOptions, workers: WorkerPool
) -> manifest.Manifest:
    """Compare the files whose size or time has changed, with `rehash` all, with what the folder was made from.

    Returns the manifest, with the new times noted. Raises ValueError that names files of another content.
    """
    if "contents" not in made:
        note(f"{options.folder} was made before contents were recorded; only names and sizes were compared")
        return made
    known = read_contents(options.folder)
    changed: list[str] = []
    compared = 0
    for beton, entries in listing.parts().items():
        positions = _doubtful(entries, known[beton], options)
        digests = known[beton]["digest"]
        calls = [[(entries[i], digests[i].tobytes()) for i in some] for some in chunks(positions)]
        tasks = ((listing.reader, [e for e, _ in some], [d for _, d in some]) for some in calls)
        for paths in workers.map(changed_paths, tasks):
            changed += paths
        compared += len(positions)
        known[beton]["stamp"] = [entry.stamp for entry in entries]
    if changed:
        examples = ", ".join(sorted(changed)[:3])
        raise ValueError(
            f"{options.folder} was made from another content of {plural(len(changed), 'file')}: {examples}"
            f"{' and others' if len(changed) > 3 else ''}; remove it or choose another --out or --name"
        )
    if compared:
        note(f"the content of {plural(compared, 'file')} was compared with what {options.folder} was made from")
    elif describe(options.folder / NAME) == made["contents"]:  # not so where an earlier call was killed between the two
        return made
    made = {**made, "contents": write_contents(options.folder, known)}
    manifest.write(options.folder, made)
    return made


def _doubtful(entries: list[Entry], records: Records, options: BuildOptions) -> list[int]:
    """As `doubtful`, but entries without a stamp are always compared: their source, as a whole, has changed."""
    without = any(entry.stamp == 0 for entry in entries) and not np.any(records["stamp"])
    return doubtful(entries, records, options.rehash or without)
