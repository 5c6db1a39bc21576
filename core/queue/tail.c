/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail.c - the segment that is being written.
 *
 * Called by the committer only. Collects records for one pwritev, syncs them, and begins the next
 * segment. It never writes to a segment again after a write or a sync of it failed.
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#define MOST_FAILURES 2    /* segments given up in one batch */
#define RETRY_MS      1000 /* after a new segment failed at once */

/* Space that only marks may use, so that deliveries can be noted on a full disk. */
static uint64_t
mark_room(uint64_t size)
{
	return size / 64;
}

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

static void
not_before(struct spool *spool, int r)
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
		not_before(spool, r);
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

static uint64_t
stored_length(const struct spool_op *op, bool encrypted)
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

static int
add_clear(struct spool *spool, struct spool_op *op)
{
	static const char zeroes[RECORD_ALIGN];

	if (op->unsummed)
		op->header.body_crc = text_crc32(0, op->body.data, op->body.len);
	record_header_write(&op->header, op->encoded.data);
	add_part(spool, op->encoded.data, op->encoded.len);
	add_part(spool, op->body.data, op->body.len);
	add_part(spool, zeroes, op->length - op->encoded.len - op->body.len);
	return 0;
}

/* An error: the op is still the caller's, and the segment is given up. */
static int
stamp(struct spool *spool, struct spool_op *op)
{
	struct segment *tail = spool->tail;
	int r;

	op->header.epoch = tail->epoch;
	op->header.sequence = spool->next_sequence++;
	op->offset = tail->end;
	op->length = stored_length(op, spool->tail_cipher != NULL);
	if (spool->part_count == 0)
		spool->parts_at = tail->end;
	r = spool->tail_cipher ? tail_cipher_record(spool, op) : add_clear(spool, op);
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

/* ---- beginning the next segment ---- */

static int
fill_header(struct spool *spool, uint64_t size, struct segment_header *ret)
{
	*ret = (struct segment_header){
		.number = spool->next_number,
		.size = size,
		.first_sequence = spool->next_sequence,
		.records_at = SEGMENT_RECORDS_AT,
		.begun_us = clock_wall_us(),
	};
	memcpy(ret->id_floor, spool->greatest_id, ITEM_ID_SIZE);
	return getentropy(&ret->epoch, sizeof(ret->epoch)) < 0 ? -errno : 0;
}

static int
fill_file(struct spool *spool, int fd, const struct segment_header *header)
{
	const struct segment_io *io = spool->io;
	int r = io->allocate(io->arg, fd, header->size);

	if (r == 0)
		r = segment_header_store(io, fd, header);
	return r == 0 ? io->sync(io->arg, fd) : r;
}

/* A new file gets its name when its header is on disk, so a name means a header. */
static int
create(struct spool *spool, const struct segment_header *header, uint64_t slot)
{
	const struct segment_io *io = spool->io;
	char path[SPOOL_PATH], temporary[SPOOL_PATH + 8];
	int fd, r;

	spool_segment_path(spool, slot, path);
	snprintf(temporary, sizeof(temporary), "%.*s.new", (int)(strlen(path) - 4), path);
	fd = io->open(io->arg, temporary, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	r = fill_file(spool, fd, header);
	if (r == 0)
		r = io->rename(io->arg, temporary, path);
	if (r == 0)
		r = io->sync_folder(io->arg, spool->directory);
	if (r < 0) {
		io->close(io->arg, fd);
		io->remove(io->arg, temporary);
		io->remove(io->arg, path);
		return r;
	}
	return fd;
}

/* The header of a file used again is synced with the first records. */
static int
reuse(struct spool *spool, const struct segment_header *header, uint64_t slot, bool *ret_gone)
{
	const struct segment_io *io = spool->io;
	char path[SPOOL_PATH];
	int fd, r;

	spool_segment_path(spool, slot, path);
	fd = io->open(io->arg, path, O_RDWR);
	if (fd < 0)
		return fd;
	r = segment_header_store(io, fd, header);
	if (r < 0) {
		io->close(io->arg, fd);
		*ret_gone = io->remove(io->arg, path) == 0 &&
			    io->sync_folder(io->arg, spool->directory) == 0;
		return r;
	}
	*ret_gone = true;
	return fd;
}

static bool
space_for(struct spool *spool, uint64_t size)
{
	uint64_t left;

	return spool->io->free_bytes(spool->io->arg, spool->directory, &left) < 0 ||
	       (left >= size && left - size >= spool->reserve);
}

static uint64_t
size_for(const struct spool *spool, uint64_t length)
{
	uint64_t need = SEGMENT_RECORDS_AT + length;

	if (need + mark_room(spool->segment_size) <= spool->segment_size)
		return spool->segment_size;
	return (need + need / 63 + 2 * 4096) & ~(uint64_t)4095;
}

/* The header, with a key of its own where there are keys to wrap it. */
static int
fill_cipher_header(struct spool *spool, uint64_t size, struct segment_header *header,
    unsigned *ret_turn, struct cipher **ret)
{
	struct keyring *keys = spool_keys_hold(spool, ret_turn);
	int r = fill_header(spool, size, header);

	*ret = NULL;
	if (r == 0 && keys)
		r = segment_header_cipher(header, keys, ret);
	keyring_release(&keys);
	return r;
}

/* Finds a file for the next segment and writes its header. */
static int
obtain(
    struct spool *spool, const struct segment_header *header, bool for_append, struct segment **ret)
{
	uint64_t size = header->size, slot;
	struct segment *old = size == spool->segment_size ? reclaim_first(spool) : NULL, *segment;
	bool gone = false;
	int r;

	if (old) {
		slot = old->slot;
		r = reuse(spool, header, slot, &gone);
		/* Else it is still a segment of old, and first in the order of those that leave. */
		if (gone)
			reclaim_taken(spool, old);
	} else {
		if (for_append && !space_for(spool, size))
			return -ENOSPC;
		slot = spool->next_slot++;
		r = create(spool, header, slot);
	}
	if (r < 0)
		return r;
	segment = g_new0(struct segment, 1);
	*segment = (struct segment){ .slot = slot,
		.number = header->number,
		.epoch = header->epoch,
		.size = size,
		.records_at = header->records_at,
		.end = header->records_at,
		.about = UINT64_MAX,
		.wrap = header->wrap,
		.unusable = size != spool->segment_size };
	*ret = segment;
	return r;
}

static void
write_refused(struct spool *spool)
{
	struct spool_op *op = spool_op_new(RECORD_ABORT);
	struct field_writer writer = { &op->encoded, 0 };

	op->about = spool->refused_at;
	for (guint i = 0; i < spool->refused->len; i++)
		record_put_id(&writer, g_ptr_array_index(spool->refused, i));
	if (spool_op_finish(op, &writer, pn_slice(NULL, 0)) < 0 ||
	    spool->tail->end + stored_length(op, true) > spool->tail->size ||
	    stamp(spool, op) < 0) {
		spool_op_free(op);
		return;
	}
	if (tail_sync(spool) == 0)
		g_ptr_array_set_size(spool->refused, 0);
}

/* The old tail, synced, stays if there is no room for another. */
static int
begin(struct spool *spool, uint64_t length, bool for_append)
{
	struct segment_header header;
	struct segment *segment;
	struct cipher *cipher;
	unsigned turn;
	int fd;

	if (spool->failures >= MOST_FAILURES)
		return -EIO;
	if (clock_monotonic_ms() < spool->retry_at_ms)
		return spool->retry_error;
	/* A failure has been answered to those it concerned; this record goes into the next. */
	(void)tail_sync(spool);
	fd = fill_cipher_header(spool, size_for(spool, length), &header, &turn, &cipher);
	fd = fd < 0 ? fd : obtain(spool, &header, for_append, &segment);
	if (fd < 0) {
		cipher_free(&cipher);
		not_before(spool, fd);
		return fd;
	}
	tail_close(spool);
	spool->tail = segment;
	spool->tail_fd = fd;
	spool->tail_cipher = cipher;
	spool->tail_turn = turn;
	spool->tail_dirty = true;
	spool->next_number++;
	spool->reclaim_due = spool->compact_due = true;
	spool_segment_insert(spool, segment);
	if (spool->refused->len > 0)
		write_refused(spool);
	return spool->tail ? 0 : -EIO;
}

static bool
fits(const struct spool *spool, const struct spool_op *op)
{
	const struct segment *tail = spool->tail;
	bool message = spool_op_has_message(op);
	uint64_t room = message ? mark_room(tail->size) : 0;

	/* A segment made for one large message is not kept by small ones. */
	if (message && tail->unusable && tail->end > tail->records_at)
		return false;
	/* Other keys are for the next message on. */
	if (message && spool->tail_turn != atomic_load(&spool->keys_turn))
		return false;
	return tail->end + stored_length(op, spool->tail_cipher != NULL) + room <= tail->size;
}

int
tail_write(struct spool *spool, struct spool_op *op)
{
	int r;

	for (;;) {
		if (!spool->tail || !fits(spool, op)) {
			r = begin(spool, stored_length(op, true), spool_op_has_message(op));
			if (r < 0)
				return r;
		}
		if (spool->part_count + 3 <= SPOOL_PARTS &&
		    (!spool->tail_cipher || tail_cipher_room(spool, stored_length(op, true))))
			break;
		/* If this fails the tail is gone, and the loop ends at MOST_FAILURES. */
		(void)tail_flush(spool);
	}
	return stamp(spool, op);
}

void
tail_settle(struct spool *spool)
{
	/* Beginning a segment writes them. */
	if (spool->refused->len > 0 && !spool->tail)
		(void)begin(spool, 0, false);
}

void
tail_close(struct spool *spool)
{
	if (spool->tail)
		spool->io->close(spool->io->arg, spool->tail_fd);
	cipher_free(&spool->tail_cipher);
	spool->tail = NULL;
}
