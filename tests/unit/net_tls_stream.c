/* SPDX-License-Identifier: Apache-2.0 */
/* net_tls_stream.c - unit tests of streams in TLS, both sides, and of what an idle one costs. */
#include "net_world.h"
#include "run.h"
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- streams --------------------------------------------------------------------------------- */

#define LARGE (6u * 1024 * 1024)
static char *large;

static void
make_large(void)
{
	large = malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)('a' + (i * 7 + i / 1000) % 26);
}

static bool
both_have_large(struct scene *s)
{
	return s->server.got.len >= LARGE + 8 && s->client.got.len >= LARGE + 8;
}

/* Both ways at once, copies around borrowed bytes, the reader stopping for a while. */
START_TEST(tls_large_both_ways)
{
	struct end *ends[2] = { &world.scene.client, &world.scene.server };

	make_large();
	world_shake(world.server, world.any, "mx.example");
	stream_pause(&world.scene.server.stream);
	for (int i = 0; i < 2; i++) {
		struct stream *stream = &ends[i]->stream;

		ck_assert_int_eq(stream_write(stream, "head", 4), 0);
		ck_assert_int_eq(
		    stream_write_ref(stream, pn_slice(large, LARGE / 2), NULL, NULL), 0);
		ck_assert_int_eq(
		    stream_write_ref(stream, pn_slice(large + LARGE / 2, LARGE / 2), NULL, NULL),
		    0);
		ck_assert_int_eq(stream_write(stream, "tail", 4), 0);
		stream_flush(stream);
	}
	world_some_turns();
	ck_assert_uint_eq(world.scene.server.got.len, 0);
	stream_resume(&world.scene.server.stream);
	scene_run(&world.scene, both_have_large);
	for (int i = 0; i < 2; i++) {
		ck_assert_mem_eq(ends[i]->got.data, "head", 4);
		ck_assert_mem_eq(ends[i]->got.data + 4, large, LARGE);
		ck_assert_mem_eq(ends[i]->got.data + 4 + LARGE, "tail", 4);
	}
	world_some_turns();
	for (int i = 0; i < 2; i++) {
		ck_assert_ptr_null(ends[i]->stream.out.data);
		ck_assert_ptr_null(ends[i]->stream.sealed.data);
		ck_assert_ptr_null(ends[i]->stream.in.data);
		ck_assert_int_eq(ends[i]->count[SCENE_DRAINED], 1);
	}
	free(large);
}
END_TEST

static int records;

static void
count_records(
    int writing, int version, int type, const void *bytes, size_t len, SSL *tls, void *arg)
{
	if (!writing && type == SSL3_RT_HEADER)
		records++;
}

/* Many small writes make one record; a body with its ends as few as its length allows. */
START_TEST(tls_few_records)
{
	struct stream *stream = &world.scene.server.stream;
	char body[20000];

	memset(body, 'x', sizeof(body));
	world_shake(world.server, world.any, "mx.example");
	scene_say(&world.scene.server, "220\n"); /* and the ticket */
	scene_run(&world.scene, scene_client_got);
	SSL_set_msg_callback(world.scene.client.stream.tls, count_records);
	records = 0;
	buf_reset(&world.scene.client.got);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(stream_write(stream, "250-x\r\n", 7), 0);
	ck_assert_int_eq(stream_write_ref(stream, pn_slice(body, 10000), NULL, NULL), 0);
	scene_say(&world.scene.server, ".\r\n");
	scene_run(&world.scene, scene_client_got);
	ck_assert_uint_eq(world.scene.client.got.len, 10703);
	ck_assert_int_eq(records, 1);
	records = 0;
	buf_reset(&world.scene.client.got);
	ck_assert_int_eq(stream_write_ref(stream, pn_slice(body, 20000), NULL, NULL), 0);
	scene_say(&world.scene.server, "\r\n.\r\n");
	scene_run(&world.scene, scene_client_got);
	ck_assert_uint_eq(world.scene.client.got.len, 20005);
	ck_assert_int_eq(records, 2);
}
END_TEST

