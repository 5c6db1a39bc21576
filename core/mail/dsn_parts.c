/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn_parts.c - what stands in a delivery status notification: words for people, fields for
 * programs, and the message that it is about.
 *
 * Called by dsn.c. Must never quote a body where the sender asked for the header alone (RFC 3461
 * section 4.3).
 */
#include <core/base/clock.h>
#include <core/base/text.h>
#include <core/mail/address.h>
#include <core/mail/dsn_parts.h>
#include <core/mail/label.h>
#include <glib.h>
#include <stdlib.h>

#define LINE_MOST    998u
#define HEADERS_MOST (64u * 1024)

bool
dsn_parts_eightbit(struct pn_slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if ((unsigned char)bytes.data[i] >= 0x80)
			return true;
	return false;
}

/* ---- for people ----------------------------------------------------------------------------- */

/* What a status says in plain words (RFC 3463 section 3, without the class). */
static const char *
explain(const char *status)
{
	static const struct {
		const char *detail, *words;
	} known[] = {
		{ "1.1", "There is no such mailbox; please check the address." },
		{ "1.2", "There is no such domain; please check the part behind the @." },
		{ "1.10", "That domain takes no mail; please check the part behind the @." },
		{ "2.1", "The mailbox is closed." },
		{ "2.2", "The mailbox is full." },
		{ "2.3", "The message is larger than the mailbox takes." },
		{ "3.4", "The message is larger than the other mail system takes." },
		{ "4.1", "The other mail system did not answer." },
		{ "4.2", "The connection to the other mail system broke off." },
		{ "4.4", "No way to the other mail system was found." },
		{ "4.6", "The message went round in a loop." },
		{ "4.7", "Delivery was tried for as long as it may be, without success." },
		{ "6.7", "The other mail system takes no internationalized addresses." },
		{ "7.1", "The other mail system refuses the message by its rules." },
		{ "7.10", "The connection would not have been encrypted as it must be." },
	};
	const char *detail = status ? strchr(status, '.') : NULL;

	for (size_t i = 0; detail && i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(detail + 1, known[i].detail) == 0)
			return known[i].words;
	return NULL;
}

static const char *
opening(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return "Your message could not be delivered to:";
	case DSN_DELAYED:
		return "Your message has not been delivered yet. Delivery is still being tried, "
		       "you need not send it again. It waits for:";
	case DSN_DELIVERED:
		return "Your message was delivered to:";
	case DSN_RELAYED:
		return "Your message was handed on to a mail system that may not confirm the "
		       "delivery, for:";
	case DSN_EXPANDED:
		return "Your message was passed on to the members of:";
	}
	return "";
}

/*
 * "Protection: S/MIME (a certificate of the profile)." Of mail for which nobody wants any and whose
 * delivery failed there is nothing to say.
 */
static void
write_human_protection(const struct dsn_recipient *about, struct dsn_text *text)
{
	const struct mail_plan *plan = about->plan;
	const char *tls = about->tls && strcmp(about->tls, "none") ? about->tls : NULL;
	bool none = !strcmp(mail_plan_method(plan), "none") && !plan->entry &&
		    !mail_demand_is_any(&plan->demand);

	if (plan->unserved)
		dsn_text_printf(text, "    No method of protection applied.\r\n");
	else if (!none || about->tls)
		dsn_text_wrap(text, "    Protection: ", "    ",
		    arena_printf(&text->arena, "%s%s%s%s%s.", mail_plan_word(plan),
			plan->reason ? " (" : "",
			plan->reason ? dsn_text_clean(text, plan->reason) : "",
			plan->reason ? ")" : "",
			!about->tls ? ""
			: tls       ? arena_printf(&text->arena,
					  "; the connection to the next mail system was encrypted by %s",
					  tls)
			      : "; the connection to the next mail system was not encrypted"));
	if (plan->passed)
		dsn_text_wrap(text, "    Asked before, without result: ", "    ",
		    dsn_text_clean(text, plan->passed));
}

