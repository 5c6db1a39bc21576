/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail.c - the segment that is being written.
 *
 * Called by the committer only. Collects records for one pwritev, syncs them, and begins the next
 * segment. It never writes to a segment again after a write or a sync of it failed.
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/queue/tail.h>
#include <errno.h>

#define RETRY_MS 1000 /* after a new segment failed at once */

static int
answer_code(int r)
{
	return r == 0 || r == -ENOSPC ? r : r == -EDQUOT ? -ENOSPC : -EIO;
}

void
tail_reply(struct spool *spool, struct spool_request *request, int r)
{
	request->result = answer_code(r);
	request->next = NULL;
	if (spool->answers)
		spool->last_answer->next = request;
	else
		spool->answers = request;
	spool->last_answer = request;
}

void
tail_answer(struct spool *spool, struct spool_op *op, int r)
{
	tail_reply(spool, op->request, r);
	spool_op_free(op);
}

void
tail_not_before(struct spool *spool, int r)
{
	spool->retry_at_ms = clock_monotonic_ms() + RETRY_MS;
	spool->retry_error = answer_code(r);
}

/* ---- giving up ---- */

static void
refuse_all(struct spool *spool, struct spool_ops *ops, int r)
{
	struct spool_op *op;

	while ((op = spool_ops_take(ops))) {
		if (!op->request) {
			/* A copy was not: the message lies where it lay. */
			spool->copying -= spool_op_has_message(op);
			spool_op_free(op);
			continue;
		}
		g_ptr_array_add(spool->refused, g_strdup(op->id));
		tail_answer(spool, op, r);
	}
}

/* One that never held anything durable is deleted: nothing of it counts. */
static void
delete_unsynced(struct spool *spool, struct segment *segment)
{
	char path[SPOOL_PATH];

	spool_segment_path(spool, segment->slot, path);
	spool->io->remove(spool->io->arg, path);
	spool->io->sync_folder(spool->io->arg, spool->directory);
	spool_segment_remove(spool, segment);
}

static void
abandon(struct spool *spool, int r)
{
	struct segment *segment = spool->tail;

	if (spool->refused->len == 0)
		spool->refused_at = segment->number;
	refuse_all(spool, &spool->unsynced, r);
	refuse_all(spool, &spool->stamped, r);
	spool->part_count = 0;
	tail_close(spool);
	spool->tail_dirty = false;
	segment->unusable = true;
	spool->failures++;
	spool->figures.sync_failures++;
	spool->checkpoint_wanted = spool->reclaim_due = true;
	if (!segment->synced) {
		tail_not_before(spool, r);
		delete_unsynced(spool, segment);
	}
}

/* ---- writing ---- */

int
tail_flush(struct spool *spool)
{
	struct spool_op *op;
	int r;

	if (spool->part_count == 0)
		return 0;
	r = segment_io_write_all(
	    spool->io, spool->tail_fd, spool->parts, spool->part_count, spool->parts_at);
	spool->part_count = 0;
	if (r < 0) {
		abandon(spool, r);
		return r;
	}
	while ((op = spool_ops_take(&spool->stamped))) {
		if (spool_op_has_message(op)) {
			spool_ops_add(&spool->unsynced, op);
			spool->tail_dirty = true;
		} else {
			spool_op_free(op);
		}
	}
	return 0;
}

static void
accept(struct spool *spool, struct spool_op *op)
{
	struct item *item;

	if (!op->request) {
		compact_accept(spool, op);
		spool_op_free(op);
		return;
	}
	item = op->request->item;
	item->place = (struct spool_place){ spool->tail->number, op->offset, op->length };
	live_add(&spool->live, spool->tail, op->id, &item->place, item->envelope.count);
	if (item->replaces[0])
		live_take_over(&spool->live, item);
	if (strcmp(op->id, spool->greatest_id) > 0)
		memcpy(spool->greatest_id, op->id, ITEM_ID_SIZE);
	spool->figures.appended++;
	tail_answer(spool, op, 0);
}

int
tail_sync(struct spool *spool)
{
	struct spool_op *op;
	int r;

	if (!spool->tail)
		return 0;
	r = tail_flush(spool);
	if (r < 0)
		return r;
	r = spool->io->sync(spool->io->arg, spool->tail_fd);
	if (r < 0) {
		abandon(spool, r);
		return r;
	}
	spool->tail_dirty = false;
	spool->tail->synced = true;
	spool->figures.commits++;
	while ((op = spool_ops_take(&spool->unsynced)))
		accept(spool, op);
	return 0;
}