static void
start_server_tls(struct end *end, enum scene_event event)
{
	if (event != SCENE_INPUT || end->stream.tls)
		return;
	stream_discard_input(&end->stream);
	end->keep_unread = false;
	ck_assert_int_eq(stream_write(&end->stream, "220 go ahead\n", 13), 0);
	ck_assert_int_eq(stream_start_tls(&end->stream, world.server, true, NULL), 0);
}

static void
start_client_tls(struct end *end, enum scene_event event)
{
	if (event == SCENE_INPUT && !end->stream.tls) {
		ck_assert_int_eq(
		    stream_start_tls(&end->stream, world.verify, false, "mx.example"), 0);
		buf_reset(&end->got);
	} else if (event == SCENE_SECURED) {
		scene_say(end, "EHLO inside\n");
	}
}

/* RFC 3207, CVE-2011-0411: what was pipelined behind STARTTLS in clear is never seen. */
START_TEST(tls_injection_is_dropped)
{
	scene_connect(&world.scene);
	world.scene.server.keep_unread = true;
	world.scene.server.act = start_server_tls;
	world.scene.client.act = start_client_tls;
	scene_say(&world.scene.client, "STARTTLS\nMAIL FROM:<evil@example>\n");
	scene_run(&world.scene, scene_secured);
	ck_assert_int_eq(world.scene.server.secured, 0);
	scene_run(&world.scene, scene_server_got);
	ck_assert(
	    pn_slice_equals(buf_slice(&world.scene.server.got), pn_slice_of("EHLO inside\n")));
	ck_assert_uint_eq(world.scene.client.got.len, 0);
}
END_TEST

static bool
server_input(struct scene *s)
{
	return s->server.count[SCENE_INPUT] > 0;
}

/* Input that was neither consumed nor discarded would end up inside: refused. */
START_TEST(tls_unread_input_is_refused)
{
	scene_connect(&world.scene);
	world.scene.server.keep_unread = true;
	scene_say(&world.scene.client, "STARTTLS\nMAIL\n");
	scene_run(&world.scene, server_input);
	ck_assert_int_eq(
	    stream_start_tls(&world.scene.server.stream, world.server, true, NULL), -EINVAL);
	stream_discard_input(&world.scene.server.stream);
	ck_assert_int_eq(stream_start_tls(&world.scene.server.stream, world.server, true, NULL), 0);
	ck_assert_int_eq(
	    stream_start_tls(&world.scene.server.stream, world.server, true, NULL), -EINVAL);
}
END_TEST

static const char *const no_hellos[] = { "GET / HTTP/1.0\r\n\r\n", "\x16\x03\x01\x40\x01 garbage",
	"\x16\x03\x01", "" };

/* Not a handshake, half of one, or none, and then the end. */
START_TEST(tls_no_handshake)
{
	int peer = scene_half(&world.scene);
	size_t len = strlen(no_hellos[_i]);

	ck_assert_int_eq(stream_start_tls(&world.scene.server.stream, world.server, true, NULL), 0);
	scene_say(&world.scene.server, "never sent\n");
	ck_assert_int_eq(write(peer, no_hellos[_i], len), (ssize_t)len);
	shutdown(peer, SHUT_WR);
	world.scene.client.count[SCENE_SECURED] = 1;
	scene_run(&world.scene, scene_secured);
	ck_assert_int_lt(world.scene.server.secured, 0);
	ck_assert_uint_gt(strlen(world.scene.server.why), 0);
	world_some_turns();
	ck_assert_int_eq(world.scene.server.count[SCENE_SECURED], 1);
	ck_assert_int_eq(world.scene.server.count[SCENE_LOST], 0);
	close(peer);
}
END_TEST

