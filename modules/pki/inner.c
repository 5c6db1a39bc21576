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

/* ---- where the header ends ------------------------------------------------------------------- */

/* Without these no mail arrives. */
static const char *const needed[] = { "From", "Sender", "Reply-To", "To", "Cc", "Date",
	"Message-ID" };

/*
 * A line that is no field ends the header for most readers: what follows may look like fields and
 * be the letter's text. Of that, nothing stands outside but what is needed and missing there; and
 * nothing at all where the very first line is such a one.
 */
struct walk {
	bool hide, text, all; /* `text`: behind such a line; `all`: there is no header */
	bool seen[G_N_ELEMENTS(needed)];
};

static bool
is_mbox_line(struct pn_slice line)
{
	if (line.len > 0 && *line.data == '>')
		line = pn_slice(line.data + 1, line.len - 1);
	return line.len > 5 && memcmp(line.data, "From ", 5) == 0;
}

static bool
is_outside(struct walk *walk, size_t index, const struct pn_header *field)
{
	size_t at = 0;

	if (field->name.len == 0) {
		walk->text = true;
		walk->all |= index == 0 && !is_mbox_line(field->value);
		return false;
	}
	if (!(where(field->name, walk->hide) & OUTSIDE) || walk->all)
		return false;
	while (at < G_N_ELEMENTS(needed) && !is(field->name, needed[at]))
		at++;
	if (at == G_N_ELEMENTS(needed))
		return !walk->text;
	if (walk->text && walk->seen[at])
		return false;
	walk->seen[at] = true;
	return true;
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
put_outer(struct writing *writing, const struct pn_txn *txn)
{
	struct walk walk = { .hide = writing->hide };
	struct pn_header field;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++) {
		if (is_outside(&walk, i, &field)) {
			if (where(field.name, writing->hide) & INSIDE) {
				put_text(writing, "HP-Outer: ");
				put_field(writing, &field);
			}
		} else if (writing->hide && !walk.text && is(field.name, "Subject")) {
			put_text(writing, "HP-Outer: Subject: " HIDDEN "\r\n");
		}
	}
}

static bool
has_type(const struct pn_txn *txn)
{
	struct pn_header field;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++)
		if (is(field.name, "Content-Type") && trimmed(field.value).len > 0)
			return true;
	return false;
}

/* All that is not the letter's own. */
static void
put_end(struct writing *writing, const struct pn_txn *txn, bool all)
{
	if (all || !has_type(txn))
		put_text(writing, "Content-Type: text/plain; charset=us-ascii; hp=\"cipher\"\r\n");
	put_outer(writing, txn);
	if (all)
		put_text(writing, "\r\n");
}

/* As it stands, blanks before the colon and all. */
static void
put_line(struct writing *writing, const struct pn_header *field)
{
	const char *begin = field->name.len > 0 ? field->name.data : field->value.data;

	put(writing, pn_slice(begin, (size_t)(field->value.data + field->value.len - begin)));
	put_text(writing, "\r\n");
}

static void
put_header(struct writing *writing, const struct pn_txn *txn)
{
	struct walk walk = { .hide = writing->hide };
	struct pn_header field;
	bool ended = false;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++) {
		is_outside(&walk, i, &field);
		if (walk.text && !ended)
			put_end(writing, txn, walk.all);
		ended = walk.text;
		if (field.name.len == 0 || (walk.all && where(field.name, writing->hide)))
			put_line(writing, &field);
		else if (is(field.name, "Content-Type"))
			put_type(writing, &field);
		else if (where(field.name, writing->hide) & (INSIDE | STRUCTURE))
			put_field(writing, &field);
	}
	if (!ended)
		put_end(writing, txn, false);
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

/* A fold that the core does not write, since some readers end the header there, is undone. */
static int
render_field(struct pn_call *call, const struct pn_header *field)
{
	char *name = g_strndup(field->name.data, field->name.len),
	     *value = g_strndup(field->value.data, field->value.len);
	int r;

	g_strchomp(value);
	r = pn_render_header(call, name, value);
	if (r == -EINVAL)
		r = pn_render_header(call, name, g_strdelimit(value, "\r\n", ' '));
	if (r == -EINVAL) /* a name longer than a line: it is inside */
		r = 0;
	g_free(value);
	g_free(name);
	return r;
}

int
pki_outer_render(struct pn_call *call, const struct pn_txn *txn, bool hide_subject)
{
	struct walk walk = { .hide = hide_subject };
	struct pn_header field;
	bool hidden = false;
	int r = 0;

	for (size_t i = 0; r == 0 && pn_header_at(txn, i, &field); i++) {
		if (is_outside(&walk, i, &field))
			r = render_field(call, &field);
		else
			hidden |= hide_subject && !walk.text && is(field.name, "Subject");
	}
	if (r == 0 && hidden)
		r = pn_render_header(call, "Subject", HIDDEN);
	return r == 0 ? pn_render_header(call, "MIME-Version", "1.0") : r;
}
