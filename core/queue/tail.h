/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail.h - what the files share that write the newest segment: tail.c (records, syncs, giving up),
 * tail_begin.c (the next segment), tail_cipher.c (encryption), tail_window.c (large bodies),
 * tail_index.c (the index at the end).
 * What others of the spool may call stands in spool_core.h. All on the committer's thread.
 */
#ifndef CORE_QUEUE_TAIL_H
#define CORE_QUEUE_TAIL_H

#include <core/queue/spool_core.h>

/* Of a segment of that size: what only marks may use, so that deliveries can be noted on a full
 * disk. */
static inline uint64_t
tail_mark_room(uint64_t size)
{
	return size / 64;
}

/* tail.c */
/* With padding, in a segment that is encrypted or not. */
uint64_t tail_stored_length(const struct spool_op *op, bool encrypted);
/* Puts the op at the end, where it fits. An error: it is still the caller's, the segment is given
 * up. */
int tail_stamp(struct spool *spool, struct spool_op *op);
/* Puts a record, its place and sequence set, into `parts`, in clear. As tail_cipher_record(). */
int tail_add_clear(struct spool *spool, struct spool_op *op);
/* No segment is begun for a while, and this is said meanwhile. */
void tail_not_before(struct spool *spool, int r);

/* tail_begin.c */
/*
 * A segment with room for a record of that length; `for_append`: only with space to spare. The one
 * before, synced, stays if there is none to be had: an error.
 */
int tail_begin(struct spool *spool, uint64_t length, bool for_append);

/*
 * tail_cipher.c: as tail_add_clear(), encrypted. 1: its body is written already, and the part is to
 * be flushed before another is added. Errors: nothing was added, and the segment is not to be
 * written again; -EBADMSG: the body could not be read, and the segment is none the worse for it.
 */
int tail_cipher_record(struct spool *spool, const struct spool_op *op);
/* Room for one of that length beside those in `parts`. */
bool tail_cipher_room(const struct spool *spool, uint64_t length);

/*
 * tail_window.c: a body that is written window by window, straight to its place behind the head,
 * and the zeroes behind it; its CRC is left in the header. Through `encrypted`, which must not be
 * in use. Errors as above.
 */
#define TAIL_WINDOW (1024u * 1024)
int tail_window_write(struct spool *spool, const struct spool_op *op, struct record_header *header);
void tail_window_reserve(struct spool *spool, size_t size);

/* tail_index.c */
/* A segment was begun: nothing is in its index yet. */
void tail_index_begin(struct spool *spool);
/* This segment gets none. */
void tail_index_drop(struct spool *spool);
/* For each record, with its header as it is stored. */
void tail_index_add(
    struct spool *spool, const char header[RECORD_HEADER], const struct spool_op *op);
/* Bytes to be left behind this one for an index that has it as well. */
uint64_t tail_index_room(const struct spool *spool, const struct spool_op *op);
/*
 * Behind the last record, when all are synced and none follows: `sequence` is kept for it. Not
 * synced: it is checked before it is believed. An error is the file's end only.
 */
void tail_index_write(struct spool *spool, uint64_t sequence);

#endif