uint64_t
tail_stored_length(const struct spool_op *op, bool encrypted)
{
	struct record_header header = op->header;

	if (encrypted)
		cipher_lengths(&header);
	return record_length(&header);
}

static void
add_part(struct spool *spool, const void *bytes, size_t len)
{
	if (len > 0)
		spool->parts[spool->part_count++] = (struct iovec){ (void *)(uintptr_t)bytes, len };
}

int
tail_add_clear(struct spool *spool, struct spool_op *op)
{
	static const char zeroes[RECORD_ALIGN];
	int r;

	if (op->large) {
		tail_window_reserve(spool, TAIL_WINDOW);
		r = tail_window_write(spool, op, &op->header);
		if (r < 0)
			return r;
		record_header_write(&op->header, op->encoded.data);
		tail_index_add(spool, op->encoded.data, op);
		add_part(spool, op->encoded.data, op->encoded.len);
		return 1;
	}
	if (op->unsummed)
		op->header.body_crc = text_crc32(0, op->body.data, op->body.len);
	record_header_write(&op->header, op->encoded.data);
	tail_index_add(spool, op->encoded.data, op);
	add_part(spool, op->encoded.data, op->encoded.len);
	add_part(spool, op->body.data, op->body.len);
	add_part(spool, zeroes, op->length - op->encoded.len - op->body.len);
	return 0;
}

int
tail_stamp(struct spool *spool, struct spool_op *op)
{
	struct segment *tail = spool->tail;
	int r;

	op->header.epoch = tail->epoch;
	op->header.sequence = spool->next_sequence++;
	op->offset = tail->end;
	op->length = tail_stored_length(op, spool->tail_cipher != NULL);
	if (spool->part_count == 0)
		spool->parts_at = tail->end;
	r = spool->tail_cipher ? tail_cipher_record(spool, op) : tail_add_clear(spool, op);
	if (r == -EBADMSG) /* nothing stands in the log of what could not be read */
		return -EIO;
	if (r < 0) {
		abandon(spool, r);
		return r;
	}
	tail->about = MIN(tail->about, op->about);
	tail->end += op->length;
	spool_ops_add(&spool->stamped, op);
	if (r > 0) /* a failure is answered to this one as well */
		(void)tail_flush(spool);
	return 0;
}

/* ---- from outside ---- */

/* `indexed`: with the index behind it; the first record of a segment goes before one. */
static bool
fits(const struct spool *spool, const struct spool_op *op, bool indexed)
{
	const struct segment *tail = spool->tail;
	bool message = spool_op_has_message(op);
	uint64_t room = message ? tail_mark_room(tail->size) : 0;

	/* A segment made for one large message is not kept by small ones. */
	if (message && tail->unusable && tail->end > tail->records_at)
		return false;
	/* Other keys are for the next message on. */
	if (message && spool->tail_turn != atomic_load(&spool->keys_turn))
		return false;
	if (indexed && tail->end > tail->records_at)
		room += tail_index_room(spool, op);
	return tail->end + tail_stored_length(op, spool->tail_cipher != NULL) + room <= tail->size;
}

/* A tail that has room for it. */
static int
make_room(struct spool *spool, const struct spool_op *op)
{
	int r;

	if (spool->tail && fits(spool, op, true))
		return 0;
	r = tail_begin(spool, tail_stored_length(op, true), spool_op_has_message(op));
	if (r == 0 || !spool->tail || !fits(spool, op, false))
		return r;
	/* No other segment is to be had: rather what is to be said than an index. */
	tail_index_drop(spool);
	return 0;
}

int
tail_write(struct spool *spool, struct spool_op *op)
{
	int r;

	for (;;) {
		r = make_room(spool, op);
		if (r < 0)
			return r;
		if (spool->part_count + 3 <= SPOOL_PARTS &&
		    (!op->large || spool->part_count == 0) &&
		    (!spool->tail_cipher || tail_cipher_room(spool, tail_stored_length(op, true))))
			break;
		/* If this fails the tail is gone, and the loop ends at MOST_FAILURES. */
		(void)tail_flush(spool);
	}
	return tail_stamp(spool, op);
}

void
tail_settle(struct spool *spool)
{
	/* Beginning a segment writes them. */
	if (spool->refused->len > 0 && !spool->tail)
		(void)tail_begin(spool, 0, false);
}

void
tail_close(struct spool *spool)
{
	if (spool->tail)
		spool->io->close(spool->io->arg, spool->tail_fd);
	cipher_free(&spool->tail_cipher);
	spool->tail = NULL;
}
