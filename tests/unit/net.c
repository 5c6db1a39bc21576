/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - unit tests of the loop, its timers and tasks, job threads, and addresses. */
#include "run.h"
#include <check.h>
#include <core/base/log.h>
#include <core/net/address.h>
#include <core/net/jobs.h>
#include <core/net/wheel.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* ---- addresses ------------------------------------------------------------------------------- */

#define TEN          "/aaaaaaaaa"
#define FITTING_PATH TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "/aaaaa" /* 106 bytes */
#define LONG_PATH    FITTING_PATH "a"

static const struct {
	const char *text, *format, *host, *literal;
	bool loopback;
} addresses[] = {
	{ "192.0.2.1:25", "192.0.2.1:25", "192.0.2.1", "[192.0.2.1]", false },
	{ "192.0.2.1", "192.0.2.1:99", "192.0.2.1", "[192.0.2.1]", false },
	{ "[2001:DB8:0:0::1]:25", "[2001:db8::1]:25", "2001:db8::1", "[IPv6:2001:db8::1]", false },
	{ "[2001:db8::1]", "[2001:db8::1]:99", "2001:db8::1", "[IPv6:2001:db8::1]", false },
	{ "2001:db8::1", "[2001:db8::1]:99", "2001:db8::1", "[IPv6:2001:db8::1]", false },
	{ "[::ffff:192.0.2.1]:25", "192.0.2.1:25", "192.0.2.1", "[192.0.2.1]", false },
	{ "::ffff:7f00:1", "127.0.0.1:99", "127.0.0.1", "[127.0.0.1]", true },
	{ "127.200.0.1:0", "127.200.0.1:0", "127.200.0.1", "[127.200.0.1]", true },
	{ "[::1]:65535", "[::1]:65535", "::1", "[IPv6:::1]", true },
	{ "*:587", "*:587", "::", "[IPv6:::]", false },
	{ "*", "*:99", "::", "[IPv6:::]", false },
	{ "0.0.0.0:25", "0.0.0.0:25", "0.0.0.0", "[0.0.0.0]", false },
	{ "unix:/run/x", "unix:/run/x", "local", "localhost", true },
	{ "unix:" FITTING_PATH, "unix:" FITTING_PATH, "local", "localhost", true },
};

START_TEST(address_spellings)
{
	struct address address;
	struct pn_error err = { 0 };
	char text[ADDRESS_TEXT];

	ck_assert_msg(address_parse(addresses[_i].text, 99, &address, &err) == 0, "%s", err.text);
	address_format(&address, text);
	ck_assert_str_eq(text, addresses[_i].format);
	address_host(&address, text);
	ck_assert_str_eq(text, addresses[_i].host);
	address_literal(&address, text);
	ck_assert_str_eq(text, addresses[_i].literal);
	ck_assert_int_eq(address_is_loopback(&address), addresses[_i].loopback);
}
END_TEST

static const char *const bad_addresses[] = { "", ":25", "25", "localhost:25",
	"192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:025000", "192.0.2.1:2x", "192.0.2:25",
	"192.0.2.01", "192.0.2.256", "[192.0.2.1]:25", "[2001:db8::1", "[2001:db8::1]25", "[]:25",
	"2001:db8::g", "[*]:25", "fe80::1%eth0", "unix:", " 192.0.2.1", "192.0.2.1 ", "*:-1",
	("unix:" LONG_PATH) };

START_TEST(address_refuses)
{
	struct address address;
	struct pn_error err = { 0 };

	ck_assert_int_eq(address_parse(bad_addresses[_i], 99, &address, &err), -EINVAL);
	ck_assert_int_eq(err.code, -EINVAL);
}
END_TEST

START_TEST(address_of_unnamed_peer)
{
	struct address address = { .len = sizeof(sa_family_t) };
	char text[ADDRESS_TEXT];

	address.sa.ss_family = AF_UNIX;
	address_format(&address, text);
	ck_assert_str_eq(text, "unix:");
}
END_TEST