static void
write_human_recipient(const struct dsn_recipient *about, struct dsn_text *text)
{
	const char *words = explain(about->status);
	char date[CLOCK_DATE_SIZE];

	dsn_text_printf(text, "\r\n  <%s>\r\n", dsn_text_clean(text, about->recipient->original));
	if (words)
		dsn_text_printf(text, "    %s\r\n", words);
	if (about->diagnostic && about->remote)
		dsn_text_wrap(text, "    The mail system ", "    ",
		    arena_printf(&text->arena, "%s said: %s", dsn_text_clean(text, about->remote),
			dsn_text_clean(text, about->diagnostic)));
	else if (about->diagnostic)
		dsn_text_wrap(
		    text, "    Reason: ", "    ", dsn_text_clean(text, about->diagnostic));
	if (about->plan)
		write_human_protection(about, text);
	if (about->action != DSN_DELAYED || about->will_retry_until_us == 0)
		return;
	clock_mail_date(about->will_retry_until_us, date);
	dsn_text_printf(text, "    Delivery is tried until %s.\r\n", date);
}

void
dsn_parts_human(
    const struct dsn_report *report, const struct dsn_quote *quote, struct dsn_text *text)
{
	dsn_text_printf(text, "This is the mail relay at %s.\r\n", report->relay_name);
	for (int action = DSN_FAILED; action <= DSN_EXPANDED; action++) {
		bool first = true;

		for (size_t i = 0; i < report->count; i++) {
			if ((int)report->recipients[i].action != action)
				continue;
			if (first)
				dsn_text_wrap(text, "\r\n", "", opening(action));
			first = false;
			write_human_recipient(&report->recipients[i], text);
		}
	}
	dsn_text_printf(text,
	    "\r\nAttached are a report for programs and %s.\r\n"
	    "If you ask an administrator for help, mention the number %s.\r\n",
	    quote->whole ? "your message" : "the header of your message",
	    dsn_text_clean(text, report->about_id));
}

/* ---- for programs (RFC 3464 section 2, RFC 6533 section 3) ----------------------------------- */

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* xtext, RFC 3461 section 4; what is no escape stays as it is. */
static const char *
decode_xtext(struct dsn_text *text, const char *coded)
{
	char *plain = arena_text(&text->arena, coded), *to = plain;

	for (const char *p = coded; *p; p++) {
		int high = *p == '+' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;

		if (low < 0 || high + low == 0) {
			*to++ = *p;
			continue;
		}
		*to++ = (char)(high << 4 | low);
		p += 2;
	}
	*to = '\0';
	return dsn_text_clean(text, plain);
}

/* "rfc822;b+40x" as the client gave it; an utf-8 address is not xtext (RFC 6533 section 3). */
static void
write_original_recipient(struct dsn_text *text, const char *orcpt)
{
	size_t type = strcspn(orcpt, ";");
	char *lead;

	if (orcpt[type] != ';' || type == 0 || type > 64)
		return;
	lead = arena_printf(&text->arena, "Original-Recipient: %s; ",
	    dsn_text_clean(text, arena_slice(&text->arena, pn_slice(orcpt, type))));
	dsn_text_wrap(text, lead, NULL,
	    text_is(pn_slice(orcpt, type), "utf-8") ? dsn_text_clean(text, orcpt + type + 1)
						    : decode_xtext(text, orcpt + type + 1));
}

/* utf-8-addr-unitext: three characters have a meaning of their own there. */
static const char *
unitext(struct dsn_text *text, const char *address)
{
	const char *made = "";

	for (size_t len; *address; address += len) {
		len = strcspn(address, "+=\\");
		made = arena_printf(&text->arena, "%s%.*s", made, (int)len, address);
		if (address[len] == '\0')
			continue;
		made = arena_printf(&text->arena, "%s\\x{%X}", made, (unsigned)address[len++]);
	}
	return made;
}

