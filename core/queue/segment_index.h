/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_index.h - the index at a segment's end: its records once more, without their bodies, so
 * that a start need not read those. See INDEX in record.h.
 *
 * tail_index.c writes it, recovery.c reads it. It says nothing that the records do not say.
 */
#ifndef CORE_QUEUE_SEGMENT_INDEX_H
#define CORE_QUEUE_SEGMENT_INDEX_H

#include <core/queue/scan.h>

#define SEGMENT_INDEX_TRAILER 32u
#define SEGMENT_INDEX_SHARE   8u /* of a segment's bytes at most: 1/8 */
#define SEGMENT_INDEX_MOST    (8u * 1024 * 1024)

/* Bytes that the index of such a segment may have; no reader takes more. */
uint64_t segment_index_most(uint64_t segment_size);
/* For the record of that header, as it is stored, and its head in clear. -E2BIG, -ENOMEM. */
int segment_index_add(struct buf *index, const char header[RECORD_HEADER], struct pn_slice head);
/* `offset`: where the index's record begins. */
void segment_index_trailer(uint64_t epoch, uint64_t offset, char ret[SEGMENT_INDEX_TRAILER]);

struct segment_index;
/*
 * Reads that of a whole segment and checks all of it: 1, with an index to be freed, which borrows
 * `segment` and `cipher`. 0: there is none; -EBADMSG: there is, and it is damaged; other errors are
 * those of the disk. `size`: of the file.
 */
int segment_index_read(const struct segment_io *io, int fd, const struct segment *segment,
    struct cipher *cipher, uint64_t size, struct segment_index **ret);
/* Hands out what scan_segment() would, itself as well, but bodies are not looked at. As that. */
int segment_index_walk(const struct segment_index *index, const struct scan_handler *handler);
void segment_index_free(struct segment_index **index);

#endif
