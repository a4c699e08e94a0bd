// SPDX-License-Identifier: BSD-2-Clause
/*
 * lib/: what needs no kernel half. Decoding, addresses, ids, and that on sockets which Waybill
 * knows nothing of every function says so. Argument: tests/vectors/records.txt.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>
#include <waybill/waybill.h>

#include "vectors.h"

static struct vectors vectors;

static const struct records_vector *vector(const char *name)
{
	for (size_t i = 0; i < vectors.count; i++)
		if (strcmp(vectors.records[i].name, name) == 0)
			return &vectors.records[i];
	fail_msg("no vector %s", name);
	return NULL;
}

static void assert_destination(const struct waybill_hop *hop, const char *host, int port)
{
	struct sockaddr_storage address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *in = (struct sockaddr_in *)&address;
	char text[INET6_ADDRSTRLEN];
	socklen_t length;

	assert_int_equal(waybill_address_to_sockaddr(&hop->destination, &address, &length), 0);
	assert_int_equal(ntohs(in->sin_port), port);
	if (address.ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
	assert_string_equal(text, host);
}

/* The rows of the table in docs/records.md. */
static void vectors_decode(void **state)
{
	const struct records_vector *v = vector("one-hop-ipv4");
	struct waybill_records r;

	(void)state;
	assert_int_equal(waybill_records_decode(v->blob, v->size, &r), 0);
	assert_int_equal(r.version, 1);
	assert_int_equal(r.hop_count, 1);
	assert_int_equal(r.other_parts, 0);
	assert_int_equal(r.key, 1);
	assert_int_equal(r.service, waybill_service_id("dlp"));
	assert_int_equal(r.issued, 3600250000000);
	assert_int_equal(r.flow, 41);
	assert_int_equal(r.hops[0].service, waybill_service_id("dlp"));
	assert_int_equal(r.hops[0].filter, 7);
	assert_int_equal(r.hops[0].time, 3600250000000);
	assert_int_equal(r.hops[0].flow, 41);
	assert_destination(&r.hops[0], "192.0.2.10", 443);
	assert_int_equal(r.hops[0].client.pid, 4242);
	assert_int_equal(r.hops[0].client.uid, 1000);
	assert_int_equal(r.hops[0].client.gid, 1000);
	assert_int_equal(r.hops[0].client.cgroup, 5017);
	assert_string_equal(r.hops[0].client.comm, "curl");
	assert_int_equal(r.hops[0].cgroup_scope, 5017);
	assert_int_equal(r.hops[0].netns, 1);
	assert_int_equal(r.hops[1].service, 0);

	v = vector("two-hops-ipv6-ipv4");
	assert_int_equal(waybill_records_decode(v->blob, v->size, &r), 0);
	assert_int_equal(r.hop_count, 2);
	assert_int_equal(r.service, waybill_service_id("debugger"));
	assert_destination(&r.hops[0], "2001:db8::10", 8443);
	assert_destination(&r.hops[1], "198.51.100.7", 80);
	assert_string_equal(r.hops[1].client.comm, "dlp-engine");
	assert_int_equal(r.hops[1].netns, 4);

	v = vector("private-part-between-hops");
	assert_int_equal(waybill_records_decode(v->blob, v->size, &r), 0);
	assert_int_equal(r.hop_count, 2);
	assert_int_equal(r.other_parts, 1);
	assert_int_equal(r.key, 10);
	assert_int_equal(r.issued, 410000900000);
	assert_int_equal(r.hops[0].destination.scope_id, 2);
	assert_int_equal(r.hops[1].filter, 21);
	assert_int_equal(r.hops[1].cgroup_scope, 2000);
}

static void decode_refuses_and_leaves_nothing(void **state)
{
	const struct records_vector *v = vector("one-hop-ipv4");
	struct waybill_records r, zero;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	for (size_t size = 0; size < v->size; size++) {
		memset(&r, 0xff, sizeof(r));
		assert_int_equal(waybill_records_decode(v->blob, size, &r), -EBADMSG);
		assert_memory_equal(&r, &zero, sizeof(r));
	}
	assert_int_equal(waybill_records_decode("", (size_t)-1, &r), -EBADMSG);
	assert_int_equal(waybill_records_decode(NULL, 0, &r), -EBADMSG);
}

/* The MAC is not looked at, so a name without an end reaches the decoder. */
static void decoded_name_always_ends(void **state)
{
	struct records_vector v = *vector("one-hop-ipv4");
	struct waybill_records r;

	(void)state;
	memset(v.blob + RECORDS_HEADER_SIZE + 80, 'x', 16);
	assert_int_equal(waybill_records_decode(v.blob, v.size, &r), 0);
	assert_string_equal(r.hops[0].client.comm, "xxxxxxxxxxxxxxx");
}