static const struct {
	const char *network, *address;
	bool inside;
} networks[] = {
	{ "192.0.2.0/24", "192.0.2.255", true },
	{ "192.0.2.0/24", "::ffff:192.0.2.255", true },
	{ "192.0.2.0/24", "192.0.3.0", false },
	{ "192.0.2.8/29", "192.0.2.15", true },
	{ "192.0.2.8/29", "192.0.2.16", false },
	{ "::ffff:192.0.2.0/120", "192.0.2.77", true },
	{ "192.0.2.1", "192.0.2.1", true },
	{ "192.0.2.1/32", "192.0.2.2", false },
	{ "0.0.0.0/0", "203.0.113.9", true },
	{ "0.0.0.0/0", "2001:db8::1", false },
	{ "2001:db8::/32", "2001:db8:ffff::1", true },
	{ "2001:DB8:0::/112", "2001:db8::ffff", true },
	{ "2001:db8::/112", "2001:db8::1:0", false },
	{ "[2001:db8::]/32", "2001:db8::1", true },
	{ "2001:db8::1", "2001:db8::1", true },
	{ "::/0", "2001:db8::1", true },
	{ "::/0", "192.0.2.1", false },
	{ "::/0", "unix:/run/x", false },
};

START_TEST(network_contains_address)
{
	struct network network;
	struct address address;
	struct pn_error err = { 0 };

	ck_assert_msg(network_parse(networks[_i].network, &network, &err) == 0, "%s", err.text);
	ck_assert_int_eq(address_parse(networks[_i].address, 1, &address, &err), 0);
	ck_assert_int_eq(network_contains(&network, &address), networks[_i].inside);
}
END_TEST

static const struct {
	const char *text, *says;
} bad_networks[] = {
	{ "192.0.2.1/24", "write 192.0.2.0/24 or 192.0.2.1 alone" },
	{ "2001:db8::1/32", "write 2001:db8::/32 or 2001:db8::1 alone" },
	{ "::ffff:192.0.2.1/120", "write 192.0.2.0/24" },
	{ "192.0.2.0/33", "not a prefix length; write 0 to 32" },
	{ "2001:db8::/129", "not a prefix length; write 0 to 128" },
	{ "192.0.2.0/", "not a prefix length" },
	{ "192.0.2.0/2 4", "not a prefix length" },
	{ "192.0.2/24", "not a network" },
	{ "10/8", "not a network" },
	{ "", "not a network" },
	{ "/8", "not a network" },
	{ "*", "not a network" },
	{ "*/0", "not a network" },
	{ "192.0.2.1:25", "not a network" },
	{ "[2001:db8::1]:25", "not a network" },
	{ "unix:/x", "not a network" },
	{ "example.org", "not a network" },
};

START_TEST(network_refuses)
{
	struct network network;
	struct pn_error err = { 0 };

	ck_assert_int_eq(network_parse(bad_networks[_i].text, &network, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, bad_networks[_i].says) != NULL, "%s", err.text);
}
END_TEST

/* ---- the wheel, in a time of its own --------------------------------------------------------- */

struct alarm {
	struct loop_timer timer;
	int64_t wanted;
	bool fired;
};

static int64_t wheel_now;
static int64_t latest;

static void
alarm_fired(struct loop_timer *timer)
{
	struct alarm *alarm = (struct alarm *)(void *)timer;

	ck_assert(!alarm->fired);
	ck_assert_ptr_null(timer->link);
	ck_assert_int_ge(wheel_now, alarm->wanted);
	if (wheel_now - alarm->wanted > latest)
		latest = wheel_now - alarm->wanted;
	alarm->fired = true;
}

#define HOUR ((int64_t)3600 * 1000)
static const int64_t spans[] = { 1, 100, 2000, 70000, 5 * HOUR, 100 * HOUR };

/* Timers at random, some cancelled, some moved; time goes by wheel_wait(), as in the loop. */
START_TEST(wheel_is_on_time)
{
	static struct alarm alarms[500];
	struct wheel wheel;
	int left = 0;

	srandom((unsigned)_i + 1);
	wheel_now = 123456789 + random() % 1000;
	latest = 0;
	wheel_init(&wheel, wheel_now);
	for (int i = 0; i < COUNT(alarms); i++) {
		int64_t ms = 1 + random() % spans[_i];

		alarms[i] = (struct alarm){ .timer = { .fire = alarm_fired } };
		wheel_set(&wheel, &alarms[i].timer, wheel_now, 1 + random() % spans[_i]);
		wheel_set(&wheel, &alarms[i].timer, wheel_now, ms);
		alarms[i].wanted = wheel_now + ms;
		if (i % 5 == 0)
			wheel_cancel(&alarms[i].timer);
		if (i % 100 == 99) {
			wheel_now += random() % 20;
			wheel_turn(&wheel, wheel_now);
		}
	}
	for (int64_t ms; (ms = wheel_wait(&wheel, wheel_now)) >= 0;) {
		wheel_now += ms + random() % 3;
		wheel_turn(&wheel, wheel_now);
	}
	for (int i = 0; i < COUNT(alarms); i++)
		left += alarms[i].fired != (i % 5 != 0);
	ck_assert_int_eq(left, 0);
	ck_assert_int_le(latest, 2 * WHEEL_TICK_MS);
}
END_TEST

