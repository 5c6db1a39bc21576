/* SPDX-License-Identifier: Apache-2.0 */
/*
 * letter.c - the header and the lines of what Postern has written itself.
 *
 * Called by the queue, and by the outbox for its checks. Must never let a subject or a text make a
 * header field, nor a line that is too long (RFC 5322 section 2.1.1).
 */
#include <core/mail/dsn_text.h>
#include <core/mail/letter.h>
#include <errno.h>
#include <glib.h>
#include <postern/mail.h>

#define LINE_MOST 900
#define WORD_MOST 45u /* bytes, so that an encoded word has 75 at most (RFC 2047 section 2) */
#define MOST      ((size_t)256 * 1024)

/* ---- what may stand in it -------------------------------------------------------------------- */

/* UTF-8 in lines, without controls but tabs. */
static bool
is_text(const char *text)
{
	size_t len = 0;

	if (!g_utf8_validate(text, -1, NULL))
		return false;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		len = c == '\n' ? 0 : len + 1;
		if (len > LINE_MOST || (c < ' ' && c != '\n' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

int
letter_check(const char *subject, const char *text, struct pn_error *err)
{
	if (!subject || !*subject || strlen(subject) > PN_MAIL_SUBJECT_MOST || !is_text(subject) ||
	    strpbrk(subject, "\n\t"))
		return pn_error_set(err, -EINVAL,
		    "a subject is one line of UTF-8, of %d bytes at most", PN_MAIL_SUBJECT_MOST);
	if (!text || strlen(text) > PN_MAIL_TEXT_MOST || !is_text(text))
		return pn_error_set(err, -EINVAL,
		    "a text is %d bytes of UTF-8 at most, in lines of %d, without control "
		    "characters",
		    PN_MAIL_TEXT_MOST, LINE_MOST);
	return 0;
}

/* ---- the header ------------------------------------------------------------------------------ */

/* How much of it is whole characters and fits one encoded word. */
static size_t
word_len(const char *text)
{
	size_t len = strnlen(text, WORD_MOST + 1);

	if (len <= WORD_MOST)
		return len;
	for (len = WORD_MOST; ((unsigned char)text[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

/* What is not ASCII, or could be taken for an encoded word, is one (RFC 2047 section 4.1). */
static void
write_subject(struct dsn_text *text, const char *subject)
{
	const char *fold = "Subject:";

	if (g_str_is_ascii(subject) && !strstr(subject, "=?")) {
		dsn_text_wrap(text, "Subject: ", NULL, subject);
		return;
	}
	for (size_t len; *subject; subject += len) {
		char *word;

		len = word_len(subject);
		word = g_base64_encode((const guchar *)subject, len);
		dsn_text_printf(text, "%s =?utf-8?B?%s?=\r\n", fold, word);
		g_free(word);
		fold = "";
	}
}

static void
write_addresses(struct dsn_text *text, const struct letter *letter, const char *relay_name)
{
	if (*letter->sender)
		dsn_text_printf(text, "From: %s\r\n", letter->sender);
	else
		dsn_text_printf(text, "From: Postmaster <postmaster@%s>\r\n", relay_name);
	for (size_t i = 0; i < letter->count; i++)
		dsn_text_printf(text, "%s %s%s\r\n", i == 0 ? "To:" : "", letter->recipients[i],
		    i + 1 < letter->count ? "," : "");
}

static void
write_head(struct dsn_text *text, const struct letter *letter, const char *relay_name)
{
	dsn_text_date(text, "Date", letter->wall_us);
	write_addresses(text, letter, relay_name);
	write_subject(text, letter->subject);
	dsn_text_printf(text,
	    "Message-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-generated\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: %s\r\n"
	    "\r\n",
	    letter->id, relay_name, g_str_is_ascii(letter->text) ? "7bit" : "8bit");
}

/* ---- the message ----------------------------------------------------------------------------- */

int
letter_write(const struct letter *letter, const char *relay_name, struct mail_bytes **ret)
{
	struct dsn_text text = { .buf = BUF_INIT(MOST), .utf8 = true };
	int r;

	*ret = NULL;
	write_head(&text, letter, relay_name);
	for (const char *line = letter->text; *line;) {
		size_t len = strcspn(line, "\n");

		dsn_text_printf(&text, "%.*s\r\n", (int)len, line);
		line += len + (line[len] == '\n');
	}
	r = text.r;
	if (r == 0)
		r = mail_bytes_new(text.buf.len, ret);
	if (r == 0)
		r = mail_bytes_append(*ret, text.buf.data, text.buf.len, SIZE_MAX);
	if (r < 0)
		mail_bytes_release(ret);
	dsn_text_free(&text);
	return r;
}
