/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcard.h - cards of people: vCard 4 (RFC 6350), 3 (RFC 2426), and what Outlook writes as 2.1.
 *
 * The reader takes what real clients write, and never more than is bounded here; nothing that a
 * card refers to is fetched. One thread per reader.
 */
#ifndef MODULES_ADDRESS_BOOK_VCARD_H
#define MODULES_ADDRESS_BOOK_VCARD_H

#include "keydata.h"

#define VCARD_LINE_MOST      (128u * 1024) /* bytes of a line when it is unfolded; longer: left out */
#define VCARD_ADDRESSES_MOST 50u
#define VCARD_KEYS_MOST      16u
#define VCARD_PROBLEMS_MOST  16u
#define VCARD_NAME_MOST      200u /* bytes */
#define VCARD_QUESTION_MOST  500u /* bytes */

/* ---- lines ----------------------------------------------------------------------------------- */

struct vcard_reader {
	struct pn_slice rest;
	size_t line; /* of the last line that was read, from 1 */
};

enum vcard_encoding { VCARD_PLAIN, VCARD_QUOTED, VCARD_BASE64 };

/* One property: "item1.EMAIL;TYPE=pref:ada@clinic.example". */
struct vcard_line {
	GString *text;  /* all of it, unfolded */
	size_t number;  /* of its first line */
	bool too_long;  /* the rest of it was left out */
	bool has_value; /* there is a colon */
	char name[32];  /* in capitals, without the group; cut */
	enum vcard_encoding encoding;
	char charset[32];
	const char *value; /* inside of `text` */
};

void vcard_open(struct vcard_reader *reader, struct pn_slice text);
/* False: there is none. `ret->text` is made by the caller and used again and again. */
bool vcard_line_next(struct vcard_reader *reader, struct vcard_line *ret);
/* The value with its encoding undone: text in UTF-8, of `most` bytes at most. g_free. */
char *vcard_line_text(const struct vcard_line *line, size_t most);
/* As bytes, also out of a data: URI; NULL: it refers to something elsewhere. */
GByteArray *vcard_line_bytes(const struct vcard_line *line);

/* ---- cards ----------------------------------------------------------------------------------- */

struct vcard {
	size_t line;          /* where it begins */
	char *name;           /* "": none */
	GPtrArray *addresses; /* of char *, as they stand there */
	struct keydata keys;
	char *question;      /* NULL: none */
	GPtrArray *problems; /* of char *: what of it was left out, "line 12: ..." */
};

/*
 * The next card: 1; 0: there is none; -EINVAL: that is no vCard, with the line in `err`. Card by
 * card is cleared by the caller, whatever came back.
 */
int vcard_next(struct vcard_reader *reader, struct vcard *ret, struct pn_error *err);
void vcard_clear(struct vcard *card);

/* Adds a card in version 3 or 4; what it has of keys is written as it is. */
struct vcard_source {
	const char *name, *address, *question; /* question: NULL: none */
	struct pn_slice certificates;          /* DER after DER; empty: none */
	struct pn_slice pgp;                   /* empty: none */
};
void vcard_write(GString *to, int version, const struct vcard_source *from);

#endif
