/* SPDX-License-Identifier: Apache-2.0 */
/* dovecot_line.h - a line that Dovecot's auth service says to its client. Memory only. */
#ifndef MODULES_AUTH_DOVECOT_LINE_H
#define MODULES_AUTH_DOVECOT_LINE_H

#include <postern/base.h>

enum dovecot_word {
	DOVECOT_OTHER, /* nothing that concerns us */
	DOVECOT_DONE,  /* the greeting is over */
	DOVECOT_OLD,   /* a protocol of another major version */
	DOVECOT_OK,
	DOVECOT_NO,   /* also an OK to somebody who may not log in here */
	DOVECOT_DOWN, /* it could not find out */
};

struct dovecot_line {
	enum dovecot_word word;
	struct pn_slice user; /* OK: the user's name, as it is written there; empty: not said */
};

/* Of answers, those to the request `id` count. Slices of `line`, which has no line end. */
void dovecot_line_read(struct pn_slice line, const char *id, struct dovecot_line *ret);

#endif
