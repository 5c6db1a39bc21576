/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_begin.c - begins the next segment: a file of its own, or one that is free, with a new
 * header.
 *
 * Called by tail.c, on the committer. Whatever fails here leaves the segment before as it was, to
 * be written on. Must never overwrite a file but the first of those that reclaim.c lets go.
 */
#include <core/base/clock.h>
#include <core/queue/tail.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#define MOST_FAILURES 2 /* segments given up in one batch */

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

	if (need + tail_mark_room(spool->segment_size) <= spool->segment_size)
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
	    spool->tail->end + tail_stored_length(op, true) > spool->tail->size ||
	    tail_stamp(spool, op) < 0) {
		spool_op_free(op);
		return;
	}
	if (tail_sync(spool) == 0)
		g_ptr_array_set_size(spool->refused, 0);
}

int
tail_begin(struct spool *spool, uint64_t length, bool for_append)
{
	struct segment_header header;
	struct segment *segment;
	struct cipher *cipher;
	uint64_t sequence;
	unsigned turn;
	int fd;

	if (spool->failures >= MOST_FAILURES)
		return -EIO;
	if (clock_monotonic_ms() < spool->retry_at_ms)
		return spool->retry_error;
	/* A failure has been answered to those it concerned; this record goes into the next. */
	(void)tail_sync(spool);
	sequence = spool->next_sequence++; /* of the index, before those that follow */
	fd = fill_cipher_header(spool, size_for(spool, length), &header, &turn, &cipher);
	fd = fd < 0 ? fd : obtain(spool, &header, for_append, &segment);
	if (fd < 0) {
		cipher_free(&cipher);
		tail_not_before(spool, fd);
		return fd;
	}
	if (spool->tail)
		tail_index_write(spool, sequence);
	tail_close(spool);
	spool->tail = segment;
	spool->tail_fd = fd;
	spool->tail_cipher = cipher;
	spool->tail_turn = turn;
	spool->tail_dirty = true;
	tail_index_begin(spool);
	spool->next_number++;
	spool->reclaim_due = spool->compact_due = true;
	spool_segment_insert(spool, segment);
	if (spool->refused->len > 0)
		write_refused(spool);
	return spool->tail ? 0 : -EIO;
}
