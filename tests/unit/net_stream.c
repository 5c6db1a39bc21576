/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream.c - unit tests of streams in clear. */
#include "net_scene.h"
#include "run.h"
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct scene scene;

static void
setup(void)
{
	scene_init(&scene);
}

static void
teardown(void)
{
	scene_free(&scene);
}

/* Lets the loop take a few turns, in which nothing needs to happen. */
static void
stop_now(struct loop_timer *timer)
{
	loop_stop(scene.loop);
}

static void
some_turns(void)
{
	struct loop_timer timer = { .fire = stop_now };

	for (int i = 0; i < 3; i++) {
		loop_timer_set(scene.loop, &timer, 1);
		loop_run(scene.loop);
	}
}

static void
expect(const struct buf *got, const char *text)
{
	ck_assert_msg(pn_slice_equals(buf_slice(got), pn_slice_of(text)), "got \"%.*s\"",
	    (int)got->len, got->data ? got->data : "");
}

/* ---- output ---------------------------------------------------------------------------------- */

static int released;

static void
count_release(void *arg)
{
	released += *(int *)arg;
}

/* Copies and borrowed bytes arrive in the order of the calls. */
START_TEST(output_in_order)
{
	int one = 1;
	struct stream *client = &scene.client.stream;

	released = 0;
	scene_connect(&scene);
	ck_assert_int_eq(stream_write(client, "one ", 4), 0);
	ck_assert_int_eq(stream_write_ref(client, pn_slice_of("two "), count_release, &one), 0);
	ck_assert_int_eq(stream_write_ref(client, pn_slice(NULL, 0), count_release, &one), 0);
	ck_assert_int_eq(stream_write_ref(client, pn_slice_of("three "), NULL, NULL), 0);
	ck_assert_int_eq(stream_write(client, "four ", 5), 0);
	ck_assert_int_eq(stream_write_ref(client, pn_slice_of("five"), count_release, &one), 0);
	ck_assert_int_eq(stream_write(client, "\n", 1), 0);
	ck_assert_uint_eq(stream_unsent(client), 24);
	ck_assert_int_eq(released, 0);
	stream_flush(client);
	ck_assert_uint_eq(stream_unsent(client), 0);
	ck_assert_int_eq(released, 3);
	ck_assert_int_eq(scene.client.count[SCENE_DRAINED], 0); /* never inside a call */
	scene_run(&scene, scene_server_got);
	expect(&scene.server.got, "one two three four five\n");
	some_turns();
	ck_assert_int_eq(scene.client.count[SCENE_DRAINED], 1);
}
END_TEST

#define LARGE (12u * 1024 * 1024)
static char *large;

static void
make_large(void)
{
	large = malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)('a' + (i * 7 + i / 1000) % 26);
	large[LARGE - 1] = '\n';
}

static bool
server_has_large(struct scene *s)
{
	return s->server.got.len >= LARGE + 8 && s->client.count[SCENE_DRAINED] > 0;
}

/* More than the kernel takes, with copies around and between, while the reader stops and goes on.
 */
START_TEST(output_larger_than_the_kernel)
{
	struct stream *client = &scene.client.stream;
	int one = 1;

	released = 0;
	make_large();
	scene_connect(&scene);
	stream_pause(&scene.server.stream);
	ck_assert_int_eq(stream_write(client, "head", 4), 0);
	for (size_t at = 0; at < LARGE; at += LARGE / 16)
		ck_assert_int_eq(
		    stream_write_ref(client, pn_slice(large + at, LARGE / 16), count_release, &one),
		    0);
	stream_flush(client);
	ck_assert_uint_gt(stream_unsent(client), LARGE / 4);
	some_turns();
	ck_assert_int_lt(released, 16);
	ck_assert_int_eq(stream_write(client, "tail", 4), 0);
	stream_flush(client);
	ck_assert_uint_eq(scene.server.got.len, 0);
	stream_resume(&scene.server.stream);
	scene_run(&scene, server_has_large);
	ck_assert_int_eq(released, 16);
	ck_assert_int_eq(scene.client.count[SCENE_DRAINED], 1);
	ck_assert_mem_eq(scene.server.got.data, "head", 4);
	ck_assert_mem_eq(scene.server.got.data + 4, large, LARGE);
	ck_assert_mem_eq(scene.server.got.data + 4 + LARGE, "tail", 4);
	ck_assert_ptr_null(client->out.data); /* idle streams hold no buffer */
	free(large);
}
END_TEST

