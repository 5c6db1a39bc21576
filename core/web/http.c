/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - libmicrohttpd on an event loop.
 *
 * Called by the relay's main thread. The library brings an epoll descriptor of its own, which the
 * loop watches, and no thread. What it does not bound is bounded here: how long a client may take
 * for all of its request and answer. It must never hold up the loop and trusts no client.
 */
#include <core/web/http.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MEMORY 16384u /* of a connection: longer headers are 431 */

struct http {
	struct loop *loop;
	struct loop_io io;
	struct loop_timer timer; /* the library's */
	struct loop_timer late;  /* of the oldest connection */
	struct MHD_Daemon *daemon;
	const struct http_page *pages;
	void *arg;
	struct connection *oldest, *newest;
	bool left; /* a connection has, in this turn */
};

struct connection {
	struct connection *next, *before;
	int fd; /* the library's */
	int64_t until_ms;
	bool cut;                   /* it was too late */
	struct http_request *asked; /* NULL: none waits for its answer */
};

enum stage { STAGE_BODY, STAGE_ASKED, STAGE_ANSWERED };

struct http_request {
	struct MHD_Connection *connection; /* NULL: the server is closed */
	struct connection *own;
	struct http *http;
	enum stage stage;
	const struct http_page *page;
	struct MHD_Response *response; /* NULL: there is no memory for one */
	unsigned status;
};

/* ---- turns ----------------------------------------------------------------------------------- */

/* Where all places were taken, only the turn behind a connection's end accepts again. */
static void
turn(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG wait = 0;

	http->left = false;
	MHD_run(http->daemon);
	if (!http->left && MHD_get_timeout(http->daemon, &wait) != MHD_YES)
		loop_timer_cancel(http->loop, &http->timer);
	else
		loop_timer_set(http->loop, &http->timer,
		    wait < HTTP_CONNECTION_MS ? (int64_t)wait : HTTP_CONNECTION_MS);
}

static void
on_ready(struct loop_io *io, uint32_t events)
{
	turn((struct http *)(void *)((char *)io - offsetof(struct http, io)));
}

static void
on_timer(struct loop_timer *timer)
{
	turn((struct http *)(void *)((char *)timer - offsetof(struct http, timer)));
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
watch_oldest(struct http *http)
{
	const struct connection *one = http->oldest;

	while (one && one->cut)
		one = one->next;
	if (one)
		loop_timer_set(http->loop, &http->late, one->until_ms - loop_now(http->loop));
	else
		loop_timer_cancel(http->loop, &http->late);
}

static void
forget(struct http *http, struct connection *gone)
{
	*(gone->before ? &gone->before->next : &http->oldest) = gone->next;
	*(gone->next ? &gone->next->before : &http->newest) = gone->before;
	free(gone);
	http->left = true;
	watch_oldest(http);
}

static void
remember(struct http *http, struct MHD_Connection *connection, void **ret)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
	    connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct connection *new = calloc(1, sizeof(*new));

	if (!new || !info)
		abort(); /* as arena.h */
	new->fd = info->connect_fd;
	new->until_ms = loop_now(http->loop) + HTTP_CONNECTION_MS;
	new->before = http->newest;
	*(new->before ? &new->before->next : &http->oldest) = new;
	http->newest = new;
	*ret = new;
	watch_oldest(http);
}

static void
on_connection(void *arg, struct MHD_Connection *connection, void **own,
    enum MHD_ConnectionNotificationCode what)
{
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		remember(arg, connection, own);
	else if (*own)
		forget(arg, *own);
}

