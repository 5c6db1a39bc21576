/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_core.h - what the files of the spool share: spool.c (the calls of other threads),
 * committer.c (the thread), tail.h and what it names (the segment being written), reclaim.c (the
 * segments that are not), compact.c (messages moved out of them), read.c (messages read back),
 * recovery.c and scan.c (reading at start), inherit.c (the same beside the committer), spool_keys.c
 * (what encrypts and opens), aside.c. Nobody else includes it.
 */
#ifndef CORE_QUEUE_SPOOL_CORE_H
#define CORE_QUEUE_SPOOL_CORE_H

#include <core/queue/live.h>
#include <core/queue/spool.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

#define SPOOL_FREE_SEGMENTS 4u  /* kept to be used again */
#define SPOOL_PARTS         768 /* of one pwritev, below IOV_MAX */
#define SPOOL_GIVERS        16
#define SPOOL_PATH          4096
#define SPOOL_LOCK          "lock"
#define SPOOL_LOCK_NEXT     "lock.next"
#define SPOOL_WRITER        "writer"

/* Something to be written. Made by whoever asks, freed by the committer. */
struct spool_op {
	struct spool_op *next;
	struct spool_request *request;  /* of an append, NULL otherwise */
	struct buf encoded;             /* room for the header, then the head */
	struct pn_slice body;           /* the item's, or of `owned`; not copied */
	const struct mail_bytes *large; /* instead of it: read window by window */
	struct mail_bytes *owned;       /* held */
	struct record_header header;    /* all but epoch and sequence; in clear */
	bool unsummed;                  /* the body's CRC is left to who writes it */
	uint64_t offset, length;        /* in the segment */
	uint64_t about;                 /* see struct segment */
	char id[ITEM_ID_SIZE];          /* of an append, copy, mark or finish */
	/* No record: this is to be done on the committer's thread. */
	void (*run)(struct spool *spool, void *arg);
	void *run_arg;
};

struct spool_ops { /* first in, first out */
	struct spool_op *first, *last;
	size_t appends; /* those with a message: it counts only when they are synced */
};

/* A loop that gives records: it says when it has nothing else to do. */
struct spool_giver {
	struct loop_rest rest; /* touched by its loop only */
	struct spool *spool;
	const struct loop *loop;
};

struct spool_inbox {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	struct spool_ops ops;
	struct spool_giver givers[SPOOL_GIVERS];
	size_t giver_count;
	bool asleep, closing;
	bool due; /* what is there waits for no more */
};

struct spool {
	char *directory;
	uint64_t segment_size, reserve;
	uint32_t gather_us;
	const struct segment_io *io;
	bool no_index; /* at the ends of segments */
	void (*damaged)(void *arg, const char *aside, const char *what); /* see spool.h */
	void *damaged_arg;
	int lock_fd, next_lock_fd; /* -1: not held */
	uint64_t own_slot;         /* files from here on are of this process; see record.h, TWO */
	int64_t modified_us;       /* of the file that was written last */
	bool glance;               /* recovery_list() changes and reports nothing */
	const atomic_bool *cancel; /* recovery gives up; NULL: never */
	struct inherit *inherit;
	struct spool_inbox inbox;
	pthread_t thread;
	bool running, stopped;

	pthread_mutex_t table_lock; /* of the next three, against other threads */
	GPtrArray *segments;        /* of struct segment, by number; free ones too */
	struct keyring *keys;       /* the first one encrypts; NULL: in clear */
	struct keyring *known;      /* those and earlier ones; NULL: none */
	atomic_uint keys_turn;      /* grows with each change of `keys` */

	/* From here on only the committer, or recovery before it runs. */
	struct live_index live;
	GQueue free; /* of struct segment, in the order they leave */
	uint64_t next_number, next_slot, next_sequence;
	uint64_t own_number; /* of this process's first segment */
	char greatest_id[ITEM_ID_SIZE];
	uint64_t checkpoint; /* segments with a lower number are covered by STATE records */
	struct {
		bool active;
		uint64_t start;    /* what the checkpoint will be */
		uint64_t next, to; /* segment and offset that the next STATE goes up to */
		uint64_t last;     /* the youngest segment that it is about */
		uint64_t failures;
	} pass;                 /* the checkpoint being written */
	bool reclaim_due;       /* a segment has emptied, or a new one was begun */
	bool checkpoint_wanted; /* marks may have been lost */
	bool compact_due;       /* there may be something to move */
	uint64_t gone_bytes;    /* of messages that went since this was looked at last */
	size_t copying;         /* copies that are not synced yet */
	int64_t compact_at_ms;  /* nothing is moved before: there was no room */

	struct segment *tail; /* NULL: none yet, or the last one failed */
	int tail_fd;
	struct cipher *tail_cipher; /* NULL: in clear */
	unsigned tail_turn;         /* of the keys it was begun with */
	char *encrypted;            /* records of it that are in `parts` */
	size_t encrypted_len, encrypted_capacity;
	struct buf index; /* of the tail's records; see tail_index.c */
	bool indexing;    /* it has all of them */
	bool tail_dirty;  /* header or appends unsynced */
	struct iovec parts[SPOOL_PARTS];
	int part_count;
	uint64_t parts_at;
	struct spool_ops large;    /* not written yet: small ones go first */
	struct spool_ops stamped;  /* in `parts` */
	struct spool_ops unsynced; /* appends written but not synced */
	struct spool_request *answers, *last_answer;
	GPtrArray *refused;  /* ids for an ABORT record */
	uint64_t refused_at; /* the first segment they were written to */
	unsigned failures;   /* of segments, in this batch */
	int64_t retry_at_ms; /* no segment is begun before; this is said meanwhile */
	int retry_error;
	int64_t reserve_checked_ms;
	bool below_reserve;

