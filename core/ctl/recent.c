/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recent.c - a ring of log lines.
 *
 * Fed by core/base/log.c through its observer, so it sees just what the log sees.
 */
#include <core/base/log.h>
#include <core/ctl/recent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
	pthread_mutex_t lock;
	char *bytes;
	size_t size, head, used; /* head: where the next byte goes */
} ring = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
copy_in(const char *bytes, size_t len)
{
	size_t first = ring.size - ring.head < len ? ring.size - ring.head : len;

	memcpy(ring.bytes + ring.head, bytes, first);
	memcpy(ring.bytes, bytes + first, len - first);
	ring.head = (ring.head + len) % ring.size;
	ring.used = ring.used + len < ring.size ? ring.used + len : ring.size;
}

static void
keep(const char *line, size_t len)
{
	if (len > ring.size || !memmem(line, len, " id=", 4))
		return;
	pthread_mutex_lock(&ring.lock);
	copy_in(line, len);
	pthread_mutex_unlock(&ring.lock);
}

int
recent_start(size_t size)
{
	ring.bytes = malloc(size);
	if (!ring.bytes)
		return -ENOMEM;
	ring.size = size;
	log_observe(keep);
	return 0;
}

/* What is in the ring, in one piece; begins in the middle of a line once the ring is full. */
static int
snapshot(struct buf *ret)
{
	size_t start = (ring.head + ring.size - ring.used) % ring.size;
	size_t first = ring.size - start < ring.used ? ring.size - start : ring.used;
	int r = buf_add(ret, ring.bytes + start, first);

	return r < 0 ? r : buf_add(ret, ring.bytes, ring.used - first);
}

/* In quotes stands what others have said, who may well say " id=...". */
static bool
speaks_of(struct pn_slice line, const char *field, size_t len)
{
	bool quoted = false;

	for (size_t i = 0; i + len <= line.len; i++) {
		const char *at = line.data + i;

		if (quoted && *at == '\\') {
			i++;
			continue;
		}
		if (*at == '"')
			quoted = !quoted;
		if (!quoted && memcmp(at, field, len) == 0 &&
		    (i + len == line.len || at[len] == ' ' || at[len] == '\n'))
			return true;
	}
	return false;
}

int
recent_find(const char *id, struct buf *ret)
{
	struct buf all = BUF_INIT(SIZE_MAX / 2);
	char field[64];
	int r = 0, len = snprintf(field, sizeof(field), " id=%s", id);

	if (!ring.bytes || len < 0 || (size_t)len >= sizeof(field))
		return 0;
	pthread_mutex_lock(&ring.lock);
	r = snapshot(&all);
	pthread_mutex_unlock(&ring.lock);
	for (size_t at = 0; r == 0 && at < all.len;) {
		const char *end = memchr(all.data + at, '\n', all.len - at);
		size_t next = end ? (size_t)(end - all.data) + 1 : all.len;
		struct pn_slice line = pn_slice(all.data + at, next - at);

		if (end && speaks_of(line, field, (size_t)len))
			r = buf_add(ret, line.data, line.len);
		at = next;
	}
	buf_free(&all);
	return r;
}
