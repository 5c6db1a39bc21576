/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.h - the code that a relay runs, posternd and modules: which files, and have they changed?
 *
 * Children are started from the very posternd that is in force, though another one may have its
 * path by now: what was replaced is taken all at once, by an upgrade. Main thread of the master.
 */
#ifndef CORE_MASTER_CODE_H
#define CORE_MASTER_CODE_H

#include <core/master/checker.h>

struct code {
	char *path;  /* of posternd */
	int program; /* it, open as a path */
	struct arena arena;
	struct code_file *files;
	size_t count, room;
	struct buf changed; /* paths as of the last look, a line each */
};

/* The posternd that runs now. Owner of `ret` from the call on. */
int code_own(struct code *ret, struct pn_error *err);
/* What is on disk where `now` came from. The same. */
int code_newest(const struct code *now, struct code *ret, struct pn_error *err);
/* A relay starts: it loads the modules of this answer as they are at this moment. */
void code_begin(struct code *code, const struct checker_answer *answer);
/* A reload: it loads those that are new. */
void code_add(struct code *code, const struct checker_answer *answer);
/* True if `changed` is no longer what it was at the last look; logs each file once. */
bool code_look(struct code *code);
void code_free(struct code *code);

#endif
