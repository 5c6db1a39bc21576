/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hidden_header.c - which header fields are encrypted with the body, and what is said outside.
 *
 * Called by the providers. Must never take Bcc along, nor leave a subject outside.
 */
#include "hidden_header.h"
#include <string.h>

#define SUBJECT "[...]"

/* What people see and answer to; traces and fields of relays stay outside alone. */
static const char *const guarded[] = { "From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date",
	"Message-ID", "In-Reply-To", "References", "Comments", "Keywords", "Thread-Topic",
	"Followup-To", "Mail-Followup-To", NULL };
/* Of those, what does not stand outside as it is. Thread-Topic is Exchange's copy of the subject.
 */
static const char *const hidden[] = { "Subject", "Comments", "Keywords", "Thread-Topic", NULL };
static const char *const replaced[] = { "Subject", "Comments", "Keywords", "Thread-Topic",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition",
	"Content-Description", "Content-ID", "Content-Language", "Content-Location",
	"Content-Duration", "Content-MD5", "Content-Class", "Content-Features", "Bcc", "Resent-Bcc",
	NULL };

static bool
is_one_of(const struct pn_header *field, const char *const *names)
{
	for (; *names; names++)
		if (field->name.len == strlen(*names) &&
		    g_ascii_strncasecmp(field->name.data, *names, field->name.len) == 0)
			return true;
	return false;
}

static bool
is_content(const struct pn_header *field)
{
	return field->name.len > 8 && g_ascii_strncasecmp(field->name.data, "Content-", 8) == 0;
}

static void
add(GString *to, const char *before, const struct pn_header *field)
{
	g_string_append(to, before);
	g_string_append_len(to, field->name.data, (gssize)field->name.len);
	g_string_append_c(to, ':');
	g_string_append_len(to, field->value.data, (gssize)field->value.len);
	g_string_append(to, "\r\n");
}

/* Whoever has protected the header before us has said so in the same place. */
static bool
has_hp(const struct pn_header *type)
{
	char *text = g_ascii_strdown(type->value.data, (gssize)type->value.len);
	bool has = false;

	for (const char *at = text; !has && (at = strchr(at, ';')); at++)
		has = strncmp(at + 1 + strspn(at + 1, " \t\r\n"), "hp", 2) == 0 &&
		      strchr("= \t", at[1 + strspn(at + 1, " \t\r\n") + 2]);
	g_free(text);
	return has;
}

static void
add_type(GString *to, const struct pn_header *type)
{
	gsize end;

	add(to, "", type);
	if (has_hp(type))
		return;
	end = to->len - 2;
	while (end > 0 && strchr(" \t\r\n;", to->str[end - 1]))
		end--;
	g_string_truncate(to, end);
	g_string_append(to, ";\r\n hp=\"cipher\"\r\n");
}

static void
add_content(const struct pn_txn *txn, GString *to)
{
	struct pn_header field;
	bool typed = false;

	for (size_t i = 0; pn_header_at(txn, i, &field); i++) {
		if (!is_content(&field))
			continue;
		if (field.name.len == 12 &&
		    g_ascii_strncasecmp(field.name.data + 8, "Type", 4) == 0) {
			if (!typed)
				add_type(to, &field);
			typed = true;
		} else {
			add(to, "", &field);
		}
	}
	if (!typed)
		g_string_append(
		    to, "Content-Type: text/plain; charset=us-ascii; hp=\"cipher\"\r\n");
}

void
hidden_header_inner(const struct pn_txn *txn, GString *ret)
{
	struct pn_header field;

	g_string_append(ret, "MIME-Version: 1.0\r\n");
	for (size_t i = 0; pn_header_at(txn, i, &field); i++)
		if (is_one_of(&field, guarded))
			add(ret, "", &field);
	for (size_t i = 0; pn_header_at(txn, i, &field); i++)
		if (is_one_of(&field, guarded) && !is_one_of(&field, hidden))
			add(ret, "HP-Outer: ", &field);
	if (pn_header_find(txn, "Subject", 0, &field))
		g_string_append(ret, "HP-Outer: Subject: " SUBJECT "\r\n");
	add_content(txn, ret);
	g_string_append(ret, "\r\n");
}

int
hidden_header_outer(struct pn_call *call, const struct pn_txn *txn)
{
	struct pn_header field;
	int r = pn_render_copy_header(call, replaced);

	if (r == 0 && pn_header_find(txn, "Subject", 0, &field))
		r = pn_render_header(call, "Subject", SUBJECT);
	return r < 0 ? r : pn_render_header(call, "MIME-Version", "1.0");
}
