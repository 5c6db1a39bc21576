/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.h - accepted mail on disk: an append-only log of records in recycled segments.
 *
 * One committer thread writes and syncs everything (group commit). Loops hand it requests and get
 * them back, done, on their own thread. What a loop gives is written as soon as that loop has
 * nothing else to do: a busy relay syncs many with one call, an idle one never waits. Nothing is
 * answered as durable before fdatasync returned. A failed sync is final for that
 * segment: it is abandoned, everyone waiting gets the error.
 *
 * Record formats stand in record.h. Nothing outside core/queue knows a file name of it.
 */
#ifndef CORE_QUEUE_SPOOL_H
#define CORE_QUEUE_SPOOL_H

#include <core/net/loop.h>
#include <core/queue/item.h>

struct keyring;
struct spool;
struct segment_io;

struct spool_settings {
	const char *directory;
	uint64_t segment_size;       /* bytes; larger messages get a segment of their own */
	uint64_t reserve;            /* free bytes below which appends answer -ENOSPC */
	uint32_t gather_us;          /* most that records wait while their loop is busy */
	const struct segment_io *io; /* NULL: the real file system */
	struct keyring *keys;        /* the first one encrypts; NULL: in clear. Held by the spool */
	bool no_index;               /* segments get none, and none is read: for measurements */
	/* From any thread: spool_read() found a message damaged, which was set aside under this
	 * path. NULL: nobody wants to know. */
	void (*damaged)(void *arg, const char *aside, const char *what);
	void *arg;
};

/*
 * Called while opening, in the order of the log, for every message that is not finished; all its
 * recipients may be final already, when only what follows the last mark was lost.
 */
struct spool_recovery {
	void (*item)(void *arg, struct item *item); /* takes the item; its bytes are NULL */
	/*
	 * A record that cannot be read was set aside under this path, or a file was left alone:
	 * also a segment whose key is not among the spool's, which is then named.
	 */
	void (*damaged)(void *arg, const char *aside, const char *what);
	void *arg;
};
/*
 * -EBUSY: another process has it; -EPROTONOSUPPORT: a newer version wrote it. What is damaged is
 * set aside and never a reason to fail.
 */
int spool_open(const struct spool_settings *settings, const struct spool_recovery *recovery,
    struct spool **ret, struct pn_error *err);
/*
 * The same for a process that follows another one, which may still be writing: takes messages at
 * once, into segments of its own. spool_inherit() reads the others. -EBUSY: a third one follows.
 */
int spool_follow(const struct spool_settings *settings, struct spool **ret, struct pn_error *err);
/*
 * Once after spool_follow(): in a thread of its own waits for the end of the process before, reads
 * what that and others left, and calls `item` and `damaged` there; then `done`. r: 0; -ECANCELED:
 * spool_stop() came first; or as spool_open(), then nothing was handed out.
 */
int spool_inherit(struct spool *spool, const struct spool_recovery *recovery,
    void (*done)(void *arg, int r, const struct pn_error *err), struct pn_error *err);
/*
 * Commits what was given, syncs, ends the thread; what is given from now on is never answered.
 * Other threads may still call the spool.
 */
void spool_stop(struct spool *spool);
/* The same, and frees it: nobody may call it any more. */
void spool_close(struct spool **spool);

/*
 * From any thread: other keys, from the next message on; NULL: in clear. A key that is gone still
 * opens what it encrypted until the process ends; `needed` is told on the committer's thread which
 * of those some segment was encrypted with. It must not block; `arg` lives as long as the spool.
 * -ENOMEM: nothing has changed.
 */
int spool_set_keys(struct spool *spool, struct keyring *keys,
    void (*needed)(void *arg, const char *key), void *arg);

struct spool_request {
	struct loop_task task;      /* used by the spool */
	struct spool_request *next; /* used by the spool */
	int result;                 /* used by the spool */
	struct loop *loop;          /* NULL: `done` runs on the committer and must not block */
	/* On `loop`. r: 0 durable; -ENOSPC, -EIO: not accepted, and never will be delivered. */
	void (*done)(struct spool_request *request, int r);
	struct item *item;
};
/*
 * From any thread: makes the item durable. item->place is filled in before `done`. Recipients that
 * it takes over from another item (`replaces`) are REPLANNED there in the same moment; they need no
 * mark.
 */
void spool_append(struct spool *spool, struct spool_request *request);

/*
 * Marks: written when their loop comes to rest, not waited for, synced by the next commit. From the
 * item's loop; what they say is copied before the call returns.
 */
/* States of the recipients with these indices as they now stand (delivered, failed, deferred ...).
 */
void spool_mark(
    struct spool *spool, const struct item *item, const uint32_t *indices, size_t count);
/* The committed hooks ran. */
void spool_mark_effects(struct spool *spool, const struct item *item);
/*
 * Answers when all marks that this thread has given before are durable; request->item is not used.
 * -EIO: a sync failed, and the last of them may be lost in a crash.
 */
void spool_sync(struct spool *spool, struct spool_request *request);
/* All recipients are final: the record's space may be reused. Call it after the last mark. */
void spool_finish(struct spool *spool, const struct item *item);

/*
 * Reads the item's bytes back. Blocks: on a policy thread, not a loop. -EIO, -ENOMEM (the budget);
 * -EBADMSG: damaged, and set aside in the spool's folder corrupt/.
 */
int spool_read(struct spool *spool, const struct item *item, struct mail_bytes **ret);

struct spool_figures {
	uint64_t appended, commits, marks, sync_failures, segments, free_segments, live_bytes,
	    moved; /* messages, by compaction */
	/* Segments read at start: by the index at their end, and from one end to the other. */
	uint64_t indexed, scanned;
};
void spool_figures(struct spool *spool, struct spool_figures *ret);

#endif
