#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill exec: a command becomes a service in its identity, told by cgroup, by user, or by both;
# with --listen it finds listeners that are the service's. Listeners that systemd or inetd make are
# the service's if the policy says so. What is handed over is handed on.
. "$(dirname "$0")/world.sh"

# services A B C: a policy with the services a, b and c, of which each has a line.
services() {
	cat >"$work/policy.yaml" <<-POLICY
	version: 1
	services:
	  - { name: a, weight: 30, $1 }
	  - { name: b, weight: 20, $2 }
	  - { name: c, weight: 10, $3 }
	filters:
	  - { name: all, service: a, match: { remote_port: [ 7777, 8080 ] }, action: redirect }
	  - { name: web, service: b, match: { protocol: tcp, remote_port: 8080 }, action: redirect }
	  - { name: web, service: c, match: { protocol: tcp, remote_port: 8080 }, action: redirect }
	POLICY
	"$WAYBILL" apply "$work/policy.yaml" --instance "$name" >/dev/null
}

# start LEAF COMMAND..: in the background, in that cgroup; its complaints go to $work/err.
start() {
	in_cgroup "$@" 2>>"$work/err" &
	started="$started $!"
}

log() {
	install -m 666 /dev/null "$work/$1.log"
	echo "$work/$1.log"
}

# through LOG..: a transfer that each of these services sees once.
through() {
	: >"$work/data"
	in_cgroup app curl -sS http://127.66.0.1:8080/small -o "$work/data" || fail "$(cat "$work/err")"
	cmp -s "$work/data" "$work/www/small" || fail "the file differs"
	for log in "$@"; do
		wait_for "[ \$(grep -c '\"comm\":\"curl\"' $work/$log.log) -eq 1 ]"
	done
}

listening() {
	wait_for "[ \$(ss -Hltn 'sport = $1' | wc -l) -eq $2 ]"
}

# Kills what is in a cgroup of the world, and waits for its end.
end_in() {
	echo 1 >"$mount$cgroup/$1/cgroup.kill"
	wait_for "[ ! -s $mount$cgroup/$1/cgroup.procs ]"
}

expect 3 "$WAYBILL" exec --instance "$name" --service a -- true
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 1 "$WAYBILL" exec --instance "$name" --service a -- true
grep -q 'waybill apply FILE' "$work/err" || fail "$(cat "$work/err")"
services "endpoint: { tcp: 9001, udp: 9001 }, identity: { cgroup: $cgroup/a }" \
	"endpoint: { tcp: 81 }, identity: { user: 64102 }" \
	"endpoint: { tcp: 9003 }, identity: { user: 64103, cgroup: $cgroup/c }"
server
head -c 100000 "$work/www/data" >"$work/www/small"

# exec SERVICE COMMAND..: by the instance of this test.
exec_as() {
	service=$1
	shift
	"$WAYBILL" exec --instance "$name" --service "$service" -- "$@"
}

# Who it is, and how it ends.
expect 2 "$WAYBILL" exec --instance "$name" --service a
expect 2 "$WAYBILL" exec --instance "$name" -- true
expect 1 exec_as d true
grep -q 'service "d" is not in the policy in force (which has: a, b, c)' "$work/err" ||
	fail "$(cat "$work/err")"
expect 7 exec_as a sh -c 'exit 7'
expect 127 exec_as a "$work/nowhere"
expect 126 exec_as a "$work/policy.yaml"
# shellcheck disable=SC2016
who='echo $(id -u) $(id -ru) $(id -G) $(grep "^0::" /proc/self/cgroup)'
expect 0 exec_as a sh -c "$who"
grep -qx "0 0 .*0::$cgroup/a" "$work/out" || fail "$(cat "$work/out")"
expect 0 "$WAYBILL" exec --instance "$name" --service a --user nobody -- sh -c "$who"
grep -qx "65534 65534 65534 0::$cgroup/a" "$work/out" || fail "$(cat "$work/out")"
expect 0 exec_as c sh -c "$who"
grep -qx "64103 64103 65534 0::$cgroup/c" "$work/out" || fail "$(cat "$work/out")"
expect 0 in_cgroup b "$WAYBILL" exec --instance "$name" --service b -- sh -c "$who"
grep -qx "64102 64102 65534 0::$cgroup/b" "$work/out" || fail "$(cat "$work/out")"
expect 1 "$WAYBILL" exec --instance "$name" --service b --user nobody -- true
# Where no hook of the instance is, nobody is a service.
expect 1 exec_as b true
grep -q "outside of $cgroup, where the instance is" "$work/err" || fail "$(cat "$work/err")"
expect 1 setpriv --reuid 64102 --clear-groups "$WAYBILL" exec --service b -- true
# A service that is in a cgroup below its own stays there.
mkdir "$mount$cgroup/a/below"
expect 0 in_cgroup a/below "$WAYBILL" exec --instance "$name" --service a -- sh -c "$who"
grep -q "0::$cgroup/a/below" "$work/out" || fail "$(cat "$work/out")"
rmdir "$mount$cgroup/a/below"

# With listeners: on both families, at a low port too, and for datagrams.
: >"$work/err"
for service in a b c; do
	start "$service" "$WAYBILL" exec --instance "$name" --service "$service" --listen -- \
		"$WAYBILL_RELAY" --service "$service" --log "$(log "$service")"
done
for port in 9001 81 9003; do
	listening "$port" 2
