"""A tiny WebVision: lists, and the images they name."""

from pathlib import Path

from tests.support.native_fixtures import WNIDS, jpeg, put

SYNSETS = [WNIDS[i] for i in (3, 1, 0, 2)]  # the list's order counts, whatever it is
VAL = {f"val{i:06d}.jpg": i % 4 for i in range(12)}


def training(subset: str) -> dict[str, int]:
    return {f"{subset}/q{c * 2 + 1:04d}/{subset}_{c}{i}.jpg": c for c in range(4) for i in range(5)}


def put_lists(root: Path) -> Path:
    lists = {
        "train_filelist_google.txt": training("google"),
        "train_filelist_flickr.txt": training("flickr"),
        "val_filelist.txt": VAL,
    }
    for name, labels in lists.items():
        put(root / "info" / name, "".join(f"{path} {label}\n" for path, label in labels.items()).encode())
    put(root / "info/synsets.txt", "".join(f"{wnid} a name, another\n" for wnid in SYNSETS).encode())
    return root


def put_webvision(root: Path, *leave_out: str) -> Path:
    """Lists and folders of images, but for those left out, and an image that no list names."""
    put_lists(root)
    for path in [*training("google"), *training("flickr"), *(f"val_images_256/{name}" for name in VAL)]:
        if path not in leave_out:
            put(root / path, jpeg(path.rpartition("/")[2]))
    put(root / "google/q0001/unlisted.jpg", jpeg("unlisted"))
    return root
