/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crashes.h - what the master learns from relays that crash, and tells those that follow.
 *
 * A message that has crashed an entry twice is refused for now before it gets there again; an entry
 * that crashes more often is not run any more until the next reload, its on_fault speaks.
 * A relay that was killed says nothing of why: what was inside its hooks counts as crashes only
 * where the same message was inside the same hook when the relay before it was killed.
 */
#ifndef CORE_MASTER_CRASHES_H
#define CORE_MASTER_CRASHES_H

#include <core/master/child.h>
#include <core/policy/crash.h>

#define CRASHES_MESSAGES 192 /* the oldest is forgotten first */
#define CRASHES_ENTRIES  (CRASH_KNOWN_MOST - CRASHES_MESSAGES)
#define CRASHES_MANY     3     /* crashes of an entry ... */
#define CRASHES_MS       60000 /* ... within so long */
#define CRASHES_TWICE    2
#define CRASHES_SUSPECTS 256 /* of one death */

struct crashes_message {
	struct crash_culprit culprit;
	unsigned count; /* 0: free */
	int64_t last_ms;
};

struct crashes_entry {
	char entry[CRASH_NAME]; /* "": free */
	int64_t at_ms[CRASHES_MANY];
	unsigned count;
};

/* Who was inside when a relay was killed: by the OOM killer, or by somebody. */
struct crashes_suspects {
	size_t count;
	struct crash_culprit items[CRASHES_SUSPECTS];
};

struct crashes {
	int fd;
	struct crash_memory *memory;
	struct crashes_message messages[CRASHES_MESSAGES];
	struct crashes_entry entries[CRASHES_ENTRIES];
	struct crashes_suspects suspects; /* of the last death, if that was a kill */
};

int crashes_open(struct crashes *crashes, struct pn_error *err);
void crashes_close(struct crashes *crashes);
/* The first frame that a relay gets. */
int crashes_hand_over(const struct crashes *crashes, const struct child *child);
/*
 * A relay has ended: logs who did it, learns from it, and takes its slots back. `killed`: by a
 * SIGKILL that was not the master's.
 */
void crashes_note(struct crashes *crashes, pid_t pid, bool killed, int64_t now_ms);
/* A new configuration: entries have another chance, with all that is no message: clients, senders,
 * ticks. */
void crashes_forgive(struct crashes *crashes);

#endif