static void
write_final_recipient(struct dsn_text *text, const char *address)
{
	if (mail_address_is_utf8(address))
		dsn_text_wrap(text, "Final-Recipient: utf-8; ", NULL,
		    unitext(text, dsn_text_clean(text, address)));
	else
		dsn_text_wrap(
		    text, "Final-Recipient: rfc822; ", NULL, dsn_text_clean(text, address));
}

/* RFC 3463 section 2: class, subject, detail without leading zeros. */
static bool
is_status(const char *status)
{
	if (!status || !strchr("245", status[0]) || status[0] == '\0')
		return false;
	status++;
	for (int i = 0; i < 2; i++) {
		size_t digits = status[0] == '.' ? strspn(status + 1, "0123456789") : 0;

		if (digits < 1 || digits > 3 || (digits > 1 && status[1] == '0'))
			return false;
		status += 1 + digits;
	}
	return *status == '\0';
}

/* A reply of SMTP, or a reason of our own. */
static void
write_diagnostic(struct dsn_text *text, const char *diagnostic)
{
	bool smtp = strspn(diagnostic, "0123456789") == 3;

	dsn_text_wrap(text, smtp ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: X-Postern; ", NULL,
	    dsn_text_clean(text, diagnostic));
}

/* Fields of our own (RFC 3464 section 2.4). */
static void
write_protection(const struct dsn_recipient *about, struct dsn_text *text)
{
	const struct mail_plan *plan = about->plan;

	dsn_text_printf(text, "X-Postern-Method: %s\r\n",
	    plan->unserved ? "none" : dsn_text_clean(text, mail_plan_word(plan)));
	if (plan->reason)
		dsn_text_wrap(text, "X-Postern-Reason: ", NULL, dsn_text_clean(text, plan->reason));
	if (plan->passed)
		dsn_text_wrap(text, "X-Postern-Passed: ", NULL, dsn_text_clean(text, plan->passed));
	if (about->tls)
		dsn_text_wrap(text, "X-Postern-Hop-TLS: ", NULL, dsn_text_clean(text, about->tls));
}

static void
write_status_recipient(const struct dsn_recipient *about, struct dsn_text *text)
{
	static const char *const actions[] = { "failed", "delayed", "delivered", "relayed",
		"expanded" };
	static const char *const unknown[] = { "5.0.0", "4.0.0", "2.0.0", "2.0.0", "2.0.0" };

	dsn_text_printf(text, "\r\n");
	if (about->recipient->orcpt)
		write_original_recipient(text, about->recipient->orcpt);
	write_final_recipient(text, about->recipient->address);
	dsn_text_printf(text, "Action: %s\r\nStatus: %s\r\n", actions[about->action],
	    is_status(about->status) ? about->status : unknown[about->action]);
	if (about->remote)
		dsn_text_wrap(text, "Remote-MTA: dns; ", NULL, dsn_text_clean(text, about->remote));
	if (about->diagnostic)
		write_diagnostic(text, about->diagnostic);
	if (about->plan)
		write_protection(about, text);
	if (about->last_attempt_us)
		dsn_text_date(text, "Last-Attempt-Date", about->last_attempt_us);
	if (about->action == DSN_DELAYED && about->will_retry_until_us)
		dsn_text_date(text, "Will-Retry-Until", about->will_retry_until_us);
}

void
dsn_parts_status(const struct dsn_report *report, struct dsn_text *text)
{
	dsn_text_printf(text, "Reporting-MTA: dns; %s\r\n", report->relay_name);
	if (report->envelope->envid)
		dsn_text_wrap(text, "Original-Envelope-Id: ", NULL,
		    decode_xtext(text, report->envelope->envid));
	if (report->arrival_us)
		dsn_text_date(text, "Arrival-Date", report->arrival_us);
	for (size_t i = 0; i < report->count; i++)
		write_status_recipient(&report->recipients[i], text);
}

