/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixups.c - the trace header of every message, and what a submission server puts right.
 *
 * Called by the session once per message, after the policy chain. Must never let a byte of the
 * client's choosing (HELO, address) begin a line or leave its comment, and never reveal one
 * recipient to another.
 *
 * A message whose first line is no header field (RFC 5322 section 3.6) has no header at all: with
 * the trace header put straight before it, text would become header, and a line that begins with a
 * blank would become part of our own. It gets an empty line behind the trace header, and is all
 * body. Fields found in it further down then count as missing, but a Bcc among them is taken out
 * all the same: rather a line too few than an address too many. The "From " line of an mbox with
 * fields behind it is not such a case: by itself it is left alone, on submission it is removed.
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/mail/address.h>
#include <core/mail/fixups.h>

#define LINE_WANTED 78u /* RFC 5322 section 2.1.1 */
#define TRACE_MOST  8192u

/* ---- the trace header ----------------------------------------------------------------------- */

/*
 * A copy fit for any place in the header: what is not printable, or would open or close a comment,
 * becomes '?'. UTF-8 stays where the message may carry it.
 */
static const char *
safe(struct arena *arena, const char *text, bool utf8)
{
	char *copy = arena_slice(arena, pn_slice(text, strnlen(text, MAIL_ADDRESS_MOST)));

	for (char *p = copy; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c <= 0x20 || c == 0x7f || (c >= 0x80 && !utf8) || strchr("()\\;", c))
			*p = '?';
	}
	return copy;
}

/* A domain or an address literal by its letters. Underscores are common in names of machines. */
static bool
is_host(const char *helo)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
	size_t len = strlen(helo), inner;

	if (len == 0 || len > MAIL_DOMAIN_MOST)
		return false;
	if (helo[0] != '[')
		return strspn(helo, letters) == len;
	inner = 1 + strcspn(helo + 1, "[]");
	return inner == len - 1 && helo[inner] == ']' &&
	       strspn(helo + 1, "0123456789abcdefABCDEFIPv:.") == inner - 1;
}

/* Puts a word behind the others, on a new line where the line would grow too long. */
static int
add_word(struct buf *out, size_t *column, const char *word)
{
	size_t len = strlen(word);
	bool fold = *column + 1 + len > LINE_WANTED;
	int r;

	r = buf_add_text(out, fold ? "\r\n\t" : " ");
	if (r < 0)
		return r;
	*column = (fold ? 8 : *column + 1) + len;
	return buf_add(out, word, len);
}

struct trace {
	const char *words[12];
	size_t count;
};

/* from-domain and what is known of the client, RFC 5321 section 4.4. */
static void
add_client(struct trace *trace, const struct mail_facts *facts, struct arena *arena)
{
	const char *given = facts->client_literal, *helo = facts->helo ? facts->helo : "";
	const char *literal = given && *given ? safe(arena, given, false) : "local";

	if (is_host(helo)) {
		trace->words[trace->count++] = arena_printf(arena, "from %s", helo);
		trace->words[trace->count++] = arena_printf(arena, "(%s)", literal);
	} else {
		trace->words[trace->count++] = arena_printf(arena, "from %s", literal);
		if (*helo)
			trace->words[trace->count++] = arena_printf(
			    arena, "(helo %s)", safe(arena, helo, false));
	}
	if (facts->client_uid)
		trace->words[trace->count++] = arena_printf(
		    arena, "(uid %s)", safe(arena, facts->client_uid, false));
}

static void
add_session(struct trace *trace, const struct mail_fixups *how, const struct mail_facts *facts,
    struct arena *arena)
{
	char checked[MAIL_ADDRESS_SIZE];
	bool utf8;

	if (facts->tls_version)
		trace->words[trace->count++] = arena_printf(arena, "(%s cipher %s bits %d)",
		    safe(arena, facts->tls_version, false),
		    safe(arena, facts->tls_cipher ? facts->tls_cipher : "unknown", false),
		    (int)facts->tls_bits);
	if (facts->certificate && !how->hide_client)
		trace->words[trace->count++] = arena_printf(arena,
		    "(client certificate verified, SHA-256 %s)",
		    safe(arena, facts->certificate->fingerprint, false));
	if (!facts->user || how->hide_client)
		return;
	utf8 = facts->smtputf8 && mail_address_check(pn_slice_of(facts->user), true, checked) == 0;
	trace->words[trace->count++] = arena_printf(
	    arena, "(authenticated as %s)", safe(arena, facts->user, utf8));
}