START_TEST(output_has_a_ceiling)
{
	struct stream *client = &scene.client.stream;
	char block[1024] = { 0 };
	int r = 0, one = 1;
	unsigned blocks = 0;

	released = 0;
	scene_connect(&scene);
	while (r == 0 && ++blocks < 10000)
		r = stream_write(client, block, sizeof(block));
	ck_assert_int_eq(r, -E2BIG);
	ck_assert_uint_eq(blocks - 1, STREAM_OUT_MOST / sizeof(block));
	ck_assert_int_eq(stream_write_ref(client, pn_slice_of("x"), count_release, &one), 0);
	stream_close(client);
	ck_assert_int_eq(released, 1);
	ck_assert(!stream_is_open(client));
	stream_flush(client);
	stream_close(client);
}
END_TEST

/* ---- input ----------------------------------------------------------------------------------- */

static const size_t leftovers[] = { 1, 100, LOOP_HEADROOM, LOOP_HEADROOM + 1, 100000 };
static size_t wanted;

static bool
server_unread(struct scene *s)
{
	return stream_peek(&s->server.stream).len >= wanted;
}

/* What the owner leaves is joined, in one piece, with what comes. */
START_TEST(input_left_unread_is_joined)
{
	size_t left = leftovers[_i];
	struct pn_slice got;

	make_large();
	scene_connect(&scene);
	scene.server.keep_unread = true;
	for (size_t at = 0; at < 3; at++) {
		ck_assert_int_eq(stream_write(&scene.client.stream, large + at * left, left), 0);
		stream_flush(&scene.client.stream);
		wanted = (at + 1) * left;
		scene_run(&scene, server_unread);
	}
	got = stream_peek(&scene.server.stream);
	ck_assert_uint_eq(got.len, 3 * left);
	ck_assert_mem_eq(got.data, large, 3 * left);
	stream_consume(&scene.server.stream, left);
	got = stream_peek(&scene.server.stream);
	ck_assert_mem_eq(got.data, large + left, 2 * left);
	stream_consume(&scene.server.stream, got.len + 1);
	ck_assert_uint_eq(stream_peek(&scene.server.stream).len, 0);
	ck_assert_ptr_null(scene.server.stream.in.data);
	free(large);
}
END_TEST

static void
pause_after_first_byte(struct end *end, enum scene_event event)
{
	struct pn_slice bytes = stream_peek(&end->stream);

	if (event != SCENE_INPUT)
		return;
	ck_assert_uint_gt(bytes.len, 0);
	ck_assert_int_eq(buf_add(&end->got, bytes.data, 1), 0);
	stream_consume(&end->stream, 1);
	stream_pause(&end->stream);
	ck_assert_uint_eq(stream_peek(&end->stream).len, bytes.len - 1);
}

static bool
server_input(struct scene *s)
{
	return s->server.count[SCENE_INPUT] > 0;
}

/* Paused: silence, whatever comes. Resumed: `input` at once for what was left, then `lost`. */
START_TEST(input_waits_while_paused)
{
	scene_connect(&scene);
	scene.server.keep_unread = true;
	scene.server.act = pause_after_first_byte;
	scene_say(&scene.client, "abc");
	scene_run(&scene, server_input);
	scene_say(&scene.client, "de\n");
	stream_close(&scene.client.stream);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_INPUT], 1);
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 0);
	for (int i = 2; i <= 6; i++) {
		int before = scene.server.count[SCENE_INPUT];

		stream_resume(&scene.server.stream);
		ck_assert_int_eq(scene.server.count[SCENE_INPUT], before);
		some_turns();
	}
	expect(&scene.server.got, "abcde\n");
	stream_resume(&scene.server.stream);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, 0);
}
END_TEST

struct policy {
	struct job job;
	struct stream *stream;
};

static void
think(struct job *job)
{
	struct stream *stream = ((struct policy *)(void *)job)->stream;
	struct pn_slice line = stream_peek(stream);

	ck_assert_int_eq(stream_write(stream, line.data, line.len), 0);
	stream_consume(stream, line.len);
	ck_assert_int_eq(stream_write(stream, "!\n", 2), 0);
}

static void
thought(struct job *job)
{
	struct stream *stream = ((struct policy *)(void *)job)->stream;

	stream_flush(stream);
	stream_resume(stream);
}

static bool
client_got_answer(struct scene *s)
{
	return s->client.got.len > LARGE &&
	       memcmp(s->client.got.data + s->client.got.len - 2, "!\n", 2) == 0;
}

