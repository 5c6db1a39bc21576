/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap.c - a message whose body must not be touched becomes the first of two parts, whole and to
 * the byte; the tagline is the other one.
 *
 * Called for signed, encrypted and other such messages where the settings say so. Must never change
 * a byte of the body, nor what its header says of it.
 */
#include "taglines.h"
#include <errno.h>
#include <string.h>

#define BASE64_LINE 57

static bool
speaks_of_content(const struct pn_header *field)
{
	return field->name.len > 8 && g_ascii_strncasecmp(field->name.data, "Content-", 8) == 0;
}

/* The fields that describe the body move into its part, as they stand. */
static int
move_fields(struct pn_call *call, struct pn_txn *txn, GString *to)
{
	struct pn_header field;
	int r = 0;

	for (size_t i = 0; r == 0 && pn_header_at(txn, i, &field); i++) {
		if (!speaks_of_content(&field))
			continue;
		g_string_append_len(
		    to, field.name.data, field.value.data + field.value.len - field.name.data);
		g_string_append(to, "\r\n");
		r = pn_header_remove(call, i);
	}
	return r;
}

/* One that is nowhere in the body; the id makes it unlike that of any other message. */
static char *
make_boundary(const struct pn_txn *txn)
{
	struct pn_slice body = pn_txn_body(txn);
	char *boundary = NULL;

	for (unsigned i = 0; !boundary; i++) {
		boundary = g_strdup_printf("=_postern-%s-%u", pn_txn_id(txn), i);
		if (memmem(body.data, body.len, boundary, strlen(boundary)))
			g_clear_pointer(&boundary, g_free);
	}
	return boundary;
}

/* RFC 2045 section 6.4: a multipart says what is in it. */
static int
declare(struct pn_call *call, struct pn_txn *txn, const struct pn_part *root, const char *boundary)
{
	char *type = g_strdup_printf("multipart/mixed;\r\n boundary=\"%s\"", boundary);
	const char *encoding = pn_part_encoding(root);
	struct pn_header field;
	int r = 0;

	if (!pn_header_find(txn, "MIME-Version", 0, &field))
		r = pn_header_append(call, "MIME-Version", "1.0");
	if (r == 0)
		r = pn_header_append(call, "Content-Type", type);
	if (r == 0 && (!strcmp(encoding, "8bit") || !strcmp(encoding, "binary")))
		r = pn_header_append(call, "Content-Transfer-Encoding", encoding);
	g_free(type);
	return r;
}

/* In base64, which no server on the way needs to change. */
static void
append_tagline(GString *to, const char *tagline)
{
	GString *text = g_string_new(NULL);

	for (const char *c = tagline; *c; c++) {
		if (*c == '\n')
			g_string_append_c(text, '\r');
		g_string_append_c(text, *c);
	}
	g_string_append(text, "\r\n");
	g_string_append(to, "Content-Type: text/plain; charset=utf-8\r\n"
			    "Content-Transfer-Encoding: base64\r\n"
			    "Content-Disposition: inline\r\n\r\n");
	for (size_t at = 0; at < text->len; at += BASE64_LINE) {
		char *line = g_base64_encode(
		    (const guchar *)text->str + at, MIN(text->len - at, BASE64_LINE));

		g_string_append_printf(to, "%s\r\n", line);
		g_free(line);
	}
	g_string_free(text, TRUE);
}

static int
splice_body(struct pn_call *call, struct pn_txn *txn, const char *boundary, const char *fields,
    const char *tagline, bool above)
{
	GString *before = g_string_new(NULL), *behind = g_string_new(NULL);
	int r;

	if (above) {
		g_string_append_printf(before, "--%s\r\n", boundary);
		append_tagline(before, tagline);
	}
	g_string_append_printf(before, "--%s\r\n%s\r\n", boundary, fields);
	g_string_append_printf(behind, "\r\n--%s", boundary);
	if (!above) {
		g_string_append(behind, "\r\n");
		append_tagline(behind, tagline);
		g_string_append_printf(behind, "--%s", boundary);
	}
	g_string_append(behind, "--\r\n");
	r = pn_body_splice(call, 0, 0, pn_slice(before->str, before->len));
	if (r == 0)
		r = pn_body_splice(
		    call, pn_txn_body(txn).len, 0, pn_slice(behind->str, behind->len));
	g_string_free(before, TRUE);
	g_string_free(behind, TRUE);
	return r;
}

int
wrap_message(struct pn_call *call, struct pn_txn *txn, const char *tagline, enum position position)
{
	const struct pn_part *root;
	GString *fields;
	char *boundary;
	int r;

	r = pn_parts(call, &root, NULL);
	if (r < 0)
		return r;
	fields = g_string_new(NULL);
	boundary = make_boundary(txn);
	r = move_fields(call, txn, fields);
	if (r == 0)
		r = declare(call, txn, root, boundary);
	if (r == 0)
		r = splice_body(call, txn, boundary, fields->str, tagline, position == AT_TOP);
	g_free(boundary);
	g_string_free(fields, TRUE);
	return r;
}