/* The recipient as the client named it, where there is one alone: Bcc must not show. */
static const char *
only_recipient(
    const struct mail_facts *facts, const struct mail_envelope *envelope, struct arena *arena)
{
	char checked[MAIL_ADDRESS_SIZE];
	const char *address;

	if (envelope->count != 1)
		return NULL;
	address = envelope->recipients[0].original;
	if (mail_address_check(pn_slice_of(address), facts->smtputf8, checked) < 0)
		return NULL;
	/* In A-labels, lest the message needs SMTPUTF8 for its trace alone. */
	if (mail_address_is_utf8(address) && mail_address_canonical(address, checked) == 0 &&
	    !mail_address_is_utf8(checked))
		return arena_text(arena, checked);
	return address;
}

static int
write_trace(const struct mail_fixups *how, const struct mail_facts *facts,
    const struct mail_envelope *envelope, struct arena *arena, struct buf *out)
{
	const char *recipient = only_recipient(facts, envelope, arena);
	size_t column = strlen("Received:");
	char date[CLOCK_DATE_SIZE];
	struct trace trace = { 0 };
	int r;

	if (!how->hide_client)
		add_client(&trace, facts, arena);
	add_session(&trace, how, facts, arena);
	trace.words[trace.count++] = arena_printf(arena, "by %s", how->relay_name);
	trace.words[trace.count++] = arena_printf(arena, "with %s", mail_facts_protocol(facts));
	trace.words[trace.count++] = arena_printf(
	    arena, "id %s%s", safe(arena, how->id, false), recipient ? "" : ";");
	if (recipient)
		trace.words[trace.count++] = arena_printf(arena, "for <%s>;", recipient);
	clock_mail_date(how->wall_us, date);
	trace.words[trace.count++] = date;
	r = buf_add_text(out, "Received:");
	for (size_t i = 0; i < trace.count && r == 0; i++)
		r = add_word(out, &column, trace.words[i]);
	return r < 0 ? r : buf_add_text(out, "\r\n");
}

/* ---- what stands in the header -------------------------------------------------------------- */

enum kind {
	OTHER,
	RECEIVED,
	RETURN_PATH,
	BCC,
	DATE,
	FROM,
	MESSAGE_ID,
	KINDS,
};

static enum kind
field_kind(struct pn_slice bytes, const struct mail_field *field)
{
	static const struct {
		const char *name;
		enum kind kind;
	} known[] = {
		{ "Received", RECEIVED },
		{ "Return-Path", RETURN_PATH },
		{ "Bcc", BCC },
		{ "Resent-Bcc", BCC },
		{ "Date", DATE },
		{ "From", FROM },
		{ "Message-ID", MESSAGE_ID },
	};
	struct pn_slice name = pn_slice(bytes.data + field->start, field->name_len);

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (text_is(name, known[i].name))
			return known[i].kind;
	return OTHER;
}

size_t
mail_received_count(struct pn_slice bytes, const struct mail_header *header)
{
	size_t count = 0;

	for (size_t i = 0; i < header->count; i++)
		if (field_kind(bytes, &header->fields[i]) == RECEIVED)
			count++;
	return count;
}

/* The separator line of an mbox, alone on its line and with a field behind it. */
static bool
is_mbox_line(struct pn_slice bytes, const struct mail_header *header)
{
	static const char from[] = "From ";
	const struct mail_field *first = header->fields;
	const char *line = bytes.data, *end;

	if (header->count < 2 || first[0].name_len > 0 || first[1].name_len == 0)
		return false;
	end = line + first[0].end;
	if (*line == '>')
		line++;
	return (size_t)(end - line) > strlen(from) && memcmp(line, from, strlen(from)) == 0 &&
	       memchr(line, '\n', (size_t)(end - line)) == end - 1;
}

/* True where the message begins with text that is neither a field nor the end of the header. */
static bool
is_all_body(struct pn_slice bytes, const struct mail_header *header)
{
	return header->count > 0 && header->fields[0].name_len == 0 && !is_mbox_line(bytes, header);
}

/* ---- how the copy was protected ------------------------------------------------------------- */

/* Only the relay says that: what stands there already says nothing. */
static int
drop_labels(const struct mail_fixups *how, struct pn_slice bytes, const struct mail_header *header,
    struct arena *arena, struct mail_edits *edits)
{
	int r = 0;

