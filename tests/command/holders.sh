#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Sockets that have bound an address of the ranges for connections and flows before `up`: up warns of
# them and doctor finds them, with process, protocol, address and port; but not of those outside of
# the instance's cgroup, nor of clients that are redirected, nor of a service that answers.
. "$(dirname "$0")/world.sh"

ip -6 addr add fd57:6179:6269:6c6c::5/128 dev lo

# holder CGROUP ADDRESS...: a process there binds tcp:ADDRESS (and listens), udp:ADDRESS, or
# bound:ADDRESS (TCP that does not listen), each at port 5000, and keeps it. Its number is in $holder.
holder() {
	leaf=$1
	shift
	rm -f "$work/holding"
	in_cgroup "$leaf" python3 -c '
import os, socket, sys, time
keep = []
for what in sys.argv[2:]:
    kind, address = what.split("=")
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET,
                      socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.bind((address, 5000))
    if kind == "tcp":
        s.listen()
    keep.append(s)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(1000)' "$work/holding" "$@" &
	started="$started $!"
	wait_for "[ -s $work/holding ]"
	holder=$(cat "$work/holding")
	started="$started $holder"
}

# warned PATTERN: up says so, and ends with 0; doctor has it as a finding.
warned() {
	grep -qE "^waybill: warning: $1, " "$work/err" || fail "up does not say $1: $(cat "$work/err")"
	grep -qE "^warning +addresses: $1, " "$work/doctor" ||
		fail "doctor does not say $1: $(cat "$work/doctor")"
}

up() {
	expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
	"$WAYBILL" doctor --instance "$name" >"$work/doctor" || :
}

# Nobody, and then only others.
up
[ ! -s "$work/err" ] || fail "a warning without a reason: $(cat "$work/err")"
grep -q '^ok *addresses: nobody' "$work/doctor" || fail "$(cat "$work/doctor")"
expect 0 "$WAYBILL" down --instance "$name"
holder b udp=127.112.0.9 tcp=127.112.0.9
holder app udp=127.95.255.255 tcp=127.128.0.0 udp=127.0.0.1
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup/app"
[ ! -s "$work/err" ] || fail "a warning without a reason: $(cat "$work/err")"
expect 0 "$WAYBILL" down --instance "$name"
kill "$holder"

# Both protocols and families, the first and the last address; a v4-mapped one; another namespace.
holder app tcp=127.96.0.1 udp=127.111.255.255 udp=127.127.255.255 tcp=::ffff:127.112.0.10 \
	udp=fd57:6179:6269:6c6c::5
first=$holder
in_cgroup c unshare --net sh -c 'ip link set lo up && exec python3 -c "
import os, socket, sys, time
s = socket.socket()
s.bind((\"127.112.0.77\", 6000))
s.listen()
open(sys.argv[1], \"w\").write(str(os.getpid()))
time.sleep(1000)" "$0"' "$work/elsewhere" &
wait_for "[ -s $work/elsewhere ]"
started="$started $(cat "$work/elsewhere")"
up
warned "python3\[$first\] has tcp 127.96.0.1:5000"
warned "python3\[$first\] has udp 127.111.255.255:5000"
warned "python3\[$first\] has udp 127.127.255.255:5000"
warned "python3\[$first\] has tcp 127.112.0.10:5000"
warned "python3\[$first\] has udp \[fd57:6179:6269:6c6c::5\]:5000"
warned "python3\[$(cat "$work/elsewhere")\] has tcp 127.112.0.77:6000"
warned "python3\[[0-9]+\] has udp 127.112.0.9:5000"
warned "python3\[[0-9]+\] has tcp 127.112.0.9:5000"
[ "$(grep -c warning "$work/err")" -eq 8 ] || fail "$(cat "$work/err")"
expect 0 "$WAYBILL" up --instance "$name" --json
python3 - "$work/out" "$first" <<-'PYTHON' || fail "$(cat "$work/out")"
import json, sys
holders = json.load(open(sys.argv[1]))["address_holders"]
assert len(holders) == 8
assert all(h["comm"] == "python3" and h["uid"] == 0 and h["protocol"] in ("tcp", "udp") for h in holders)
assert sum(h["pid"] == int(sys.argv[2]) for h in holders) == 5
PYTHON
expect 0 "$WAYBILL" down --instance "$name"

# One that is bound and nothing more, of which the kernel tells since 6.8.
holder app bound=127.112.0.11
up
if [ "$(printf '6.8\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.8 ]; then
	warned "python3\[$holder\] has tcp 127.112.0.11:5000"
fi
expect 0 "$WAYBILL" down --instance "$name"
for pid in $started; do
	kill "$pid" 2>/dev/null || :
done

# Connections that are redirected have such addresses, and are no finding; nor have those that come
# to somebody who listens on all.
up
policy
sed -i 's/tcp: 9001/tcp: 9001, udp: 9001/' "$work/policy.yaml"
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
relay a 9001 64101
relay b 9002 64102
server
in_cgroup app curl -sS --limit-rate 100K http://127.66.0.1:8080/data -o "$work/data" &
started="$started $!"
wait_for "'$WAYBILL' flows --instance $name | grep -q 'a > b'"
in_cgroup app python3 -c '
import socket, sys, time
listener = socket.create_server(("", 7070))
client = socket.create_connection(("127.112.200.1", 7070))
accepted = listener.accept()
open(sys.argv[1], "w")
time.sleep(1000)' "$work/accepted" &
started="$started $!"
wait_for "[ -e $work/accepted ]"
wait_for "ss -Htn src 127.112.0.0/12 | grep -q ."
up
[ ! -s "$work/err" ] || fail "a warning without a reason: $(cat "$work/err")"
grep -q '^ok *addresses: nobody' "$work/doctor" || fail "$(cat "$work/doctor")"

# A service that answers from a flow's address, at its port, may have bound that; who is not it not.
expect 0 "$WAYBILL" down --instance "$name"
for pid in $started; do
	kill "$pid" 2>/dev/null || :
done
answer='import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[2], 9001))
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(1000)'
for leaf in a b; do
	in_cgroup $leaf python3 -c "$answer" "$work/answers-$leaf" "127.96.0.$((0x$leaf))" &
	wait_for "[ -s $work/answers-$leaf ]"
	started="$started $(cat "$work/answers-$leaf")"
done
up
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
up
warned "python3\[$(cat "$work/answers-b")\] has udp 127.96.0.11:9001"
[ "$(grep -c warning "$work/err")" -eq 1 ] || fail "$(cat "$work/err")"