/* ---- the message reported on ---------------------------------------------------------------- */

/* Fields with their CRLF, without the empty line. */
static struct pn_slice
header_of(struct pn_slice original)
{
	const char *end;

	if (original.len >= 2 && memcmp(original.data, "\r\n", 2) == 0)
		return pn_slice(original.data, 0);
	end = original.len ? memmem(original.data, original.len, "\r\n\r\n", 4) : NULL;
	return end ? pn_slice(original.data, (size_t)(end - original.data) + 2) : original;
}

/* Length of the line at the start of `bytes`, without its CRLF. */
static size_t
line_len(struct pn_slice bytes)
{
	const char *end = bytes.len ? memmem(bytes.data, bytes.len, "\r\n", 2) : NULL;

	return end ? (size_t)(end - bytes.data) : bytes.len;
}

/* True where each line may stand in a message with an 8bit label (RFC 2045 section 2.8). */
static bool
has_lawful_lines(struct pn_slice bytes)
{
	while (bytes.len > 0) {
		size_t len = line_len(bytes), step = len + 2 < bytes.len ? len + 2 : bytes.len;

		if (len > LINE_MOST || memchr(bytes.data, '\0', len) ||
		    memchr(bytes.data, '\n', len) || memchr(bytes.data, '\r', len))
			return false;
		bytes = pn_slice(bytes.data + step, bytes.len - step);
	}
	return true;
}

/* One line, in pieces where it is too long, without the bytes that no line may hold. */
static void
write_line(struct dsn_text *text, struct pn_slice line)
{
	const char *indent = "";

	do {
		size_t most = LINE_MOST - strlen(indent);
		size_t len = line.len < most ? line.len : most, least = len > 4 ? len - 4 : 0;
		char *copy;

		while (
		    len < line.len && len > least && ((unsigned char)line.data[len] & 0xc0) == 0x80)
			len--;
		copy = arena_slice(&text->arena, pn_slice(line.data, len));
		for (size_t i = 0; i < len; i++)
			if (copy[i] == '\0' || copy[i] == '\r' || copy[i] == '\n')
				copy[i] = '?';
		dsn_text_printf(text, "%s%s\r\n", indent, copy);
		indent = " ";
		line = pn_slice(line.data + len, line.len - len);
	} while (line.len > 0);
}

/* As much of the header as is reasonable, made lawful. */
static void
write_header(struct dsn_text *text, struct pn_slice header)
{
	while (header.len > 0) {
		size_t len = line_len(header), step = len + 2 < header.len ? len + 2 : header.len;

		if (text->buf.len + len > HEADERS_MOST)
			return;
		write_line(text, pn_slice(header.data, len));
		header = pn_slice(header.data + step, header.len - step);
	}
}

/* RET is about failures; other reports quote the header alone (RFC 3461 section 4.3). */
static bool
wants_whole(const struct dsn_report *report)
{
	if (report->envelope->ret != MAIL_RET_FULL || report->original.len > report->quote_most)
		return false;
	for (size_t i = 0; i < report->count; i++)
		if (report->recipients[i].action == DSN_FAILED)
			return true;
	return false;
}

void
dsn_parts_quote(const struct dsn_report *report, struct dsn_text *text, struct dsn_quote *ret)
{
	struct pn_slice header = header_of(report->original);
	bool global = dsn_parts_eightbit(header) &&
		      g_utf8_validate(header.data, (gssize)header.len, NULL);

	ret->whole = wants_whole(report) && has_lawful_lines(report->original);
	if (ret->whole) {
		ret->type = global ? "message/global" : "message/rfc822";
		ret->bytes = report->original;
		return;
	}
	write_header(text, header);
	ret->type = global ? "message/global-headers" : "text/rfc822-headers";
	ret->bytes = buf_slice(&text->buf);
}