	for (size_t i = 0; how->label_name && *how->label_name && i < header->count && r == 0;
	     i++) {
		const struct mail_field *field = &header->fields[i];

		if (text_is(pn_slice(bytes.data + field->start, field->name_len), how->label_name))
			r = mail_edits_add(edits, arena, field->start, field->end - field->start,
			    pn_slice(NULL, 0));
	}
	return r;
}

static int
write_label(const struct mail_fixups *how, struct buf *out)
{
	if (!how->label || !how->label_name || !*how->label_name)
		return 0;
	return buf_printf(out, "%s: %s\r\n", how->label_name, how->label);
}

/* ---- submission ----------------------------------------------------------------------------- */

/* RFC 6409 section 8: what every message must have. */
static int
write_missing(const struct mail_fixups *how, const struct mail_envelope *envelope,
    const bool has[KINDS], struct arena *arena, struct buf *out)
{
	char date[CLOCK_DATE_SIZE], checked[MAIL_ADDRESS_SIZE];
	const char *sender = envelope->sender;
	int r = 0;

	if (!has[DATE]) {
		clock_mail_date(how->wall_us, date);
		r = buf_printf(out, "Date: %s\r\n", date);
	}
	if (r == 0 && !has[FROM] && *mail_address_domain(sender) &&
	    mail_address_check(pn_slice_of(sender), true, checked) == 0)
		r = buf_printf(out, "From: %s\r\n", sender);
	if (r == 0 && !has[MESSAGE_ID])
		r = buf_printf(
		    out, "Message-ID: <%s@%s>\r\n", safe(arena, how->id, false), how->relay_name);
	return r;
}

/* Takes out what must not leave, and notes what is there and where the trace headers end. */
static int
scan(struct pn_slice bytes, const struct mail_header *header, struct arena *arena,
    struct mail_edits *edits, bool has[KINDS], size_t *ret_below_trace)
{
	bool mbox = is_mbox_line(bytes, header), above = true;

	*ret_below_trace = 0;
	for (size_t i = 0; i < header->count; i++) {
		const struct mail_field *field = &header->fields[i];
		enum kind kind = field_kind(bytes, field);
		int r = 0;

		has[kind] = true;
		if (kind == BCC || kind == RETURN_PATH || (i == 0 && mbox))
			r = mail_edits_add(edits, arena, field->start, field->end - field->start,
			    pn_slice(NULL, 0));
		else if (above && kind != RECEIVED) {
			*ret_below_trace = field->start;
			above = false;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* Fields that are missing stand below the trace headers, which stay together (RFC 5322, 3.6.7). */
static int
edit_submission(const struct mail_fixups *how, const struct mail_envelope *envelope,
    struct pn_slice bytes, const struct mail_header *header, struct arena *arena,
    struct mail_edits *edits, struct buf *trace)
{
	struct buf missing = BUF_INIT(TRACE_MOST);
	bool has[KINDS] = { false };
	size_t place;
	int r;

	r = scan(bytes, header, arena, edits, has, &place);
	if (r < 0)
		goto out;
	if (is_all_body(bytes, header)) {
		memset(has, 0, sizeof(has));
		place = 0;
	}
	r = write_missing(how, envelope, has, arena, place == 0 ? trace : &missing);
	if (r == 0)
		r = mail_edits_add(edits, arena, place, 0, buf_slice(&missing));
out:
	buf_free(&missing);
	return r;
}

int
mail_fixups_edit(const struct mail_fixups *how, const struct mail_facts *facts,
    const struct mail_envelope *envelope, struct pn_slice bytes, const struct mail_header *header,
    struct arena *arena, struct mail_edits *edits)
{
	struct buf trace = BUF_INIT(TRACE_MOST);
	int r = drop_labels(how, bytes, header, arena, edits);

	if (r == 0)
		r = write_label(how, &trace);
	if (r == 0 && !how->no_trace)
		r = write_trace(how, facts, envelope, arena, &trace);
	if (r == 0 && how->submission)
		r = edit_submission(how, envelope, bytes, header, arena, edits, &trace);
	if (r == 0 && is_all_body(bytes, header))
		r = buf_add_text(&trace, "\r\n");
	if (r == 0)
		r = mail_edits_add(edits, arena, 0, 0, buf_slice(&trace));
	buf_free(&trace);
	return r;
}
