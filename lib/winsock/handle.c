// SPDX-License-Identifier: BSD-2-Clause
/*
 * Handles of events and threads. A handle is a number into a table, with the count of how often
 * that place was given out, so a stale or invented one, and a descriptor, is known for what it is.
 */
#include <stdlib.h>

#include "winsock.h"

struct place {
	struct object *object;
	uint32_t generation;
	uint32_t next_free; /* index + 1, or 0 */
};

static struct place *places;
static uint32_t place_count, first_free;

_Static_assert(sizeof(HANDLE) == 8, "a handle is a generation and an index");

/* The low two bits are 0, as on Windows, where callers use the lowest for a mark of their own. */
static HANDLE handle_of(uint32_t index)
{
	return (HANDLE)((uintptr_t)places[index].generation << 32 | (uintptr_t)(index + 1) << 2);
}

static struct place *place_of(HANDLE handle)
{
	uintptr_t number = (uintptr_t)handle & ~(uintptr_t)3;
	uint32_t index = (uint32_t)number / 4 - 1;

	if (!number || index >= place_count || !places[index].object ||
	    places[index].generation != (uint32_t)(number >> 32))
		return NULL;
	return &places[index];
}

struct object *object_new(enum object_kind kind)
{
	struct object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->kind = kind;
	object->references = 1;
	LIST_INIT(&object->waiters);
	return object;
}

void object_release(struct object *object)
{
	if (!--object->references)
		free(object);
}

void object_signal(struct object *object)
{
	struct waiter *waiter;

	object->signalled = true;
	LIST_FOREACH(waiter, &object->waiters, link)
	wait_look(waiter->wait);
}

static bool places_grow(void)
{
	uint32_t count = place_count ? place_count * 2 : 64, i;
	struct place *larger;

	/* As many as an index times 4 has room for. */
	if (count > 1U << 28)
		return false;
	larger = reallocarray(places, count, sizeof(*places));
	if (!larger)
		return false;
	places = larger;
	for (i = place_count; i < count; i++)
		places[i] =
			(struct place){ .generation = 1, .next_free = i + 1 < count ? i + 2 : 0 };
	first_free = place_count + 1;
	place_count = count;
	return true;
}

HANDLE handle_new(struct object *object)
{
	struct place *place;

	if (!first_free && !places_grow()) {
		object_release(object);
		return NULL;
	}
	place = &places[first_free - 1];
	first_free = place->next_free;
	place->object = object;
	return handle_of((uint32_t)(place - places));
}

struct object *handle_object(HANDLE handle)
{
	struct place *place = place_of(handle);

	if (!place)
		return NULL;
	place->object->references++;
	return place->object;
}

bool handle_close(HANDLE handle)
{
	struct place *place = place_of(handle);

	if (!place)
		return false;
	object_release(place->object);
	place->object = NULL;
	place->generation++;
	place->next_free = first_free;
	first_free = (uint32_t)(place - places) + 1;
	return true;
}

BOOL WINAPI CloseHandle(HANDLE hObject)
{
	bool closed;

	pthread_mutex_lock(&winsock_lock);
	closed = handle_close(hObject);
	pthread_mutex_unlock(&winsock_lock);
	return winsock_boolean(closed ? 0 : WSA_INVALID_HANDLE);
}

WSAEVENT WSAAPI WSACreateEvent(void)
{
	struct object *object;
	HANDLE handle = NULL;

	pthread_mutex_lock(&winsock_lock);
	object = object_new(OBJECT_EVENT);
	if (object)
		handle = handle_new(object);
	pthread_mutex_unlock(&winsock_lock);
	if (!handle)
		winsock_result(WSA_NOT_ENOUGH_MEMORY);
	return handle;
}

BOOL WSAAPI WSACloseEvent(WSAEVENT hEvent)
{
	return CloseHandle(hEvent);
}

static BOOL event_set(HANDLE handle, bool signalled)
{
	struct object *object;
	int error = 0;

	pthread_mutex_lock(&winsock_lock);
	object = handle_object(handle);
	if (!object || object->kind != OBJECT_EVENT)
		error = WSA_INVALID_HANDLE;
	else if (signalled)
		object_signal(object);
	else
		object->signalled = false;
	if (object)
		object_release(object);
	pthread_mutex_unlock(&winsock_lock);
	return winsock_boolean(error);
}

BOOL WSAAPI WSASetEvent(WSAEVENT hEvent)
{
	return event_set(hEvent, true);
}

BOOL WSAAPI WSAResetEvent(WSAEVENT hEvent)
{
	return event_set(hEvent, false);
}
