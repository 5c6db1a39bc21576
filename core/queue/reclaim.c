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
#define STEP_STATES  2             /* as many behind one commit */
#define MOST_DELETED 2             /* files in one go: deleting takes time, and mail waits */

/* Moves what became free to the queue; returns the bytes that only a checkpoint would free. */
static uint64_t
find_free(struct spool *spool)
{
	uint64_t in_use = 0, blocked = 0; /* in_use: the youngest of those before */
	bool behind_locked = false;

	for (guint i = 0; i < spool->segments->len; i++) {
		struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->free)
			continue;
		if (segment == spool->tail)
			break;
		/* Older processes' segments from a locked one on: they may say what became of it.
		 */
		behind_locked |= segment->locked;
		if (behind_locked && segment->number < spool->own_number) {
			segment->kept = !segment->locked;
			in_use = segment->number;
			continue;
		}
		if (segment->live_count == 0 && (in_use == 0 || in_use < segment->about ||
						    segment->number < spool->checkpoint)) {
			segment->free = true;
			g_queue_push_tail(&spool->free, segment);
			continue;
		}
		in_use = segment->number;
		if (segment->live_count == 0)
			blocked += segment->size;
	}
	return blocked;
}

/* ---- checkpoint ------------------------------------------------------------------------------
 *
 * STATE records for all segments that are older than the tail was at the beginning, a few behind
 * each commit: mail does not wait for all of them. What is said meanwhile is in younger segments.
 */

/* Down from pass.to: a segment's messages are listed from its end. Moves pass.next and pass.to. */
static int
write_state(struct spool *spool, const struct segment *segment)
{
	struct spool_op *op = spool_op_new(RECORD_STATE);
	struct field_writer writer = { &op->encoded, 0 };
	const struct live *live = segment->live;
	uint64_t from = segment->records_at;
	int r;

	while (live && live->offset >= spool->pass.to)
		live = live->next;
	field_put_number(&writer, RECORD_SEGMENT, segment->number);
	field_put_number(&writer, RECORD_EPOCH, segment->epoch);
	field_put_number(&writer, RECORD_TO, spool->pass.to);
	for (; live; live = live->next) {
		live_put(live, &writer);
		if (op->encoded.len > STATE_MOST && live->next) {
			from = live->offset;
			break;
		}
	}
	field_put_number(&writer, RECORD_FROM, from);
	op->about = segment->number;
	spool->pass.next = segment->number + (live == NULL);
	spool->pass.to = live ? from : UINT64_MAX;
	r = spool_op_finish(op, &writer, pn_slice(NULL, 0));
	if (r == 0)
		r = tail_write(spool, op);
	if (r < 0)
		spool_op_free(op);
	return r;
}

/*
 * The next one that has messages left, or is kept without any; those that have emptied meanwhile
 * leave in their turn, but where marks were lost: one of them may have emptied it. Of the tail what
 * it has so far is said.
 */
static const struct segment *
next_of_pass(struct spool *spool)
{
	for (guint i = 0; i < spool->segments->len; i++) {
		const struct segment *segment = g_ptr_array_index(spool->segments, i);
		bool says = segment->live_count > 0 || segment->kept || spool->checkpoint_wanted;

		if (segment->number < spool->pass.next || !says || segment->locked)
			continue;
		if (segment->number > spool->pass.last)
			break;
		if (segment->number != spool->pass.next)
			spool->pass.to = UINT64_MAX;
		if (segment == spool->tail)
			spool->pass.to = MIN(spool->pass.to, segment->end);
		return segment;
	}
	return NULL;
}

static void
begin_pass(struct spool *spool)
{
	spool->pass.active = true;
	spool->pass.start = spool->tail ? spool->tail->number : spool->next_number;
	/* What was lost may have been about the tail's own messages. */
	spool->pass.last = spool->pass.start - (spool->tail && spool->checkpoint_wanted ? 0 : 1);
	spool->pass.next = 0;
	spool->pass.to = UINT64_MAX;
	spool->pass.failures = spool->figures.sync_failures;
}

static void
checkpoint_step(struct spool *spool)
{
	const struct segment *segment;
	int r = 0;

	/* A copy in the tail counts from its sync on: not behind a STATE that does not have it. */
	if (spool->checkpoint_wanted && spool->tail && tail_sync(spool) < 0)
		return;
	if (!spool->pass.active || spool->checkpoint_wanted)
		begin_pass(spool);
	/* What was lost is said again before anything else is answered. */
	for (int n = 0; r == 0 && (n < STEP_STATES || spool->checkpoint_wanted); n++) {
		segment = next_of_pass(spool);
		if (!segment)
			break;
		r = write_state(spool, segment);
	}
	if (r == 0 && next_of_pass(spool))
		return;
	spool->pass.active = false;
	if (r == 0)
		r = tail_sync(spool);
	/* Part of it may have gone into a segment that failed on the way. */
	if (r < 0 || spool->figures.sync_failures != spool->pass.failures)
		return;
	spool->checkpoint = spool->pass.start;
	spool->checkpoint_wanted = false;
	find_free(spool);
}

static bool
worth_it(const struct spool *spool, uint64_t blocked)
{
	return blocked >= 2 * spool->segment_size && blocked >= 2 * spool->live.state_bytes;
}

/* ---- leaving ---- */

/* False: it stays, and is still the first to leave. */
static bool
delete_file(struct spool *spool, struct segment *segment)
{
	char path[SPOOL_PATH];
	int r;

	spool_segment_path(spool, segment->slot, path);
	r = segment->unreadable ? aside_move(spool, segment, path)
				: spool->io->remove(spool->io->arg, path);
	if (r == 0 || r == -ENOENT)
		r = spool->io->sync_folder(spool->io->arg, spool->directory);
	if (r < 0)
		return false;
	g_queue_pop_head(&spool->free);
	spool_segment_remove(spool, segment);
	return true;
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
		segment = g_queue_peek_head(&spool->free);
		if (!delete_file(spool, segment))
			return false;
	}
	return false;
}

bool
reclaim_run(struct spool *spool)
{
	uint64_t blocked = spool->reclaim_due ? find_free(spool) : 0;

	if (!spool->reclaim_due && !spool->checkpoint_wanted && !spool->pass.active)
		return false;
	if (spool->pass.active || spool->checkpoint_wanted || worth_it(spool, blocked))
		checkpoint_step(spool);
	spool->reclaim_due = trim(spool);
	spool->figures.free_segments = spool->free.length;
	return spool->reclaim_due || spool->pass.active;
}

struct segment *
reclaim_first(struct spool *spool)
{
	struct segment *segment = g_queue_peek_head(&spool->free);

	return segment && !segment->unusable ? segment : NULL;
}

void
reclaim_taken(struct spool *spool, struct segment *segment)
{
	g_queue_pop_head(&spool->free);
	spool_segment_remove(spool, segment);
}
