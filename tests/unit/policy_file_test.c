// SPDX-License-Identifier: BSD-2-Clause
/*
 * Policy files: a good one is loaded as it says, and for each way to get one wrong the message is
 * the expected one, with the line. What a hostile file could try is refused.
 */
#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../platform/policy/policy.h"

#ifndef POLICY_EXAMPLES
#define POLICY_EXAMPLES "examples/policies"
#endif

/* Takes the place of libc's, so that the users of the test exist on every host. */
int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size,
	       struct passwd **found)
{
	static const struct {
		const char *name;
		uid_t user;
	} users[] = { { "root", 0 }, { "dlp", 990 }, { "alice", 1000 } };
	size_t i;

	(void)buffer;
	(void)size;
	*found = NULL;
	for (i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		if (strcmp(name, users[i].name))
			continue;
		memset(entry, 0, sizeof(*entry));
		entry->pw_uid = users[i].user;
		*found = entry;
	}
	return 0;
}

static struct policy *load(const char *text)
{
	struct policy *policy;
	struct message message = { .text = "" };
	int error = policy_load_text("policy.yaml", text, strlen(text), &policy, &message);

	if (error)
		print_error("%s\n", message.text);
	assert_int_equal(error, 0);
	assert_non_null(policy);
	return policy;
}

static void refuses_with(int expected, const char *text, size_t size, const char *said)
{
	struct policy *policy = (void *)1;
	struct message message = { .text = "" };
	int error = policy_load_text("policy.yaml", text, size, &policy, &message);

	assert_string_equal(message.text, said);
	assert_int_equal(error, expected);
	assert_null(policy);
}

static void refuses(const char *text, const char *said)
{
	refuses_with(-EINVAL, text, strlen(text), said);
}

/* Lines 1 to 4 of most files here. */
#define DLP                                                                                        \
	"version: 1\n"                                                                             \
	"services:\n"                                                                              \
	"- { name: dlp, weight: 200, endpoint: { tcp: 9001 }, identity: { user: dlp } }\n"         \
	"filters:\n"

static const char example[] =
	"version: 1\n"
	"services:\n"
	"  - name: dlp\n"
	"    weight: 200                 # higher sees a connection first\n"
	"    endpoint: { tcp: 9001, udp: 9001 }\n"
	"    identity: { user: dlp }     # or { cgroup: /system.slice/dlp.service }\n"
	"    when_down: block            # or pass\n"
	"  - name: debugger\n"
	"    weight: 100\n"
	"    endpoint: { tcp: 9002 }\n"
	"    identity: { cgroup: /user.slice/debugger }\n"
	"    when_down: pass\n"
	"filters:\n"
	"  - name: web\n"
	"    service: dlp\n"
	"    weight: 10\n"
	"    match: { protocol: tcp, remote: [ 0.0.0.0/0, \"::/0\" ], remote_port: [ 80, 443, "
	"8000-8099 ], user: [ 1000-60000 ] }\n"
	"    action: redirect\n"
	"    context: \"tenant=42\"\n";

