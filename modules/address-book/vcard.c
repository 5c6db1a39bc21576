/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcard.c - cards out of the lines of a file: name, addresses, keys.
 *
 * Called by import. Must never give up all of a file for one property that it cannot use: such is
 * left out and said. Photos and the like are passed over.
 */
#include "vcard.h"
#include <errno.h>

/* ---- properties ------------------------------------------------------------------------------ */

static void PN_PRINTF(3, 4) problem(struct vcard *card, size_t line, const char *format, ...)
{
	va_list args;
	char *text;

	if (card->problems->len >= VCARD_PROBLEMS_MOST)
		return;
	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	g_ptr_array_add(card->problems, g_strdup_printf("line %zu: %s", line, text));
	g_free(text);
}

static void
take_key(struct vcard *card, const struct vcard_line *line)
{
	GByteArray *bytes = line->too_long ? NULL : vcard_line_bytes(line);
	struct pn_error err;

	if (line->too_long)
		problem(
		    card, line->number, "a key of more than %u bytes is left out", VCARD_LINE_MOST);
	else if (!bytes)
		problem(card, line->number,
		    "the key is elsewhere and is not fetched: give it in a file of its own");
	else if (keydata_count(&card->keys) >= VCARD_KEYS_MOST)
		problem(card, line->number, "a card has at most %u keys", VCARD_KEYS_MOST);
	else if (keydata_look(&card->keys, pn_slice(bytes->data, bytes->len), &err) < 0)
		problem(card, line->number, "%s", err.text);
	if (bytes)
		g_byte_array_unref(bytes);
}

static void
take_address(struct vcard *card, const struct vcard_line *line)
{
	char *text = vcard_line_text(line, PN_ADDRESS_SIZE);
	const char *address = text;

	if (g_ascii_strncasecmp(address, "mailto:", 7) == 0)
		address += 7;
	if (!*address)
		;
	else if (card->addresses->len >= VCARD_ADDRESSES_MOST)
		problem(
		    card, line->number, "a card has at most %u addresses", VCARD_ADDRESSES_MOST);
	else
		g_ptr_array_add(card->addresses, g_strdup(address));
	g_free(text);
}

/* "Doe;John;Richter;Mr.;Sr." for cards without FN, as 2.1 allows. */
static void
take_structured_name(struct vcard *card, const struct vcard_line *line)
{
	char *text, **parts;

	if (*card->name)
		return;
	text = vcard_line_text(line, VCARD_NAME_MOST);
	parts = g_strsplit(text, ";", 3);
	if (parts[0]) {
		g_free(card->name);
		card->name = g_strstrip(
		    g_strdup_printf("%s %s", parts[1] ? parts[1] : "", parts[0]));
	}
	g_strfreev(parts);
	g_free(text);
}

static void
take(struct vcard *card, const struct vcard_line *line)
{
	if (strcmp(line->name, "FN") == 0) {
		g_free(card->name);
		card->name = vcard_line_text(line, VCARD_NAME_MOST);
	} else if (strcmp(line->name, "N") == 0) {
		take_structured_name(card, line);
	} else if (strcmp(line->name, "EMAIL") == 0) {
		take_address(card, line);
	} else if (strcmp(line->name, "KEY") == 0) {
		take_key(card, line);
	} else if (strcmp(line->name, "X-POSTERN-QUESTION") == 0) {
		g_free(card->question);
		card->question = vcard_line_text(line, VCARD_QUESTION_MOST);
	}
}

/* ---- cards ----------------------------------------------------------------------------------- */

static bool
frames(const struct vcard_line *line, const char *name)
{
	char value[16];

	if (strcmp(line->name, name) != 0 || !line->has_value)
		return false;
	g_snprintf(value, sizeof(value), "%s", line->value);
	return g_ascii_strcasecmp(g_strchomp(value), "VCARD") == 0;
}

/* Cards inside of cards (AGENT) are passed over whole. */
static int
read_card(
    struct vcard_reader *reader, struct vcard_line *line, struct vcard *ret, struct pn_error *err)
{
	unsigned depth = 1;

	while (depth > 0) {
		if (!vcard_line_next(reader, line))
			return pn_error_set(
			    err, -EINVAL, "line %zu: this card has no END:VCARD", reader->line);
		if (frames(line, "BEGIN"))
			depth++;
		else if (frames(line, "END"))
			depth--;
		else if (depth == 1 && line->has_value)
			take(ret, line);
	}
	return 1;
}

int
vcard_next(struct vcard_reader *reader, struct vcard *ret, struct pn_error *err)
{
	struct vcard_line line = { .text = g_string_new(NULL) };
	int r = 0;

	*ret = (struct vcard){
		.name = g_strdup(""),
		.addresses = g_ptr_array_new_with_free_func(g_free),
		.problems = g_ptr_array_new_with_free_func(g_free),
	};
	keydata_init(&ret->keys);
	if (vcard_line_next(reader, &line)) {
		ret->line = line.number;
		r = frames(&line, "BEGIN")
			? read_card(reader, &line, ret, err)
			: pn_error_set(
			      err, -EINVAL, "line %zu: BEGIN:VCARD should stand here", line.number);
	}
	g_string_free(line.text, TRUE);
	return r;
}

void
vcard_clear(struct vcard *card)
{
	g_free(card->name);
	g_free(card->question);
	g_ptr_array_unref(card->addresses);
	g_ptr_array_unref(card->problems);
	keydata_clear(&card->keys);
}
