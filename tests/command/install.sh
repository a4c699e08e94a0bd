#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# install.sh SOURCE BUILD: `make install` puts a service within reach of the compiler by pkg-config,
# commands and man pages included, and `make uninstall` leaves no file behind.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source"
make --no-print-directory install BUILD="$2" DESTDIR="$work" PREFIX=/opt/waybill >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; exit 1; }
root=$work/opt/waybill
for file in bin/waybill bin/waybill-relay include/waybill/abi.h include/waybill/waybill.h include/waybill/winsock.h \
	share/man/man1/waybill.1 share/man/man1/waybill-relay.1 share/waybill/policy.schema.json; do
	[ -f "$root/$file" ] || { echo "$file is not installed" >&2; exit 1; }
done
PKG_CONFIG_LIBDIR=$(dirname "$(find "$root" -name libwaybill.pc)")
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR="$work"
cc -D_GNU_SOURCE examples/minimal-service/service.c -o "$work/service" \
	$(pkg-config --cflags --libs libwaybill) -pthread
nm -D --defined-only "$(find "$root" -name 'libwaybill.so.1.0.0')" | grep -q '@@WAYBILL_1.0' ||
	{ echo "symbols have no version" >&2; exit 1; }
make --no-print-directory uninstall BUILD="$2" DESTDIR="$work" PREFIX=/opt/waybill >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; exit 1; }
left=$(find "$root" -type f -o -type l 2>/dev/null || :)
[ -z "$left" ] || { echo "left behind: $left" >&2; exit 1; }