static void address_has_one_form(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(80),
				    .sin6_scope_id = 3 };
	struct waybill_address plain, mapped, six;

	(void)state;
	inet_pton(AF_INET, "192.0.2.1", &in.sin_addr);
	inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&in, sizeof(in), &plain),
			 0);
	assert_int_equal(
		waybill_address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &mapped), 0);
	assert_memory_equal(&plain, &mapped, sizeof(plain));
	assert_int_equal(plain.family, AF_INET);
	assert_int_equal(plain.port, htons(80));

	inet_pton(AF_INET6, "2001:db8::1", &in6.sin6_addr);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &six),
			 0);
	assert_int_equal(six.family, AF_INET6);
	assert_int_equal(six.scope_id, 0);
	inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &six),
			 0);
	assert_int_equal(six.scope_id, 3);
}

static void address_goes_there_and_back(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(443) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(443),
				    .sin6_scope_id = 7 };
	struct sockaddr_storage back;
	struct waybill_address a;
	socklen_t length;

	(void)state;
	inet_pton(AF_INET, "198.51.100.9", &in.sin_addr);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&in, sizeof(in), &a), 0);
	assert_int_equal(waybill_address_to_sockaddr(&a, &back, &length), 0);
	assert_int_equal(length, sizeof(in));
	assert_memory_equal(&back, &in, sizeof(in));

	inet_pton(AF_INET6, "fe80::7", &in6.sin6_addr);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&in6, sizeof(in6), &a),
			 0);
	assert_int_equal(waybill_address_to_sockaddr(&a, &back, &length), 0);
	assert_int_equal(length, sizeof(in6));
	assert_memory_equal(&back, &in6, sizeof(in6));
}

static void address_errors(void **state)
{
	struct sockaddr_storage from = { .ss_family = AF_INET6 }, to;
	struct waybill_address a = { .family = AF_INET };
	socklen_t length;

	(void)state;
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&from, 1, &a), -EINVAL);
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&from,
						       sizeof(struct sockaddr_in6) - 1, &a),
			 -EINVAL);
	from.ss_family = AF_INET;
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&from,
						       sizeof(struct sockaddr_in) - 1, &a),
			 -EINVAL);
	from.ss_family = AF_UNIX;
	assert_int_equal(waybill_address_from_sockaddr((struct sockaddr *)&from, sizeof(from), &a),
			 -EAFNOSUPPORT);
	a = (struct waybill_address){ .family = AF_INET };
	assert_int_equal(waybill_address_to_sockaddr(&a, &to, &length), -EINVAL);
	a.family = AF_UNIX;
	assert_int_equal(waybill_address_to_sockaddr(&a, &to, &length), -EAFNOSUPPORT);
}

static void service_ids_equal_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < vectors.services; i++)
		assert_int_equal(waybill_service_id(vectors.service[i].name),
				 vectors.service[i].id);
	assert_int_equal(waybill_service_id("\xcc\x24\x31\xc4"), 1);
}

static void assert_every_function_answers(int fd, int error)
{
	struct sockaddr_storage address;
	char buffer[WAYBILL_RECORDS_MAX];
	size_t size = sizeof(buffer);
	struct waybill_info info;
	socklen_t length;

	assert_int_equal(waybill_records_query(fd, buffer, &size), error);
	assert_int_equal(waybill_context_query(fd, buffer, &size), error);
	assert_int_equal(size, sizeof(buffer));
	assert_int_equal(waybill_records_query(fd, NULL, &size), error);
	assert_int_equal(waybill_info_query(fd, &info), error);
	assert_int_equal(waybill_original_destination_query(fd, &address, &length), error);
	assert_int_equal(waybill_records_set(fd, buffer, 160), error);
	assert_int_equal(waybill_forward(fd, fd), error);
	assert_int_equal(waybill_connect_onward(fd, 0), error);
}

/* A Unix socket has no Waybill whatever the host has: the kernel answers by itself. */
static void unknown_sockets_are_not_supported(void **state)
{
	int local = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	assert_every_function_answers(local, -EOPNOTSUPP);
	close(local);
}

static void what_is_no_socket_is_told(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_every_function_answers(ends[0], -ENOTSOCK);
	close(ends[0]);
	close(ends[1]);
	assert_every_function_answers(-1, -EBADF);
}

static void arguments_are_checked_first(void **state)
{
	static char records[WAYBILL_RECORDS_MAX + 1];

	(void)state;
	assert_int_equal(waybill_records_set(-1, records, sizeof(records)), -EBADMSG);
	assert_int_equal(waybill_records_set(-1, records, (size_t)-1), -EBADMSG);
	assert_int_equal(waybill_connect_onward(-1, 1), -EINVAL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_decode),
		cmocka_unit_test(decode_refuses_and_leaves_nothing),
		cmocka_unit_test(decoded_name_always_ends),
		cmocka_unit_test(address_has_one_form),
		cmocka_unit_test(address_goes_there_and_back),
		cmocka_unit_test(address_errors),
		cmocka_unit_test(service_ids_equal_vectors),
		cmocka_unit_test(unknown_sockets_are_not_supported),
		cmocka_unit_test(what_is_no_socket_is_told),
		cmocka_unit_test(arguments_are_checked_first),
	};

	if (argc != 2)
		return 2;
	vectors_read(argv[1], &vectors);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