static void loads_the_example_of_the_design(void **state)
{
	struct policy *policy = load(example);
	const struct service *dlp = &policy->service[0], *debugger = &policy->service[1];
	const struct filter *web = &policy->filter[0];

	(void)state;
	assert_string_equal(policy->source, "policy.yaml");
	assert_int_equal(policy->hop_limit, 8);
	assert_int_equal(policy->records_expire, 600000000000ULL);
	assert_int_equal(policy->services, 2);
	assert_string_equal(dlp->name, "dlp");
	assert_int_equal(dlp->line, 3);
	assert_int_equal(dlp->weight, 200);
	assert_int_equal(dlp->tcp, 9001);
	assert_int_equal(dlp->udp, 9001);
	assert_true(dlp->has4 && dlp->has6);
	assert_memory_equal(dlp->address4, ((uint8_t[]){ 127, 0, 0, 1 }), 4);
	assert_int_equal(dlp->address6[15], 1);
	assert_true(dlp->identity.has_user);
	assert_int_equal(dlp->identity.user, 990);
	assert_null(dlp->identity.cgroup);
	assert_int_equal(dlp->when_down, POLICY_DOWN_BLOCK);
	assert_int_equal(debugger->udp, 0);
	assert_false(debugger->identity.has_user);
	assert_string_equal(debugger->identity.cgroup, "/user.slice/debugger");
	assert_int_equal(debugger->when_down, POLICY_DOWN_PASS);
	assert_int_equal(policy->filters, 1);
	assert_string_equal(web->name, "web");
	assert_string_equal(web->service, "dlp");
	assert_int_equal(web->line, 14);
	assert_int_equal(web->weight, 10);
	assert_true(web->match.tcp);
	assert_false(web->match.udp);
	assert_int_equal(web->match.remotes, 2);
	assert_true(web->match.remote[0].v4);
	assert_false(web->match.remote[1].v4);
	assert_int_equal(web->match.remote[0].length + web->match.remote[1].length, 0);
	assert_int_equal(web->match.ports, 3);
	assert_int_equal(web->match.port[1].from, 443);
	assert_int_equal(web->match.port[2].from, 8000);
	assert_int_equal(web->match.port[2].to, 8099);
	assert_int_equal(web->match.users, 1);
	assert_int_equal(web->match.user[0].from, 1000);
	assert_int_equal(web->match.user[0].to, 60000);
	assert_int_equal(web->match.cgroups, 0);
	assert_int_equal(web->action, POLICY_REDIRECT);
	assert_int_equal(web->context_size, 9);
	assert_memory_equal(web->context, "tenant=42", 9);
	policy_free(policy);
}

static void loads_what_is_left_out(void **state)
{
	struct policy *policy = load("version: 1\n");

	(void)state;
	assert_int_equal(policy->services, 0);
	assert_int_equal(policy->filters, 0);
	policy_free(policy);
	policy = load("limits: { hops: 3, records_expire: 1h }\nversion: 1\nfilters: []\n");
	assert_int_equal(policy->hop_limit, 3);
	assert_int_equal(policy->records_expire, 3600000000000ULL);
	assert_int_equal(policy->datagram_idle, 60000000000ULL);
	policy_free(policy);
	policy = load("limits: { datagram_idle: 5s }\nversion: 1\n");
	assert_int_equal(policy->datagram_idle, 5000000000ULL);
	policy_free(policy);
	policy = load(DLP "- { name: all, service: dlp, action: permit }\n"
			  "- { name: some, service: dlp, action: redirect }\n");
	assert_true(policy->filter[0].match.tcp);
	assert_true(policy->filter[0].match.udp);
	/* What is redirected is what its service takes. */
	assert_true(policy->filter[1].match.tcp);
	assert_false(policy->filter[1].match.udp);
	assert_int_equal(policy->filter[0].weight, 0);
	assert_int_equal(policy->filter[0].match.remotes, 0);
	policy_free(policy);
}

static void takes_scalars_for_lists_of_one(void **state)
{
	struct policy *policy = load(DLP "- name: a\n  service: dlp\n  action: block\n  match:\n"
					 "    remote: 2001:db8::/32\n    remote_port: 22\n"
					 "    user: alice\n    cgroup: '/a\\b, \"c\"/'\n");

	(void)state;
	assert_int_equal(policy->filter[0].match.remotes, 1);
	assert_int_equal(policy->filter[0].match.remote[0].length, 32);
	assert_int_equal(policy->filter[0].match.port[0].to, 22);
	assert_int_equal(policy->filter[0].match.user[0].from, 1000);
	assert_string_equal(policy->filter[0].match.cgroup[0], "/a\\b, \"c\"");
	policy_free(policy);
}