done
through a b c
grep -q 'receiving datagrams on port 9001' "$work/err" || fail "$(cat "$work/err")"
echoes 127.66.0.2
expect 0 in_cgroup app python3 "$work/hello" 127.66.0.2
grep -qx '127.66.0.2|hello 127.66.0.2 7777' "$work/out" || fail "$(cat "$work/out")"
expect 1 "$WAYBILL" exec --instance "$name" --service a --listen -- true
grep -q 'cannot listen on 127.0.0.1, port 9001: Address already in use' "$work/err" ||
	fail "$(cat "$work/err")"
for pid in $(cat "$mount$cgroup/a/cgroup.procs"); do
	tr '\0' '\n' <"/proc/$pid/environ" | grep -qx LISTEN_FDNAMES=tcp:tcp:udp || fail "names"
	kill "$pid"
done
wait_for "grep -q '\"protocol\":\"udp\"' $work/a.log"
end_in a
end_in b
end_in c

# What is handed over is handed on, to the process that it is for now; what is not there, or no
# socket, is not.
hand='exec python3 -c "
import os, socket, sys
handed = socket.socket()
handed.fileno() == 3 or os.dup2(handed.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[1], sys.argv[1:])
" "$@"'
expect 0 env LISTEN_FDS=1 LISTEN_PID=1 sh -c 'exec 3</dev/null; exec "$@"' sh "$WAYBILL" exec \
	--instance "$name" --service a -- sh -c 'echo ${LISTEN_FDS-none}'
grep -qx none "$work/out" || fail "$(cat "$work/out")"
expect 0 env LISTEN_FDS=1 LISTEN_PID=1 LISTEN_FDNAMES=x sh -c "$hand" sh "$WAYBILL" exec \
	--instance "$name" --service a -- sh -c 'echo $LISTEN_FDS:$LISTEN_FDNAMES $(($$ - LISTEN_PID))'
grep -qx '1:x 0' "$work/out" || fail "$(cat "$work/out")"
expect 0 env LISTEN_FDS=9 LISTEN_PID=1 "$WAYBILL" exec --instance "$name" --service a -- \
	sh -c 'echo ${LISTEN_FDS-none}'
grep -qx none "$work/out" || fail "$(cat "$work/out")"
expect 1 env LISTEN_FDS=1 sh -c "$hand" sh "$WAYBILL" exec --instance "$name" --service a --listen \
	-- true

# Socket activation: systemd listens, and starts the service with the first connection.
services "endpoint: { tcp: 9001, udp: 9001 }, identity: { user: 64101, cgroup: $cgroup/a },
      listener: { user: root, cgroup: $cgroup/other }" \
	"endpoint: { tcp: 9002 }, identity: { user: 64102 }, when_down: pass,
      listener: { user: root, cgroup: $cgroup/other }" \
	"endpoint: { tcp: 9003 }, identity: { user: 64103, cgroup: $cgroup/c }, when_down: pass" \
	2>/dev/null && fail "a cgroup that is not there"
mkdir "$mount$cgroup/other"
"$WAYBILL" apply "$work/policy.yaml" --instance "$name" >/dev/null
: >"$work/err"
start other systemd-socket-activate -l 127.0.0.1:9001 -l '[::1]:9001' \
	"$WAYBILL" exec --instance "$name" --service a -- \
	"$WAYBILL_RELAY" --service a --log "$(log a)"
listening 9001 2
through a
"$WAYBILL" doctor --instance "$name" >"$work/out" || :
grep -q '^ok *service a: process [0-9]* listens, and is the service' "$work/out" ||
	fail "$(cat "$work/out")"
end_in a

# inetd, which gives each connection to a process of its own: a service told by user.
cat >"$work/nowait" <<'PYTHON'
import os, select, socket, struct
accepted = socket.socket(fileno=0)
port, address = struct.unpack_from("!H4s", accepted.getsockopt(0x5742, 4, 128), 2)
records = accepted.getsockopt(0x5742, 1, 1024)
onward = socket.socket()
onward.setsockopt(0x5742, 1, records)
onward.connect((socket.inet_ntoa(address), port))
open(os.environ["LOG"], "a").write(f'"comm":"curl" {os.getuid()} {len(records)}\n')
while True:
    for ready in select.select([accepted, onward], [], [])[0]:
        data = ready.recv(65536)
        if not data:
            raise SystemExit
        (onward if ready is accepted else accepted).sendall(data)
PYTHON
inetd=$(command -v inetd || echo /usr/sbin/inetd)
cat >"$work/inetd.conf" <<CONF
127.0.0.1:9002 stream tcp nowait root /usr/bin/env env LOG=$(log b) $WAYBILL exec --instance $name --service b -- python3 $work/nowait
CONF
start other "$inetd" -i "$work/inetd.conf"
listening 9002 1
services "endpoint: { tcp: 9001 }, identity: { cgroup: $cgroup/a }, when_down: pass" \
	"endpoint: { tcp: 9002 }, identity: { user: 64102 },
      listener: { user: root, cgroup: $cgroup/other }" \
	"endpoint: { tcp: 9003 }, identity: { user: 64103, cgroup: $cgroup/c }, when_down: pass"
start c "$WAYBILL" exec --instance "$name" --service c --listen -- \
	"$WAYBILL_RELAY" --service c --log "$(log c)"
listening 9003 2
through b c
grep -qx '"comm":"curl" 64102 184' "$work/b.log" || fail "$(cat "$work/b.log")"
