/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash.h - whose fault a crash was: memory that a relay shares with its master.
 *
 * Each thread that runs hooks has a slot there. Before a hook its slot says which entry runs for
 * which message; after a crash the master reads the slot of the thread that crashed. What the
 * master has learnt from crashes stands in the same memory, and hooks are looked up there before
 * they run. Processes that have no master share nothing, and all of this does nothing.
 */
#ifndef CORE_POLICY_CRASH_H
#define CORE_POLICY_CRASH_H

#include <core/policy/txn.h>
#include <stdatomic.h>
#include <sys/types.h>

#define CRASH_SLOTS      1024 /* loops, policy threads, and those that hooks never came back to */
#define CRASH_KNOWN_MOST 256
#define CRASH_NAME       72
#define CRASH_HANGS      (-1) /* in place of a signal: a loop that did not turn any more */

#define CRASH_EXITS      (-2) /* exit() within a hook */

/* Written by the relay: the master believes none of it without looking. */
struct crash_culprit {
	char entry[CRASH_NAME], module[CRASH_NAME];
	char id[ITEM_ID_SIZE]; /* "" before MAIL */
	int32_t stage;
	int32_t
	    of_message; /* the fingerprint is that of a message, not of a client or an envelope */
	uint64_t fingerprint;
};

struct crash_slot {
	_Atomic int32_t pid;     /* of the process that uses it; 0: free */
	_Atomic int32_t tid;     /* of the thread */
	_Atomic uint32_t inside; /* a hook runs */
	_Atomic int32_t
	    signal; /* of the crash inside the hook, CRASH_HANGS or CRASH_EXITS; 0: none */
	struct crash_culprit culprit;
};

/* Written by the master alone. A row without fingerprint is about all that the entry does. */
struct crash_known {
	_Atomic uint32_t used;
	char entry[CRASH_NAME];
	int32_t stage; /* PN_STAGE_END: all */
	uint64_t fingerprint;
};

struct crash_memory {
	_Atomic uint32_t known_count; /* rows that may be in use */
	struct crash_known known[CRASH_KNOWN_MOST];
	struct crash_slot slots[CRASH_SLOTS];
};

/* Takes the descriptor. From now on crashes of this process are noted. Main thread, once. */
int crash_open(int fd, struct pn_error *err);

enum crash_rule {
	CRASH_RUN,
	CRASH_REFUSE,  /* this very message has crashed this entry twice */
	CRASH_DISABLED /* the entry crashes too often, whatever the message */
};
enum crash_rule crash_rule(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage);
/* The hook begins and ends on this thread. */
void crash_enter(const struct chain_entry *entry, struct pn_txn *txn, int32_t stage);
void crash_leave(void);
/*
 * A thread of this process does not come back from its hook, and the process is to end for that:
 * blames the hook and returns whose it was, NULL where the thread is in none. Valid until the end.
 */
const struct crash_culprit *crash_blame(pid_t tid);
/* What is the same for the same message: of the client before MAIL, of sender, size and header. */
uint64_t crash_fingerprint(struct pn_txn *txn, int32_t stage);

/* Calls `each` with the id of each entry that is not run any more. */
void crash_each_disabled(void (*each)(void *arg, const char *entry), void *arg);

#endif
