/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_fields.h - the header of one part, where an edit of its text must change what it declares.
 * For part_edit.c. Positions are in the message.
 */
#ifndef CORE_MAIL_PART_FIELDS_H
#define CORE_MAIL_PART_FIELDS_H

#include <core/mail/part.h>

struct part_fields {
	const struct pn_part *part;
	struct pn_slice bytes; /* from the header's first byte to the body's */
	struct mail_header header;
	int type, encoding;   /* indexes, -ENOENT */
	bool settable;        /* each field at most once, lines as RFC 5322 has them */
	bool unterminated;    /* no empty line, so no body */
	bool mime;            /* MIME-Version is there, or need not be */
	size_t value, length; /* of the charset's, where settable_charset; else where to add it */
	bool settable_charset, has_charset;
};

/* -ENOTSUP: text cannot go in here. */
int part_fields_read(const struct pn_part *part, struct arena *arena, struct part_fields *ret);
bool part_fields_may_set(const struct part_fields *fields, bool charset);
int part_fields_set_encoding(const struct part_fields *fields, const char *encoding,
    struct arena *arena, struct mail_edits *edits);
int part_fields_set_charset(const struct part_fields *fields, const char *charset,
    struct arena *arena, struct mail_edits *edits);
/* The next boundary follows the empty line of the header: a body needs a line end behind it. */
bool part_fields_lacks_line_end(const struct part_fields *fields);

#endif