/* Ciphertext cut off in the middle, and bytes that were changed on their way. */
START_TEST(tls_broken_records)
{
	static const char record[] = "\x17\x03\x03\x00\x20 these are no ciphertext bytes..";
	int fd;

	world_shake(world.server, world.any, "mx.example");
	fd = world.scene.client.stream.io.fd;
	ck_assert_int_eq(write(fd, record, 37), 37);
	scene_run(&world.scene, scene_server_lost);
	ck_assert_int_eq(world.scene.server.lost, -EPROTO);
	ck_assert_uint_eq(world.scene.server.got.len, 0);
	world_some_turns();
	ck_assert_int_eq(world.scene.server.count[SCENE_LOST], 1);
}
END_TEST

START_TEST(tls_finish_says_goodbye)
{
	world_shake(world.server, world.any, "mx.example");
	ck_assert_int_eq(stream_write(&world.scene.server.stream, "221 bye\n", 8), 0);
	stream_finish(&world.scene.server.stream);
	scene_run(&world.scene, scene_client_lost);
	ck_assert(pn_slice_equals(buf_slice(&world.scene.client.got), pn_slice_of("221 bye\n")));
	ck_assert_int_eq(world.scene.client.lost, 0);
	ck_assert(SSL_get_shutdown(world.scene.client.stream.tls) & SSL_RECEIVED_SHUTDOWN);
	stream_finish(&world.scene.client.stream);
	scene_run(&world.scene, scene_server_lost);
	ck_assert_int_eq(world.scene.server.lost, 0);
	ck_assert(!stream_is_open(&world.scene.server.stream));
}
END_TEST

static void
pause_at_once(struct end *end, enum scene_event event)
{
	if (event == SCENE_SECURED)
		stream_pause(&end->stream);
}

/* Paused in `secured`, while the client's first command came with the end of its handshake. */
START_TEST(tls_paused_in_secured)
{
	world.scene.client.act = start_client_tls;
	world.scene.server.act = pause_at_once;
	world_shake(world.server, world.any, "mx.example");
	world_some_turns();
	ck_assert_int_eq(world.scene.server.count[SCENE_INPUT], 0);
	stream_resume(&world.scene.server.stream);
	scene_run(&world.scene, server_input);
	ck_assert(
	    pn_slice_equals(buf_slice(&world.scene.server.got), pn_slice_of("EHLO inside\n")));
}
END_TEST

static struct end *doomed;

static void
die(struct end *end, enum scene_event event)
{
	if (event != SCENE_SECURED)
		return;
	stream_close(&end->stream);
	memset(end, 0xee, sizeof(*end));
	free(end);
	doomed = NULL;
}

static bool
is_gone(struct scene *s)
{
	return !doomed && s->client.count[SCENE_SECURED] > 0;
}

/* The owner frees itself in `secured`, with and without an error. */
START_TEST(tls_freed_in_secured)
{
	struct address address;
	int listener = scene_listen(&address);

	doomed = calloc(1, sizeof(*doomed));
	doomed->scene = &world.scene;
	doomed->act = die;
	ck_assert_int_eq(stream_connect(&world.scene.client.stream, world.scene.loop, &address,
			     NULL, &scene_events),
	    0);
	ck_assert_int_eq(stream_open(&doomed->stream, world.scene.loop,
			     accept4(listener, NULL, NULL, SOCK_NONBLOCK), &scene_events),
	    0);
	world_some_turns();
	ck_assert_int_eq(stream_start_tls(&doomed->stream, world.server, true, NULL), 0);
	world.scene.client.act = start_client_tls;
	ck_assert_int_eq(stream_start_tls(&world.scene.client.stream, _i ? world.verify : world.any,
			     false, _i ? "wrong.example" : "mx.example"),
	    0);
	scene_run(&world.scene, is_gone);
	close(listener);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

#define IDLE 500

static long
private_kb(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	char line[200];
	long kb, sum = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %ld", &kb) == 1 ||
		    sscanf(line, "Private_Dirty: %ld", &kb) == 1)
			sum += kb;
	fclose(file);
	return sum;
}

