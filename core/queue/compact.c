/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compact.c - moves the few messages left in a segment to the tail, so that it can be used again.
 *
 * Called by the committer after a commit, a step at a time: mail that comes in meanwhile waits for
 * one step at most. A message counts as moved when its COPY is synced; until then, and where that
 * fails, it lies where it lay. Must never move what it could not read.
 */
#include <core/base/clock.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>

#define STEP_MESSAGES 64u
#define STEP_BYTES    (512u * 1024) /* of records; a larger one goes alone */
#define LIVE_SHARE    2u            /* segments less than half full of live records are emptied */
#define WASTE_LEAST   2u            /* as many segments as that is worth the trouble */
#define RETRY_MS      1000

/* The segment that gives most for least, where that is worth it. */
static struct segment *
choose(const struct spool *spool)
{
	struct segment *best = NULL;
	uint64_t waste = 0;

	for (guint i = 0; i < spool->segments->len; i++) {
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->free || segment == spool->tail || segment->live_count == 0 ||
		    segment->unmovable || segment->live_bytes > segment->size / LIVE_SHARE)
			continue;
		waste += segment->size - segment->live_bytes;
		if (!best || segment->live_bytes < best->live_bytes)
			best = segment;
	}
	return waste >= WASTE_LEAST * spool->segment_size ? best : NULL;
}

/* ---- one message ---- */

/* A segment being emptied. */
struct source {
	int fd;
	struct cipher *cipher; /* NULL: in clear */
};

static int
read_record(const struct spool *spool, const struct source *source, const struct live *live,
    struct buf *head, struct spool_op *op)
{
	struct spool_place place = { live->segment->number, live->offset, live->length };
	struct record_header header;
	int r = read_header(spool->io, source->fd, &place, live->segment->epoch, &header);

	if (r == 0)
		r = read_head(spool->io, source->fd, &place, &header, source->cipher, head);
	if (r < 0)
		return r;
	return read_body(spool->io, source->fd, &place, &header, source->cipher, &op->owned);
}

static int
make_copy(const struct spool *spool, const struct source *source, const struct live *live,
    struct spool_op *op)
{
	struct field_writer writer = { &op->encoded, 0 };
	struct buf head = BUF_INIT(RECORD_HEAD_MOST);
	int r = read_record(spool, source, live, &head, op);

	if (r == 0) {
		memcpy(op->id, live->id, ITEM_ID_SIZE);
		record_put_copy(&writer, buf_slice(&head));
		live_put_states(live, &writer);
		r = spool_op_finish(op, &writer, spool_op_message(op, op->owned));
	}
	buf_free(&head);
	return r;
}

/* Its segment stays as it is; what is damaged is found by whoever wants to send it. */
static void
leave_alone(struct segment *segment)
{
	segment->unmovable = true;
}

/* What may pass, like too many open files, is tried again; else the segment stays as it is. */
static void
put_off(struct spool *spool, struct segment *segment, int r)
{
	if (r == -EBADMSG || r == -EIO || r == -E2BIG || r == -ENOKEY)
		leave_alone(segment);
	else
		spool->compact_at_ms = clock_monotonic_ms() + RETRY_MS;
}

static int
copy(struct spool *spool, const struct source *source, const struct live *live)
{
	struct spool_op *op = spool_op_new(RECORD_COPY);
	int r = make_copy(spool, source, live, op);

	if (r < 0) {
		put_off(spool, live->segment, r);
	} else {
		r = tail_write(spool, op);
		if (r < 0)
			spool->compact_at_ms = clock_monotonic_ms() + RETRY_MS;
		else
			spool->copying++;
	}
	if (r < 0)
		spool_op_free(op);
	return r;
}

void
compact_accept(struct spool *spool, const struct spool_op *op)
{
	struct live *live = live_find(&spool->live, op->id);

	spool->copying--;
	if (!live) /* finished meanwhile, and said so behind the copy */
		return;
	if (live->segment->live_count == 1)
		spool->reclaim_due = true;
	live_move(&spool->live, live, spool->tail, op->offset, op->length);
	spool->figures.moved++;
}

/* ---- a step ---- */

/* Writing one may begin a segment and so move those before it: the list is looked at once. */
static void
step(struct spool *spool, const struct segment *segment, const struct source *source)
{
	struct live *some[STEP_MESSAGES];
	uint64_t bytes = 0;
	size_t count = 0;
	int r = 0;

	for (struct live *live = segment->live; live && count < STEP_MESSAGES; live = live->next) {
		if (count > 0 && bytes + live->length > STEP_BYTES)
			break;
		bytes += live->length;
		some[count++] = live;
	}
	for (size_t i = 0; r == 0 && i < count; i++)
		r = copy(spool, source, some[i]);
}

static int
empty(struct spool *spool, const struct segment *segment)
{
	char path[SPOOL_PATH];
	struct source source;
	int r = spool_keys_open(spool, &segment->wrap, &source.cipher);

	if (r < 0)
		return r;
	spool_segment_path(spool, segment->slot, path);
	source.fd = spool->io->open(spool->io->arg, path, O_RDONLY);
	if (source.fd >= 0) {
		step(spool, segment, &source);
		spool->io->close(spool->io->arg, source.fd);
	}
	cipher_free(&source.cipher);
	return MIN(source.fd, 0);
}

bool
compact_run(struct spool *spool)
{
	struct segment *segment;
	int r;

	if (spool->copying > 0) /* the next commit syncs them */
		return true;
	if (!spool->compact_due || spool->below_reserve ||
	    clock_monotonic_ms() < spool->compact_at_ms)
		return false;
	segment = choose(spool);
	spool->gone_bytes = 0;
	spool->compact_due = segment != NULL;
	if (!segment)
		return false;
	r = empty(spool, segment);
	if (r < 0)
		put_off(spool, segment, r);
	return spool->copying > 0 || clock_monotonic_ms() >= spool->compact_at_ms;
}
