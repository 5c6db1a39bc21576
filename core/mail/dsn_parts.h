/* SPDX-License-Identifier: Apache-2.0 */
/* dsn_parts.h - the three parts of a multipart/report (RFC 6522). For dsn.c alone. */
#ifndef CORE_MAIL_DSN_PARTS_H
#define CORE_MAIL_DSN_PARTS_H

#include <core/mail/dsn.h>
#include <core/mail/dsn_text.h>

/* How the message reported on is quoted. */
struct dsn_quote {
	bool whole;            /* not the header alone */
	const char *type;      /* of the part */
	struct pn_slice bytes; /* into the original, or into the text that was written */
};

void dsn_parts_human(
    const struct dsn_report *report, const struct dsn_quote *quote, struct dsn_text *text);
void dsn_parts_status(const struct dsn_report *report, struct dsn_text *text);
/* Writes into `text` only what cannot be quoted as it is. */
void dsn_parts_quote(const struct dsn_report *report, struct dsn_text *text, struct dsn_quote *ret);
bool dsn_parts_eightbit(struct pn_slice bytes);

#endif
