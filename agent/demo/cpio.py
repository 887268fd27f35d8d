"""An initramfs archive written in memory, so that device nodes and owners need no root (kernel: buffer-format.rst, `newc`)."""

import stat

_TRAILER = "TRAILER!!!"


class CpioArchive:
    """Entries in the order they were added; the same entries give the same bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0
        self._folders: set[str] = set()

    def folder(self, path: str) -> None:
        """`path` and the folders above it are there."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name and name not in self._folders:
                self._folders.add(name)
                self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._above(path)
        self._entry(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        self._above(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, path: str, major: int, minor: int) -> None:
        self._above(path)
        self._entry(path, stat.S_IFCHR | 0o600, b"", (major, minor))

    def finish(self) -> bytes:
        """The whole archive, padded to 512 bytes."""
        self._entry(_TRAILER, 0, b"")
        archive = b"".join(self._parts)
        return archive + bytes(-len(archive) % 512)

    def _above(self, path: str) -> None:
        if "/" in path:
            self.folder(path.rpartition("/")[0])

    def _entry(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        raw_name = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(raw_name), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        head = header + raw_name
        self._parts += [head, bytes(-len(head) % 4), content, bytes(-len(content) % 4)]
