/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn.c - puts a delivery status notification together: a multipart/report (RFC 6522) of three
 * parts, which dsn_parts.c writes.
 *
 * Called by the queue. Must never answer a null sender (RFC 5321 section 4.5.5), and never need
 * more than 8BITMIME and, where the sender's own address is not ASCII, SMTPUTF8.
 */
#include <core/mail/address.h>
#include <core/mail/dsn.h>
#include <core/mail/dsn_parts.h>
#include <errno.h>
#include <glib.h>

#define FIXED_MOST     (128u * 1024) /* of each text, and more for each recipient */
#define RECIPIENT_MOST (16u * 1024)
#define BOUNDARY_TRIES 8
#define BOUNDARY_SIZE  40u

/* ---- what kind of report -------------------------------------------------------------------- */

/* RFC 6533: some address in it is not ASCII. */
static bool
is_international(const struct dsn_report *report)
{
	if (mail_address_is_utf8(report->envelope->sender))
		return true;
	for (size_t i = 0; i < report->count; i++) {
		const struct mail_recipient *recipient = report->recipients[i].recipient;

		if (mail_address_is_utf8(recipient->address) ||
		    mail_address_is_utf8(recipient->original) ||
		    (recipient->orcpt && mail_address_is_utf8(recipient->orcpt)))
			return true;
	}
	return false;
}

/* The gravest thing that is reported. */
static const char *
subject(const struct dsn_report *report)
{
	static const char *const subjects[] = { "Your message could not be delivered",
		"Your message is delayed", "Your message was delivered",
		"Your message was handed on", "Your message was passed on" };
	enum dsn_action gravest = DSN_EXPANDED;

	for (size_t i = 0; i < report->count; i++)
		if (report->recipients[i].action < gravest)
			gravest = report->recipients[i].action;
	return subjects[gravest];
}

/* ---- the boundary --------------------------------------------------------------------------- */

static bool
occurs(const char *boundary, const struct pn_slice parts[3])
{
	for (int i = 0; i < 3; i++)
		if (parts[i].len > 0 &&
		    memmem(parts[i].data, parts[i].len, boundary, strlen(boundary)))
			return true;
	return false;
}

/*
 * A hash of all that it must not occur in: nobody who writes the message can put it there. Looked
 * for all the same.
 */
static int
make_boundary(const char *id, const struct pn_slice parts[3], char ret[BOUNDARY_SIZE])
{
	for (guchar try = 0; try < BOUNDARY_TRIES; try++) {
		GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

		g_checksum_update(sum, (const guchar *)id, (gssize)strlen(id) + 1);
		for (int i = 0; i < 3; i++)
			g_checksum_update(sum, (const guchar *)parts[i].data, (gssize)parts[i].len);
		g_checksum_update(sum, &try, 1);
		g_snprintf(ret, BOUNDARY_SIZE, "=_%.32s", g_checksum_get_string(sum));
		g_checksum_free(sum);
		if (!occurs(ret, parts))
			return 0;
	}
	return -EINVAL;
}

/* ---- the message ---------------------------------------------------------------------------- */

static const char *
encoding(struct pn_slice bytes)
{
	return dsn_parts_eightbit(bytes) ? "8bit" : "7bit";
}

static void
write_head(
    struct dsn_text *text, const struct dsn_report *report, const char *boundary, bool eightbit)
{
	dsn_text_date(text, "Date", report->wall_us);
	dsn_text_printf(text,
	    "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n"
	    "To: %s\r\n"
	    "Subject: %s\r\n"
	    "Message-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-replied\r\n%s"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n"
	    "Content-Transfer-Encoding: %s\r\n"
	    "\r\n",
	    report->relay_name, report->envelope->sender, subject(report), report->id,
	    report->relay_name, report->tls_optional ? "TLS-Required: No\r\n" : "", boundary,
	    eightbit ? "8bit" : "7bit");
}

static void
write_part(struct dsn_text *text, const char *boundary, const char *type, const char *what,
    struct pn_slice bytes)
{
	dsn_text_printf(text,
	    "--%s\r\n"
	    "Content-Type: %s\r\n"
	    "Content-Description: %s\r\n"
	    "Content-Transfer-Encoding: %s\r\n"
	    "\r\n",
	    boundary, type, what, encoding(bytes));
}

/* The parts behind their heads; the quoted message is copied once. */
static int
assemble(const struct dsn_report *report, const struct dsn_quote *quote, bool utf8,
    const struct pn_slice parts[3], struct mail_bytes **ret)
{
	const char *const types[] = { utf8 ? "text/plain; charset=utf-8"
					   : "text/plain; charset=us-ascii",
		utf8 ? "message/global-delivery-status" : "message/delivery-status", quote->type };
	static const char *const whats[] = { "Notification", "Delivery report", "Your message" };
	struct dsn_text text = { .buf = BUF_INIT(FIXED_MOST), .utf8 = utf8 };
	struct mail_bytes *made = NULL;
	char boundary[BOUNDARY_SIZE];
	bool eightbit = false;
	int r;

	for (int i = 0; i < 3; i++)
		eightbit = eightbit || dsn_parts_eightbit(parts[i]);
	r = make_boundary(report->id, parts, boundary);
	if (r == 0)
		r = mail_bytes_new(parts[0].len + parts[1].len + parts[2].len + 4096, &made);
	if (r == 0)
		write_head(&text, report, boundary, eightbit);
	for (int i = 0; i < 3 && r == 0; i++) {
		write_part(&text, boundary, types[i], whats[i], parts[i]);
		r = text.r;
		if (r == 0)
			r = mail_bytes_append(made, text.buf.data, text.buf.len, SIZE_MAX);
		if (r == 0)
			r = mail_bytes_append(made, parts[i].data, parts[i].len, SIZE_MAX);
		buf_reset(&text.buf);
		dsn_text_printf(&text, "\r\n");
	}
	dsn_text_printf(&text, "--%s--\r\n", boundary);
	if (r == 0)
		r = text.r;
	if (r == 0)
		r = mail_bytes_append(made, text.buf.data, text.buf.len, SIZE_MAX);
	if (r < 0)
		mail_bytes_release(&made);
	dsn_text_free(&text);
	*ret = made;
	return r;
}

int
dsn_write(const struct dsn_report *report, struct mail_bytes **ret, bool *ret_utf8)
{
	size_t most = FIXED_MOST + report->count * RECIPIENT_MOST;
	bool utf8 = is_international(report);
	struct dsn_text human = { .buf = BUF_INIT(most), .utf8 = utf8 };
	struct dsn_text status = { .buf = BUF_INIT(most), .utf8 = utf8 };
	struct dsn_text headers = { .buf = BUF_INIT(most), .utf8 = utf8 };
	struct dsn_quote quote;
	int r;

	if (report->envelope->sender[0] == '\0' || report->count == 0)
		return -EINVAL;
	dsn_parts_quote(report, &headers, &quote);
	dsn_parts_human(report, &quote, &human);
	dsn_parts_status(report, &status);
	r = human.r < 0 ? human.r : status.r < 0 ? status.r : headers.r;
	if (r == 0) {
		const struct pn_slice parts[3] = { buf_slice(&human.buf), buf_slice(&status.buf),
			quote.bytes };

		r = assemble(report, &quote, utf8, parts, ret);
	}
	if (r == 0)
		*ret_utf8 = mail_address_is_utf8(report->envelope->sender);
	dsn_text_free(&human);
	dsn_text_free(&status);
	dsn_text_free(&headers);
	return r;
}
