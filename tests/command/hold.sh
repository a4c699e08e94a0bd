# SPDX-License-Identifier: BSD-2-Clause
# For the tests that reset connections: sourced after world.sh. Connections that are held, and looked
# after.
grep -qw bpf_sock_destroy /proc/kallsyms || { echo "skipped: the kernel cannot reset connections"; exit 77; }

# hold ADDRESS PORT USER [mptcp|FROM]: holds a connection as that user. Prints its port and pid, and how it ends.
cat >"$work/hold" <<'PYTHON'
import os, socket, sys
os.setuid(int(sys.argv[3]))
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
if len(sys.argv) > 4 and sys.argv[4] == "mptcp":
    s = socket.socket(family, socket.SOCK_STREAM, 262)
else:
    s = socket.socket(family)
    if len(sys.argv) > 4:
        s.bind((sys.argv[4], 0))
s.connect((sys.argv[1], int(sys.argv[2])))
print(s.getsockname()[1], os.getpid(), flush=True)
s.setblocking(True)
try:
    s.sendall(b"GET ")
    data = s.recv(100)
    print("closed" if data == b"" else "data", flush=True)
except OSError as error:
    print(error.errno, flush=True)
PYTHON

# hold NAME USER ADDRESS PORT: in the background, with its words in $work/NAME.held.
hold() {
	: >"$work/$1.held"
	in_cgroup app python3 "$work/hold" "$3" "$4" "$2" ${5:-} >"$work/$1.held" 2>&1 &
	started="$started $!"
	wait_for "[ -s $work/$1.held ]"
}

held() {
	[ "$(wc -l <"$work/$1.held")" -eq 1 ] || fail "$1 is not open: $(cat "$work/$1.held")"
}

# It ended, and no socket of its port is left, not even one that waits.
gone() {
	wait_for "[ \$(wc -l <$work/$1.held) -eq 2 ]"
	grep -qxE 'closed|10[34]' "$work/$1.held" || fail "$1: $(cat "$work/$1.held")"
	port=$(head -1 "$work/$1.held" | cut -d" " -f1)
	[ -z "$(ss -Hatn "sport = $port or dport = $port")" ] || fail "$1: $(ss -Hatn "sport = $port or dport = $port")"
}

flows() {
	expect 0 "$WAYBILL" flows --instance "$name" "$@"
}

# The chains are whole: so many hops are open.
chains() {
	wait_for "[ \$('$WAYBILL' flows --json --instance $name | grep -c original_destination) -eq $1 ]"
}
