// SPDX-License-Identifier: BSD-2-Clause
/*
 * The states of a connection as each service sees it, with the context that is its to read: on
 * the accepted socket of b handed to a, before it in the chain, and to c, not in it; and on the
 * onward socket of a before and after it was redirected to b.
 */
#include "records_tools.h"

#include <sys/mman.h>
#include <sys/wait.h>

struct view {
	int info_error;
	struct waybill_info info;
	int context_error;
	socklen_t context_size;
	unsigned char context[WAYBILL_CONTEXT_MAX];
	int records_error;
};

static void look(int descriptor, struct view *view)
{
	unsigned char records[WAYBILL_RECORDS_MAX];
	socklen_t size = sizeof(view->info);

	view->info_error = query(descriptor, WAYBILL_REDIRECT_INFO, &view->info, &size);
	view->context_size = sizeof(view->context);
	view->context_error =
		query(descriptor, WAYBILL_REDIRECT_CONTEXT, view->context, &view->context_size);
	size = sizeof(records);
	view->records_error = query(descriptor, WAYBILL_REDIRECT_RECORDS, records, &size);
}

/* What a process of service i sees when it is handed the socket. */
static void look_from(struct world *world, int i, int descriptor, struct view *view)
{
	int channel[2], status;
	pid_t child;

	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel));
	child = fork();
	EXPECT(child >= 0);
	if (!child) {
		close(descriptor);
		as_service(world, i);
		look(receive_descriptor(channel[1]), view);
		_exit(0);
	}
	send_descriptor(channel[0], descriptor);
	EXPECT(waitpid(child, &status, 0) == child && status == 0);
	close(channel[0]);
	close(channel[1]);
}

static void expect_view(const struct view *view, enum waybill_state state, const char *context)
{
	EXPECT_RESULT(view->info_error, 0);
	EXPECT_RESULT((int)view->info.state, (int)state);
	if (!context) {
		EXPECT_RESULT(view->context_error, -EACCES);
		EXPECT(view->info.context_size == 0);
		return;
	}
	EXPECT_RESULT(view->context_error, 0);
	EXPECT(view->context_size == 5 && !memcmp(view->context, context, 5), "%.5s",
	       view->context);
	EXPECT(view->info.context_size == 5);
}

int main(int argc, char **argv)
{
	enum family family;
	struct leg leg[2];
	struct world world;
	struct view *view;
	int listener[2];

	view = mmap(NULL, sizeof(*view), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	world_begin(&world, "option_states");
	world.by_user = argc > 1 && !strcmp(argv[1], "user");
	world_up(&world);
	world_policy(&world, 3, NULL);
	for (family = V4; family < FAMILIES; family++) {
		for (int i = 0; i < 2; i++)
			listener[i] = listener_of(&world, i, family == MAPPED ? V4 : family, false);
		redirect_application(&world, 0, listener[0], family, &leg[0]);
		look(leg[0].accepted, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_SELF, "for a");
		EXPECT(view->info.hop_count == 1 && view->info.service == waybill_service_id("a"));

		leg[1].client = onward_of(&world, 0, leg[0].accepted);
		look(leg[1].client, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_SELF, "for a");
		EXPECT(view->info.hop_count == 1 && view->info.service == waybill_service_id("a"));
		EXPECT_RESULT(view->records_error, -ENOTCONN);

		EXPECT_RESULT(connect_socket(leg[1].client, family == V6 ? V6 : V4, SERVER_PORT),
			      0);
		look(leg[1].client, view);
		expect_view(view, WAYBILL_PREVIOUSLY_REDIRECTED_BY_SELF, "for a");
		EXPECT(view->info.hop_count == 2 && view->info.service == waybill_service_id("b"));
		EXPECT_RESULT(view->records_error, -ENOENT);

		as_service(&world, 1);
		leg[1].accepted = accept_from(listener[1]);
		look(leg[1].accepted, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_SELF, "for b");
		EXPECT(view->info.hop_count == 2 && view->info.service == waybill_service_id("b"));
		EXPECT(view->info.originator.uid == APPLICATION_UID);
		EXPECT(view->info.client.uid == SERVICE_UID(0));

		look_from(&world, 0, leg[1].accepted, view);
		expect_view(view, WAYBILL_PREVIOUSLY_REDIRECTED_BY_SELF, "for a");
		look_from(&world, 2, leg[1].accepted, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_OTHER, NULL);
		look_from(&world, 2, leg[1].client, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_OTHER, NULL);
		/* Handing it around changed nothing for its owner. */
		look_from(&world, 1, leg[1].accepted, view);
		expect_view(view, WAYBILL_REDIRECTED_BY_SELF, "for b");
		for (int i = 0; i < 2; i++) {
			close(leg[i].client);
			close(leg[i].accepted);
			close(listener[i]);
		}
	}
	as_root(&world);
	world_end(&world);
}
