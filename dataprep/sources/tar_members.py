"""The files of a tar, whatever kinds of members hold them: plain, sparse, and links to others.

GNU tar writes a file with several names once, and its other names as links to the first.
"""

import posixpath
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from dataprep.console import note
from dataprep.sources.entries import Entry

_MAX_LINKS = 40  # links that lead to links, as on Linux


@dataclass
class TarMembers:
    """Collects members one by one; prefix: put before their names; stamp: of the entries.

    Of members with equal names the last counts, as when a tar is unpacked.
    """

    prefix: str = ""
    stamp: int = 0
    _found: dict[str, Entry] = field(default_factory=dict)
    _links: dict[str, tuple[str, int]] = field(default_factory=dict)  # target, and where the link's header is

    def add(self, member: tarfile.TarInfo) -> None:
        """Note where the content of a member is. Folders have none."""
        path = self.prefix + member.name.removeprefix("./")
        if member.isdir():
            return
        self._found.pop(path, None)
        self._links.pop(path, None)
        if member.islnk():
            self._links[path] = self.prefix + member.linkname.removeprefix("./"), member.offset
        elif member.issym():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname))
            self._links[path] = target, member.offset
        elif member.isreg() and not member.issparse():
            self._found[path] = self._entry(path, member.size, member.offset_data)
        else:  # sparse, or a pipe or device, which is rejected when it is read
            self._found[path] = self._entry(path, member.size, -1 - member.offset)

    def entries(self) -> list[Entry]:
        """Every file, label -1. A link that leads nowhere is an entry that is rejected when it is read."""
        ends = {path: self._end(path) for path in self._links}
        if all(end in self._found for end in ends.values()):
            linked = (self._found[end]._replace(path=path) for path, end in ends.items())
            return [*self._found.values(), *linked]
        return list(self._walk("", "", frozenset([""]), self._children()))

    def _children(self) -> dict[str, set[str]]:
        """{folder: names in it}, as the members' paths tell."""
        children: dict[str, set[str]] = defaultdict(set)
        for path in (*self._found, *self._links):
            while path:
                folder, _, name = path.rpartition("/")
                children[folder].add(name)
                path = folder
        return dict(children)

    def _walk(self, folder: str, prefix: str, above: frozenset[str], children: dict[str, set[str]]) -> Iterator[Entry]:
        """The files of a folder under names that begin with `prefix`; above: the folder and those that it lies in."""
        for name in sorted(children[folder]):
            path = f"{folder}/{name}" if folder else name
            end = self._end(path)
            if end in self._found:
                yield self._found[end]._replace(path=prefix + name)
            elif end not in children:
                yield self._entry(prefix + name, 0, -1 - self._links[path][1])
            elif end in above:
                note(f"left out {prefix}{name}: it links to a folder that it lies in")
            else:
                yield from self._walk(end, f"{prefix}{name}/", above | {end}, children)

    def _entry(self, path: str, size: int, offset: int) -> Entry:
        return Entry(path=path, label=-1, size=size, offset=offset, stamp=self.stamp)

    def _end(self, path: str) -> str:
        for _ in range(_MAX_LINKS):
            if path not in self._links:
                break
            path = self._links[path][0]
        return path