/* A policy thread reads and writes while the loop is still sending what was flushed before. */
START_TEST(input_is_another_threads_while_paused)
{
	struct jobs *jobs;
	struct policy policy = { .job = { .loop = scene.loop, .work = think, .done = thought },
		.stream = &scene.server.stream };

	make_large();
	ck_assert_int_eq(jobs_new(1, &jobs, NULL), 0);
	scene_connect(&scene);
	scene.server.keep_unread = true;
	ck_assert_int_eq(
	    stream_write_ref(&scene.server.stream, pn_slice(large, LARGE), NULL, NULL), 0);
	stream_flush(&scene.server.stream);
	scene_say(&scene.client, "hello");
	scene_run(&scene, server_input);
	stream_pause(&scene.server.stream);
	jobs_submit(jobs, &policy.job);
	scene_run(&scene, client_got_answer);
	ck_assert_uint_eq(scene.client.got.len, LARGE + 7);
	ck_assert_mem_eq(scene.client.got.data, large, LARGE);
	ck_assert_mem_eq(scene.client.got.data + LARGE, "hello!\n", 7);
	jobs_free(&jobs);
	free(large);
}
END_TEST

START_TEST(input_discarded)
{
	scene_connect(&scene);
	scene.server.keep_unread = true;
	scene_say(&scene.client, "injected\n");
	scene_run(&scene, server_input);
	ck_assert_uint_eq(stream_peek(&scene.server.stream).len, 9);
	stream_discard_input(&scene.server.stream);
	ck_assert_uint_eq(stream_peek(&scene.server.stream).len, 0);
	scene.server.keep_unread = false;
	scene_say(&scene.client, "good\n");
	scene_run(&scene, scene_server_got);
	expect(&scene.server.got, "good\n");
}
END_TEST

/* ---- ends ------------------------------------------------------------------------------------ */

static void
read_all(int fd, struct buf *ret)
{
	ssize_t n;

	do {
		ck_assert_int_eq(buf_reserve(ret, 65536), 0);
		n = read(fd, ret->data + ret->len, 65536);
		ck_assert_int_ge(n, 0);
		ret->len += (size_t)n;
	} while (n > 0);
}

/* The peer says all it has to say, closes its side, and still gets its answer. */
START_TEST(end_half_closed)
{
	int peer = scene_half(&scene);
	struct buf got = BUF_INIT(1u << 20);

	ck_assert_int_eq(write(peer, "QUIT\n", 5), 5);
	shutdown(peer, SHUT_WR);
	scene_run(&scene, scene_server_lost);
	expect(&scene.server.got, "QUIT\n");
	ck_assert_int_eq(scene.server.lost, 0);
	some_turns(); /* an end of file that is reported for ever would spin, and be told twice */
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 1);
	ck_assert_int_eq(stream_write(&scene.server.stream, "221 bye\n", 8), 0);
	stream_finish(&scene.server.stream);
	scene.server.count[SCENE_LOST] = 0;
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, 0);
	ck_assert(!stream_is_open(&scene.server.stream));
	read_all(peer, &got);
	expect(&got, "221 bye\n");
	buf_free(&got);
	close(peer);
}
END_TEST

static void
reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

START_TEST(end_reset_while_idle)
{
	reset(scene_half(&scene));
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, -ECONNRESET);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 1);
}
END_TEST

START_TEST(end_reset_while_paused)
{
	int peer = scene_half(&scene);

	stream_pause(&scene.server.stream);
	ck_assert_int_eq(write(peer, "last\n", 5), 5);
	reset(peer);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 0);
	stream_resume(&scene.server.stream);
	scene_run(&scene, scene_server_lost);
	expect(&scene.server.got, "last\n");
	ck_assert_int_eq(scene.server.lost, -ECONNRESET);
}
END_TEST

/* In the midst of a large output, the peer says why it does not want it, and goes. */
START_TEST(end_last_words)
{
	int peer = scene_half(&scene), one = 1;

	released = 0;
	make_large();
	ck_assert_int_eq(
	    stream_write_ref(&scene.server.stream, pn_slice(large, LARGE), count_release, &one), 0);
	stream_flush(&scene.server.stream);
	some_turns();
	ck_assert_int_eq(write(peer, "552 too much\n", 13), 13);
	close(peer); /* with unread bytes: a reset */
	scene_run(&scene, scene_server_lost);
	expect(&scene.server.got, "552 too much\n");
	ck_assert_int_lt(scene.server.lost, 0);
	ck_assert_int_eq(released, 1);
	ck_assert_uint_eq(stream_unsent(&scene.server.stream), 0);
	ck_assert_int_eq(stream_write(&scene.server.stream, "x", 1), 0);
	stream_flush(&scene.server.stream); /* dropped, told only once */
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 1);
	free(large);
}
END_TEST