static void takes_exceptions_and_rarer_conditions(void **state)
{
	struct policy *policy = load(
		DLP "- name: a\n  service: dlp\n  action: block\n  match:\n"
		    "    local: 127.0.0.0/8\n    group: [ root, 5-6 ]\n    interface: lo\n"
		    "  except:\n    protocol: udp\n    remote: 10.0.0.0/8\n    remote_port: 22\n"
		    "    user: [ 1, 2-3 ]\n    group: 7\n    cgroup: /a\n    local: ::1\n");
	const struct conditions *match = &policy->filter[0].match,
				*except = &policy->filter[0].except;

	(void)state;
	assert_true(match->tcp);
	assert_false(match->udp);
	assert_int_equal(match->local[0].length, 8);
	assert_int_equal(match->group[0].to, 0);
	assert_int_equal(match->group[1].from, 5);
	assert_int_equal(match->group[1].to, 6);
	assert_int_equal(match->interface[0].from, 1);
	assert_int_equal(except->remotes, 1);
	assert_int_equal(except->port[0].from, 22);
	assert_int_equal(except->users, 2);
	assert_int_equal(except->user[1].to, 3);
	assert_int_equal(except->group[0].from, 7);
	assert_string_equal(except->cgroup[0], "/a");
	assert_false(except->local[0].v4);
	policy_free(policy);
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  except:\n    remote:\n"
		    "    - ::1\n    - 10.0.0.1/8\n",
		"policy.yaml:11: remote \"10.0.0.1/8\" has bits set beyond its length (did you mean "
		"10.0.0.0/8?)");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match: { group: nosuch }\n",
		"policy.yaml:8: group \"nosuch\" is not a group on this host (getent group lists "
		"them; or give a number, or a range as 1000-1999)");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match: { interface: nosuch0 }\n",
		"policy.yaml:8: interface \"nosuch0\" is not an interface here (ip link lists them)");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match: { protocol: tcp }\n"
		    "  except: { protocol: tcp }\n",
		"policy.yaml:8: filter \"a\" is for no protocol");
}

static void reads_lists_from_files(void **state)
{
	char path[] = "/tmp/policy_file_test.XXXXXX", text[512], wanted[512];
	static const char list[] =
		"# a comment\n\n10.0.0.0/8\n\t2001:db8::/32 # why\r\n192.0.2.1;x\n";
	const char *form = DLP "- name: a\n  service: dlp\n  action: block\n  match:\n"
			       "    remote: ::1\n    remote_file: %s\n";
	int file = mkstemp(path);
	struct policy *policy;

	(void)state;
	assert_true(file >= 0);
	assert_int_equal(write(file, list, sizeof(list) - 1), sizeof(list) - 1);
	snprintf(text, sizeof(text), form, path);
	policy = load(text);
	assert_int_equal(policy->filter[0].match.remotes, 4);
	assert_int_equal(policy->filter[0].match.remote[0].length, 128);
	assert_int_equal(policy->filter[0].match.remote[1].length, 8);
	assert_int_equal(policy->filter[0].match.remote[2].length, 32);
	assert_int_equal(policy->filter[0].match.remote[3].length, 32);
	policy_free(policy);
	assert_int_equal(write(file, "10.0.0.0/8 11.0.0.0/8\n", 22), 22);
	snprintf(wanted, sizeof(wanted),
		 "policy.yaml:10: remote_file \"%s\" is wrong in line 6: \"10.0.0.0/8\" is "
		 "followed by something else",
		 path);
	refuses(text, wanted);
	assert_int_equal(ftruncate(file, 12), 0);
	snprintf(text, sizeof(text),
		 DLP "- name: a\n  service: dlp\n  action: block\n  match: { remote_file: %s }\n",
		 path);
	snprintf(wanted, sizeof(wanted),
		 "policy.yaml:8: remote_file \"%s\" has no prefix in it, so the filter could match "
		 "nothing",
		 path);
	refuses(text, wanted);
	close(file);
	assert_int_equal(unlink(path), 0);
	snprintf(wanted, sizeof(wanted),
		 "policy.yaml:8: remote_file \"%s\" cannot be read: No such file or directory",
		 path);
	refuses(text, wanted);
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match: { remote_file: list }\n",
		"policy.yaml:8: remote_file \"list\" is not the whole path of a file (it begins with "
		"/)");
}

