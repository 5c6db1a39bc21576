/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - one crypt helper: starting and ending it. For pool.c. */
#ifndef CORE_CRYPT_PROCESS_H
#define CORE_CRYPT_PROCESS_H

#include <postern/base.h>
#include <sys/types.h>

struct process {
	pid_t pid;      /* 0: none */
	int fd;         /* the socket */
	char home[128]; /* its folder */
};

/* Its home goes below `folder`, or where that cannot be had, below /tmp. */
int process_start(const char *folder, struct process *ret, struct pn_error *err);
/*
 * Ends it and whatever it has started, and removes its home. The status, as from waitpid. `kindly`:
 * it has nothing to do and leaves by itself.
 */
int process_end(struct process *process, bool kindly);
/* Removes homes of processes that are gone, once for each folder. */
void process_sweep(const char *folder);

#endif
