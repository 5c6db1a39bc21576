/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn_text.h - writes the lines of what Postern says itself: wrapped, clean, CRLF.
 *
 * For dsn.c, dsn_parts.c and letter.c alone.
 */
#ifndef CORE_MAIL_DSN_TEXT_H
#define CORE_MAIL_DSN_TEXT_H

#include <core/base/arena.h>
#include <core/base/buf.h>

struct dsn_text {
	struct buf buf;
	struct arena arena; /* for clean copies */
	bool utf8;          /* UTF-8 may stand in it (RFC 6533) */
	int r;              /* the first failure; nothing is written after it */
};

void dsn_text_printf(struct dsn_text *text, const char *format, ...) PN_PRINTF(2, 3);
/*
 * "lead words", wrapped at blanks where a line grows past 78; a word that fits no line is cut. With
 * `indent` new lines begin with it in the place of the blanks; without (NULL) the blanks stay, as
 * the fold of a header wants it.
 */
void dsn_text_wrap(struct dsn_text *text, const char *lead, const char *indent, const char *words);
/* A header field with a date. */
void dsn_text_date(struct dsn_text *text, const char *name, int64_t wall_us);
/* Without line ends, controls and, unless `utf8`, bytes above 127. Lives as long as `text`. */
const char *dsn_text_clean(struct dsn_text *text, const char *foreign);
void dsn_text_free(struct dsn_text *text);

#endif