static void
go_on(SSL *tls)
{
	static const char commands[] = "EHLO client.example\n";
	char reply[1000];

	ck_assert_int_eq(SSL_connect(tls), 1);
	ck_assert_int_eq(SSL_write(tls, commands, 20), 20);
	ck_assert_int_gt(SSL_read(tls, reply, sizeof(reply)), 0);
}

/* In a process of its own, so that its memory is not counted. */
static pid_t
start_idle_clients(const struct address *address)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	for (int i = 0; i < IDLE; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		SSL *tls = SSL_new(world.any);

		if (connect(fd, (const struct sockaddr *)&address->sa, address->len) < 0)
			_exit(1);
		SSL_set_fd(tls, fd);
		go_on(tls);
	}
	pause();
	_exit(0);
}

static int idle_ready;

static void
answer(struct end *end, enum scene_event event)
{
	if (event == SCENE_SECURED)
		ck_assert_int_eq(end->secured, 0);
	if (event != SCENE_INPUT)
		return;
	buf_free(&end->got);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(stream_write(&end->stream, "250-SOMETHING OR OTHER\r\n", 24), 0);
	stream_flush(&end->stream);
	idle_ready++;
}

static bool
all_idle(struct scene *s)
{
	return idle_ready == IDLE;
}

struct doorman {
	struct loop_io io;
	struct end *ends;
	int count;
};

static void
open_door(struct loop_io *io, uint32_t events)
{
	struct doorman *doorman = (struct doorman *)(void *)io;
	struct end *end = &doorman->ends[doorman->count];
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	ck_assert_int_lt(doorman->count++, IDLE);
	end->scene = &world.scene;
	end->act = answer;
	end->got = BUF_INIT(1000);
	ck_assert_int_eq(stream_open(&end->stream, world.scene.loop, fd, &scene_events), 0);
	ck_assert_int_eq(stream_start_tls(&end->stream, world.server, true, NULL), 0);
}

/* 40 KB of process memory per idle TLS session is the budget of a whole session. */
START_TEST(tls_idle_is_small)
{
	struct doorman doorman = { .io = { .ready = open_door } };
	struct address address;
	pid_t pid;
	long before, kb;

	doorman.ends = calloc(IDLE, sizeof(*doorman.ends));
	doorman.io.fd = scene_listen(&address);
	pid = start_idle_clients(&address);
	before = private_kb();
	ck_assert_int_eq(loop_watch(world.scene.loop, &doorman.io, EPOLLIN), 0);
	scene_run(&world.scene, all_idle);
	world_some_turns();
	kb = private_kb() - before;
	printf("%d idle TLS streams: %.1f KB each (%zu of them struct stream)\n", IDLE,
	    (double)kb / IDLE, sizeof(struct stream));
	if (strcmp(getenv("SANITIZERS") ? getenv("SANITIZERS") : "no", "no") == 0)
		ck_assert_int_le(kb, 25 * IDLE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < IDLE; i++)
		stream_close(&doorman.ends[i].stream);
	close(doorman.io.fd);
	free(doorman.ends);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net_tls_stream");
	TCase *tc = tcase_create("net_tls_stream");

	tcase_add_checked_fixture(tc, world_setup, world_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, tls_large_both_ways);
	tcase_add_test(tc, tls_few_records);
	tcase_add_test(tc, tls_injection_is_dropped);
	tcase_add_test(tc, tls_unread_input_is_refused);
	tcase_add_loop_test(tc, tls_no_handshake, 0, COUNT(no_hellos));
	tcase_add_test(tc, tls_broken_records);
	tcase_add_test(tc, tls_finish_says_goodbye);
	tcase_add_test(tc, tls_paused_in_secured);
	tcase_add_loop_test(tc, tls_freed_in_secured, 0, 2);
	tcase_add_test(tc, tls_idle_is_small);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