	struct {
		_Atomic uint64_t appended, commits, marks, sync_failures, segments, free_segments,
		    live_bytes, moved, indexed, scanned;
	} figures;
};

void spool_ops_add(struct spool_ops *ops, struct spool_op *op);
struct spool_op *spool_ops_take(struct spool_ops *ops); /* NULL when empty */

/* A MESSAGE or a COPY. */
static inline bool
spool_op_has_message(const struct spool_op *op)
{
	return op->request || record_has_message(op->header.type);
}

/* An op with room for its header; the head is to be put into its `encoded`. */
struct spool_op *spool_op_new(uint8_t type);
/* Checks the writer, adds body, lengths and CRCs (not the body's if `unsummed` or `large`). */
int spool_op_finish(struct spool_op *op, const struct field_writer *writer, struct pn_slice body);
/* The body of a message for it. */
static inline struct pn_slice
spool_op_message(struct spool_op *op, const struct mail_bytes *bytes)
{
	op->large = bytes->rest ? bytes : NULL;
	return mail_bytes_front(bytes);
}
void spool_op_free(struct spool_op *op);

/* With settings, and nothing else. */
struct spool *spool_make(const struct spool_settings *settings);
/* "<directory>/<slot>.seg" */
void spool_segment_path(const struct spool *spool, uint64_t slot, char ret[SPOOL_PATH]);
void spool_segment_insert(struct spool *spool, struct segment *segment);
void spool_segment_remove(struct spool *spool, struct segment *segment); /* and frees it */

/* committer.c */
int committer_start(struct spool *spool, struct pn_error *err);
/* After all that was given; what is given later is neither written nor answered. */
void committer_stop(struct spool *spool);
void committer_free(struct spool *spool);
void committer_give(struct spool *spool, struct spool_op *op);

/*
 * tail.c. tail_write() puts a record at the end, beginning a segment where needed; an error means
 * that nothing was taken and the op is still the caller's. tail_flush() and tail_sync() answer 0 or
 * an error that was dealt with: segment abandoned, everyone waiting answered with it.
 */
int tail_write(struct spool *spool, struct spool_op *op);
int tail_flush(struct spool *spool);
int tail_sync(struct spool *spool);
/* Names refused messages in a new segment, if there are any left to name. */
void tail_settle(struct spool *spool);
void tail_answer(struct spool *spool, struct spool_op *op, int r); /* and frees the op */
void tail_reply(struct spool *spool, struct spool_request *request, int r);
void tail_close(struct spool *spool);

/* spool_keys.c */
/* The keys to encrypt with (NULL: none) and their turn; the caller's to release. */
struct keyring *spool_keys_hold(struct spool *spool, unsigned *ret_turn);
/* Opens a segment with what is known: 0 and NULL for one in clear; as cipher_open(). */
int spool_keys_open(struct spool *spool, const struct cipher_wrap *wrap, struct cipher **ret);

/* reclaim.c */
/* After each commit. True if there is more to do. */
bool reclaim_run(struct spool *spool);
/* The free segment to be used again next, or NULL. It leaves only when its file is overwritten. */
struct segment *reclaim_first(struct spool *spool);
/* It is, or its file is gone: forgotten and freed. */
void reclaim_taken(struct spool *spool, struct segment *segment);

/* compact.c */
/* Behind reclaim_run(). True if there is more to do, at the latest after a commit. */
bool compact_run(struct spool *spool);
/* The copy is durable: the message lies there from now on. */
void compact_accept(struct spool *spool, const struct spool_op *op);

/*
 * read.c: the parts of a record with a message, checked. -EBADMSG: damaged, or none is there (any
 * more); other errors are those of the disk.
 */
int read_header(const struct segment_io *io, int fd, const struct spool_place *place,
    uint64_t epoch, struct record_header *ret);
/* Appends it. */
int read_head(const struct segment_io *io, int fd, const struct spool_place *place,
    const struct record_header *header, struct cipher *cipher, struct buf *ret);
/* New bytes; what is large overflows, and is never in memory as a whole. Also -ENOMEM. */
int read_body(const struct segment_io *io, int fd, const struct spool_place *place,
    const struct record_header *header, struct cipher *cipher, struct mail_bytes **ret);

/* recovery_keys.c: locks what cannot be read; see `locked` of a segment. -ENOMEM. */
int recovery_lock(struct spool *spool, const struct spool_recovery *calls);

/* recovery.c */
int recovery_run(struct spool *spool, const struct spool_recovery *recovery, struct pn_error *err);

/* inherit.c */
/* Numbers of its own for a process that begins beside another one. */
int inherit_begin(struct spool *spool, struct pn_error *err);
/* Ends the thread, whatever it was doing. */
void inherit_stop(struct spool *spool);
/* "<directory>/<name>", one of the lock files. */
int inherit_lock(struct spool *spool, const char *name, int *ret_fd, struct pn_error *err);

/* recovery_list.c: fills `segments`, in order. */
int recovery_list(struct spool *spool, const struct spool_recovery *calls, struct pn_error *err);

/* aside.c: copies bytes of a segment to corrupt/; 1 new, 0 was there, or an error. */
int aside_keep(const struct spool *spool, int fd, uint64_t number, uint64_t offset, uint64_t len,
    char ret_path[SPOOL_PATH]);
/* Moves a whole one there. */
int aside_move(const struct spool *spool, const struct segment *segment, const char *path);

#endif
