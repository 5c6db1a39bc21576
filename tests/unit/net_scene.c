/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_scene.c - the stage for tests of streams.
 *
 * Called by tests/unit/net_*.c. Everything happens on one loop in one thread, so a test is the same
 * each time; what can never happen ends the test by the guard, not by a hang.
 */
#include "net_scene.h"
#include <check.h>
#include <netinet/in.h>
#include <unistd.h>

static void
told(struct stream *stream, enum scene_event event)
{
	struct end *end = (struct end *)(void *)stream;
	struct scene *scene = end->scene;

	end->count[event]++;
	if (end->act)
		end->act(end, event);
	if (scene->until && scene->until(scene)) {
		scene->until = NULL;
		loop_stop(scene->loop);
	}
}

static void
on_input(struct stream *stream)
{
	struct end *end = (struct end *)(void *)stream;
	struct pn_slice bytes = stream_peek(stream);

	ck_assert_uint_gt(bytes.len, 0);
	if (!end->keep_unread) {
		ck_assert_int_eq(buf_add(&end->got, bytes.data, bytes.len), 0);
		stream_consume(stream, bytes.len);
		ck_assert_uint_eq(stream_peek(stream).len, 0);
	}
	told(stream, SCENE_INPUT);
}

static void
on_drained(struct stream *stream)
{
	told(stream, SCENE_DRAINED);
}

static void
on_secured(struct stream *stream, const struct pn_error *err)
{
	struct end *end = (struct end *)(void *)stream;

	end->secured = err ? err->code : 0;
	if (err)
		memcpy(end->why, err->text, sizeof(end->why));
	told(stream, SCENE_SECURED);
}

static void
on_lost(struct stream *stream, int r)
{
	((struct end *)(void *)stream)->lost = r;
	told(stream, SCENE_LOST);
}

static void
on_late(struct stream *stream)
{
	told(stream, SCENE_LATE);
}

const struct stream_events scene_events = { on_input, on_drained, on_secured, on_lost, on_late };

static void
guard_fired(struct loop_timer *timer)
{
	ck_abort_msg("the scene did not come to its end");
}

void
scene_init(struct scene *scene)
{
	struct pn_error err;

	*scene = (struct scene){ .guard = { .fire = guard_fired } };
	scene->client.scene = scene->server.scene = scene;
	scene->client.got = scene->server.got = BUF_INIT(64u * 1024 * 1024);
	ck_assert_int_eq(loop_new(&scene->loop, &err), 0);
}

void
scene_run(struct scene *scene, bool (*until)(struct scene *scene))
{
	if (until(scene))
		return;
	scene->until = until;
	loop_timer_set(scene->loop, &scene->guard, 60000);
	loop_run(scene->loop);
	loop_timer_cancel(scene->loop, &scene->guard);
	scene->until = NULL;
}

void
scene_free(struct scene *scene)
{
	stream_close(&scene->client.stream);
	stream_close(&scene->server.stream);
	buf_free(&scene->client.got);
	buf_free(&scene->server.got);
	loop_free(&scene->loop);
}

int
scene_listen(struct address *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(address_parse("127.0.0.1:0", 0, ret, NULL), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&ret->sa, ret->len), 0);
	ck_assert_int_eq(listen(fd, 16), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ret->sa, &ret->len), 0);
	return fd;
}

static bool
client_connected(struct scene *scene)
{
	return scene->client.count[SCENE_DRAINED] > 0;
}

void
scene_connect(struct scene *scene)
{
	struct address address;
	int listener = scene_listen(&address), fd;

	ck_assert_int_eq(
	    stream_connect(&scene->client.stream, scene->loop, &address, NULL, &scene_events), 0);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	close(listener);
	ck_assert_int_eq(stream_open(&scene->server.stream, scene->loop, fd, &scene_events), 0);
	scene_run(scene, client_connected);
	scene->client.count[SCENE_DRAINED] = 0;
}

int
scene_half(struct scene *scene)
{
	struct address address;
	int listener = scene_listen(&address), fd, peer;

	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&address.sa, address.len), 0);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listener);
	ck_assert_int_eq(stream_open(&scene->server.stream, scene->loop, fd, &scene_events), 0);
	return peer;
}

void
scene_say(struct end *end, const char *text)
{
	ck_assert_int_eq(stream_write(&end->stream, text, strlen(text)), 0);
	stream_flush(&end->stream);
}

bool
scene_secured(struct scene *scene)
{
	return scene->client.count[SCENE_SECURED] > 0 && scene->server.count[SCENE_SECURED] > 0;
}

bool
scene_client_lost(struct scene *scene)
{
	return scene->client.count[SCENE_LOST] > 0;
}

bool
scene_server_lost(struct scene *scene)
{
	return scene->server.count[SCENE_LOST] > 0;
}

static bool
ends_line(const struct buf *buf)
{
	return buf->len > 0 && buf->data[buf->len - 1] == '\n';
}

bool
scene_server_got(struct scene *scene)
{
	return ends_line(&scene->server.got);
}

bool
scene_client_got(struct scene *scene)
{
	return ends_line(&scene->client.got);
}
