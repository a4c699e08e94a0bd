// SPDX-License-Identifier: BSD-2-Clause
/*
 * `waybill metrics --listen`: libmicrohttpd answers scrapers in a thread for each listening socket,
 * while the main thread waits for signals and ends whatever takes too long. A connection is for one
 * request, has a bounded memory, and must be done in time whether it dribbles or not; the text is
 * made at most once a second, whoever asks how often.
 */
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics.h"
#include "metrics_listen.h"
#include "output.h"

#define CLIENTS_MAX 64 /* at once, for each listening socket; others wait in the kernel's queue */
#define CLIENT_MEMORY 8192
#define CLIENT_SECONDS 10
#define SECOND UINT64_C(1000000000)

struct client {
	int descriptor; /* 0: none, as it is never standard input */
	uint64_t began;
};

struct server {
	const char *instance;
	pthread_mutex_t lock; /* of all below */
	struct client client[METRICS_SOCKETS * CLIENTS_MAX];
	struct MHD_Response *response; /* the last one, and when it was made */
	uint64_t made;
	int error; /* with which the instance was read last */
};

/* Once for each change. */
static void report(struct server *server, int error, const struct message *message)
{
	if (error && error != server->error)
		complain("%s; serving waybill_up 0", message->text);
	else if (!error && server->error)
		complain("instance %s is up again", server->instance);
	server->error = error;
}

static struct MHD_Response *response_make(const char *text, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, mode);

	if (!response)
		return NULL;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	return response;
}

/* The response of this second. The caller holds the lock; NULL without memory. */
static struct MHD_Response *response_renew(struct server *server)
{
	struct message message = { "" };
	json_t *families;
	char *text;
	int error;

	if (server->response && boottime_now() - server->made < SECOND)
		return server->response;
	if (server->response)
		MHD_destroy_response(server->response);
	server->response = NULL;
	families = metrics_gather(server->instance, &error, &message);
	if (!families)
		return NULL;
	report(server, error, &message);
	text = metrics_text(families);
	json_decref(families);
	if (!text)
		return NULL;
	server->response = response_make(text, MHD_RESPMEM_MUST_FREE);
	if (!server->response) {
		free(text);
		return NULL;
	}
	MHD_add_response_header(server->response, MHD_HTTP_HEADER_CONTENT_TYPE,
				METRICS_CONTENT_TYPE);
	server->made = boottime_now();
	return server->response;
}

static enum MHD_Result answer_metrics(struct server *server, struct MHD_Connection *connection)
{
	enum MHD_Result result = MHD_NO;
	struct MHD_Response *response;

	pthread_mutex_lock(&server->lock);
	response = response_renew(server);
	if (response)
		result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	pthread_mutex_unlock(&server->lock);
	return result;
}

static enum MHD_Result answer_plain(struct MHD_Connection *connection, unsigned int status,
				    const char *text)
{
	struct MHD_Response *response = response_make(text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Answers at once, before any body is read; what has one is refused. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *body,
				  size_t *body_size, void **context)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_plain(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (strcmp(path, "/metrics"))
		return answer_plain(connection, MHD_HTTP_NOT_FOUND, "only /metrics is here\n");
	return answer_metrics(data, connection);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct server *server = data;
	size_t i;

	if (!info)
		return;
	pthread_mutex_lock(&server->lock);
	for (i = 0; i < sizeof(server->client) / sizeof(*server->client); i++) {
		if (code == MHD_CONNECTION_NOTIFY_STARTED && !server->client[i].descriptor) {
			server->client[i] = (struct client){ info->connect_fd, boottime_now() };
			break;
		}
		/* The descriptor is closed after this, so it is nobody else's yet. */
		if (code == MHD_CONNECTION_NOTIFY_CLOSED &&
		    server->client[i].descriptor == info->connect_fd) {
			server->client[i].descriptor = 0;
			break;
		}
	}
	pthread_mutex_unlock(&server->lock);
}

/* The library's own limit begins anew with every byte. */
static void end_late_clients(struct server *server)
{
	uint64_t now = boottime_now();

	pthread_mutex_lock(&server->lock);
	for (size_t i = 0; i < sizeof(server->client) / sizeof(*server->client); i++) {
		const struct client *client = &server->client[i];

		if (client->descriptor && now - client->began > CLIENT_SECONDS * SECOND)
			shutdown(client->descriptor, SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
}

/* What the library has to say is about clients who misbehave: nothing to fill a log with. */
static void ignore_log(void *data, const char *format, va_list arguments)
{
}

static struct MHD_Daemon *start(struct server *server, int listener)
{
	return MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL, NULL,
				on_request, server, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL,
				MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)CLIENTS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)CLIENT_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)CLIENT_SECONDS, MHD_OPTION_STRICT_FOR_CLIENT, 1,
				MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
				MHD_OPTION_END);
}

/* Until one of the signals comes; they are blocked, in all threads. */
static void wait_for_end(struct server *server, const sigset_t *signals)
{
	const struct timespec second = { .tv_sec = 1 };

	while (sigtimedwait(signals, NULL, &second) < 0)
		end_late_clients(server);
}

int metrics_serve(const char *instance, const char *listen)
{
	struct server server = { .instance = instance, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct MHD_Daemon *daemon[METRICS_SOCKETS] = { NULL };
	int listener[METRICS_SOCKETS], status = EXIT_OK;
	struct message message;
	sigset_t signals;
	size_t count;

	if (metrics_listen(listen, listener, &count, &message))
		return complain("%s", message.text);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < count; i++) {
		daemon[i] = start(&server, listener[i]);
		if (!daemon[i]) {
			close(listener[i]);
			status = complain("cannot serve at %s: no threads, memory or descriptors",
					  listen);
		}
	}
	if (status == EXIT_OK) {
		fprintf(stderr, "waybill: serving instance %s at %s, path /metrics\n", instance,
			listen);
		wait_for_end(&server, &signals);
	}
	for (size_t i = 0; i < count; i++)
		if (daemon[i])
			MHD_stop_daemon(daemon[i]);
	if (server.response)
		MHD_destroy_response(server.response);
	return status;
}
