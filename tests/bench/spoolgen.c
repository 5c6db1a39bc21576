/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spoolgen.c - fills a spool with messages that were tried once and wait, and reads one as a start
 * does. Everything is written by the spool itself.
 *
 *	spoolgen fill FOLDER MESSAGES [BYTES [SECONDS]]
 *		each with BYTES (2048) and due in SECONDS (36000) from now or up to as much later
 *	spoolgen load FOLDER [whole]
 *		says how long it takes until a queue has them all, what is read, and the memory for
 *		each; whole: not by the indexes at the ends of segments
 *	spoolgen compare FOLDER
 *		reads it with and without the indexes, in turn, from the disk
 */
#include <core/base/clock.h>
#include <core/queue/queue.h>
#include <core/queue/segment_io.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define AT_ONCE 2048 /* appends under way */
#define DOMAINS 1000u

static struct spool *spool;
static struct mail_bytes *body;
static atomic_uint under_way;

static void
fail(const char *what, int r)
{
	fprintf(stderr, "spoolgen: %s: %s\n", what, strerror(-r));
	exit(1);
}

static long
number(int argc, char **argv, int at, long otherwise)
{
	long value = argc > at ? strtol(argv[at], NULL, 10) : otherwise;

	if (value < 1 || value > 1L << 30) {
		fprintf(stderr, "spoolgen: argument %d: a number from 1 on\n", at);
		exit(2);
	}
	return value;
}

/* ---- fill ---- */

/* As a client's message looks after an authenticated submission. */
static struct item *
make_item(long i)
{
	struct item *item = item_new();
	struct arena *arena = &item->arena;

	item_id_new(item->id);
	item->accepted_us = clock_wall_us();
	item->facts = (struct mail_facts){ .client_address = "192.0.2.17",
		.client_literal = "[192.0.2.17]",
		.listener = "submission",
		.helo = "client.example.org",
		.user = arena_printf(arena, "user%ld@example.org", i % 97),
		.tls_version = "TLSv1.3",
		.tls_cipher = "TLS_AES_256_GCM_SHA384",
		.tls_bits = 256,
		.esmtp = true };
	item->envelope.sender = item->envelope.original_sender = item->facts.user;
	mail_envelope_add(&item->envelope, arena,
	    arena_printf(arena, "recipient%ld@d%ld.example.net", i, i % (long)DOMAINS));
	item_prepare(item);
	item->recipients[0].plan = (struct mail_plan){ .number = 1, .method = "none" };
	item->effects_done = true;
	item->bytes = mail_bytes_hold(body);
	item->size = body->len;
	return item;
}

/* On the committer. */
static void
appended(struct spool_request *request, int r)
{
	if (r < 0)
		fail("a message was refused", r);
	atomic_fetch_sub(&under_way, 1);
}

static void
defer(struct item *item, long i, long seconds)
{
	struct item_recipient *recipient = &item->recipients[0];
	uint32_t index = 0;
	char reply[100];

	snprintf(reply, sizeof(reply), "451 4.7.1 <%s>: greylisted, come back later",
	    recipient->envelope->address);
	recipient->attempts = 1;
	recipient->last_attempt_us = clock_wall_us();
	recipient->due_us = recipient->last_attempt_us + (seconds + i % seconds) * 1000000;
	recipient->last_reply = reply;
	recipient->last_remote = "mx.example.net";
	spool_mark(spool, item, &index, 1);
}

static void
fill(long count, long seconds)
{
	static struct spool_request requests[AT_ONCE];

	for (long i = 0; i < count;) {
		long first = i, last = i + AT_ONCE < count ? i + AT_ONCE : count;

		for (; i < last; i++) {
			requests[i - first] = (struct spool_request){ .done = appended,
				.item = make_item(i) };
			atomic_fetch_add(&under_way, 1);
			spool_append(spool, &requests[i - first]);
		}
		while (atomic_load(&under_way) > 0)
			usleep(50);
		for (long k = first; k < last; k++) {
			defer(requests[k - first].item, k, seconds);
			item_free(&requests[k - first].item);
		}
	}
}

/* ---- load ---- */

static struct queue *queue;
static uint64_t items, bytes_read;

static ssize_t
counted_read(void *arg, int fd, void *bytes, size_t len, uint64_t offset)
{
	ssize_t n = segment_io_system.read(arg, fd, bytes, len, offset);

	bytes_read += n > 0 ? (uint64_t)n : 0;
	return n;
}

static void
restore(void *arg, struct item *item)
{
	items++;
	queue_restore(queue, item);
}