static void takes_every_form_of_address(void **state)
{
	static const uint8_t ten[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
	static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };
	struct policy *policy = load(
		DLP "- name: a\n  service: dlp\n  action: block\n  match:\n    remote:\n"
		    "    - ::ffff:10.0.0.0/104\n    - 10.0.0.0\n    - ::1\n    - ::ffff:0:0/96\n"
		    "    - ::fffe:0:0/95\n");
	const struct prefix *prefix = policy->filter[0].match.remote;

	(void)state;
	assert_true(prefix[0].v4);
	assert_int_equal(prefix[0].length, 8);
	assert_memory_equal(prefix[0].address, ten, 16);
	assert_true(prefix[1].v4);
	assert_int_equal(prefix[1].length, 32);
	assert_memory_equal(prefix[1].address, ten, 16);
	assert_false(prefix[2].v4);
	assert_int_equal(prefix[2].length, 128);
	assert_true(prefix[3].v4);
	assert_int_equal(prefix[3].length, 0);
	assert_memory_equal(prefix[3].address, mapped, 16);
	policy_free(policy);
}

static void takes_a_context_with_any_text(void **state)
{
	struct policy *policy = load(DLP "- name: a\n  service: dlp\n  action: redirect\n"
					 "  context: \"a\\n\\t\\\"\\\\\\x85\\L\\P\\e \u00fc\"\n");
	const char *text = "a\n\t\"\\\xc2\x85\u2028\u2029\x1b \u00fc";

	(void)state;
	assert_int_equal(policy->filter[0].context_size, strlen(text));
	assert_memory_equal(policy->filter[0].context, text, strlen(text));
	policy_free(policy);
}

static void refuses_what_is_not_yaml(void **state)
{
	(void)state;
	refuses("", "policy.yaml:1: there is nothing in it (a policy begins with \"version: 1\")");
	refuses("# only this\n",
		"policy.yaml:1: there is nothing in it (a policy begins with \"version: 1\")");
	refuses("version: 1\nservices:\n\t- a\n",
		"policy.yaml:3: not valid YAML: found character that cannot start any token while "
		"scanning for the next token (indent with spaces, not with tabs; quote text that "
		"begins with a special character)");
	refuses("version: 1\nfilters: [ a, b\n",
		"policy.yaml:3: not valid YAML: did not find expected ',' or ']' while parsing a "
		"flow sequence");
	refuses("version: 1\nfilters: [ ::/0 ]\n",
		"policy.yaml:2: not valid YAML: did not find expected node content while parsing a "
		"flow node (quote what begins with a colon, as \"::/0\")");
	refuses("version: \xff\n", "policy.yaml:1: not valid YAML: invalid leading UTF-8 octet");
}

static void refuses_wrong_shapes(void **state)
{
	(void)state;
	refuses("- version\n", "policy.yaml:1: this is a list where a mapping, as \"key: value\" "
			       "belongs");
	refuses("services: []\n", "policy.yaml:1: \"version\" is missing (required here: version)");
	refuses("version: 2\n", "policy.yaml:1: version \"2\" is not a number from 1 to 1");
	refuses("\nversion: [ 1 ]\n", "policy.yaml:2: version is a list where one value belongs");
	refuses("version: 1\n\nfilter: []\n",
		"policy.yaml:3: unknown key \"filter\" (did you mean \"filters\"?)");
	refuses("version: 1\nmode: strict\n",
		"policy.yaml:2: unknown key \"mode\" (known here: version, limits, services, "
		"filters)");
	refuses(DLP "- name: a\n  service: dlp\n  match: { user: 1 }\n  acton: block\n",
		"policy.yaml:8: unknown key \"acton\" (did you mean \"action\"?)");
	refuses(DLP "- name: a\n  service: dlp\n  match:\n    user: 1\n\n    protcol: tcp\n",
		"policy.yaml:10: unknown key \"protcol\" (did you mean \"protocol\"?)");
	refuses(DLP "- name: b\n  service: dlp\n  action: block\n- name: a\n  service: dlp\n",
		"policy.yaml:8: \"action\" is missing (required here: name, service, action)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: 9001\n",
		"policy.yaml:5: endpoint is one value where a mapping, as \"key: value\" belongs");
	refuses("version: 1\nservices:\n  name: a\n",
		"policy.yaml:3: services is a mapping where a list, as \"- value\" or \"[ value ]\" "
		"belongs");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    user: [ root, dlp ]\n",
		"policy.yaml:7: user is a list where one value belongs");
	refuses(DLP "- a\n", "policy.yaml:5: an entry of filters is one value where a mapping, as "
			     "\"key: value\" belongs");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match:\n    user:\n"
		    "    - 1\n    - { a: 1 }\n",
		"policy.yaml:11: an entry of user is a mapping where one value belongs");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  match:\n    remote: []\n",
		"policy.yaml:9: the list is empty and could match nothing (leave the key out to "
		"match anything)");
	refuses(DLP "- name: a\n  service:\n  action: block\n",
		"policy.yaml:6: \"service\" has no value (give it one, or leave the key out)");
	refuses(DLP "-\n- name: a\n",
		"policy.yaml:5: an entry of the list is empty (fill it in, or remove it)");
	refuses("version: 1\nversion: 1\n",
		"policy.yaml:2: \"version\" is already given in line 1 (keep one of them)");
	refuses("version: 1\n? [ a ]\n: 1\n",
		"policy.yaml:2: a key has to be a word, not a list or a mapping");
	refuses("version: 1\n---\nversion: 1\n",
		"policy.yaml:2: a second document begins here (a policy is one document)");
}