/* A send that fails is reported from the loop, not from inside the call. */
START_TEST(end_found_by_sending)
{
	reset(scene_half(&scene));
	scene_say(&scene.server, "hello\n");
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 0);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_lt(scene.server.lost, 0);
}
END_TEST

static const enum scene_event all_events[] = { SCENE_INPUT, SCENE_DRAINED, SCENE_LOST, SCENE_LATE };
static enum scene_event fatal;
static struct end *doomed;

static void
die(struct end *end, enum scene_event event)
{
	if (event != fatal)
		return;
	stream_close(&end->stream);
	buf_free(&end->got);
	memset(end, 0xee, sizeof(*end));
	free(end);
	doomed = NULL;
}

static bool
is_gone(struct scene *s)
{
	return !doomed;
}

/* The owner frees itself inside the event; the address sanitizer watches. */
START_TEST(end_freed_in_its_event)
{
	struct address address;
	int listener = scene_listen(&address), peer;

	fatal = all_events[_i];
	doomed = calloc(1, sizeof(*doomed));
	doomed->scene = &scene;
	doomed->got = BUF_INIT(1000);
	doomed->act = die;
	ck_assert_int_eq(
	    stream_connect(&doomed->stream, scene.loop, &address, NULL, &scene_events), 0);
	peer = accept(listener, NULL, NULL);
	stream_deadline(&doomed->stream, fatal == SCENE_LATE ? 20 : 0);
	if (fatal == SCENE_INPUT)
		ck_assert_int_eq(write(peer, "220 x\n", 6), 6);
	if (fatal == SCENE_LOST)
		close(peer);
	scene_run(&scene, is_gone);
	if (fatal != SCENE_LOST)
		close(peer);
	close(listener);
}
END_TEST

static void
begin_anew(struct end *end, enum scene_event event)
{
	struct address address;
	int listener;

	if (event != SCENE_LOST)
		return;
	stream_close(&end->stream);
	listener = scene_listen(&address);
	ck_assert_int_eq(
	    stream_connect(&end->stream, scene.loop, &address, NULL, &scene_events), 0);
	close(accept(listener, NULL, NULL));
	close(listener);
	end->act = NULL;
}

static bool
lost_twice(struct scene *s)
{
	return s->client.count[SCENE_LOST] == 2;
}

/* The next host is tried inside `lost` of the one before, with the same struct. */
START_TEST(end_reused_in_lost)
{
	scene_connect(&scene);
	scene.client.act = begin_anew;
	stream_close(&scene.server.stream);
	scene_run(&scene, lost_twice);
	ck_assert_int_eq(scene.client.count[SCENE_DRAINED], 1);
	ck_assert_int_eq(scene.client.lost, 0);
}
END_TEST

/* ---- finish ---------------------------------------------------------------------------------- */

/* The peer is still sending when we end with a reason: it must be able to read it. */
START_TEST(finish_survives_a_talkative_peer)
{
	int peer = scene_half(&scene);
	struct buf got = BUF_INIT(1u << 20);

	ck_assert_int_eq(write(peer, "MAIL\n", 5), 5);
	scene_run(&scene, server_input);
	ck_assert_int_eq(write(peer, "body body body\n", 15), 15);
	ck_assert_int_eq(stream_write(&scene.server.stream, "421 enough\n", 11), 0);
	stream_finish(&scene.server.stream);
	some_turns();
	ck_assert_int_eq(write(peer, "body body body\n", 15), 15);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LOST], 0);
	read_all(peer, &got);
	expect(&got, "421 enough\n");
	close(peer);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, 0);
	ck_assert_int_eq(scene.server.count[SCENE_INPUT], 1);
	buf_free(&got);
}
END_TEST

/* The peer reads nothing: the deadline ends it. */
START_TEST(finish_is_bounded)
{
	int peer = scene_half(&scene);

	make_large();
	ck_assert_int_eq(
	    stream_write_ref(&scene.server.stream, pn_slice(large, LARGE), NULL, NULL), 0);
	stream_deadline(&scene.server.stream, 50);
	stream_finish(&scene.server.stream);
	scene_run(&scene, scene_server_lost);
	ck_assert_int_eq(scene.server.lost, -ETIMEDOUT);
	ck_assert_int_eq(scene.server.count[SCENE_LATE], 0);
	close(peer);
	free(large);
}
END_TEST

