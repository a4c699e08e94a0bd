#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill run: the command and its children go through the listeners named, each once, nobody else
# does; the command's exit code comes back; and nothing is left at the end, or after kill -9.
. "$(dirname "$0")/world.sh"

relay a 9001 64101
relay b 9002 64102
server
expect 1 "$WAYBILL" run --through :9009 -- true
grep -q "9009" "$work/err" || fail "it does not name the listener"
expect 2 "$WAYBILL" run --through :9001
expect 7 "$WAYBILL" run --through :9001 -- sh -c 'exit 7'
expect 127 "$WAYBILL" run --through :9001 -- "$work/nowhere"
expect 0 "$WAYBILL" run --through :9001 --through :9002 -- \
	sh -c "curl -sS http://127.66.0.1:8080/data -o $work/data"
cmp -s "$work/data" "$work/www/data" || fail "the file differs"
wait_for "[ \$(wc -l <$work/a.log) -eq 1 ] && [ \$(wc -l <$work/b.log) -eq 1 ]"
grep -q '"comm":"curl"' "$work/b.log" || fail "b does not know the originator"
curl -sS http://127.66.0.1:8080/data -o "$work/data"
[ "$(wc -l <"$work/a.log")" -eq 1 ] || fail "somebody else was redirected"
[ "$(grep -c 'GET /data' "$work/www.log")" -eq 2 ] || fail "the server saw other requests"

# Two at once do not disturb each other.
"$WAYBILL" run --through :9001 -- curl -sS http://127.66.0.1:8080/data -o "$work/one" &
expect 0 "$WAYBILL" run --through :9002 -- curl -sS http://127.66.0.1:8080/data -o "$work/two"
wait $!
cmp -s "$work/one" "$work/two" || fail "the files differ"
wait_for "[ \$(wc -l <$work/a.log) -eq 2 ] && [ \$(wc -l <$work/b.log) -eq 2 ]"

# Datagrams go through those that receive them.
relay c 9003 64103 --datagrams
echoes 127.66.0.2
ip -6 address add fd66::2/128 dev lo
echoes fd66::2
expect 0 "$WAYBILL" run --through :9003 -- python3 "$work/hello" 127.66.0.2 fd66::2
printf '127.66.0.2|hello 127.66.0.2 7777\nfd66::2|hello fd66::2 7777\n' | cmp - "$work/out" ||
	fail "$(cat "$work/out")"
[ -z "$(ip -6 route show table local proto static)" ] || fail "a route is left"
# shellcheck disable=SC2046
kill $(cat "$mount$cgroup/c/cgroup.procs")
wait_for "[ \$(grep -c '\"protocol\":\"udp\"' $work/c.log) -eq 2 ]"
expect 0 "$WAYBILL" run --through :9001 -- python3 "$work/hello" 127.66.0.2

# Killed: the command dies too, since nothing may go on past the services, and all is removed.
"$WAYBILL" run --through :9001 -- sh -c "setsid sleep 4242 & sleep 4242" &
run=$!
wait_for "pgrep -x -f 'sleep 4242' >/dev/null"
kill -9 "$run"
wait_for "! pgrep -x -f 'sleep 4242' >/dev/null"
wait_for "[ ! -e $mount/waybill-run-$run ]"
