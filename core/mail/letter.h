/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letter.h - writes what Postern has to say in its own words: plain text (RFC 5322, RFC 3834).
 *
 * Pure: words in, bytes out. Whom it goes to, and whether, is for whoever puts it into the outbox.
 */
#ifndef CORE_MAIL_LETTER_H
#define CORE_MAIL_LETTER_H

#include <core/mail/message.h>

struct letter {
	const char *id; /* in its Message-ID, before the relay's name */
	int64_t wall_us;
	const char *sender; /* "": null */
	const char *const *recipients;
	size_t count;
	const char *subject; /* one line of UTF-8 */
	const char *text;    /* UTF-8, lines that end with LF */
};

/* -EINVAL with the text: what the subject or the text must not be. */
int letter_check(const char *subject, const char *text, struct pn_error *err);
/* For one that was checked, with addresses that were. -ENOMEM and the like. */
int letter_write(const struct letter *letter, const char *relay_name, struct mail_bytes **ret);

#endif
