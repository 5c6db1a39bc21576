/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - starting and ending the master's children. Each is posternd itself, executed anew. */
#ifndef CORE_MASTER_CHILD_H
#define CORE_MASTER_CHILD_H

#include <postern/base.h>
#include <sys/types.h>

/* Where a child finds its channel. */
#define CHILD_CHANNEL 3

struct child {
	pid_t pid; /* 0: none */
	int fd;    /* the master's end of the channel, -1: none */
};

/*
 * Runs `program`, a posternd's descriptor, as "posternd --child=ROLE" with fresh memory and no
 * descriptors but 0-2 and the channel. A child that neither takes nor says anything for
 * `patience_s` in the middle of a frame is not waited for: sending and receiving fail with -EAGAIN
 * or -EPROTO.
 */
int child_start(
    int program, const char *role, int patience_s, struct child *ret, struct pn_error *err);
/* Closes the channel and waits; for children that end by themselves when it closes. */
void child_end(struct child *child);

#endif
