#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Each recipe of docs/cookbook.md does what it says: with the policy that it shows, but for the
# paths of cgroups, which are below the test's own, and of a list. Servers are at addresses of
# documentation that are the test's loopback's.
source=$(cd "$(dirname "$0")/../.." && pwd)
python3 - "$source" <<'PYTHON' || exit 1
import pathlib, re, sys
source = pathlib.Path(sys.argv[1])
shown = re.findall(r"\(\.\./(examples/policies/\S+\.yaml)\):\n\n```yaml\n(.*?)```\n",
                   (source / "docs/cookbook.md").read_text(), re.DOTALL)
assert len(shown) == 4, [path for path, _ in shown]
for path, text in shown:
    assert (source / path).read_text().split("\n", 1)[1] == text, f"docs/cookbook.md shows another {path}"
PYTHON
. "$(dirname "$0")/world.sh"
for tool in jq tcpdump nft curl; do
	command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
for leaf in acme globex gateway tunnel dlp fence; do
	mkdir "$mount$cgroup/$leaf"
done

# use RECIPE: puts its policy in force.
use() {
	sed "s|/system.slice/\([a-z]*\).service|$cgroup/\1|; s|/fence.slice|$cgroup/fence|
		s|/etc/waybill/|$work/|" "$source/examples/policies/$1.yaml" >"$work/$1.yaml"
	expect 0 "$WAYBILL" apply "$work/$1.yaml" --instance "$name"
}

# web ADDRESS PORT: a server of the file "page", and of "data", which is long.
web() {
	ip address replace "$1/32" dev lo
	python3 -m http.server --bind "$1" --directory "$work/www" "$2" >>"$work/www.log" 2>&1 &
	started="$started $!"
	wait_for "ss -Hltn 'src $1:$2' | grep -q ."
}

# get LEAF USER ADDRESS[:PORT]: curl's exit code, 7 if the connection is refused.
get() {
	code=0
	(in_cgroup "$1" setpriv --reuid "$2" --regid "$2" --clear-groups \
		curl -sS --max-time 10 "http://$3/page" >"$work/page" 2>"$work/curl.err") || code=$?
	[ "$code" -ne 0 ] || [ "$(cat "$work/page")" = hello ] || fail "another page"
	return "$code"
}

# Ends what runs in a cgroup of the world.
stop() {
	# shellcheck disable=SC2046
	kill $(cat "$mount$cgroup/$1/cgroup.procs")
	wait_for "! grep -q . '$mount$cgroup/$1/cgroup.procs'"
}

mkdir "$work/www"
echo hello >"$work/www/page"
head -c 30000000 /dev/urandom >"$work/www/data"
web 192.0.2.1 80
web 192.0.2.1 8081
web 192.0.2.2 80
echoes 127.66.0.2

# 1. What one program says.
mkfifo "$work/pipe"
"$WAYBILL_RELAY" --listen :9001 --datagrams >"$work/pipe" 2>"$work/relay.err" &
relay=$!
started="$started $relay"
jq --unbuffered -r '[.originator.comm, .protocol, .original_destination,
	.tls_server_name // .http_host, .bytes_up, .bytes_down] | @tsv' <"$work/pipe" >"$work/said" &
tcpdump -i lo -A -n -l 'tcp port 9001' >"$work/tcpdump" 2>"$work/tcpdump.err" &
tcpdump=$!
started="$started $tcpdump"
wait_for "grep -q ']:9001' $work/relay.err && grep -q 'listening on' $work/tcpdump.err"
expect 0 "$WAYBILL" run --through :9001 --user root -- sh -c "curl -sS http://192.0.2.1/page
	curl -sk --resolve secret.example:8081:192.0.2.1 https://secret.example:8081/
	python3 $work/hello 127.66.0.2"
curl -sS http://192.0.2.2/page >/dev/null
wait_for "grep -q 'GET /page' $work/tcpdump"
kill "$relay" "$tcpdump"
wait_for "[ \$(wc -l <$work/said) -eq 3 ]"
grep -q "^curl	tcp	192.0.2.1:80	192.0.2.1	[0-9]*	[0-9]*$" "$work/said" || fail "$(cat "$work/said")"
grep -q "^curl	tcp	192.0.2.1:8081	secret.example	" "$work/said" || fail "$(cat "$work/said")"
grep -q "^python3	udp	127.66.0.2:7777	" "$work/said" || fail "$(cat "$work/said")"
! grep -q 'Host: 192.0.2.2' "$work/tcpdump" || fail "somebody else's traffic"

expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"

# 2. Two vendors' inspectors in a row.
relay acme 9001 64101
relay globex 9002 64102
use two-inspectors
get app 2000 192.0.2.1
wait_for "[ \$(wc -l <$work/acme.log) -eq 1 ] && [ \$(wc -l <$work/globex.log) -eq 1 ]"
jq -e '(.chain | length) == 1 and .originator.comm == "curl"' "$work/acme.log" >/dev/null ||
	fail "$(cat "$work/acme.log")"
jq -e '(.chain | length) == 2 and .originator.comm == "curl"' "$work/globex.log" >/dev/null ||
	fail "$(cat "$work/globex.log")"
in_cgroup app curl -sS --limit-rate 100K http://192.0.2.1/data -o "$work/data" &
started="$started $!"
wait_for "'$WAYBILL' flows --instance $name | grep -q 'acme > globex'"
stop app
stop globex
get app 2000 192.0.2.1
stop acme
got=0
get app 2000 192.0.2.1 || got=$?
[ "$got" -eq 7 ] || fail "past acme: $got"

# 3. The fence.
relay gateway 9003 64101 --datagrams
use fence
cat >"$work/ask" <<'PYTHON'
import errno, socket, sys
kind, protocol, address, port = sys.argv[1:]
kind = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM, "raw": socket.SOCK_RAW}[kind]
s = socket.socket(socket.AF_INET, kind, int(protocol))
s.settimeout(2)
try:
    s.connect((address, int(port)))
    s.send(bytes(8))
    print("sent" if kind == socket.SOCK_RAW or int(protocol) else s.recv(100))
except OSError as error:
    print(errno.errorcode.get(error.errno, "timeout"))
PYTHON
ask() {
	(in_cgroup "$1" python3 "$work/ask" "$2" "$3" "$4" "$5") >"$work/asked"
	cat "$work/asked"
}
# answers ADDRESS PORT: what will do for a resolver, or for QUIC.
cat >"$work/answers" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
while True:
    data, peer = s.recvfrom(100)
    s.sendto(b"name", peer)
PYTHON
answers() {
	python3 "$work/answers" "$1" "$2" &
	started="$started $!"
	wait_for "ss -Hlun 'src $1:$2' | grep -q ."
}
answers 127.66.0.3 53
get fence 2000 192.0.2.1
wait_for "[ \$(wc -l <$work/gateway.log) -eq 1 ]"
[ "$(ask fence udp 0 127.66.0.3 53)" = "b'name'" ] || fail "no names: $(cat "$work/asked")"
[ "$(ask fence tcp 0 192.0.2.1 8081)" = ECONNREFUSED ] || fail "out: $(cat "$work/asked")"
[ "$(ask fence udp 0 127.66.0.2 7777)" = ECONNREFUSED ] || fail "out: $(cat "$work/asked")"
got=0
get fence 2000 192.0.2.1:8081 || got=$?
[ "$got" -eq 7 ] || fail "out of the fence: $got"
get app 2000 192.0.2.1:8081 || fail "others are fenced in"
# What Waybill does not see is what the rules are for.
ip link add far type veth peer name near
ip link set far up
ip link set near up
ip address add 192.0.3.1/24 dev far
ip neighbour add 192.0.3.2 lladdr 02:00:00:00:00:02 dev far
[ "$(ask fence raw 1 192.0.3.2 0)" = sent ] || fail "$(cat "$work/asked")"
[ "$(ask fence udp 136 127.66.0.2 9)" = sent ] || fail "$(cat "$work/asked")"
sed -n '/^table inet fence {/,/^}/p' "$source/docs/cookbook.md" |
	sed "s|level 1 \"fence.slice\"|level 2 \"${cgroup#/}/fence\"|" >"$work/fence.nft"
# nft knows one place for cgroup2.
unshare --mount sh -c 'mount --bind "$0" /sys/fs/cgroup && nft -f "$1"' "$mount" "$work/fence.nft"
[ "$(ask fence raw 1 192.0.3.2 0)" = EPERM ] || fail "out: $(cat "$work/asked")"
[ "$(ask fence udp 136 127.66.0.2 9)" = EPERM ] || fail "out: $(cat "$work/asked")"
[ "$(ask app raw 1 192.0.3.2 0)" = sent ] || fail "others are fenced in: $(cat "$work/asked")"
get fence 2000 192.0.2.1 || fail "the rules stop what is redirected: $(cat "$work/curl.err")"
[ "$(ask fence udp 0 127.66.0.3 53)" = "b'name'" ] || fail "no names: $(cat "$work/asked")"
nft delete table inet fence
stop gateway
got=0
get fence 2000 192.0.2.1 || got=$?
[ "$got" -eq 7 ] || fail "without the gateway: $got"