static void refuses_wrong_values(void **state)
{
	(void)state;
	refuses("version: 1\nlimits: { hops: 17 }\n",
		"policy.yaml:2: hops \"17\" is not a number from 1 to 16");
	refuses("version: 1\nlimits:\n  hops: 2\n  records_expire: 25h\n",
		"policy.yaml:4: records_expire \"25h\" is not a duration from 1s to 24h (a number "
		"with s, m or h, as 600s or 10m)");
	refuses("version: 1\nlimits: { records_expire: 600 }\n",
		"policy.yaml:2: records_expire \"600\" is not a duration from 1s to 24h (a number "
		"with s, m or h, as 600s or 10m)");
	refuses("version: 1\nservices:\n- { name: a b, weight: 1, endpoint: {}, identity: {} }\n",
		"policy.yaml:3: name \"a b\" is not a name (1 to 39 of the characters A-Z a-z 0-9 "
		". _ -)");
	refuses("version: 1\nservices:\n- { name: a123456789b123456789c123456789d123456789, "
		"weight: 1, endpoint: {}, identity: {} }\n",
		"policy.yaml:3: name \"a123456789b123456789c123456789d123456789\" is too long for a "
		"name (40 characters; at most 39)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 4294967296\n  endpoint: {}\n"
		"  identity: {}\n",
		"policy.yaml:4: weight \"4294967296\" is not a number from 0 to 4294967295");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint:\n    tcp: 0\n"
		"  identity: {}\n",
		"policy.yaml:6: tcp \"0\" is not a number from 1 to 65535");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    user: rooot\n",
		"policy.yaml:7: user \"rooot\" is not a user of this host (did you mean \"root\"?)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    user: 4294967295\n",
		"policy.yaml:7: user \"4294967295\" is not a number from 0 to 4294967294");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    cgroup: system.slice\n",
		"policy.yaml:7: cgroup \"system.slice\" is not the path of a cgroup (it begins with "
		"/, as /system.slice/dlp.service; /proc/PID/cgroup shows a process's)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    cgroup: /sys/fs/cgroup/a\n",
		"policy.yaml:7: cgroup \"/sys/fs/cgroup/a\" names the mount of cgroup2 too (did you "
		"mean \"/a\"?)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity:\n    cgroup: /sys/fs/cgroup/unified/a\n",
		"policy.yaml:7: cgroup \"/sys/fs/cgroup/unified/a\" names the mount of cgroup2 too "
		"(did you mean \"/a\"?)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { user: 1 }\n  when_down: blok\n",
		"policy.yaml:7: when_down \"blok\" is not one of: block, pass (did you mean "
		"\"block\"?)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { user: 1 }\n  listener: {}\n",
		"policy.yaml:7: the listener of service \"a\" is nobody's (name the user or the "
		"cgroup that makes it, or leave \"listener\" out if it is the service itself)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { user: 1 }\n  listener: { user: rooot }\n",
		"policy.yaml:7: user \"rooot\" is not a user of this host (did you mean \"root\"?)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { user: 1 }\n  listener: { cgroup: / }\n",
		"policy.yaml:7: cgroup \"/\" would make every process the maker of the listener of "
		"service \"a\" (name the cgroup that makes it, or a user)");
	refuses(DLP "- { name: a, service: dlp, action: drop }\n",
		"policy.yaml:5: action \"drop\" is not one of: permit, block, redirect");
}

