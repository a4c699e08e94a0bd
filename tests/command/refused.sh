#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A kernel that does not take a program: `up`, and `apply` of a policy that needs it, say which one,
# why, and what to do, and leave nothing half done; `doctor` tries all programs, with an instance or
# without. Needs WAYBILL_REFUSE, the library that spoils programs (refuse.c).
. "$(dirname "$0")/world.sh"

# refusing PROGRAM [VARIABLE=VALUE...] -- COMMAND...
refusing() {
	program=$1
	shift
	env LD_PRELOAD="$WAYBILL_REFUSE" REFUSE_PROGRAM="waybill_$program" "$@"
}

said() {
	grep -qE "$1" "$work/err" || fail "not said: $1 in
$(cat "$work/err")"
	[ "$(wc -l <"$work/err")" -eq 1 ] || fail "more than a line: $(cat "$work/err")"
}

found() {
	grep -qE "$1" "$work/out" || fail "not found: $1 in
$(cat "$work/out")"
}

json() {
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1]))
p = {p["name"]: p for p in d["programs"]}; sys.exit(not eval(sys.argv[2]))' \
		"$work/out" "$1" || { cat "$work/out" >&2; fail "not so: $1"; }
}

release=$(uname -r)

# The verifier's words, the helper that is not there; and nothing is left.
expect 1 refusing bind4 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
said "Linux $release does not take the program bind4: R9 !read_ok \(waybill doctor .*WAYBILL_DEBUG"
expect 1 refusing bind4 REFUSE_HELPER=1 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
said "Linux $release does not take the program bind4: it lacks a function: .*#999999 \("
[ ! -e "/sys/fs/bpf/waybill/$name" ] || fail "pins are left"
expect 1 refusing bind4 WAYBILL_DEBUG=1 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
grep -q 'BEGIN PROG LOAD LOG' "$work/err" || fail "no log: $(cat "$work/err")"

# Without an instance the doctor tries them all.
expect 3 "$WAYBILL" doctor --instance "$name"
found "^ok +programs: Linux $release takes all [0-9]+ \([0-9]+ instructions verified\)"
expect 3 "$WAYBILL" doctor --instance "$name" --json
json "all(q['verdict'] == 'loads' and q['instructions'] > 0 for q in p.values())"
json "all(q['reason'] is None and q['milliseconds'] > 0 for q in p.values())"
json "{'connect4', 'datagram6', 'flows', 'reset', 'executable'} <= set(p)"

# One that is needed for datagrams alone: `up` does without, and the policy in force stays.
expect 0 refusing release "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
policy
expect 0 refusing release "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
sed -e 's/tcp: 9001/tcp: 9001, udp: 9001/' -e '0,/protocol: tcp/s//protocol: udp/' \
	"$work/policy.yaml" >"$work/datagrams.yaml"
expect 1 refusing release "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
said "Linux $release does not take the program release: R9 !read_ok"
expect 0 "$WAYBILL" status --instance "$name" --json
python3 -c 'import json, sys; sys.exit(json.load(open(sys.argv[1]))["policy"]["generation"] != 1)' \
	"$work/out" || fail "$(cat "$work/out")"
expect 1 refusing release "$WAYBILL" doctor --instance "$name"
found '^error +program release: it does not load, refused: R9 !read_ok; so policies that redirect datagrams fail'
expect 1 refusing release REFUSE_HELPER=1 "$WAYBILL" doctor --instance "$name" --json
json "p['release']['verdict'] == 'no helper' and '999999' in p['release']['reason']"
json "all(q['verdict'] == 'loads' for n, q in p.items() if n != 'release')"
expect 1 refusing executable "$WAYBILL" doctor --instance "$name"
found '^error +program executable: .*so policies that name applications fail'
expect 0 "$WAYBILL" apply "$work/datagrams.yaml" --instance "$name"
expect 0 "$WAYBILL" down --instance "$name"

# No BTF, and no right to load anything, are told apart from that.
# shellcheck disable=SC2016
expect 1 unshare -m sh -c 'mount -t tmpfs none /sys/kernel/btf && exec "$@"' - \
	"$WAYBILL" up --instance "$name" --cgroup "$cgroup"
said "no BTF.*/sys/kernel/btf/vmlinux.*CONFIG_DEBUG_INFO_BTF"
if unshare -Ur true 2>/dev/null; then
	expect 1 unshare -Ur "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
	said "refuses eBPF programs: Operation not permitted \(needs root of the host"
fi
