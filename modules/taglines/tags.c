/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tags.c - finds tags in HTML as browsers would, roughly.
 *
 * Called for each text/html body. Must never take time that grows faster than the text.
 */
#include "tags.h"
#include <glib.h>

static const char *const raw_elements[] = { "script", "style", "title", "textarea" };

bool
tag_is(const struct tag *tag, const char *name)
{
	return strlen(name) == tag->name.len &&
	       g_ascii_strncasecmp(tag->name.data, name, tag->name.len) == 0;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

/* Behind the ">" of the tag that begins at `at`, quotes observed; 0 if there is none. */
static size_t
tag_end(struct pn_slice html, size_t at)
{
	char quote = '\0';

	for (size_t i = at + 1; i < html.len; i++) {
		char c = html.data[i];

		if (quote)
			quote = c == quote ? '\0' : quote;
		else if (c == '>')
			return i + 1;
		else if ((c == '"' || c == '\'') && html.data[i - 1] == '=')
			quote = c;
	}
	return 0;
}

/* A quote that never ends is no quote. */
static size_t
plain_tag_end(struct pn_slice html, size_t at)
{
	const char *end = memchr(html.data + at, '>', html.len - at);

	return end ? (size_t)(end - html.data) + 1 : 0;
}

static size_t
comment_end(struct pn_slice html, size_t at)
{
	const char *end = memmem(html.data + at + 2, html.len - at - 2, "-->", 3);

	return end ? (size_t)(end - html.data) + 3 : html.len;
}

static void
read_tag(struct pn_slice html, size_t at, size_t end, struct tag *ret)
{
	size_t name = at + 1, i;

	ret->closing = html.data[name] == '/';
	name += ret->closing;
	for (i = name; i < end - 1 && !is_space(html.data[i]) && html.data[i] != '/';)
		i++;
	ret->name = pn_slice(html.data + name, i - name);
	ret->attributes = pn_slice(html.data + i, end - 1 - i);
	ret->start = at;
	ret->end = end;
}

/* To the closing tag of an element whose content is no markup; the end if there is none. */
static size_t
skip_raw(struct pn_slice html, const struct tag *tag)
{
	for (size_t at = tag->end; at + 2 + tag->name.len <= html.len; at++) {
		const char *next = memchr(html.data + at, '<', html.len - at);

		if (!next)
			break;
		at = (size_t)(next - html.data);
		if (html.len - at > 2 + tag->name.len && next[1] == '/' &&
		    g_ascii_strncasecmp(next + 2, tag->name.data, tag->name.len) == 0)
			return at;
	}
	return html.len;
}

static bool
is_raw(const struct tag *tag)
{
	for (size_t i = 0; i < G_N_ELEMENTS(raw_elements); i++)
		if (!tag->closing && tag_is(tag, raw_elements[i]))
			return true;
	return false;
}

bool
tags_next(struct pn_slice html, size_t *at, struct tag *ret)
{
	while (*at < html.len) {
		const char *open = memchr(html.data + *at, '<', html.len - *at);
		size_t start = open ? (size_t)(open - html.data) : html.len, end;

		if (!open || html.len - start < 3)
			break;
		if (html.len - start >= 4 && memcmp(open, "<!--", 4) == 0) {
			*at = comment_end(html, start);
			continue;
		}
		if (!g_ascii_isalpha(open[1]) && !(open[1] == '/' && g_ascii_isalpha(open[2]))) {
			*at = start + 1;
			continue;
		}
		end = tag_end(html, start);
		if (end == 0)
			end = plain_tag_end(html, start);
		if (end == 0)
			break;
		read_tag(html, start, end, ret);
		*at = is_raw(ret) ? skip_raw(html, ret) : end;
		return true;
	}
	*at = html.len;
	return false;
}

struct pn_slice
tag_attribute(const struct tag *tag, const char *name)
{
	struct pn_slice in = tag->attributes;
	size_t len = strlen(name), at = 0;

	while (at < in.len) {
		size_t begin, end;
		char quote = ' ';

		while (at < in.len && (is_space(in.data[at]) || in.data[at] == '/'))
			at++;
		begin = at;
		while (at < in.len && !is_space(in.data[at]) && in.data[at] != '=')
			at++;
		end = at;
		while (at < in.len && is_space(in.data[at]))
			at++;
		if (at == in.len || in.data[at] != '=')
			continue;
		at++;
		while (at < in.len && is_space(in.data[at]))
			at++;
		if (at < in.len && (in.data[at] == '"' || in.data[at] == '\''))
			quote = in.data[at++];
		if (end - begin == len && g_ascii_strncasecmp(in.data + begin, name, len) == 0)
			begin = SIZE_MAX;
		end = at;
		while (
		    at < in.len && (quote == ' ' ? !is_space(in.data[at]) : in.data[at] != quote))
			at++;
		if (begin == SIZE_MAX)
			return pn_slice(in.data + end, at - end);
		at += at < in.len;
	}
	return pn_slice("", 0);
}
