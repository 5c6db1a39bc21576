/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn_text.c - the lines of a delivery status notification.
 *
 * Must never write a line over 998 octets or a byte that somebody else chose and that breaks one.
 */
#include <core/base/clock.h>
#include <core/mail/dsn_text.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_WANTED  78u
#define WORD_MOST    900u  /* so that lead, indent and word keep below 998 */
#define FOREIGN_MOST 4000u /* of a next hop's reply */

void
dsn_text_printf(struct dsn_text *text, const char *format, ...)
{
	va_list args;
	char *made = NULL;
	int len;

	if (text->r < 0)
		return;
	va_start(args, format);
	len = vasprintf(&made, format, args);
	va_end(args);
	text->r = len < 0 ? -ENOMEM : buf_add(&text->buf, made, (size_t)len);
	if (len >= 0)
		free(made);
}

/* The word that comes next with the blanks before it, cut between characters. */
static size_t
next_word(const char *words)
{
	size_t blanks = strspn(words, " "), len = blanks + strcspn(words + blanks, " ");

	if (len <= WORD_MOST)
		return len;
	len = WORD_MOST;
	while (len > WORD_MOST - 4 && ((unsigned char)words[len] & 0xc0) == 0x80)
		len--;
	return len;
}

/* The next line begins; how many blanks of `words` it takes the place of. */
static size_t
new_line(struct dsn_text *text, const char *indent, const char *words)
{
	if (indent) {
		dsn_text_printf(text, "\r\n%s", indent);
		return strspn(words, " ");
	}
	/* a cut word has no blank of its own to fold at */
	dsn_text_printf(text, "\r\n%s", *words == ' ' ? "" : " ");
	return 0;
}

void
dsn_text_wrap(struct dsn_text *text, const char *lead, const char *indent, const char *words)
{
	size_t column = strlen(lead), len;
	bool first = true;

	dsn_text_printf(text, "%s", lead);
	for (; words[strspn(words, " ")]; words += len) {
		len = next_word(words);
		if (!first && column + len > LINE_WANTED) {
			size_t skip = new_line(text, indent, words);

			words += skip;
			len -= skip;
			column = indent ? strlen(indent) : 1;
		}
		dsn_text_printf(text, "%.*s", (int)len, words);
		column += len;
		first = false;
	}
	dsn_text_printf(text, "\r\n");
}

void
dsn_text_date(struct dsn_text *text, const char *name, int64_t wall_us)
{
	char date[CLOCK_DATE_SIZE];

	clock_mail_date(wall_us, date);
	dsn_text_printf(text, "%s: %s\r\n", name, date);
}

const char *
dsn_text_clean(struct dsn_text *text, const char *foreign)
{
	size_t len = strnlen(foreign, FOREIGN_MOST);
	char *copy = arena_slice(&text->arena, pn_slice(foreign, len));
	bool utf8 = text->utf8 && g_utf8_validate(copy, (gssize)len, NULL);

	for (char *p = copy; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20)
			*p = ' ';
		else if (c == 0x7f || (c >= 0x80 && !utf8))
			*p = '?';
	}
	return copy;
}

void
dsn_text_free(struct dsn_text *text)
{
	buf_free(&text->buf);
	arena_free(&text->arena);
}