#define MATCH DLP "- name: a\n  service: dlp\n  action: block\n  match:\n"

static void refuses_wrong_conditions(void **state)
{
	(void)state;
	refuses(MATCH "    remote:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n",
		"policy.yaml:11: remote \"10.0.0.1/8\" has bits set beyond its length (did you mean "
		"10.0.0.0/8?)");
	refuses(MATCH "    remote: 2001:db8::1/32\n",
		"policy.yaml:9: remote \"2001:db8::1/32\" has bits set beyond its length (did you "
		"mean 2001:db8::/32?)");
	refuses(MATCH "    remote: 10.0.0.0/33\n",
		"policy.yaml:9: remote \"10.0.0.0/33\" has no length from 0 to 32 after the slash");
	refuses(MATCH "    remote: [ 1::1, example.org ]\n",
		"policy.yaml:9: remote \"example.org\" is not an address or prefix (as 10.0.0.0/8 "
		"or 2001:db8::/32; names are not looked up)");
	refuses(MATCH "    remote_port: 8099-8000\n",
		"policy.yaml:9: remote_port \"8099-8000\" ends before it begins (did you mean "
		"8000-8099?)");
	refuses(MATCH "    remote_port:\n    - 80\n    - http\n",
		"policy.yaml:11: remote_port \"http\" is not a port (1 to 65535) or a range of "
		"ports (as 8000-8099)");
	refuses(MATCH "    remote_port: 0-80\n",
		"policy.yaml:9: remote_port \"0-80\" is not a port (1 to 65535) or a range of ports "
		"(as 8000-8099)");
	refuses(MATCH "    user: [ 2000-1000 ]\n",
		"policy.yaml:9: user \"2000-1000\" ends before it begins (did you mean 1000-2000?)");
	refuses(MATCH "    user: 0-4294967295\n",
		"policy.yaml:9: user \"0-4294967295\" is not a range of user numbers from 0 to "
		"4294967294");
	refuses(MATCH "    user: no-such-user-anywhere\n",
		"policy.yaml:9: user \"no-such-user-anywhere\" is not a user of this host (create it "
		"first, or give its number)");
	refuses(MATCH "    cgroup: /a/../b\n",
		"policy.yaml:9: cgroup \"/a/../b\" is not the path of a cgroup (no empty parts, no . "
		"and no .. in it, and not too long)");
	refuses(MATCH "    protocol: icmp\n",
		"policy.yaml:9: protocol \"icmp\" is not one of: tcp, udp");
}

#define SERVICE(name, weight, port)                                                                \
	"- name: " name "\n  weight: " weight "\n  endpoint:\n    " port                           \
	"\n  identity: { user: 1 }\n"