START_TEST(finish_sends_everything)
{
	make_large();
	scene_connect(&scene);
	ck_assert_int_eq(
	    stream_write_ref(&scene.client.stream, pn_slice(large, LARGE), NULL, NULL), 0);
	ck_assert_int_eq(stream_write(&scene.client.stream, "the end\n", 8), 0);
	stream_finish(&scene.client.stream);
	ck_assert(stream_is_open(&scene.client.stream));
	scene_run(&scene, scene_server_lost);
	ck_assert_uint_eq(scene.server.got.len, LARGE + 8);
	ck_assert_int_eq(scene.server.lost, 0);
	stream_finish(&scene.server.stream);
	scene_run(&scene, scene_client_lost);
	ck_assert_int_eq(scene.client.lost, 0);
	free(large);
}
END_TEST

/* ---- connect --------------------------------------------------------------------------------- */

START_TEST(connect_refused)
{
	struct address address;

	close(scene_listen(&address));
	ck_assert_int_eq(
	    stream_connect(&scene.client.stream, scene.loop, &address, NULL, &scene_events), 0);
	scene_run(&scene, scene_client_lost);
	ck_assert_int_eq(scene.client.lost, -ECONNREFUSED);
	ck_assert_int_eq(scene.client.count[SCENE_DRAINED], 0);
	stream_finish(&scene.client.stream);
	scene.client.count[SCENE_LOST] = 0;
	scene_run(&scene, scene_client_lost);
	ck_assert(!stream_is_open(&scene.client.stream));
}
END_TEST

/* Written before the connection stands: goes out when it does. */
START_TEST(connect_from_a_source)
{
	struct address address, source, peer = { .len = sizeof(peer.sa) };
	int listener = scene_listen(&address), fd;
	char text[ADDRESS_TEXT];

	ck_assert_int_eq(address_parse("127.0.0.3:0", 0, &source, NULL), 0);
	ck_assert_int_eq(
	    stream_connect(&scene.client.stream, scene.loop, &address, &source, &scene_events), 0);
	scene_say(&scene.client, "early\n");
	fd = accept4(listener, (struct sockaddr *)&peer.sa, &peer.len, SOCK_NONBLOCK);
	address_host(&peer, text);
	ck_assert_str_eq(text, "127.0.0.3");
	ck_assert_int_eq(stream_open(&scene.server.stream, scene.loop, fd, &scene_events), 0);
	scene_run(&scene, scene_server_got);
	expect(&scene.server.got, "early\n");
	ck_assert_int_eq(address_parse("[::1]:0", 0, &source, NULL), 0);
	stream_close(&scene.client.stream);
	ck_assert_int_lt(
	    stream_connect(&scene.client.stream, scene.loop, &address, &source, &scene_events), 0);
	close(listener);
}
END_TEST

static bool
server_late(struct scene *s)
{
	return s->server.count[SCENE_LATE] > 0;
}

START_TEST(deadline_is_told)
{
	int64_t began;

	scene_connect(&scene);
	began = loop_now(scene.loop);
	stream_pause(&scene.server.stream);
	stream_deadline(&scene.server.stream, 1);
	stream_deadline(&scene.server.stream, 40);
	scene_run(&scene, server_late);
	ck_assert_int_ge(loop_now(scene.loop) - began, 40);
	stream_deadline(&scene.server.stream, 10);
	stream_deadline(&scene.server.stream, 0);
	some_turns();
	ck_assert_int_eq(scene.server.count[SCENE_LATE], 1);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int
main(void)
{
	Suite *suite = suite_create("net_stream");
	TCase *tc = tcase_create("net_stream");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, output_in_order);
	tcase_add_test(tc, output_larger_than_the_kernel);
	tcase_add_test(tc, output_has_a_ceiling);
	tcase_add_loop_test(tc, input_left_unread_is_joined, 0, COUNT(leftovers));
	tcase_add_test(tc, input_waits_while_paused);
	tcase_add_test(tc, input_is_another_threads_while_paused);
	tcase_add_test(tc, input_discarded);
	tcase_add_test(tc, end_half_closed);
	tcase_add_test(tc, end_reset_while_idle);
	tcase_add_test(tc, end_reset_while_paused);
	tcase_add_test(tc, end_last_words);
	tcase_add_test(tc, end_found_by_sending);
	tcase_add_loop_test(tc, end_freed_in_its_event, 0, COUNT(all_events));
	tcase_add_test(tc, end_reused_in_lost);
	tcase_add_test(tc, finish_survives_a_talkative_peer);
	tcase_add_test(tc, finish_is_bounded);
	tcase_add_test(tc, finish_sends_everything);
	tcase_add_test(tc, connect_refused);
	tcase_add_test(tc, connect_from_a_source);
	tcase_add_test(tc, deadline_is_told);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
