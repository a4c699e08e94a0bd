#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Builds the example for Windows from the sources that are built here, with warnings as errors."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

windows = "x86_64-w64-mingw32-gcc"
sources = sys.argv[1:]

for source in sources + [str(path) for path in pathlib.Path(sources[0]).parent.glob("*.h")]:
    text = pathlib.Path(source).read_text()
    # Which system it is, one header knows, and asks for no more than which headers to include.
    systems = re.findall(r"_WIN32\b(?!_)|__linux__|_MSC_VER|__unix__", text)
    assert len(systems) <= (source.endswith("platform.h")), f"{source}: {systems}"
if not shutil.which(windows):
    print(f"skipped: no {windows} (package gcc-mingw-w64-x86-64)")
    sys.exit(77)
with tempfile.TemporaryDirectory() as directory:
    program = pathlib.Path(directory) / "winsock-service.exe"
    subprocess.run(
        [windows, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, *sources, "-lws2_32"],
        check=True,
    )
    assert program.read_bytes()[:2] == b"MZ"
print(f"{len(sources)} sources built for Windows")
