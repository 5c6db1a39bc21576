/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_index.c - collects the index of the segment being written, and writes it when the next one
 * has begun.
 *
 * Called by the files of the tail, on the committer. Must never be in the way of a record: where
 * there is no room for an index, or it would be large beside the segment, there is none.
 */
#include <core/queue/segment_index.h>
#include <core/queue/tail.h>
#include <errno.h>

void
tail_index_begin(struct spool *spool)
{
	buf_reset(&spool->index);
	spool->index.ceiling = (size_t)segment_index_most(spool->tail->size);
	spool->indexing = !spool->no_index;
}

void
tail_index_drop(struct spool *spool)
{
	spool->indexing = false;
}

void
tail_index_add(struct spool *spool, const char header[RECORD_HEADER], const struct spool_op *op)
{
	struct pn_slice head = pn_slice(op->encoded.data + RECORD_HEADER, op->header.head_len);

	if (spool->indexing && segment_index_add(&spool->index, header, head) < 0)
		tail_index_drop(spool);
}

/* Of an index's record and the trailer. */
static uint64_t
stored_size(const struct spool *spool, size_t len)
{
	struct record_header header = { .header_len = RECORD_HEADER, .body_len = len };

	if (spool->tail_cipher)
		cipher_lengths(&header);
	return record_length(&header) + SEGMENT_INDEX_TRAILER;
}

uint64_t
tail_index_room(const struct spool *spool, const struct spool_op *op)
{
	size_t len = spool->index.len + RECORD_HEADER + op->header.head_len;

	/* With this one it is too large: there will be none. */
	if (!spool->indexing || len > spool->index.ceiling)
		return 0;
	return stored_size(spool, len);
}

/* What is locked may be about what is here; see record.h. */
static bool
is_locked(const struct spool *spool)
{
	for (guint i = 0; i < spool->segments->len; i++)
		if (((const struct segment *)g_ptr_array_index(spool->segments, i))->locked)
			return true;
	return false;
}

static int
write_record(struct spool *spool, struct spool_op *op)
{
	int r = spool->tail_cipher ? tail_cipher_record(spool, op) : tail_add_clear(spool, op);

	if (r >= 0)
		r = segment_io_write_all(
		    spool->io, spool->tail_fd, spool->parts, spool->part_count, op->offset);
	spool->part_count = 0;
	return r;
}

static int
write_trailer(struct spool *spool, uint64_t offset)
{
	const struct segment *tail = spool->tail;
	char bytes[SEGMENT_INDEX_TRAILER];
	struct iovec part = { bytes, sizeof(bytes) };

	segment_index_trailer(tail->epoch, offset, bytes);
	return segment_io_write_all(
	    spool->io, spool->tail_fd, &part, 1, tail->size - sizeof(bytes));
}

void
tail_index_write(struct spool *spool, uint64_t sequence)
{
	struct segment *tail = spool->tail;
	struct field_writer writer;
	struct spool_op *op;
	int r;

	if (!spool->indexing || spool->index.len == 0 || is_locked(spool) ||
	    stored_size(spool, spool->index.len) > tail->size - tail->end)
		return;
	tail_index_drop(spool); /* it does not list itself */
	op = spool_op_new(RECORD_CHECKPOINT);
	writer = (struct field_writer){ &op->encoded, 0 };
	op->unsummed = spool->tail_cipher != NULL;
	r = spool_op_finish(op, &writer, buf_slice(&spool->index));
	op->header.epoch = tail->epoch;
	op->header.sequence = sequence;
	op->offset = tail->end;
	op->length = tail_stored_length(op, spool->tail_cipher != NULL);
	if (r == 0)
		r = write_record(spool, op);
	if (r >= 0)
		r = write_trailer(spool, op->offset);
	if (r < 0) /* its last blocks are not to be trusted */
		tail->unusable = true;
	spool_op_free(op);
}
