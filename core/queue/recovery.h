/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.h - what the files share that read the log at start: recovery.c (segments, handing out),
 * recovery_read.c (what records say), recovery_state.c (STATE records). Nobody else includes it.
 */
#ifndef CORE_QUEUE_RECOVERY_H
#define CORE_QUEUE_RECOVERY_H

#include <core/queue/scan.h>
#include <core/queue/spool_core.h>
#include <core/queue/takeover.h>

/*
 * A record of an unfinished message. There are several of one that was moved: the last one counts,
 * unless a STATE says that the message is not there (the copy's sync failed, say). Then it is where
 * it was before.
 */
struct place {
	struct pending *pending;
	struct segment *segment;
	uint64_t offset, length;
	struct place *older;
	GList link; /* of the segment's places, as they lie */
	bool kept;  /* by the STATE being read */
};
struct pending { /* a message without its FINISH so far */
	struct item *item;
	struct place *places; /* the last one first */
	bool damaged;         /* its bytes are; read on only for what it took over */
};

struct recovery {
	struct spool *spool;
	const struct spool_recovery *calls;
	struct pn_error *err;
	GHashTable *pending; /* id -> struct pending */
	struct takeovers takeovers;
	struct segment *segment; /* being read */
	int fd;
};

/* recovery.c */
void recovery_report(struct recovery *rec, const char *aside, const char *what);
/* Sets bytes of the segment aside; says so the first time only, not at every start. */
void recovery_set_aside(struct recovery *rec, uint64_t offset, uint64_t len, const char *what);

/* recovery_read.c: calls of a scan; `arg` is the struct recovery. */
int recovery_record(void *arg, const struct scan_record *record);
void recovery_damaged(void *arg, uint64_t offset, uint64_t len, const char *what);
/* NULL: finished, or never there. */
struct pending *recovery_find(struct recovery *rec, const char *id);
void recovery_drop(struct recovery *rec, struct pending *pending);
/* Takes the place from its message's list, and frees it. */
void recovery_drop_place(struct pending *pending, struct place **at);

/* recovery_state.c */
int recovery_state(struct recovery *rec, const struct scan_record *record);

#endif