/* The library notices and closes; until it does, its descriptor is nobody else's. */
static void
on_late(struct loop_timer *timer)
{
	struct http *http = (struct http *)(void *)((char *)timer - offsetof(struct http, late));
	int64_t now = loop_now(http->loop);

	for (struct connection *one = http->oldest; one && one->until_ms <= now; one = one->next) {
		if (!one->cut)
			shutdown(one->fd, SHUT_RDWR);
		one->cut = true;
	}
	watch_oldest(http);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct MHD_Response *
make_response(const char *type, char *bytes, size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(len, bytes, mode);

	if (!response)
		return NULL;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	return response;
}

static enum MHD_Result
say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	struct MHD_Response *response = make_response("text/plain; charset=utf-8",
	    (char *)(uintptr_t)text, strlen(text), MHD_RESPMEM_PERSISTENT);
	enum MHD_Result result = MHD_NO;

	if (response && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (response)
		result = MHD_queue_response(connection, status, response);
	if (response)
		MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
answer(struct http_request *request)
{
	if (!request->response)
		return say(request->connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory\n");
	return MHD_queue_response(request->connection, request->status, request->response);
}

static const struct http_page *
find_page(const struct http *http, const char *path)
{
	for (const struct http_page *page = http->pages; page->path; page++)
		if (strcmp(page->path, path) == 0)
			return page;
	return NULL;
}

static struct connection *
own_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
	    ->socket_context;
}

/* The request's head is there. */
static enum MHD_Result
begin(struct http *http, struct MHD_Connection *connection, const char *path, const char *method,
    void **own)
{
	const struct http_page *page = find_page(http, path);
	struct http_request *request;

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET and HEAD\n");
	if (!page)
		return say(connection, MHD_HTTP_NOT_FOUND, "There is no such page\n");
	request = calloc(1, sizeof(*request));
	if (!request)
		return MHD_NO;
	request->connection = connection;
	request->own = own_of(connection);
	request->http = http;
	request->page = page;
	request->stage = STAGE_BODY;
	*own = request;
	return MHD_YES;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *connection, const char *path, const char *method,
    const char *version, const char *body, size_t *body_len, void **own)
{
	struct http_request *request = *own;

	if (!request)
		return begin(arg, connection, path, method, own);
	if (request->stage == STAGE_ANSWERED)
		return answer(request);
	if (*body_len > 0 || request->stage == STAGE_ASKED) {
		*body_len = 0; /* nobody reads it */
		return MHD_YES;
	}
	request->stage = STAGE_ASKED;
	request->own->asked = request;
	MHD_suspend_connection(connection);
	request->page->ask(request->http->arg, request);
	return MHD_YES;
}

static void
free_request(struct http_request *request)
{
	if (request->response)
		MHD_destroy_response(request->response);
	free(request);
}

/* One that is being worked on is freed by its reply; that happens only when all is closed. */
static void
on_completed(
    void *arg, struct MHD_Connection *connection, void **own, enum MHD_RequestTerminationCode why)
{
	struct http_request *request = *own;

	*own = NULL;
	if (request && request->stage == STAGE_ASKED)
		request->connection = NULL;
	else if (request)
		free_request(request);
}

void
http_reply(struct http_request *request, char *bytes, size_t len)
{
	if (!request->connection) {
		free(bytes);
		free_request(request);
		return;
	}
	request->status = MHD_HTTP_OK;
	request->response = bytes ? make_response(
					request->page->type, bytes, len, MHD_RESPMEM_MUST_FREE)
				  : NULL;
	if (!request->response)
		free(bytes);
	request->stage = STAGE_ANSWERED;
	request->own->asked = NULL;
	MHD_resume_connection(request->connection);
	/* Not from in here: this may be the library's own turn. */
	loop_timer_set(request->http->loop, &request->http->timer, 0);
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct MHD_Daemon *
start_library(struct http *http, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request,
	    http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MOST,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY, MHD_OPTION_NOTIFY_COMPLETED,
	    on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
}

/* The descriptor is the library's from here on. */
static int
start(struct http *http, int fd, struct pn_error *err)
{
	const union MHD_DaemonInfo *info;
	int r;

	http->daemon = start_library(http, fd);
	if (!http->daemon) {
		close(fd);
		return pn_error_set(err, -EIO, "libmicrohttpd does not start");
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	http->io.fd = info ? info->epoll_fd : -1;
	r = loop_watch(http->loop, &http->io, EPOLLIN);
	if (r < 0) {
		MHD_stop_daemon(http->daemon);
		return pn_error_set(
		    err, r, "cannot watch libmicrohttpd's descriptor: %s", strerror(-r));
	}
	return 0;
}

int
http_open(struct loop *loop, int fd, const struct http_page *pages, void *arg, struct http **ret,
    struct pn_error *err)
{
	struct http *http = calloc(1, sizeof(*http));
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), r;

	if (!http || own < 0) {
		r = pn_error_set(err, http ? -errno : -ENOMEM, "cannot serve pages: %s",
		    strerror(http ? errno : ENOMEM));
		if (own >= 0)
			close(own);
		free(http);
		return r;
	}
	*http = (struct http){ .loop = loop, .pages = pages, .arg = arg };
	http->io.ready = on_ready;
	http->timer.fire = on_timer;
	http->late.fire = on_late;
	r = start(http, own, err);
	if (r < 0) {
		free(http);
		return r;
	}
	*ret = http;
	return 0;
}

/* The library ends with no connection suspended; these end without their answers. */
static void
resume_all(struct http *http)
{
	for (struct connection *one = http->oldest; one; one = one->next)
		if (one->asked)
			MHD_resume_connection(one->asked->connection);
}

void
http_close(struct http **http)
{
	struct http *old = *http;
	int fd;

	*http = NULL;
	if (!old)
		return;
	resume_all(old);
	fd = MHD_quiesce_daemon(old->daemon); /* others listen on: it must not be shut down */
	loop_unwatch(old->loop, &old->io);
	loop_timer_cancel(old->loop, &old->timer);
	MHD_stop_daemon(old->daemon);
	loop_timer_cancel(old->loop, &old->late);
	if (fd >= 0)
		close(fd);
	free(old);
}
