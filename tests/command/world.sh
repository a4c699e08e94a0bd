# SPDX-License-Identifier: BSD-2-Clause
# For the tests of the commands: sourced first. Runs the test again in a network namespace of its
# own, makes a cgroup for it, and takes away processes, cgroup and instance ($name, and $name-2 if
# there is one) at the end, also when the test fails or is interrupted. Needs WAYBILL and
# WAYBILL_RELAY, the paths of the commands.
set -eu
[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root"; exit 77; }
: "${WAYBILL:?is the path of the command}" "${WAYBILL_RELAY:?is the path of the relay}"
if [ "${WORLD:-}" != "$$" ]; then
	export WORLD=$$
	exec unshare --net "$0" "$@"
fi
ip link set lo up
mount=$(awk '$0 ~ / - cgroup2 / && $4 == "/" { print $5; exit }' /proc/self/mountinfo)
[ -n "$mount" ] || { echo "skipped: no cgroup2"; exit 77; }
name=command-$$
cgroup=/waybill-test-$name
work=$(mktemp -d)
chmod 755 "$work"
started=
# Limits of waiting are stretched by this, as in ../patience.h.
patience=${WAYBILL_TEST_PATIENCE:-1}
mkdir "$mount$cgroup" "$mount$cgroup/app" "$mount$cgroup/a" "$mount$cgroup/b" "$mount$cgroup/c"

end() {
	result=$?
	trap - EXIT INT TERM
	[ "$result" -eq 0 ] || [ "$result" -eq 77 ] || echo "failed with $result" >&2
	"$WAYBILL" down --instance "$name" >/dev/null 2>&1 || :
	"$WAYBILL" down --instance "$name-2" >/dev/null 2>&1 || :
	for pid in $started; do
		kill -9 "$pid" 2>/dev/null || :
	done
	echo $$ >"$mount/cgroup.procs"
	echo 1 >"$mount$cgroup/cgroup.kill" 2>/dev/null || :
	for try in $(seq $((60 * patience))); do
		find "$mount$cgroup" -depth -type d -delete 2>/dev/null || :
		[ -e "$mount$cgroup" ] || break
		sleep 0.1
	done
	rm -rf "$work"
	exit "$result"
}
trap end EXIT
trap 'exit 130' INT TERM

fail() {
	echo "$*" >&2
	exit 1
}

# in CGROUP COMMAND...: in that cgroup of the world; replaces the (sub)shell.
in_cgroup() {
	leaf=$1
	shift
	sh -c 'echo $$ >"$0" && exec "$@"' "$mount$cgroup/$leaf/cgroup.procs" "$@"
}

# relay NAME PORT UID [OPTION]: a relay as that user in the cgroup NAME, logging to $work/NAME.log.
relay() {
	install -m 666 /dev/null "$work/$1.log"
	in_cgroup "$1" setpriv --reuid "$3" --regid "$3" --clear-groups \
		"$WAYBILL_RELAY" --listen ":$2" --service "$1" --log "$work/$1.log" ${4:-} \
		2>"$work/$1.err" &
	started="$started $!"
	wait_for "grep -q ']:$2' $work/$1.err"
}

# echoes ADDRESS: sends back what is sent to its UDP port 7777, with the address before it.
echoes() {
	python3 -c '
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7777))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(sys.argv[1].encode() + b"|" + data, peer)' "$1" &
	started="$started $!"
	wait_for "ss -Hlun 'sport = 7777' | grep -qF '$1'"
}

# Says hello to the UDP port 7777 of each ADDRESS, and prints what comes back, and from where.
cat >"$work/hello" <<PYTHON
import socket, sys
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(2 * $patience)
    try:
        s.sendto(b"hello", (address, 7777))
    except OSError as error:
        sys.exit(f"{address}: {error}")
    data, peer = s.recvfrom(100)
    print(data.decode(), peer[0], peer[1])
PYTHON

# A web server on 127.66.0.1:8080 with a file "data".
server() {
	mkdir -p "$work/www"
	head -c 30000000 /dev/urandom >"$work/www/data"
	python3 -m http.server --bind 127.66.0.1 --directory "$work/www" 8080 >"$work/www.log" 2>&1 &
	started="$started $!"
	wait_for "ss -Hltn 'sport = 8080' | grep -q ."
}

wait_for() {
	for try in $(seq $((100 * patience))); do
		if sh -c "$1"; then return 0; fi
		sleep 0.05
	done
	fail "this did not come true: $1"
}

# expect CODE COMMAND...: with its output in $work/out and $work/err.
expect() {
	code=$1
	shift
	got=0
	"$@" >"$work/out" 2>"$work/err" || got=$?
	[ "$got" -eq "$code" ] || { cat "$work/out" "$work/err" >&2; fail "exit $got, not $code: $*"; }
}

policy() {
	cat >"$work/policy.yaml" <<-POLICY
	version: 1
	services:
	  - name: a
	    weight: 20
	    endpoint: { tcp: 9001 }
	    identity: { cgroup: $cgroup/a }
	  - name: b
	    weight: 10
	    endpoint: { tcp: 9002 }
	    identity: { cgroup: $cgroup/b }
	filters:
	  - name: web
	    service: a
	    match: { protocol: tcp, remote_port: [ 8080 ] }
	    action: redirect
	    context: hello
	  - name: web
	    service: b
	    match: { protocol: tcp, remote_port: [ 8080 ] }
	    action: redirect
	POLICY
}
