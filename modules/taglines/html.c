/* SPDX-License-Identifier: Apache-2.0 */
/*
 * html.c - where in an HTML body a tagline goes, and from HTML to text and back.
 *
 * Called for each text/html body, and when the configuration is read. Must never put a block inside
 * of a tag, a comment, or behind the body.
 */
#include "taglines.h"
#include "tags.h"
#include <string.h>

/* ---- places ---------------------------------------------------------------------------------- */

struct places {
	size_t top;    /* behind <body>, or what comes nearest to it */
	size_t bottom; /* before </body>, </html>, or the end */
	size_t quote;  /* before the first thing that quotes; SIZE_MAX: nothing does */
	bool body, body_ends;
};

static bool
has(struct pn_slice value, const char *word)
{
	return memmem(value.data, value.len, word, strlen(word)) != NULL;
}

/* What the programs that people use put around, or straight above, the mail they answer. */
static bool
quotes(const struct tag *tag)
{
	static const char *const classes[] = { "gmail_quote", "gmail_extra", "moz-cite-prefix",
		"yahoo_quoted", "protonmail_quote", "OutlookMessageHeader" };
	static const char *const ids[] = { "divRplyFwdMsg", "appendonsend", "stopSpelling",
		"mail-editor-reference-message-container", "reply-intro", "OLK_SRC_BODY_SECTION" };
	struct pn_slice class, id, style;

	if (tag->closing)
		return false;
	if (tag_is(tag, "blockquote"))
		return true;
	class = tag_attribute(tag, "class");
	for (size_t i = 0; class.len > 0 && i < G_N_ELEMENTS(classes); i++)
		if (has(class, classes[i]))
			return true;
	id = tag_attribute(tag, "id");
	for (size_t i = 0; id.len > 0 && i < G_N_ELEMENTS(ids); i++)
		if (has(id, ids[i]))
			return true;
	style = tag_attribute(tag, "style");
	/* Outlook on the desktop: a rule above "From: ... Sent: ..." */
	return has(style, "border-top:solid #E1E1E1") || has(style, "border-top:solid #B5C4DF");
}

static void
take_tag(struct places *places, const struct tag *tag)
{
	if (tag_is(tag, "body")) {
		if (!tag->closing && !places->body) {
			places->body = true;
			places->top = tag->end;
		} else if (tag->closing) {
			places->body_ends = true;
			places->bottom = tag->start;
		}
	} else if (tag_is(tag, "html")) {
		if (tag->closing && !places->body_ends)
			places->bottom = tag->start;
		else if (!tag->closing && !places->body)
			places->top = tag->end;
	} else if (tag_is(tag, "head") && !places->body) {
		places->top = tag->end;
	} else if (places->quote == SIZE_MAX && quotes(tag)) {
		places->quote = tag->start;
	}
}

static struct places
find_places(struct pn_slice html)
{
	struct places places = { .bottom = html.len, .quote = SIZE_MAX };
	struct tag tag;
	size_t at = 0;

	/* A declaration comes first of all. */
	if (html.len > 2 && html.data[0] == '<' && html.data[1] == '!' && html.data[2] != '-') {
		const char *end = memchr(html.data, '>', html.len);

		places.top = end ? (size_t)(end - html.data) + 1 : 0;
	}
	while (tags_next(html, &at, &tag))
		take_tag(&places, &tag);
	/* </body> in the middle, as where mails were put together: not before the text. */
	if (places.bottom < places.top)
		places.bottom = html.len;
	return places;
}

void
html_place(struct pn_slice text, const char *block, enum position position, struct insertion *ret)
{
	struct places places = find_places(text);

	ret->offset = position == AT_TOP ? places.top : places.bottom;
	if (position == BEFORE_QUOTE && places.quote >= places.top && places.quote < places.bottom)
		ret->offset = places.quote;
	/* On lines of its own, so that no long line gets longer. */
	ret->text = g_strdup_printf("\n%s\n", block);
}

/* ---- text and HTML --------------------------------------------------------------------------- */

char *
html_escape(const char *text)
{
	GString *escaped = g_string_new(NULL);

	/* Not GLib's: Outlook does not know &apos;. */
	for (const char *c = text; *c; c++)
		if (*c == '&')
			g_string_append(escaped, "&amp;");
		else if (*c == '<')
			g_string_append(escaped, "&lt;");
		else if (*c == '>')
			g_string_append(escaped, "&gt;");
		else if (*c == '"')
			g_string_append(escaped, "&quot;");
		else
			g_string_append_c(escaped, *c);
	return g_string_free(escaped, FALSE);
}

