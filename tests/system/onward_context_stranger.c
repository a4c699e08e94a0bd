// SPDX-License-Identifier: BSD-2-Clause
/*
 * onward_context_stranger [user]: somebody who is no service, and is handed a service's onward
 * socket (SCM_RIGHTS) or has inherited it (fork), is told no context, neither that of the service
 * nor that of the next one: EACCES, and a size of 0 in the info. "user": services are told by user.
 */
#include "records_tools.h"

#include <sys/mman.h>

struct view {
	int info_error;
	struct waybill_info info;
	int context_error, size_error;
	socklen_t context_size;
	unsigned char context[WAYBILL_CONTEXT_MAX];
};

static void look(int descriptor, struct view *view)
{
	socklen_t size = sizeof(view->info);

	memset(view, 0, sizeof(*view));
	view->info_error = query(descriptor, WAYBILL_REDIRECT_INFO, &view->info, &size);
	view->context_size = sizeof(view->context);
	view->context_error =
		query(descriptor, WAYBILL_REDIRECT_CONTEXT, view->context, &view->context_size);
	size = 0;
	view->size_error = query(descriptor, WAYBILL_REDIRECT_CONTEXT, NULL, &size);
}

static int look_at(int descriptor, void *view)
{
	look(descriptor, view);
	return 0;
}

/* What the application sees in a process of its own. */
static void look_as_stranger(struct world *world, int descriptor, bool handed, struct view *view)
{
	EXPECT(!as_stranger(world, descriptor, handed, look_at, view));
}

static void expect_nothing(struct world *world, int descriptor, struct view *view)
{
	for (int handed = 0; handed < 2; handed++) {
		look_as_stranger(world, descriptor, handed, view);
		EXPECT_RESULT(view->context_error, -EACCES);
		EXPECT_RESULT(view->size_error, -EACCES);
		for (size_t i = 0; i < sizeof(view->context); i++)
			EXPECT(!view->context[i], "byte %zu", i);
		EXPECT_RESULT(view->info_error, 0);
		EXPECT_RESULT((int)view->info.state, WAYBILL_REDIRECTED_BY_OTHER);
		EXPECT(view->info.context_size == 0, "%u", view->info.context_size);
	}
}

int main(int argc, char **argv)
{
	struct leg leg[2];
	struct world world;
	struct view *view;
	int listener[2];

	view = mmap(NULL, sizeof(*view), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(view != MAP_FAILED);
	world_begin(&world, "onward_context_stranger");
	world.by_user = argc > 1 && !strcmp(argv[1], "user");
	world_up(&world);
	world_policy(&world, 2, NULL);
	for (int i = 0; i < 2; i++)
		listener[i] = listener_of(&world, i, V4, false);
	redirect_application(&world, 0, listener[0], V4, &leg[0]);

	leg[1].client = onward_of(&world, 0, leg[0].accepted);
	expect_nothing(&world, leg[1].client, view);
	EXPECT_RESULT(connect_socket(leg[1].client, V4, SERVER_PORT), 0);
	expect_nothing(&world, leg[1].client, view);
	as_service(&world, 1);
	leg[1].accepted = accept_from(listener[1]);
	expect_nothing(&world, leg[1].client, view);

	/* The service itself is told, and so is who is handed an accepted socket. */
	as_service(&world, 0);
	look(leg[1].client, view);
	EXPECT_RESULT(view->context_error, 0);
	EXPECT(view->context_size == 5 && !memcmp(view->context, "for a", 5));
	as_service(&world, 1);
	look_as_stranger(&world, leg[1].accepted, true, view);
	EXPECT_RESULT(view->context_error, 0);
	EXPECT(view->context_size == 5 && !memcmp(view->context, "for b", 5));
	as_root(&world);
	world_end(&world);
}
