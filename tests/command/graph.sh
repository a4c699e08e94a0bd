#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# waybill graph: what is drawn of live connections and of a policy, as JSON, as text for Graphviz,
# and as a picture; and what it says where it cannot.
. "$(dirname "$0")/world.sh"

json() {
	python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
		"$work/out" "$1" || { cat "$work/out" >&2; fail "not so: $1"; }
}

expect 3 "$WAYBILL" graph --instance "$name"
expect 0 "$WAYBILL" up --instance "$name" --cgroup "$cgroup"
expect 3 "$WAYBILL" graph --policy --instance "$name"
grep -q "no policy is applied" "$work/err" || fail "$(cat "$work/err")"
expect 0 "$WAYBILL" graph --instance "$name" --json
json "d == {'nodes': [], 'edges': []}"
policy
expect 0 "$WAYBILL" apply "$work/policy.yaml" --instance "$name"
expect 0 "$WAYBILL" graph --policy --instance "$name" --json
json "[n['name'] for n in d['nodes']] == ['applications', 'a', 'b', 'destinations']"
json "[e['filters'] for e in d['edges']] == ['web: redirect', 'web: redirect', '']"
json "'down: blocks' in d['nodes'][1]['more']"
relay a 9001 64101
relay b 9002 64102
server
for client in 1 2 3; do
	in_cgroup app curl -sS --limit-rate 1M http://127.66.0.1:8080/data -o "$work/data$client" &
	started="$started $!"
done
wait_for "[ \$('$WAYBILL' flows --instance $name --json | grep -c '\"age_seconds\"') -eq 6 ]"
expect 0 "$WAYBILL" graph --instance "$name" --json
json "sorted((n['kind'], n['name']) for n in d['nodes']) == [('application', 'curl'), ('destination', '127.66.0.1:8080'), ('service', 'a'), ('service', 'b')]"
json "len(d['edges']) == 3 and all(e['connections'] == 3 for e in d['edges'])"
json "[(d['nodes'][e['from']]['name'], d['nodes'][e['to']]['name']) for e in sorted(d['edges'], key=lambda e: d['nodes'][e['from']]['name'])] == [('a', 'b'), ('b', '127.66.0.1:8080'), ('curl', 'a')]"
expect 0 "$WAYBILL" graph --dot --instance "$name"
grep -q '^digraph' "$work/out" || fail "no text for Graphviz"
expect 1 "$WAYBILL" graph --output /nowhere/at/all.svg --instance "$name"
grep -q "/nowhere/at/all.svg: No such file" "$work/err" || fail "$(cat "$work/err")"
expect 1 env PATH=/nowhere "$WAYBILL" graph --instance "$name"
grep -q "Graphviz, which is not installed" "$work/err" || fail "$(cat "$work/err")"
if command -v dot >/dev/null; then
	expect 0 "$WAYBILL" graph --output "$work/flows.svg" --instance "$name"
	python3 -c 'import sys, xml.etree.ElementTree as t; x = "".join(t.parse(sys.argv[1]).getroot().itertext()); sys.exit(not ("curl" in x and "127.66.0.1:8080" in x))' \
		"$work/flows.svg" || fail "the picture does not show it"
fi
expect 0 "$WAYBILL" down --instance "$name"
