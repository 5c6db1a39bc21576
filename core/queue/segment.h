/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - one file of the spool: its header, its name, its place in memory. See record.h. */
#ifndef CORE_QUEUE_SEGMENT_H
#define CORE_QUEUE_SEGMENT_H

#include <core/queue/cipher.h>
#include <core/queue/item.h>
#include <core/queue/segment_io.h>

#define SEGMENT_HEADER     512u  /* one copy */
#define SEGMENT_COPY_AT    4096u /* the second */
#define SEGMENT_RECORDS_AT 8192u
#define SEGMENT_LEAST      (64u * 1024) /* bytes of a file */

struct segment_header {
	uint64_t number, epoch, size, first_sequence, records_at;
	int64_t begun_us;
	char id_floor[ITEM_ID_SIZE];
	struct cipher_wrap wrap;
};

/* Makes the key that its records are encrypted with; after number and epoch are set. As
 * cipher_make().
 */
int segment_header_cipher(
    struct segment_header *header, const struct keyring *keys, struct cipher **ret);
void segment_header_write(const struct segment_header *header, char ret[SEGMENT_HEADER]);
/* -EBADMSG: not a header; -EPROTONOSUPPORT: from a newer version. */
int segment_header_read(const char bytes[SEGMENT_HEADER], struct segment_header *ret);
/* Writes both copies, unsynced. */
int segment_header_store(const struct segment_io *io, int fd, const struct segment_header *header);
/* Reads both copies and takes the newer valid one; errors as above. */
int segment_header_load(const struct segment_io *io, int fd, struct segment_header *ret);

struct live;

/* A segment in use or free. Only the committer changes one (recovery before it runs). */
struct segment {
	uint64_t slot; /* the file's name */
	uint64_t number, epoch, size, records_at;
	uint64_t end;      /* where the next record goes, while it is the tail */
	struct live *live; /* unfinished messages, the last one first */
	uint32_t live_count;
	struct cipher_wrap wrap;
	uint64_t live_bytes; /* of their records */
	void *places;        /* recovery's: a GQueue */
	/*
	 * The oldest segment about whose messages a record here says something; UINT64_MAX: none.
	 * Of what was read at start nothing is known: 0.
	 */
	uint64_t about;
	bool synced;     /* something in it is durable */
	bool unusable;   /* failed, or of another size: deleted instead of used again */
	bool unreadable; /* in part: kept in corrupt/ instead of deleted */
	bool free;
	bool unmovable; /* a message in it could not be read when it was to be moved */
	/*
	 * Encrypted with a key that is not here, or before one that is: what is in it is not known,
	 * and `live` is empty. It stays as it is, and so does what older processes wrote behind it.
	 */
	bool locked;
	bool kept; /* may have nothing unfinished, and stays because one before it is locked */
};

#endif
