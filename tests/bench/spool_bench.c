/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_bench.c - how many messages a second the spool makes durable, and at what cost.
 *
 *	spool-bench [folder [loops [producers per loop [bytes [messages]]]]]
 *
 * Each producer appends one message, waits for the answer, marks it delivered and finishes it, as
 * the queue does. In clear, without the indexes at the ends of segments, and encrypted, in turn.
 */
#include <core/base/clock.h>
#include <core/config/keyring.h>
#include <core/queue/spool.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST_LOOPS     16
#define MOST_PRODUCERS 256
#define ROUNDS         3
#define KEYS           "bench 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"

struct runner {
	pthread_t thread;
	struct loop *loop;
	struct loop_task start;
	struct producer {
		struct spool_request request; /* first */
		struct runner *runner;
	} producers[MOST_PRODUCERS];
	long begun, done;
};

static struct spool *spool;
static struct mail_bytes *body;
static long producers = 8, messages = 100000;

static void
fail(const char *text)
{
	fprintf(stderr, "spool-bench: %s\n", text);
	exit(1);
}

static void
next(struct producer *producer)
{
	struct runner *runner = producer->runner;
	struct item *item;

	if (runner->begun == messages)
		return;
	runner->begun++;
	item = item_new();
	item_id_new(item->id);
	item->envelope.sender = item->envelope.original_sender = "alice@example.org";
	mail_envelope_add(&item->envelope, &item->arena, "bob@example.net");
	item_prepare(item);
	item->bytes = mail_bytes_hold(body);
	item->size = body->len;
	producer->request.item = item;
	spool_append(spool, &producer->request);
}

static void
done(struct spool_request *request, int r)
{
	struct producer *producer = (struct producer *)request;
	struct runner *runner = producer->runner;
	uint32_t index = 0;

	if (r < 0)
		fail(strerror(-r));
	request->item->recipients[0].state = ITEM_DELIVERED;
	spool_mark(spool, request->item, &index, 1);
	spool_finish(spool, request->item);
	item_free(&request->item);
	next(producer);
	if (++runner->done == messages)
		loop_stop(runner->loop);
}

static void
start(struct loop_task *task)
{
	struct runner *runner = (struct runner *)((char *)task - offsetof(struct runner, start));

	for (long i = 0; i < producers; i++) {
		runner->producers[i].runner = runner;
		runner->producers[i].request.done = done;
		runner->producers[i].request.loop = runner->loop;
		next(&runner->producers[i]);
	}
}

static void *
run(void *arg)
{
	struct runner *runner = arg;

	loop_run(runner->loop);
	return NULL;
}

static void
ignore(void *arg, struct item *item)
{
	item_free(&item);
}

static long
number(int argc, char **argv, int at, long otherwise, long most)
{
	long value = argc > at ? strtol(argv[at], NULL, 10) : otherwise;

	if (value < 1 || value > most) {
		fprintf(stderr, "spool-bench: argument %d: 1 to %ld\n", at, most);
		exit(2);
	}
	return value;
}

static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct result {
	double per_second, per_sync, cpu_us;
};

static struct result
measure(const struct spool_settings *settings, long loops)
{
	static struct runner runners[MOST_LOOPS];
	struct spool_recovery recovery = { .item = ignore };
	struct spool_figures figures;
	struct pn_error err = { 0 };
	double cpu, seconds;
	int64_t from;

	memset(runners, 0, sizeof(runners));
	if (spool_open(settings, &recovery, &spool, &err) < 0)
		fail(err.text);
	cpu = cpu_seconds();
	from = clock_wall_us();
	for (long i = 0; i < loops; i++) {
		if (loop_new(&runners[i].loop, &err) < 0)
			fail(err.text);
		runners[i].start.run = start;
		loop_post(runners[i].loop, &runners[i].start);
		pthread_create(&runners[i].thread, NULL, run, &runners[i]);
	}
	for (long i = 0; i < loops; i++)
		pthread_join(runners[i].thread, NULL);
	seconds = (double)(clock_wall_us() - from) / 1e6;
	cpu = cpu_seconds() - cpu;
	spool_figures(spool, &figures);
	spool_close(&spool);
	for (long i = 0; i < loops; i++)
		loop_free(&runners[i].loop);
	return (struct result){ (double)figures.appended / seconds,
		(double)figures.appended / (double)figures.commits,
		cpu * 1e6 / (double)figures.appended };
}

/* The round with the most messages a second: others had company. */
static void
keep_best(struct result *best, struct result now)
{
	if (now.per_second > best->per_second)
		*best = now;
}

static void
print(const char *what, const struct result *result)
{
	printf("spool, %s: %.0f messages/s durable, %.1f a sync, %.1f us of CPU each\n", what,
	    result->per_second, result->per_sync, result->cpu_us);
}

static void
compare(const char *what, const struct result *with, const struct result *without)
{
	printf("%s costs %.1f us of CPU a message; messages/s %+.1f %%\n", what,
	    with->cpu_us - without->cpu_us, (with->per_second / without->per_second - 1) * 100);
}

static void
make_body(size_t size)
{
	if (mail_bytes_new(size, &body) < 0)
		fail("out of memory");
	memset(body->data, 'x', size);
	body->len = size;
}

int
main(int argc, char **argv)
{
	struct spool_settings settings = {
		.directory = argc > 1 ? argv[1] : "spool-bench.d",
		.segment_size = 64u << 20,
		.gather_us = 3000,
	};
	struct result clear = { 0 }, unindexed = { 0 }, encrypted = { 0 };
	struct keyring *keys = NULL;
	struct pn_error err = { 0 };
	long loops = number(argc, argv, 2, 2, MOST_LOOPS), size;

	producers = number(argc, argv, 3, 8, MOST_PRODUCERS);
	size = number(argc, argv, 4, 10240, 1 << 28);
	messages = number(argc, argv, 5, 100000, 100000000) / loops;
	make_body((size_t)size);
	if (keyring_parse(pn_slice_of(KEYS), &keys, &err) < 0)
		fail(err.text);
	for (int i = 0; i < ROUNDS; i++) {
		settings.keys = NULL;
		keep_best(&clear, measure(&settings, loops));
		settings.no_index = true;
		keep_best(&unindexed, measure(&settings, loops));
		settings.no_index = false;
		settings.keys = keys;
		keep_best(&encrypted, measure(&settings, loops));
	}
	printf("%ld loops, %ld producers each, %ld bytes, the best of %d rounds\n", loops,
	    producers, size, ROUNDS);
	print("in clear", &clear);
	print("without indexes", &unindexed);
	print("encrypted", &encrypted);
	compare("the index checkpoint", &clear, &unindexed);
	compare("encryption", &encrypted, &clear);
	keyring_release(&keys);
	mail_bytes_release(&body);
	return 0;
}
