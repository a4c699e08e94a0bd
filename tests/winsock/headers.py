#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Compares the numbers of values.c under <waybill/winsock.h> and under mingw-w64's headers."""
import re
import shutil
import subprocess
import sys

source, include, native = sys.argv[1:4]
windows = "x86_64-w64-mingw32-gcc"
# mingw-w64 has none of these; their values are those of Microsoft's reference.
KNOWN = {
    "value_SIO_QUERY_WFP_CONNECTION_REDIRECT_RECORDS": 0x980000DC,
    "value_SIO_QUERY_WFP_CONNECTION_REDIRECT_CONTEXT": 0x980000DD,
    "value_SIO_SET_WFP_CONNECTION_REDIRECT_RECORDS": 0x980000DE,
    "value_FWP_E_NOT_FOUND": 0xFFFFFFFF80320008,
    "value_SO_ORIGINAL_DST": 0x300F,
}


def numbers(compiler, *options):
    assembly = subprocess.run(
        [compiler, "-S", "-O0", "-o", "-", *options, source], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found = {}
    for name, kind, value in re.findall(
        r"^((?:value|size|offset|width)_\w+):\n\s*\.(quad|zero|space)\s+(-?\d+)", assembly, re.M
    ):
        found[name] = int(value) % 2**64 if kind == "quad" else 0
    for name, body in re.findall(r"^guid_(\w+):\n((?:\s*\.(?:long|value|word|byte)\s+-?\d+\n)+)", assembly, re.M):
        for part, (kind, value) in enumerate(re.findall(r"\.(\w+)\s+(-?\d+)", body)):
            found[f"guid_{name}_{part}"] = int(value) % 2 ** {"long": 32, "byte": 8}.get(kind, 16)
    return found


if not shutil.which(windows):
    print(f"skipped: no {windows} (package gcc-mingw-w64-x86-64)")
    sys.exit(77)
ours = numbers(native, "-I", include)
theirs = numbers(windows)
assert len(ours) > 240, f"only {len(ours)} numbers were found"
bad = 0
for name, value in ours.items():
    wanted = theirs.get(name, KNOWN.get(name))
    # A SOCKET or DWORD of theirs is signed or not as ours; constants differ in width at most.
    if wanted is None or (value != wanted and value % 2**32 != wanted % 2**32):
        print(f"{name}: {value:#x}, not {'there' if wanted is None else hex(wanted)}")
        bad += 1
    if name in KNOWN and value != KNOWN[name]:
        print(f"{name}: {value:#x}, not {KNOWN[name]:#x}")
        bad += 1
print(f"{len(ours)} numbers compared")
sys.exit(1 if bad else 0)