# 4. The split tunnel.
web 10.66.0.1 80
web 10.0.2.1 80
web 198.51.100.1 80
relay tunnel 9004 64101 --datagrams
echo '203.0.113.0/24   # the branch' >"$work/company.txt"
use split-tunnel
get app 2000 10.66.0.1
wait_for "[ \$(wc -l <$work/tunnel.log) -eq 1 ]"
get app 2000 192.0.2.1    # not the company
get app 2000 10.0.2.1     # the local network
get app 0 10.66.0.1       # not one of people
get app 2000 198.51.100.1 # not in the list yet
echo 198.51.100.0/24 >>"$work/company.txt"
get app 2000 198.51.100.1
[ "$(wc -l <"$work/tunnel.log")" -eq 1 ] || fail "$(cat "$work/tunnel.log")"
expect 0 "$WAYBILL" apply "$work/split-tunnel.yaml" --instance "$name"
get app 2000 198.51.100.1
wait_for "[ \$(wc -l <$work/tunnel.log) -eq 2 ]"
stop tunnel
got=0
get app 2000 10.66.0.1 || got=$?
[ "$got" -eq 7 ] || fail "past the tunnel: $got"
get app 2000 192.0.2.1

# 5. Data-loss prevention that fails closed.
metric() {
	"$WAYBILL" metrics --instance "$name" | sed -n "s/^$1{.*service=\"dlp\".*} //p" | sort -n | tail -n 1
}
relay dlp 9005 64101
use dlp
expect 0 "$WAYBILL" doctor --instance "$name"
get app 2000 192.0.2.1
wait_for "grep -q '\"context\":\"mode=enforce\"' $work/dlp.log"
answers 192.0.2.1 443
[ "$(ask app udp 0 192.0.2.1 443)" = "b'name'" ] || fail "not even root: $(cat "$work/asked")"
[ "$(in_cgroup app setpriv --reuid 2000 --clear-groups \
	/usr/bin/python3 "$work/ask" udp 0 192.0.2.1 443)" = ECONNREFUSED ] || fail "QUIC goes past it"
[ "$(metric waybill_service_listening)" = 1 ] || fail "it does not listen"
stop dlp
got=0
get app 2000 192.0.2.1 || got=$?
[ "$got" -eq 7 ] || fail "past dlp: $got"
[ "$(metric waybill_service_listening)" = 0 ] || fail "it listens"
[ "$(metric waybill_service_down_blocked_total)" = 1 ] || fail "$("$WAYBILL" metrics --instance "$name")"
expect 1 "$WAYBILL" doctor --instance "$name"
grep -q '^warning  service dlp: nobody listens' "$work/out" || fail "$(cat "$work/out")"
# Started again in a cgroup made again, it is a stranger, who gets neither connections nor the port,
# until the policy is applied again.
rmdir "$mount$cgroup/dlp"
mkdir "$mount$cgroup/dlp"
(in_cgroup dlp "$WAYBILL_RELAY" --listen :9005 2>"$work/stranger.err") && fail "a stranger has the port"
grep -q 'Permission denied' "$work/stranger.err" || fail "$(cat "$work/stranger.err")"
expect 1 "$WAYBILL" doctor --instance "$name"
grep -q 'apply' "$work/out" || fail "$(cat "$work/out")"
use dlp
"$WAYBILL" exec --instance "$name" --service dlp --user nobody -- \
	"$WAYBILL_RELAY" --listen :9005 --service dlp 2>"$work/dlp.err" >"$work/dlp.log" &
started="$started $!"
wait_for "grep -q ']:9005' $work/dlp.err"
expect 0 "$WAYBILL" doctor --instance "$name"
get app 2000 192.0.2.1
# Somebody else at its port.
stop dlp
(in_cgroup app "$WAYBILL_RELAY" --listen :9005 2>"$work/other.err") && fail "its port was taken"
grep -q 'Permission denied' "$work/other.err" || fail "$(cat "$work/other.err")"
[ "$(metric waybill_service_listening)" = 0 ] || fail "it listens"