static struct wheel *again_wheel;
static int again_count;
static struct loop_timer victim;

static void
fire_again(struct loop_timer *timer)
{
	again_count++;
	wheel_cancel(&victim);
	wheel_set(again_wheel, timer, wheel_now, again_count % 2 ? 0 : 1);
}

/* A timer that sets itself fires once per turn, and may cancel one that is due with it. */
START_TEST(wheel_set_while_firing)
{
	struct wheel wheel;
	struct loop_timer timer = { .fire = fire_again };

	again_wheel = &wheel;
	again_count = 0;
	victim = (struct loop_timer){ .fire = alarm_fired };
	wheel_now = 1600;
	wheel_init(&wheel, wheel_now);
	wheel_set(&wheel, &victim, wheel_now, 1);
	wheel_set(&wheel, &timer, wheel_now, 1);
	ck_assert_int_eq(wheel_wait(&wheel, wheel_now), 16);
	wheel_now += 16;
	wheel_turn(&wheel, wheel_now);
	ck_assert_int_eq(again_count, 2); /* the second by 0 ms at the end of the turn */
	ck_assert_ptr_null(victim.link);
	wheel_turn(&wheel, wheel_now);
	ck_assert_int_eq(again_count, 2);
	wheel_now += 16;
	wheel_turn(&wheel, wheel_now);
	ck_assert_int_eq(again_count, 4);
}
END_TEST

/* ---- the loop -------------------------------------------------------------------------------- */

static struct loop *
make_loop(void)
{
	struct loop *loop;
	struct pn_error err;

	ck_assert_int_eq(loop_new(&loop, &err), 0);
	return loop;
}

struct stopper {
	struct loop_timer timer;
	struct loop *loop;
};

static void
stop_by_timer(struct loop_timer *timer)
{
	loop_stop(((struct stopper *)(void *)timer)->loop);
}

START_TEST(loop_timer_fires)
{
	struct loop *loop = make_loop();
	struct stopper stopper = { .timer = { .fire = stop_by_timer }, .loop = loop };
	int64_t began = loop_now(loop);

	ck_assert(!loop_is_mine(loop));
	loop_timer_set(loop, &stopper.timer, 40);
	loop_run(loop);
	ck_assert_int_ge(loop_now(loop) - began, 40);
	loop_free(&loop);
	ck_assert_ptr_null(loop);
}
END_TEST

struct watcher {
	struct loop_io io;
	struct loop *loop;
	struct watcher *other;
	int called;
};

static void
hit_the_other(struct loop_io *io, uint32_t events)
{
	struct watcher *watcher = (struct watcher *)(void *)io, *other = watcher->other;
	int fds[2];

	watcher->called++;
	loop_unwatch(watcher->loop, io);
	if (other->io.events == 0)
		return;
	/* Its event is waiting in this very turn; now another file gets its number. */
	loop_forget(other->loop, &other->io);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(dup2(fds[0], other->io.fd), other->io.fd);
	ck_assert_int_eq(loop_watch(other->loop, &other->io, EPOLLIN), 0);
	loop_stop(other->loop);
}

START_TEST(loop_no_event_for_the_closed)
{
	struct loop *loop = make_loop();
	struct watcher watchers[2];
	int fds[2][2];

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pipe(fds[i]), 0);
		ck_assert_int_eq(write(fds[i][1], "x", 1), 1);
		watchers[i] = (struct watcher){ .io = { .ready = hit_the_other, .fd = fds[i][0] },
			.loop = loop,
			.other = &watchers[1 - i] };
		ck_assert_int_eq(loop_watch(loop, &watchers[i].io, EPOLLIN), 0);
	}
	loop_run(loop);
	ck_assert_int_eq(watchers[0].called + watchers[1].called, 1);
	loop_free(&loop);
}
END_TEST

#define POSTERS 4
#define POSTS   20000

struct post {
	struct loop_task task;
	int number;
	struct poster *poster;
};

struct poster {
	struct loop *loop;
	int seen;
	atomic_int *left;
	struct post posts[POSTS];
};