static void refuses_parts_that_do_not_fit(void **state)
{
	(void)state;
	refuses("version: 1\nservices:\n" SERVICE("a", "1", "tcp: 1") SERVICE("a", "2", "tcp: 2"),
		"policy.yaml:8: service \"a\" is already defined (line 3) (rename one of them)");
	refuses("version: 1\nservices:\n" SERVICE("a", "1", "tcp: 1") SERVICE("b", "1", "tcp: 2"),
		"policy.yaml:9: services \"b\" and \"a\" (line 4) have the same weight 1, which "
		"leaves their order to accident (give one another weight)");
	refuses("version: 1\nservices:\n" SERVICE("a", "1", "tcp: 1") SERVICE("b", "2", "tcp: 1"),
		"policy.yaml:11: services \"b\" and \"a\" (line 6) have the same TCP port 1 (give "
		"one another port)");
	refuses("version: 1\nservices:\n" SERVICE("a", "1", "udp: 1") SERVICE("b", "2", "udp: 1"),
		"policy.yaml:11: services \"b\" and \"a\" (line 6) have the same UDP port 1 (give "
		"one another port)");
	/* Two names with the same FNV-1a, found by search. */
	assert_int_equal(policy_service_id("costarring"), policy_service_id("liquid"));
	refuses("version: 1\nservices:\n" SERVICE("costarring", "1", "tcp: 1")
			SERVICE("liquid", "2", "tcp: 2"),
		"policy.yaml:8: services \"liquid\" and \"costarring\" (line 3) would have the same "
		"id 1582148253 in records (choose another name for one)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: {}\n  identity: {}\n",
		"policy.yaml:5: service \"a\" has no endpoint (give it one, as { tcp: 9001 })");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: {}\n",
		"policy.yaml:6: service \"a\" has no identity (give it a user, a cgroup, or both)");
	refuses("version: 1\nservices:\n- name: a\n  weight: 1\n  endpoint: { tcp: 1 }\n"
		"  identity: { cgroup: / }\n",
		"policy.yaml:6: cgroup \"/\" would make every process service \"a\" (name the cgroup "
		"that it runs in, or a user)");
	refuses(DLP "- name: a\n  service: dpl\n  action: block\n",
		"policy.yaml:6: service \"dpl\" is not defined (did you mean \"dlp\"?)");
	refuses(DLP "- name: a\n  service: antivirus\n  action: block\n",
		"policy.yaml:6: service \"antivirus\" is not defined (define it under \"services\")");
	refuses("version: 1\nservices:\n" SERVICE(
			"a", "1",
			"udp: 1") "filters:\n- { name: a, service: a, action: redirect, match: { "
				  "protocol: tcp } }\n",
		"policy.yaml:9: filter \"a\" redirects TCP, but service \"a\" has no TCP endpoint "
		"(give it one, as { tcp: 9001 })");
	refuses(DLP "- { name: a, service: dlp, action: redirect, match: { protocol: [ tcp, udp ] "
		    "} }\n",
		"policy.yaml:5: filter \"a\" redirects UDP, but service \"dlp\" has no UDP endpoint "
		"(give it one, as { udp: 9001 })");
	refuses(DLP "- { name: a, service: dlp, action: block }\n"
		    "- { name: a, service: dlp, action: block }\n",
		"policy.yaml:6: service \"dlp\" already has a filter \"a\" (line 5) (rename one of "
		"them)");
	refuses(DLP "- name: a\n  service: dlp\n  action: block\n  context: b\n",
		"policy.yaml:8: filter \"a\" has a context, but redirects nothing that could carry "
		"it (remove one of the two)");
	refuses(DLP "- name: a\n  service: dlp\n  action: redirect\n  context: ''\n",
		"policy.yaml:8: the context of filter \"a\" is empty (leave it out instead)");
}

static void refuses_too_many(void **state)
{
	char text[65536], *end = text;
	int i;

	(void)state;
	end += sprintf(end, DLP "- name: a\n  service: dlp\n  action: redirect\n  context: ");
	memset(end, 'c', 1025);
	strcpy(end + 1025, "\n");
	refuses(text, "policy.yaml:8: the context of filter \"a\" is too long (1025 bytes; at most "
		      "1024)");
	strcpy(end + 1024, "\n");
	policy_free(load(text));

	end = text + sprintf(text, DLP);
	for (i = 0; i < 1027; i++)
		end += sprintf(end, "- { name: f%d, service: dlp, action: block }\n", i);
	refuses(text, "policy.yaml:1029: 3 too many (there can be 64 services and 1024 filters at "
		      "most; one filter takes many addresses, ports and users)");

	end = text + sprintf(text, "version: 1\nservices:\n");
	for (i = 0; i < 65; i++)
		end += sprintf(end,
			       "- { name: s%d, weight: %d, endpoint: { tcp: %d }, identity: "
			       "{ user: 1 } }\n",
			       i, i, i + 1);
	refuses(text, "policy.yaml:67: 1 too many (there can be 64 services and 1024 filters at "
		      "most; one filter takes many addresses, ports and users)");
}

