/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - commands that a module adds to `posternctl`.
 *
 * They run in posternctl itself, as the user who called it, with the module's settings, also while
 * the relay is stopped; the database is open for writing. One thread. Return 0, or a negative errno
 * with the text in `err`; posternctl prints it and exits with its documented code.
 */
#ifndef POSTERN_COMMAND_H
#define POSTERN_COMMAND_H

#include <postern/base.h>

struct pn_call;
struct pn_console;

struct pn_command {
	const char *name;      /* "user passwd": the words after posternctl; NULL ends the table */
	const char *arguments; /* "ADDRESS" for the usage line */
	const char *help;      /* one sentence */
	int min_arguments, max_arguments;
	int (*run)(struct pn_call *call, struct pn_console *console, int argc, char **argv,
	    struct pn_error *err);
};

/*
 * A result is rows of named fields: a table for people, JSON under --json. Begin a row, put its
 * fields; a row ends with the next one or with the command.
 */
PN_PUBLIC void pn_console_row(struct pn_console *console);
PN_PUBLIC void pn_console_field(struct pn_console *console, const char *name, const char *value);

/*
 * Asks for a secret: without echo on a terminal (twice if `confirm`), else one line of standard
 * input. Written to `buf` with a NUL; -E2BIG if it does not fit, -EINVAL if the two differ.
 * The caller wipes `buf`.
 */
PN_PUBLIC int pn_console_secret(struct pn_console *console, const char *prompt, bool confirm,
    char *buf, size_t size, struct pn_error *err);

/*
 * What the audit log is to say of the change that this command makes next: who and when are known.
 * Never a secret. `user` NULL: for everybody; `before`, `after` NULL: nothing. Without it the row
 * says the command's name and its arguments. To be called before the change. Since ABI 2.
 */
PN_PUBLIC void pn_audit(struct pn_call *call, const char *user, const char *object,
    const char *before, const char *after);

#endif
