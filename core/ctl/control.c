/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - the relay's end of the control socket.
 *
 * Called on the relay's main loop only. A caller that talks slowly or too much is cut off.
 */
#include <core/ctl/control.h>
#include <core/net/stream.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MOST 65536
#define PATIENCE_MS  10000
#define BEFORE_NAMED ".new" /* while nobody can be answered yet */

struct control {
	struct loop *loop;
	struct loop_io io;
	const struct control_command *commands;
	void *arg;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat own; /* of the socket at that path */
};

struct control_request {
	struct stream stream;
	struct control *control;
	json_t *body;
	bool asked, gone;
};

static void
request_free(struct control_request *request)
{
	stream_close(&request->stream);
	json_decref(request->body);
	free(request);
}

/* The caller has gone. A request that is being worked on is freed by its reply. */
static void
leave(struct control_request *request)
{
	if (!request->asked) {
		request_free(request);
		return;
	}
	stream_close(&request->stream);
	request->gone = true;
}

static void
on_lost(struct stream *stream, int r)
{
	leave((struct control_request *)stream);
}

static void
on_late(struct stream *stream)
{
	leave((struct control_request *)stream);
}

static void
dispatch(struct control_request *request)
{
	const char *name = json_string_value(json_object_get(request->body, "command"));
	const struct control_command *command = request->control->commands;

	while (command->name && !(name && strcmp(command->name, name) == 0))
		command++;
	if (command->name)
		command->run(request->control->arg, request, request->body);
	else
		control_refuse(request, "this relay does not know that command");
}

static void
on_input(struct stream *stream)
{
	struct control_request *request = (struct control_request *)stream;
	struct pn_slice line = stream_peek(stream);
	const char *end = memchr(line.data, '\n', line.len);

	if (request->asked || (!end && line.len > REQUEST_MOST)) {
		leave(request);
		return;
	}
	if (!end)
		return;
	request->asked = true;
	request->body = json_loadb(line.data, (size_t)(end - line.data), 0, NULL);
	stream_consume(stream, line.len);
	stream_deadline(stream, 0);
	dispatch(request);
}

static const struct stream_events request_events = {
	.input = on_input,
	.lost = on_lost,
	.late = on_late,
};

static void
on_sent(struct stream *stream)
{
	request_free((struct control_request *)stream);
}

static void
on_unsent(struct stream *stream, int r)
{
	on_sent(stream);
}

static const struct stream_events reply_events = {
	.input = on_sent,
	.drained = on_sent,
	.lost = on_unsent,
	.late = on_sent,
};

void
control_reply(struct control_request *request, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	json_decref(reply);
	if (request->gone || !text) {
		request_free(request);
		free(text);
		return;
	}
	request->stream.events = &reply_events;
	if (stream_write_ref(&request->stream, pn_slice(text, len), free, text) < 0) {
		free(text);
		request_free(request);
		return;
	}
	stream_deadline(&request->stream, PATIENCE_MS);
	stream_flush(&request->stream);
}

void
control_progress(struct control_request *request, json_t *state)
{
	char *text = NULL;
	size_t len;

	if (!request->gone && json_is_true(json_object_get(request->body, "progress")))
		text = json_dumps(state, JSON_COMPACT);
	json_decref(state);
	if (!text)
		return;
	len = strlen(text);
	text[len] = '\n'; /* over the NUL: it goes by length */
	if (stream_write_ref(&request->stream, pn_slice(text, len + 1), free, text) < 0)
		free(text);
	else
		stream_flush(&request->stream);
}

void
control_refuse(struct control_request *request, const char *text)
{
	control_reply(request, json_pack("{s:s}", "error", text));
}

static void
on_connect(struct loop_io *io, uint32_t events)
{
	struct control *control = (struct control *)((char *)io - offsetof(struct control, io));
	struct control_request *request;
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	request = calloc(1, sizeof(*request));
	if (!request || stream_open(&request->stream, control->loop, fd, &request_events) < 0) {
		close(fd);
		free(request);
		return;
	}
	request->control = control;
	stream_deadline(&request->stream, PATIENCE_MS);
}

static int
bind_socket(struct control *control, const char *folder, struct pn_error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, r = 0;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" CONTROL_SOCKET BEFORE_NAMED, folder) >=
	    (int)sizeof(sa.sun_path))
		return pn_error_set(
		    err, -ENAMETOOLONG, "%s: the run folder's path is too long", folder);
	memcpy(control->path, sa.sun_path, sizeof(control->path));
	control->path[strlen(control->path) - strlen(BEFORE_NAMED)] = '\0';
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pn_error_set(
		    err, -errno, "cannot make the control socket: %s", strerror(errno));
	unlink(sa.sun_path);
	/* The name is another relay's until now, which may still run: there always is one. */
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    chmod(sa.sun_path, 0600) < 0 || listen(fd, 16) < 0 ||
	    lstat(sa.sun_path, &control->own) < 0 || rename(sa.sun_path, control->path) < 0) {
		r = pn_error_set(err, -errno, "%s: %s", sa.sun_path, strerror(errno));
		close(fd);
		unlink(sa.sun_path);
		return r;
	}
	control->io.fd = fd;
	return 0;
}

int
control_open(struct loop *loop, const char *folder, const struct control_command *commands,
    void *arg, struct control **ret, struct pn_error *err)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return pn_error_set(err, -ENOMEM, "out of memory");
	control->loop = loop;
	control->commands = commands;
	control->arg = arg;
	control->io.ready = on_connect;
	r = bind_socket(control, folder, err);
	if (r == 0) {
		r = loop_watch(loop, &control->io, EPOLLIN);
		if (r < 0)
			close(control->io.fd);
	}
	if (r < 0) {
		free(control);
		return r;
	}
	*ret = control;
	return 0;
}

void
control_close(struct control **control)
{
	struct stat now;

	if (!*control)
		return;
	loop_unwatch((*control)->loop, &(*control)->io);
	/* Another relay may have the name by now. */
	if (lstat((*control)->path, &now) == 0 && now.st_ino == (*control)->own.st_ino &&
	    now.st_dev == (*control)->own.st_dev)
		unlink((*control)->path);
	close((*control)->io.fd);
	free(*control);
	*control = NULL;
}