char *
html_from_text(const char *text)
{
	char *escaped = g_strchomp(html_escape(text)); /* without the line end of a YAML block */
	char **lines = g_strsplit(escaped, "\n", -1);
	char *joined = g_strjoinv("<br>\n", lines);

	g_strfreev(lines);
	g_free(escaped);
	return joined;
}

static const struct {
	const char *name;
	gunichar c;
} entities[] = {
	{ "amp", '&' },
	{ "lt", '<' },
	{ "gt", '>' },
	{ "quot", '"' },
	{ "apos", '\'' },
	{ "nbsp", 0xa0 },
	{ "copy", 0xa9 },
	{ "reg", 0xae },
	{ "trade", 0x2122 },
	{ "ndash", 0x2013 },
	{ "mdash", 0x2014 },
	{ "hellip", 0x2026 },
	{ "euro", 0x20ac },
	{ "middot", 0xb7 },
	{ "bull", 0x2022 },
	{ "laquo", 0xab },
	{ "raquo", 0xbb },
	{ "auml", 0xe4 },
	{ "ouml", 0xf6 },
	{ "uuml", 0xfc },
	{ "Auml", 0xc4 },
	{ "Ouml", 0xd6 },
	{ "Uuml", 0xdc },
	{ "szlig", 0xdf },
	{ "eacute", 0xe9 },
	{ "egrave", 0xe8 },
	{ "agrave", 0xe0 },
	{ "ccedil", 0xe7 },
};

static gunichar
entity(const char *name, size_t len)
{
	char digits[12];

	if (len > 1 && len < sizeof(digits) && name[0] == '#') {
		bool hex = name[1] == 'x' || name[1] == 'X';
		guint64 c;

		memcpy(digits, name + 1 + hex, len - 1 - hex);
		digits[len - 1 - hex] = '\0';
		c = g_ascii_strtoull(digits, NULL, hex ? 16 : 10);
		return c < 0x110000 && g_unichar_validate((gunichar)c) ? (gunichar)c : 0;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(entities); i++)
		if (strlen(entities[i].name) == len && memcmp(entities[i].name, name, len) == 0)
			return entities[i].c;
	return 0;
}

/* Words, with what stands between tags; white space is one blank. */
static void
append_words(GString *to, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char *end = text[i] == '&' ? memchr(text + i, ';', MIN(len - i, 12)) : NULL;
		gunichar c = end ? entity(text + i + 1, (size_t)(end - text) - i - 1) : 0;

		if (c) {
			g_string_append_unichar(to, c);
			i = (size_t)(end - text);
		} else if (!strchr(" \t\r\n", text[i])) {
			g_string_append_c(to, text[i]);
		} else if (to->len > 0 && !strchr(" \n", to->str[to->len - 1])) {
			g_string_append_c(to, ' ');
		}
	}
}

static void
end_line(GString *to)
{
	while (to->len > 0 && to->str[to->len - 1] == ' ')
		g_string_truncate(to, to->len - 1);
	if (to->len > 0)
		g_string_append_c(to, '\n');
}

static bool
breaks_line(const struct tag *tag)
{
	static const char *const names[] = { "br", "p", "div", "tr", "li", "ul", "ol", "table",
		"hr", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (tag_is(tag, names[i]))
			return true;
	return false;
}

static void
end_link(GString *to, struct pn_slice *link, size_t begin)
{
	struct pn_slice shown = *link;

	*link = pn_slice("", 0);
	if (shown.len > 7 && memcmp(shown.data, "mailto:", 7) == 0)
		shown = pn_slice(shown.data + 7, shown.len - 7);
	if (shown.len == 0 || memmem(to->str + begin, to->len - begin, shown.data, shown.len))
		return;
	g_string_append(to, " <");
	append_words(to, shown.data, shown.len);
	g_string_append_c(to, '>');
}

char *
html_to_text(struct pn_slice html)
{
	GString *text = g_string_new(NULL);
	struct pn_slice link = pn_slice("", 0);
	size_t at = 0, done = 0, link_at = 0;
	struct tag tag;

	while (tags_next(html, &at, &tag)) {
		append_words(text, html.data + done, tag.start - done);
		done = at;
		if (at > tag.end) /* script, style */
			continue;
		if (tag_is(&tag, "a") && link.len > 0)
			end_link(text, &link, link_at);
		if (tag_is(&tag, "a") && !tag.closing) {
			link = tag_attribute(&tag, "href");
			link_at = text->len;
		}
		if (breaks_line(&tag) && text->len > 0 && text->str[text->len - 1] != '\n')
			end_line(text);
		else if (tag_is(&tag, "br"))
			end_line(text);
	}
	append_words(text, html.data + done, html.len - done);
	return g_strstrip(g_string_free(text, FALSE));
}