/* Its bytes come from the disk: what the kernel has of them, and need not write, it forgets. */
static int
cold_open(void *arg, const char *path, int flags)
{
	int fd = segment_io_system.open(arg, path, flags);

	if (fd >= 0)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static double
resident_bytes(void)
{
	unsigned long all = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	malloc_trim(0);
	if (!file || fscanf(file, "%lu %lu", &all, &resident) != 2)
		exit(1);
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static int
load(struct spool_settings *settings)
{
	struct segment_io io = segment_io_system;
	struct spool_recovery recovery = { .item = restore };
	struct spool_figures figures;
	struct queue_parts parts = { 0 };
	struct rusage usage;
	struct pn_error err;
	double before, after;
	int64_t from;

	if (loop_new(&parts.loop, &err) < 0 || queue_new(&parts, &queue, &err) < 0)
		return 1;
	io.read = counted_read;
	settings->io = &io;
	before = resident_bytes();
	from = clock_wall_us();
	if (spool_open(settings, &recovery, &spool, &err) < 0) {
		fprintf(stderr, "spoolgen: %s\n", err.text);
		return 1;
	}
	from = clock_wall_us() - from;
	after = resident_bytes();
	getrusage(RUSAGE_SELF, &usage);
	spool_figures(spool, &figures);
	printf("load: %" PRIu64 " messages in %.2f s, %.2f s of CPU, %.1f MB read (%" PRIu64
	       " segments by index, %" PRIu64 " whole), %.0f bytes of memory each, %.0f at most\n",
	    items, (double)from / 1e6,
	    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	    (double)bytes_read / 1e6, figures.indexed, figures.scanned,
	    (after - before) / (double)items,
	    ((double)usage.ru_maxrss * 1024 - before) / (double)items);
	return 0;
}

/* ---- compare ---- */

#define ROUNDS 3

static void
forget(void *arg, struct item *item)
{
	items++;
	item_free(&item);
}

static double
seconds_to_read(struct spool_settings *settings, bool whole)
{
	struct spool_recovery recovery = { .item = forget };
	struct pn_error err;
	int64_t from = clock_wall_us();

	settings->no_index = whole;
	items = bytes_read = 0;
	if (spool_open(settings, &recovery, &spool, &err) < 0) {
		fprintf(stderr, "spoolgen: %s\n", err.text);
		exit(1);
	}
	from = clock_wall_us() - from;
	spool_close(&spool);
	return (double)from / 1e6;
}

/* The best round of each: others had company. */
static int
compare(struct spool_settings *settings)
{
	struct segment_io io = segment_io_system;
	double best[2] = { 1e9, 1e9 }, now, bytes[2];

	io.read = counted_read;
	io.open = cold_open;
	settings->io = &io;
	for (int i = 0; i < 2 * ROUNDS; i++) {
		now = seconds_to_read(settings, i % 2);
		best[i % 2] = now < best[i % 2] ? now : best[i % 2];
		bytes[i % 2] = (double)bytes_read;
	}
	printf("a start with %" PRIu64 " messages reads %.1f MB in %.2f s by index, %.1f MB in "
	       "%.2f s without: %.1f times the bytes, %.1f times the time\n",
	    items, bytes[0] / 1e6, best[0], bytes[1] / 1e6, best[1], bytes[1] / bytes[0],
	    best[1] / best[0]);
	return 0;
}

int
main(int argc, char **argv)
{
	struct spool_settings settings = { .segment_size = 64u << 20, .gather_us = 150 };
	struct spool_recovery nothing = { 0 };
	struct pn_error err;
	size_t size;

	settings.directory = argc > 2 ? argv[2] : "";
	settings.no_index = argc == 4 && strcmp(argv[3], "whole") == 0;
	if (argc == 3 + settings.no_index && strcmp(argv[1], "load") == 0)
		return load(&settings);
	if (argc == 3 && strcmp(argv[1], "compare") == 0)
		return compare(&settings);
	if (argc < 4 || argc > 6 || strcmp(argv[1], "fill") != 0) {
		fprintf(stderr, "usage: spoolgen fill FOLDER MESSAGES [BYTES [SECONDS]]\n"
				"       spoolgen load FOLDER [whole]\n"
				"       spoolgen compare FOLDER\n");
		return 2;
	}
	size = (size_t)number(argc, argv, 4, 2048);
	if (mail_bytes_new(size, &body) < 0 || spool_open(&settings, &nothing, &spool, &err) < 0) {
		fprintf(stderr, "spoolgen: %s\n", err.text);
		return 1;
	}
	/* A header and a text, so that whoever reads it as a message can. */
	for (size_t i = 0; i < size; i++)
		body->data[i] = "Subject: one of many\r\n\r\n"[i < 24 ? i : 0];
	for (size_t i = 24; i < size; i++)
		body->data[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	body->len = size;
	fill(number(argc, argv, 3, 0), number(argc, argv, 5, 36000));
	spool_close(&spool);
	mail_bytes_release(&body);
	return 0;
}
