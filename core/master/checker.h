/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checker.h - a short-lived, unprivileged child that loads modules and checks a configuration.
 *
 * The master runs it for every start and reload and believes its answer about addresses, folders
 * and the user, which it then re-checks by using them.
 */
#ifndef CORE_MASTER_CHECKER_H
#define CORE_MASTER_CHECKER_H

#include <core/base/arena.h>
#include <core/base/buf.h>
#include <core/net/listener.h>

#define CHECKER_LISTENERS_MOST 60

struct checker_listener {
	const char *name, *address;
	struct listener_access access; /* of a unix socket */
};

/* What the master needs to know of an accepted configuration; strings in `arena`. */
struct checker_answer {
	struct arena arena;
	const char *user; /* NULL: nobody */
	const char *state_directory, *run_directory;
	int log_level, log_format;
	struct checker_listener listeners[CHECKER_LISTENERS_MOST];
	size_t listener_count;
	const char **files; /* every file that was read */
	size_t file_count;
	const char **modules; /* the files that they were loaded from */
	size_t module_count;
	struct buf diagnostics; /* errors and warnings, a line each; also when checker_run fails */
	struct buf blobs;       /* what modules compiled meanwhile; may be empty */
	struct buf bundle; /* every file that was read; the master wipes it when it is replaced */
};

/*
 * Starts `program`, a posternd, and answers its questions. 0, -EINVAL when the configuration has
 * errors (their number is in `err`), or another negative errno. `ret` is to be freed in every case.
 */
int checker_run(int program, const char *folder, const char *modules, struct checker_answer *ret,
    struct pn_error *err);
void checker_answer_free(struct checker_answer *answer);

/* The child: posternd --child=checker, channel on descriptor 3. Exit status. */
int checker_main(void);

#endif
