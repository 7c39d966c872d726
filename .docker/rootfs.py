"""Collect the image's root file system: `rootfs.py TARGET`, run by the interpreter to be shipped.

It holds that interpreter with its standard library, the virtual environment it runs in, the shared
libraries they load, and the few files that glibc and OpenSSL look up. No shell, no package manager.
Where the interpreter lives (/usr, /usr/local) is what it says of itself.
"""

# ruff: noqa: INP001, S108, S603, S607  # a script of the build, which runs the base's own tools

from __future__ import annotations

import ast
import marshal
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

# What of the standard library no server uses: tests, installers, editors, terminals.
UNUSED = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "config-3*", "LICENSE*", "EXTERNALLY-MANAGED",
    "test", "idlelib", "tkinter", "turtle*", "ensurepip", "venv", "lib2to3", "pydoc_data",
    "sitecustomize.py", "apport_python_hook.py", "sampling", "_remote_debugging*.so", "_pyrepl",
    "_test*.so", "_ctypes_test*.so", "_xx*.so", "xx*.so",
    "_tkinter*.so", "readline*.so", "_curses*.so", "_dbm*.so", "_gdbm*.so",
)  # fmt: skip

# A compiled wheel may expect these of any system (PEP 600), so drivers of users' own find them.
WHEELS_EXPECT = {
    "libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libutil.so.1", "libpthread.so.0",
    "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1",
}  # fmt: skip

USER = 65532

OURS = Path(sysconfig.get_path("purelib"), "pingstate")

FILES = {
    "etc/passwd": f"root:x:0:0::/:/none\npingstate:x:{USER}:{USER}::/:/none\n",
    "etc/group": f"root:x:0:\npingstate:x:{USER}:\n",
    "etc/nsswitch.conf": "hosts: files dns\n",
    # Interpreters in /usr/local may be linked to a libpython there, off the loader's own path.
    "etc/ld.so.conf": "/usr/local/lib\n",
}


class Root:
    """The tree being collected; every path is given as it is on the running system."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def inside(self, path: Path) -> Path:
        target = self.top / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def add_python(self) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        shutil.copytree(library, self.inside(library), ignore=UNUSED, ignore_dangling_symlinks=True)
        interpreter = Path(sys.executable).resolve()
        shutil.copy2(interpreter, self.inside(interpreter))
        self.inside(interpreter.with_name("python3")).symlink_to(interpreter.name)

    def add_venv(self) -> None:
        venv = Path(sys.prefix)
        unused = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(venv, self.inside(venv), symlinks=True, ignore=unused)
        for script in self.inside(venv / "bin").glob("[Aa]ctivate*"):
            script.unlink()

    def add_libraries(self) -> None:
        listing = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True)
        known = re.findall(r"^\t(\S+) .*=> (\S+)$", listing.stdout, re.MULTILINE)
        expected = {Path(path) for name, path in known if name in WHEELS_EXPECT}
        programs = {path for path in self.top.rglob("*") if path.is_file() and is_elf(path)}
        for library in expected | needed_by(programs | expected):
            # What a wheel brought along is in place already.
            if not library.is_relative_to(self.top):
                target = self.inside(library.parent.resolve() / library.name)
                shutil.copy2(library, target)
        for top in ("lib", "lib64"):
            if (link := Path("/", top)).is_symlink():
                self.inside(link).symlink_to(link.readlink())

    def add_files(self) -> None:
        for name, text in FILES.items():
            self.inside(Path("/", name)).write_text(text)
        # From the package, not all of /etc/ssl: a company's own authority stays in the build. By
        # hash for OpenSSL, which then reads one at a time, and in one file for whatever else asks.
        packaged = Path("/usr/share/ca-certificates/mozilla")
        bundle = self.inside(Path("/etc/ssl/certs/ca-certificates.crt"))
        bundle.write_text("".join(path.read_text() for path in sorted(packaged.glob("*.crt"))))
        hashed = [
            p for p in Path("/etc/ssl/certs").glob("*.[0-9]") if packaged in p.resolve().parents
        ]
        if not hashed:
            sys.exit("rootfs.py: the package ca-certificates has left no hashed authorities")
        for link in hashed:
            shutil.copyfile(link, self.inside(link))
        self.inside(Path("/probes")).mkdir()
        self.inside(Path("/tmp")).mkdir()
        self.inside(Path("/tmp")).chmod(0o1777)

    def finish(self) -> None:
        """Compile everything; a read-only root could not, and start would take twice as long.

        What is not ours ships as bytecode alone, without docstrings: its sources are a sixth of
        the image, its docstrings a twelfth of a running sidecar's memory.
        """
        subprocess.run(["ldconfig", "-r", self.top], check=True)
        for place in (sysconfig.get_path("stdlib"), sys.prefix):
            for source in self.inside(Path(place)).rglob("*.py"):
                path = Path("/", source.relative_to(self.top))
                text = source.read_bytes()
                tree = ast.parse(text)
                if path.is_relative_to(OURS):
                    bytecode = Path(cache_from_source(source))
                    bytecode.parent.mkdir(exist_ok=True)
                else:
                    bytecode = source.with_suffix(".pyc")
                    remove_docstrings(tree)
                    source.unlink()
                # An unchecked pyc (PEP 552): nobody changes the source in an image.
                code = marshal.dumps(compile(tree, path, "exec", dont_inherit=True))
                header = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(text)
                bytecode.write_bytes(header + code)


def remove_docstrings(tree: ast.Module) -> None:
    """Leave out what only help() reads. Unlike with `python -OO`, asserts stay."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        # @dataclass would write a docstring of its own at the start, which costs more.
        if "dataclass" in map(decorator_name, getattr(node, "decorator_list", ())):
            continue
        while ast.get_docstring(node, clean=False) is not None:
            docstring = node.body.pop(0)
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.copy_location(ast.Pass(), docstring))


def decorator_name(node: ast.expr) -> str:
    """The last part of a decorator's name: `dataclass` for `@dataclasses.dataclass(...)`."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def is_elf(path: Path) -> bool:
    """Tell whether a file is a program or a library that the loader maps."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def needed_by(programs: Iterable[Path]) -> set[Path]:
    """Every shared library that the loader would map for these programs, the loader included."""
    libraries: set[Path] = set()
    for program in programs:
        listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        if "not found" in listing.stdout:
            sys.exit(f"rootfs.py: {program} needs a library that is missing\n{listing.stdout}")
        # "libz.so.1 => /lib/.../libz.so.1 (0x7f...)"; the loader's line has no arrow.
        libraries.update(
            map(Path, re.findall(r"(?:=> |^\t)(/\S+) \(0x", listing.stdout, re.MULTILINE))
        )
    return libraries


def main() -> None:
    """Make the directory named by the first argument the image's root."""
    root = Root(Path(sys.argv[1]))
    root.add_python()
    root.add_venv()
    root.add_libraries()
    root.add_files()
    root.finish()


if __name__ == "__main__":
    main()
