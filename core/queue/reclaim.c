/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim.c - frees segments without unfinished messages, to be used again or deleted.
 *
 * Called by the committer after a commit. The order in which segments leave is what keeps finished
 * messages from coming back; REUSE in record.h says why. Nothing here may leave out of that order.
 */
#include <core/queue/spool_core.h>
#include <errno.h>

#define STATE_MOST   (256u * 1024) /* of one STATE record, about */
#define MOST_DELETED 2             /* files in one go: deleting takes time, and mail waits */

/* Moves what became free to the queue; returns the bytes that only a checkpoint would free. */
static uint64_t
find_free(struct spool *spool)
{
	bool older_in_use = false;
	uint64_t blocked = 0;

	for (guint i = 0; i < spool->segments->len; i++) {
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->free)
			continue;
		if (segment == spool->tail)
			break;
		if (segment->live_count == 0 &&
		    (!older_in_use || segment->number < spool->checkpoint)) {
			segment->free = true;
			g_queue_push_tail(&spool->free, segment);
			continue;
		}
		older_in_use = true;
		if (segment->live_count == 0)
			blocked += segment->size;
	}
	return blocked;
}

/* ---- checkpoint ---- */

/*
 * One STATE record, downwards from `to`: a segment's messages are listed from its end. Moves *live
 * and *to to where the next one goes on.
 */
static int
write_state(
    struct spool *spool, const struct segment *segment, const struct live **live, uint64_t *to)
{
	struct spool_op *op = spool_op_new(RECORD_STATE);
	struct field_writer writer = { &op->encoded, 0 };
	uint64_t from = segment->records_at;
	int r;

	field_put_number(&writer, RECORD_SEGMENT, segment->number);
	field_put_number(&writer, RECORD_EPOCH, segment->epoch);
	field_put_number(&writer, RECORD_TO, *to);
	for (; *live; *live = (*live)->next) {
		live_put(*live, &writer);
		if (op->encoded.len > STATE_MOST && (*live)->next) {
			from = (*live)->offset;
			*live = (*live)->next;
			break;
		}
	}
	field_put_number(&writer, RECORD_FROM, from);
	*to = from;
	r = spool_op_finish(op, &writer, pn_slice(NULL, 0));
	if (r == 0)
		r = tail_write(spool, op);
	if (r < 0)
		spool_op_free(op);
	return r;
}

static int
write_segment_state(struct spool *spool, const struct segment *segment)
{
	const struct live *live = segment->live;
	uint64_t to = segment == spool->tail ? segment->end : segment->size;
	int r = 0;

	while (r == 0 && live)
		r = write_state(spool, segment, &live, &to);
	return r;
}

/*
 * The segments as they are now: writing may begin another, and so change the list. One with
 * unfinished messages cannot leave it.
 */
static int
checkpoint(struct spool *spool)
{
	uint64_t start = spool->tail ? spool->tail->number : spool->next_number;
	uint64_t failures = spool->figures.sync_failures;
	GPtrArray *segments = g_ptr_array_new();
	int r = 0;

	for (guint i = 0; i < spool->segments->len; i++) {
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->live_count > 0)
			g_ptr_array_add(segments, segment);
	}
	for (guint i = 0; r == 0 && i < segments->len; i++)
		r = write_segment_state(spool, g_ptr_array_index(segments, i));
	g_ptr_array_unref(segments);
	if (r == 0)
		r = tail_sync(spool);
	/* Part of it may have gone into a segment that failed on the way. */
	if (r == 0 && spool->figures.sync_failures != failures)
		r = -EIO;
	if (r == 0) {
		spool->checkpoint = start;
		spool->checkpoint_wanted = false;
	}
	return r;
}

static bool
worth_it(const struct spool *spool, uint64_t blocked)
{
	return blocked >= 2 * spool->segment_size && blocked >= 2 * spool->live.state_bytes;
}

/* ---- leaving ---- */

static void
delete_file(struct spool *spool, struct segment *segment)
{
	char path[SPOOL_PATH];

	spool_segment_path(spool, segment->slot, path);
	spool->io->remove(spool->io->arg, path);
	spool->io->sync_folder(spool->io->arg, spool->directory);
	spool_segment_remove(spool, segment);
}

/* Too many, or one that cannot be used again and has to wait for those before it. */
static bool
too_many(const struct spool *spool)
{
	for (const GList *link = spool->free.head; link; link = link->next)
		if (((const struct segment *)link->data)->unusable)
			return true;
	return spool->free.length > SPOOL_FREE_SEGMENTS;
}

/* Deletes from the front. True if there is more to delete. */
static bool
trim(struct spool *spool)
{
	struct segment *segment;

	for (int n = 0; too_many(spool); n++) {
		if (n == MOST_DELETED)
			return true;
		/* The one before it, overwritten by the tail, must be so on disk. */
		if (spool->tail_dirty && tail_sync(spool) < 0)
			return false;
		segment = g_queue_pop_head(&spool->free);
		delete_file(spool, segment);
	}
	return false;
}

bool
reclaim_run(struct spool *spool)
{
	bool more;

	if (!spool->reclaim_due && !spool->checkpoint_wanted)
		return false;
	if (worth_it(spool, find_free(spool)) || spool->checkpoint_wanted)
		if (checkpoint(spool) == 0)
			find_free(spool);
	more = trim(spool);
	spool->reclaim_due = more;
	spool->figures.free_segments = spool->free.length;
	return more;
}

struct segment *
reclaim_take(struct spool *spool)
{
	struct segment *segment = g_queue_peek_head(&spool->free), *ret;

	if (!segment || segment->unusable)
		return NULL;
	g_queue_pop_head(&spool->free);
	ret = g_memdup2(segment, sizeof(*segment));
	spool_segment_remove(spool, segment);
	return ret;
}
