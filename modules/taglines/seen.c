/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seen.c - whether a message carries the tagline already, somewhere in what it quotes.
 *
 * Called for each body where the entry is to be heard once per thread. Our class in HTML is the
 * sure sign, but programs drop it; so the words count as well, however they were quoted and
 * wrapped.
 */
#include "taglines.h"
#include "tags.h"
#include <string.h>

#define WORDS_LEAST 12u /* bytes of fixed text that tell a tagline from chance */

char *
seen_mark(const char *entry)
{
	return g_strdup_printf("postern-%s", entry);
}

/* Programs put something of their own before the classes of what they quote: "x_postern-legal". */
bool
seen_in_html(struct pn_slice html, const char *mark)
{
	struct tag tag;
	size_t at = 0, len = strlen(mark);

	if (!memmem(html.data, html.len, mark, len))
		return false;
	while (tags_next(html, &at, &tag)) {
		struct pn_slice class = tag_attribute(&tag, "class");
		const char *found = memmem(class.data, class.len, mark, len);

		if (found && (found + len == class.data + class.len || found[len] == ' '))
			return true;
	}
	return false;
}

/* Words with one blank between them; marks of quoting at the beginning of a line are none. */
static GString *
words_of(struct pn_slice text)
{
	GString *words = g_string_sized_new(text.len + 1);
	bool begins = true, gap = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		begins = begins || c == '\n';
		if (c == '\xc2' && i + 1 < text.len && text.data[i + 1] == '\xa0') {
			i++;
			c = ' ';
		}
		if (strchr(" \t\r\n", c) || (begins && (c == '>' || c == '|'))) {
			gap = true;
			continue;
		}
		if (gap && words->len > 0)
			g_string_append_c(words, ' ');
		g_string_append_c(words, c);
		begins = gap = false;
	}
	return words;
}

/* Behind the words, or NULL. */
static const char *
find_words(const char *in, struct pn_slice text, size_t *ret_len)
{
	GString *words = words_of(text);
	const char *found = words->len > 0 ? strstr(in, words->str) : in;

	*ret_len = words->len;
	if (found)
		found += words->len;
	g_string_free(words, TRUE);
	return found;
}

/* All that is fixed in the template, in its order. */
static bool
has_pieces(const char *words, const struct template *template, size_t *ret_fixed)
{
	bool all = true;

	*ret_fixed = 0;
	for (size_t i = 0; i < template->count; i++) {
		const char *behind;
		size_t len = 0;

		if (template->pieces[i].variable != LITERAL)
			continue;
		behind = find_words(words, pn_slice_of(template->pieces[i].text), &len);
		*ret_fixed += len;
		all = all && behind;
		words = behind ? behind : words;
	}
	return all;
}

/* The longest word that is always in it; words are wrapped and quoted whole. */
static struct pn_slice
longest_word(const struct template *template)
{
	struct pn_slice longest = pn_slice("", 0);

	for (size_t i = 0; i < template->count; i++) {
		const char *at = template->pieces[i].text;

		while (template->pieces[i].variable == LITERAL && *at) {
			size_t len = 0;

			while (g_ascii_isalnum(at[len]))
				len++;
			if (len > longest.len)
				longest = pn_slice(at, len);
			at += len > 0 ? len : 1;
		}
	}
	return longest;
}

bool
seen_possible(struct pn_slice text, const struct template *template)
{
	struct pn_slice word = longest_word(template);

	return word.len == 0 || memmem(text.data, text.len, word.data, word.len);
}

bool
seen_in_text(struct pn_slice text, const struct template *template, const char *filled)
{
	GString *words = words_of(text);
	size_t fixed, len;
	bool found = has_pieces(words->str, template, &fixed);

	if (fixed < WORDS_LEAST)
		found = find_words(words->str, pn_slice_of(filled), &len) && len > 0;
	g_string_free(words, TRUE);
	return found;
}
