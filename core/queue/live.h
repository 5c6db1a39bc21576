/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.h - the spool's index of unfinished messages: where each lies and how its recipients stand.
 *
 * Owned by the committer (by recovery before that runs), but for live_place(). It is what STATE
 * records are written from, and where compaction looks for what to move.
 */
#ifndef CORE_QUEUE_LIVE_H
#define CORE_QUEUE_LIVE_H

#include <core/queue/record.h>
#include <core/queue/segment.h>
#include <pthread.h>

struct live_index {
	void *table;          /* GHashTable: id -> struct live */
	pthread_mutex_t lock; /* of places and of the table's changes, against live_place() */
	uint64_t bytes;       /* records of all */
	uint64_t state_bytes; /* about what STATE records for all would take */
};

struct live {
	char id[ITEM_ID_SIZE];
	struct segment *segment;
	struct live *next, **link; /* of the segment's */
	uint64_t offset, length;
	uint64_t first; /* the oldest segment that may still have a record of it */
	uint32_t recipients;
	bool effects_done;
	struct pn_slice *states; /* as in the last mark; NULL: none yet */
};

void live_init(struct live_index *index);
void live_clear(struct live_index *index);
/* Moves everything of `from`, which is cleared, to `into`; an id that is there already is dropped.
 */
void live_merge(struct live_index *into, struct live_index *from);
size_t live_count(const struct live_index *index);
/* `place` is copied; an id that is there already is left as it is. */
void live_add(struct live_index *index, struct segment *segment, const char *id,
    const struct spool_place *place, size_t recipients);
struct live *live_find(const struct live_index *index, const char *id);
/* The fields of a MARK. */
void live_apply(struct live_index *index, struct live *live, struct pn_slice head);
/* `by`, which has `replaces`, is durable: STATE records say so from now on. */
void live_take_over(struct live_index *index, const struct item *by);
void live_remove(struct live_index *index, struct live *live);
/* Its record is there from now on. */
void live_move(struct live_index *index, struct live *live, struct segment *segment,
    uint64_t offset, uint64_t length);
/* From any thread: where the message lies now. False: it is not unfinished. */
bool live_place(struct live_index *index, const char *id, struct spool_place *ret);
/* The fields of a MARK that says all that was said so far. */
void live_put_states(const struct live *live, struct field_writer *writer);
/* One RECORD_LIVE field. */
void live_put(const struct live *live, struct field_writer *writer);

#endif
