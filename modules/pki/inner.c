/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inner.c - which fields stand inside an encrypted message and which outside (RFC 9788).
 *
 * Called by providers. Must never let a field pass outside that says what the message is about
 * where the subject is to be hidden, nor Bcc anywhere.
 */
#include "inner.h"
#include <errno.h>
#include <glib.h>

#define PIECE  (256u * 1024) /* of a body, at a time */
#define HIDDEN "[...]"       /* RFC 9788 section 3.2.1 */

enum where {
	INSIDE = 1,
	OUTSIDE = 2,
	STRUCTURE = 4, /* of what is encrypted: inside, and no field of the letter */
};

/* Those that are not in both. */
static const struct {
	const char *name;
	unsigned where;
} fields[] = {
	/* nobody's business: what Bcc is for */
	{ "Bcc", 0 },
	{ "Resent-Bcc", 0 },
	/* of the way, or signatures that do not hold for the new body */
	{ "Received", OUTSIDE },
	{ "Return-Path", 0 },
	{ "DKIM-Signature", 0 },
	{ "ARC-Seal", 0 },
	{ "ARC-Message-Signature", 0 },
	{ "ARC-Authentication-Results", 0 },
	{ "Authentication-Results", OUTSIDE },
	{ "MIME-Version", STRUCTURE },
	/* left behind by somebody else's protection */
	{ "HP-Outer", INSIDE },
};

/* What the letter is about. */
static const char *const telling[] = { "Subject", "Thread-Topic", "Thread-Index", "Keywords",
	"Comments", "Summary", "X-Thread-Topic", "Content-Language", NULL };

static bool
is(struct pn_slice name, const char *word)
{
	return name.len == strlen(word) && g_ascii_strncasecmp(name.data, word, name.len) == 0;
}

static bool
is_telling(struct pn_slice name)
{
	for (size_t i = 0; telling[i]; i++)
		if (is(name, telling[i]))
			return true;
	return false;
}

static unsigned
where(struct pn_slice name, bool hide_subject)
{
	if (name.len == 0)
		return 0;
	for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
		if (is(name, fields[i].name))
			return fields[i].where;
	if (name.len > 8 && g_ascii_strncasecmp(name.data, "Content-", 8) == 0)
		return STRUCTURE;
	return hide_subject && is_telling(name) ? INSIDE : INSIDE | OUTSIDE;
}

/* ---- inside ---------------------------------------------------------------------------------- */

struct writing {
	pki_sink_fn *sink;
	void *arg;
	bool hide, typed; /* `typed`: Content-Type is written */
	int r;
};

static void
put(struct writing *writing, struct pn_slice bytes)
{
	if (writing->r == 0 && bytes.len > 0)
		writing->r = writing->sink(writing->arg, bytes);
}

static void
put_text(struct writing *writing, const char *text)
{
	put(writing, pn_slice_of(text));
}

static void
put_field(struct writing *writing, const struct pn_header *field)
{
	put(writing, field->name);
	put_text(writing, ":");
	put(writing, field->value);
	put_text(writing, "\r\n");
}

/* "hp" stands there already: it was encrypted or signed with a header of its own. */
static bool
has_hp(struct pn_slice value)
{
	for (size_t i = 1; i + 3 <= value.len; i++)
		if (g_ascii_strncasecmp(value.data + i, "hp=", 3) == 0 &&
		    strchr("; \t\r\n", value.data[i - 1]))
			return true;
	return false;
}

static struct pn_slice
trimmed(struct pn_slice value)
{
	while (value.len > 0 && strchr("; \t\r\n", value.data[value.len - 1]))
		value.len--;
	return value;
}

static void
put_type(struct writing *writing, const struct pn_header *field)
{
	struct pn_header type = *field;

	if (writing->typed || has_hp(type.value) || trimmed(type.value).len == 0) {
		put_field(writing, field);
		writing->typed |= trimmed(type.value).len > 0;
		return;
	}
	put(writing, type.name);
	put_text(writing, ":");
	put(writing, trimmed(type.value));
	put_text(writing, ";\r\n hp=\"cipher\"\r\n");
	writing->typed = true;
}

/* What stands outside, as it stands there (RFC 9788 section 2.2). */
static void
put_outer(struct writing *writing, const struct pn_header *field)
{
	unsigned at = where(field->name, writing->hide);

	if (at == (INSIDE | OUTSIDE)) {
		put_text(writing, "HP-Outer: ");
		put_field(writing, field);
	} else if (at == INSIDE && is(field->name, "Subject")) {
		put_text(writing, "HP-Outer: Subject: " HIDDEN "\r\n");
	}
}

static void
put_header(struct writing *writing, const struct pn_txn *txn)
{
	struct pn_header field;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++) {
		if (is(field.name, "Content-Type"))
			put_type(writing, &field);
		else if (where(field.name, writing->hide) & (INSIDE | STRUCTURE))
			put_field(writing, &field);
	}
	if (!writing->typed)
		put_text(writing, "Content-Type: text/plain; charset=us-ascii; hp=\"cipher\"\r\n");
	for (size_t i = 0; pn_header_at(txn, i, &field); i++)
		put_outer(writing, &field);
	put_text(writing, "\r\n");
}

int
pki_inner_write(const struct pn_txn *txn, bool hide_subject, pki_sink_fn *sink, void *arg)
{
	struct writing writing = { sink, arg, hide_subject, false, 0 };
	struct pn_slice body = pn_txn_body(txn);

	put_header(&writing, txn);
	for (size_t at = 0; at < body.len && writing.r == 0; at += PIECE)
		put(&writing,
		    pn_slice(body.data + at, body.len - at < PIECE ? body.len - at : PIECE));
	return writing.r;
}

/* ---- outside --------------------------------------------------------------------------------- */

static bool
has(const GPtrArray *names, const char *name)
{
	for (guint i = 0; i < names->len; i++)
		if (g_ascii_strcasecmp(g_ptr_array_index(names, i), name) == 0)
			return true;
	return false;
}

/* Names of the fields that do not stand outside, NULL behind them. */
static GPtrArray *
names_of_less(const struct pn_txn *txn, bool hide_subject)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	struct pn_header field;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++) {
		char *name;

		if (where(field.name, hide_subject) & OUTSIDE)
			continue;
		name = g_strndup(field.name.data, field.name.len);
		if (*name && !has(names, name))
			g_ptr_array_add(names, name);
		else
			g_free(name);
	}
	g_ptr_array_add(names, NULL);
	return names;
}

int
pki_outer_render(struct pn_call *call, const struct pn_txn *txn, bool hide_subject)
{
	GPtrArray *less = names_of_less(txn, hide_subject);
	struct pn_header subject;
	int r = pn_render_copy_header(call, (const char *const *)less->pdata);

	if (r == 0 && hide_subject && pn_header_find(txn, "Subject", 0, &subject))
		r = pn_render_header(call, "Subject", HIDDEN);
	if (r == 0)
		r = pn_render_header(call, "MIME-Version", "1.0");
	g_ptr_array_free(less, TRUE);
	return r;
}
