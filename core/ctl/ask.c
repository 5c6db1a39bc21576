/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask.c - posternctl's end of the control socket.
 *
 * Blocks until the answer is whole; the relay closes when it has said everything.
 */
#include <core/base/buf.h>
#include <core/ctl/control.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MOST (1024u * 1024 * 1024)

static int
connect_to(const char *folder, struct pn_error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd, r;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" CONTROL_SOCKET, folder) >=
	    (int)sizeof(sa.sun_path))
		return pn_error_set(err, -ENAMETOOLONG, "%s: the path is too long", folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return pn_error_set(err, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	r = errno == ENOENT || errno == ECONNREFUSED
		? pn_error_set(
		      err, -errno, "no relay is running (nobody answers at %s)", sa.sun_path)
		: pn_error_set(err, -errno, "%s: %s", sa.sun_path, strerror(errno));
	close(fd);
	return r;
}

static int
send_line(int fd, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = text ? strlen(text) : 0, sent = 0;
	int r = text ? 0 : -ENOMEM;

	if (text)
		text[len] = '\n'; /* over the NUL: the line goes by length */
	while (r == 0 && sent <= len) {
		ssize_t n = send(fd, text + sent, len + 1 - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	free(text);
	return r;
}

/* What stands in lines is how far the work is; the reply has no line feed. */
static void
take_lines(struct buf *buf, const struct control_listener *listener)
{
	const char *end;

	while ((end = memchr(buf->data, '\n', buf->len))) {
		size_t len = (size_t)(end - buf->data);
		json_t *state = json_loadb(buf->data, len, 0, NULL);

		if (state && listener)
			listener->progress(listener->arg, state);
		json_decref(state);
		buf_consume(buf, len + 1);
	}
}

static int
read_all(int fd, const struct control_listener *listener, struct buf *ret)
{
	for (;;) {
		ssize_t n;
		int r = buf_reserve(ret, 65536);

		if (r < 0)
			return r;
		n = recv(fd, ret->data + ret->len, 65536, 0);
		if (n == 0)
			return 0;
		if (n > 0)
			ret->len += (size_t)n;
		else if (errno != EINTR)
			return -errno;
		if (n > 0 && memchr(ret->data + ret->len - n, '\n', (size_t)n))
			take_lines(ret, listener);
	}
}

int
control_ask(const char *folder, json_t *request, const struct control_listener *listener,
    json_t **ret, struct pn_error *err)
{
	struct buf answer = BUF_INIT(ANSWER_MOST);
	const char *refusal;
	int fd = connect_to(folder, err), r;

	if (fd < 0)
		return fd;
	r = send_line(fd, request);
	if (r == 0)
		r = read_all(fd, listener, &answer);
	close(fd);
	*ret = r == 0 ? json_loadb(answer.data, answer.len, 0, NULL) : NULL;
	buf_free(&answer);
	if (!*ret)
		return pn_error_set(
		    err, r < 0 ? r : -EPROTO, "the relay went away while it was asked");
	refusal = json_string_value(json_object_get(*ret, "error"));
	if (!refusal)
		return 0;
	r = pn_error_set(err, -EINVAL, "%s", refusal);
	json_decref(*ret);
	*ret = NULL;
	return r;
}
