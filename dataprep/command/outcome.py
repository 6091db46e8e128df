"""The lines that tell the user what will be written, what was written, and what verification found."""

from pathlib import Path

from dataprep.command.summary import ranges
from dataprep.console import plural
from dataprep.data_folder.manifest import Manifest


def planned(num_images: int, beton_bytes: int, needed_bytes: int, free_bytes: int) -> str:
    """Before writing. needed_bytes: parts and betons together, for the time of writing."""
    return (
        f"{plural(num_images, 'image')}, betons of at most {size(beton_bytes)}; writing them needs "
        f"{size(needed_bytes)} of disk space, {size(free_bytes)} are free"
    )


def size(num_bytes: float) -> str:
    """'35 MB', '1,234 MB', '12 GB': four digits at most, so that what differs looks different."""
    return f"{num_bytes / 1e6:,.0f} MB" if num_bytes < 1e10 else f"{num_bytes / 1e9:,.0f} GB"


def made(folder: Path, content: Manifest, seconds: float, images_per_second: float, remark: str = "") -> str:
    """After writing a data folder. remark: as in Listing."""
    counts, size = content["counts"], content["stored_size"]
    megabytes = sum(beton["bytes"] for beton in content["betons"].values()) / 1e6
    return (
        f"{folder}: {ranges(counts)}, "
        f"{counts['rejected']} rejected, {len(content['classes'])} classes, {size}x{size} "
        f"{content['writer']['encoding']}, {megabytes:.1f} MB, {len(content['splits'])} splits, "
        f"{seconds:.1f} s ({images_per_second:,.0f} images/s){f'; {remark}' if remark else ''}"
    )


def added(folder: Path, splits: list[str]) -> str:
    """After a call for a folder that was made before."""
    if not splits:
        return f"{folder}: already made, nothing to add"
    return f"{folder}: already made, added {plural(len(splits), 'split')}: {', '.join(splits)}"


def verified(folder: Path, content: Manifest) -> str:
    """After a folder has passed verification."""
    return f"{folder}: verified, {ranges(content['counts'])}, {plural(len(content['splits']), 'split')}"