static void
post_ran(struct loop_task *task)
{
	struct post *post = (struct post *)(void *)task;

	ck_assert(loop_is_mine(post->poster->loop));
	ck_assert_int_eq(post->number, post->poster->seen++);
	if (atomic_fetch_sub(post->poster->left, 1) == 1)
		loop_stop(post->poster->loop);
}

static void *
post_all(void *arg)
{
	struct poster *poster = arg;

	for (int i = 0; i < POSTS; i++) {
		poster->posts[i] = (struct post){ { .run = post_ran }, i, poster };
		loop_post(poster->loop, &poster->posts[i].task);
	}
	return NULL;
}

START_TEST(loop_tasks_in_order)
{
	static struct poster posters[POSTERS];
	pthread_t threads[POSTERS];
	atomic_int left = POSTERS * POSTS;
	struct loop *loop = make_loop();

	for (int i = 0; i < POSTERS; i++) {
		posters[i].loop = loop;
		posters[i].left = &left;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
	}
	loop_run(loop);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(atomic_load(&left), 0);
	loop_free(&loop);
}
END_TEST

static void
note_ran(struct loop_task *task)
{
	((struct post *)(void *)task)->number++;
}

START_TEST(loop_stop_runs_what_was_posted)
{
	struct loop *loop = make_loop();
	struct post post = { .task = { .run = note_ran } };

	loop_post(loop, &post.task);
	loop_stop(loop);
	loop_run(loop);
	ck_assert_int_eq(post.number, 1);
	loop_post(loop, &post.task); /* and it can run again */
	loop_stop(loop);
	loop_run(loop);
	ck_assert_int_eq(post.number, 2);
	loop_free(&loop);
}
END_TEST

static void
dawdle(struct loop_task *task)
{
	usleep(150000); /* a stall is what is tested */
}

START_TEST(loop_stall_is_logged)
{
	struct loop *loop = make_loop();
	struct loop_task task = { .run = dawdle };
	char text[500];
	int fds[2], old = dup(STDERR_FILENO);
	ssize_t len;

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	dup2(fds[1], STDERR_FILENO);
	loop_post(loop, &task);
	loop_stop(loop);
	loop_run(loop);
	dup2(old, STDERR_FILENO);
	len = read(fds[0], text, sizeof(text) - 1);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	ck_assert_ptr_nonnull(strstr(text, "warning"));
	ck_assert_ptr_nonnull(strstr(text, "loop-stall in=task ms=1"));
	loop_free(&loop);
}
END_TEST

/* ---- rests ---------------------------------------------------------------------------------- */

struct rested {
	struct loop *loop;
	struct loop_task task;
	struct loop_rest rest;
	struct loop_io io;
	int turns, most, rested_at; /* turns of a loop that always has something ready */
	int64_t ms;
};

static void
note_rest(struct loop_rest *rest)
{
	struct rested *rested = (struct rested *)((char *)rest - offsetof(struct rested, rest));

	rested->rested_at = rested->turns;
	loop_unwatch(rested->loop, &rested->io);
	loop_stop(rested->loop);
}

static void
begin_rest(struct loop_task *task)
{
	struct rested *rested = (struct rested *)((char *)task - offsetof(struct rested, task));

	loop_rest_set(rested->loop, &rested->rest, rested->ms);
	loop_rest_set(rested->loop, &rested->rest, 0); /* set already: changes nothing */
}

static void
always_ready(struct loop_io *io, uint32_t events)
{
	struct rested *rested = (struct rested *)((char *)io - offsetof(struct rested, io));

	if (++rested->turns == rested->most)
		loop_unwatch(rested->loop, io);
}

/* Turns taken before the rest came, of a loop that has something to do in `most` of them. */
static int
turns_before_rest(int64_t ms, int most)
{
	struct rested rested = { .task.run = begin_rest,
		.rest.run = note_rest,
		.ms = ms,
		.most = most,
		.rested_at = -1 };
	int pair[2];

	ck_assert_int_eq(loop_new(&rested.loop, NULL), 0);
	ck_assert_int_eq(pipe(pair), 0);
	rested.io = (struct loop_io){ .ready = always_ready, .fd = pair[1] };
	if (most > 0)
		loop_watch(rested.loop, &rested.io, EPOLLOUT);
	loop_post(rested.loop, &rested.task);
	loop_run(rested.loop);
	ck_assert(!rested.rest.set);
	loop_free(&rested.loop);
	close(pair[0]);
	close(pair[1]);
	return rested.rested_at;
}