static void refuses_hostile_files(void **state)
{
	size_t size = (64 << 20) + 1;
	char *text = malloc(size), *end;
	int i;

	(void)state;
	assert_non_null(text);
	refuses("version: &a 1\nlimits: *a\n",
		"policy.yaml:1: anchors and aliases are not accepted (write the value out)");
	refuses("version: 1\nlimits: *a\n",
		"policy.yaml:2: anchors and aliases are not accepted (write the value out)");
	refuses("version: !!int 1\n",
		"policy.yaml:1: tags are not accepted (leave the \"!\" out, or "
		"quote the value)");
	refuses("version: \"\\0\"\n", "policy.yaml:1: a zero byte in the text (policies are text)");
	refuses("version: \"\\e[31m\"\n",
		"policy.yaml:1: version \"?[31m\" is not a number from 1 to 1");
	memset(text, '[', 100000);
	refuses_with(-EINVAL, text, 100000,
		     "policy.yaml:1: nested too deep (a policy has five levels)");
	for (i = 0, end = text; i < 65; i++)
		end += sprintf(end, "key%d: 1\n", i);
	refuses(text, "policy.yaml:65: key \"key64\" is one too many (no part of a policy has 64 "
		      "keys)");
	memset(text, 'k', 300);
	strcpy(text + 300, ": 1\n");
	refuses(text, "policy.yaml:1: unknown key "
		      "\"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...\"");
	memset(text, ' ', size);
	refuses_with(-E2BIG, text, size, "policy.yaml: larger than 64 MiB (make it smaller)");
	end = text + sprintf(text, "version: [");
	for (i = 0; i < (4 << 20); i++)
		end += sprintf(end, "a,");
	refuses_with(-E2BIG, text, end - text,
		     "policy.yaml:1: more than 4,194,304 values (make it smaller)");
	free(text);
}

static void says_why_a_file_cannot_be_read(void **state)
{
	struct policy *policy;
	struct message message;

	(void)state;
	assert_int_equal(policy_load("/nonexistent/p.yaml", &policy, &message), -ENOENT);
	assert_string_equal(message.text,
			    "/nonexistent/p.yaml: cannot be read: No such file or directory");
	assert_int_equal(policy_load("/", &policy, &message), -EISDIR);
	assert_string_equal(message.text, "/: cannot be read: Is a directory");
}

/* What is shown of a policy to learn from has to be one. */
static void loads_the_examples(void **state)
{
	struct policy *policy;
	struct message message;
	glob_t files;
	size_t i;

	(void)state;
	if (glob(POLICY_EXAMPLES "/*.yaml", 0, NULL, &files)) {
		print_message("no examples in %s\n", POLICY_EXAMPLES);
		skip();
	}
	for (i = 0; i < files.gl_pathc; i++) {
		/* The list that one of them names is on the hosts that have it. */
		if (policy_load(files.gl_pathv[i], &policy, &message) < 0 &&
		    !strstr(message.text, "remote_file \"/etc/waybill/"))
			fail_msg("%s", message.text);
		policy_free(policy);
	}
	globfree(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_the_example_of_the_design),
		cmocka_unit_test(loads_what_is_left_out),
		cmocka_unit_test(takes_scalars_for_lists_of_one),
		cmocka_unit_test(takes_exceptions_and_rarer_conditions),
		cmocka_unit_test(reads_lists_from_files),
		cmocka_unit_test(takes_every_form_of_address),
		cmocka_unit_test(takes_a_context_with_any_text),
		cmocka_unit_test(refuses_what_is_not_yaml),
		cmocka_unit_test(refuses_wrong_shapes),
		cmocka_unit_test(refuses_wrong_values),
		cmocka_unit_test(refuses_wrong_conditions),
		cmocka_unit_test(refuses_parts_that_do_not_fit),
		cmocka_unit_test(refuses_too_many),
		cmocka_unit_test(refuses_hostile_files),
		cmocka_unit_test(says_why_a_file_cannot_be_read),
		cmocka_unit_test(loads_the_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
