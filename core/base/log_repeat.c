/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_repeat.c - lines that strangers can cause as fast as they connect: the first are written, the
 * rest are counted.
 *
 * Called where such a line would be written, by any thread, and about once a second to tell what
 * was counted. The table is bounded: where all is taken, the oldest is told and forgotten.
 */
#include <arpa/inet.h>
#include <core/base/clock.h>
#include <core/base/log_line.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SETS        64 /* a key is looked for in one of them alone */
#define ROWS        8
#define WINDOW_MS   60000
#define EVENT_SIZE  32
#define REASON_SIZE 64
#define WHO_SIZE    128

struct key {
	char event[EVENT_SIZE], reason[REASON_SIZE], who[WHO_SIZE];
};

struct row {
	struct key key;
	enum pn_level level;
	int64_t began;
	uint64_t count; /* since then; 0: the row is free */
};

static struct {
	pthread_mutex_t lock;
	struct row rows[SETS][ROWS];
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Atomic int64_t written_most;

void
log_repeats_setup(int64_t most)
{
	written_most = most;
}

/* A network that one client has: 24 bits of IPv4, 64 of IPv6. Anything else is itself. */
static void
who_of(const char *client, char ret[WHO_SIZE])
{
	unsigned char bytes[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET, client, bytes) == 1) {
		bytes[3] = 0;
		inet_ntop(AF_INET, bytes, text, sizeof(text));
		snprintf(ret, WHO_SIZE, "%s/24", text);
	} else if (inet_pton(AF_INET6, client, bytes) == 1) {
		memset(bytes + 8, 0, 8);
		inet_ntop(AF_INET6, bytes, text, sizeof(text));
		snprintf(ret, WHO_SIZE, "%s/64", text);
	} else {
		snprintf(ret, WHO_SIZE, "%s", client);
	}
}

static size_t
set_of(const struct key *key)
{
	const char *const parts[] = { key->event, key->reason, key->who };
	uint64_t sum = 1469598103934665603u; /* FNV-1a */

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (const char *at = parts[i]; *at; at++)
			sum = (sum ^ (unsigned char)*at) * 1099511628211u;
	return (sum ^ sum >> 32) % SETS;
}

/* Locked, as all below. */
static void
tell(struct row *row, int64_t now)
{
	char count[24], seconds[24];

	if (row->count > (uint64_t)written_most) {
		snprintf(count, sizeof(count), "%llu",
		    (unsigned long long)(row->count - (uint64_t)written_most));
		snprintf(
		    seconds, sizeof(seconds), "%lld", (long long)((now - row->began + 999) / 1000));
		log_event(row->level, "repeated", "of", row->key.event, "reason", row->key.reason,
		    "client", row->key.who, "count", count, "seconds", seconds, NULL);
	}
	row->count = 0;
}

/* The key's own, else a free one, else the oldest, told. */
static struct row *
row_of(const struct key *key, int64_t now)
{
	struct row *rows = table.rows[set_of(key)], *best = &rows[0];

	for (size_t i = 0; i < ROWS; i++) {
		struct row *row = &rows[i];

		if (row->count > 0 && strcmp(row->key.event, key->event) == 0 &&
		    strcmp(row->key.reason, key->reason) == 0 &&
		    strcmp(row->key.who, key->who) == 0)
			return row;
		if (best->count > 0 && (row->count == 0 || row->began < best->began))
			best = row;
	}
	tell(best, now);
	best->key = *key;
	best->began = now;
	return best;
}

bool
log_repeats_at(
    int64_t now, enum pn_level level, const char *event, const char *reason, const char *client)
{
	struct key key;
	struct row *row;
	bool wanted;

	if (written_most == 0 || !log_wanted(level) || !client)
		return true;
	snprintf(key.event, sizeof(key.event), "%s", event);
	snprintf(key.reason, sizeof(key.reason), "%s", reason ? reason : "");
	who_of(client, key.who);
	pthread_mutex_lock(&table.lock);
	row = row_of(&key, now);
	if (row->count > 0 && now - row->began >= WINDOW_MS)
		tell(row, now);
	if (row->count == 0)
		row->began = now;
	row->level = level;
	wanted = ++row->count <= (uint64_t)written_most;
	pthread_mutex_unlock(&table.lock);
	return wanted;
}

bool
log_repeats(enum pn_level level, const char *event, const char *reason, const char *client)
{
	return log_repeats_at(clock_monotonic_ms(), level, event, reason, client);
}

void
log_repeats_tell_at(int64_t now, bool all)
{
	struct row *row = &table.rows[0][0];

	pthread_mutex_lock(&table.lock);
	for (size_t i = 0; i < (size_t)SETS * ROWS; i++, row++)
		if (row->count > 0 && (all || now - row->began >= WINDOW_MS))
			tell(row, now);
	pthread_mutex_unlock(&table.lock);
}

void
log_repeats_tell(bool all)
{
	log_repeats_tell_at(clock_monotonic_ms(), all);
}