START_TEST(loop_rests_when_idle)
{
	ck_assert_int_eq(turns_before_rest(60000, 0), 0);
	ck_assert_int_eq(turns_before_rest(60000, 50), 50);
}
END_TEST

START_TEST(loop_rests_at_the_latest)
{
	ck_assert_int_lt(turns_before_rest(1, INT_MAX), INT_MAX);
}
END_TEST

static void
rest_and_stop(struct loop_task *task)
{
	struct rested *rested = (struct rested *)((char *)task - offsetof(struct rested, task));

	begin_rest(task);
	loop_stop(rested->loop);
}

START_TEST(loop_stop_rests)
{
	struct rested rested = {
		.task.run = rest_and_stop, .rest.run = note_rest, .ms = 60000, .rested_at = -1
	};

	ck_assert_int_eq(loop_new(&rested.loop, NULL), 0);
	loop_post(rested.loop, &rested.task);
	loop_run(rested.loop);
	ck_assert_int_eq(rested.rested_at, 0);
	ck_assert(!rested.rest.set);
	loop_free(&rested.loop);
}
END_TEST

/* ---- jobs ------------------------------------------------------------------------------------ */

#define JOBS 2000

struct sum {
	struct job job;
	int number, result;
	int *left;
};

static void
sum_work(struct job *job)
{
	struct sum *sum = (struct sum *)(void *)job;

	ck_assert(!loop_is_mine(job->loop));
	sum->result = sum->number + 1;
}

static void
sum_done(struct job *job)
{
	struct sum *sum = (struct sum *)(void *)job;

	ck_assert(loop_is_mine(job->loop));
	ck_assert_int_eq(sum->result, sum->number + 1);
	if (--*sum->left == 0)
		loop_stop(job->loop);
}

START_TEST(jobs_come_back)
{
	static struct sum sums[JOBS];
	struct loop *loop = make_loop();
	struct jobs *jobs;
	struct pn_error err;
	int left = JOBS;

	ck_assert_int_eq(jobs_new(4, &jobs, &err), 0);
	for (int i = 0; i < JOBS; i++) {
		sums[i] = (struct sum){ .job = { .loop = loop, .work = sum_work, .done = sum_done },
			.number = i,
			.left = &left };
		jobs_submit(jobs, &sums[i].job);
	}
	loop_run(loop);
	ck_assert_int_eq(left, 0);
	jobs_free(&jobs);
	loop_free(&loop);
}
END_TEST

static atomic_int freed;

static void
free_itself(struct job *job)
{
	free(job);
	atomic_fetch_add(&freed, 1);
}

START_TEST(jobs_end_finishes_them)
{
	struct jobs *jobs;
	struct pn_error err;

	atomic_store(&freed, 0);
	ck_assert_int_eq(jobs_new(2, &jobs, &err), 0);
	for (int i = 0; i < 100; i++) {
		struct job *job = calloc(1, sizeof(*job));

		job->work = free_itself;
		jobs_submit(jobs, job);
	}
	jobs_free(&jobs);
	ck_assert_ptr_null(jobs);
	ck_assert_int_eq(atomic_load(&freed), 100);
	ck_assert_int_eq(jobs_new(0, &jobs, &err), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("net");
	TCase *tc = tcase_create("net");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, address_spellings, 0, COUNT(addresses));
	tcase_add_loop_test(tc, address_refuses, 0, COUNT(bad_addresses));
	tcase_add_test(tc, address_of_unnamed_peer);
	tcase_add_loop_test(tc, network_contains_address, 0, COUNT(networks));
	tcase_add_loop_test(tc, network_refuses, 0, COUNT(bad_networks));
	tcase_add_loop_test(tc, wheel_is_on_time, 0, COUNT(spans));
	tcase_add_test(tc, wheel_set_while_firing);
	tcase_add_test(tc, loop_timer_fires);
	tcase_add_test(tc, loop_no_event_for_the_closed);
	tcase_add_test(tc, loop_tasks_in_order);
	tcase_add_test(tc, loop_stop_runs_what_was_posted);
	tcase_add_test(tc, loop_stall_is_logged);
	tcase_add_test(tc, loop_rests_when_idle);
	tcase_add_test(tc, loop_rests_at_the_latest);
	tcase_add_test(tc, loop_stop_rests);
	tcase_add_test(tc, jobs_come_back);
	tcase_add_test(tc, jobs_end_finishes_them);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
