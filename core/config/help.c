/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - a table of options as text for people.
 *
 * Called by `posternctl help` and by the making of man pages: what is not in the table cannot be
 * told here, so the two never drift apart.
 */
#include <core/config/option.h>
#include <core/config/scopes.h>
#include <errno.h>
#include <stdio.h>

#define WIDTH 78

const char *
option_type_words(const struct pn_option *row)
{
	static const char *const words[] = {
		[PN_TYPE_STRING] = "text",
		[PN_TYPE_BOOL] = "yes or no",
		[PN_TYPE_INT] = "number",
		[PN_TYPE_SIZE] = "size (bytes, or with k, m, g, t)",
		[PN_TYPE_DURATION] = "duration (with ms, s, m, h, d, w, y)",
		[PN_TYPE_CHOICE] = "one of",
		[PN_TYPE_SECRET] = "secret (!file PATH or !env NAME)",
		[PN_TYPE_GROUP] = "options",
		[PN_TYPE_STRINGS] = "list of texts",
		[PN_TYPE_LIST] = "list, each item with",
		[PN_TYPE_MAP] = "map of names of your own, each with",
		[PN_TYPE_UNION] = "list, each item one of",
	};

	if (row->flags & PN_PATH)
		return row->type == PN_TYPE_STRINGS ? "list of paths" : "path";
	if (row->choices && row->type == PN_TYPE_STRINGS)
		return "list, any of";
	if (row->type >= sizeof(words) / sizeof(*words) || !words[row->type])
		return "value";
	return words[row->type];
}

static int
write_spaces(struct buf *ret, unsigned count)
{
	return buf_printf(ret, "%*s", (int)count, "");
}

/* Words wrapped at WIDTH, each line indented. */
static int
write_wrapped(struct buf *ret, unsigned indent, const char *text)
{
	size_t column = 0;
	int r = 0;

	while (*text && r == 0) {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > WIDTH) {
			r = buf_add_text(ret, "\n");
			column = 0;
		}
		if (r == 0)
			r = column == 0 ? write_spaces(ret, indent) : buf_add_text(ret, " ");
		if (r == 0)
			r = buf_add(ret, text, len);
		column += len + (column == 0 ? indent : 1);
		text += len;
		text += strspn(text, " ");
	}
	return r < 0 ? r : buf_add_text(ret, "\n");
}

static int
write_choices(struct buf *ret, const struct pn_choice *choices)
{
	int r = 0;

	for (size_t i = 0; choices && choices[i].word && r == 0; i++)
		r = buf_printf(ret, "%s%s", i ? " | " : " ", choices[i].word);
	return r;
}

static int
write_choice_help(struct buf *ret, unsigned indent, const struct pn_choice *choices)
{
	char text[400];
	int r = 0;

	for (; choices && choices->word && r == 0; choices++) {
		if (!choices->help)
			continue;
		snprintf(text, sizeof(text), "%s: %s", choices->word, choices->help);
		r = write_wrapped(ret, indent, text);
	}
	return r;
}

static int
write_head(struct buf *ret, unsigned indent, const struct pn_option *row, bool scoped)
{
	char range[OPTION_RANGE_SIZE];
	int r = write_spaces(ret, indent);

	if (r == 0)
		r = buf_printf(ret, "%s%s%s", row->name ? row->name : "", row->name ? ": " : "",
		    option_type_words(row));
	if (r == 0)
		r = write_choices(ret, row->choices);
	option_range(row, range);
	if (r == 0 && *range)
		r = buf_printf(ret, ", %s", range);
	if (r == 0 && row->flags & PN_REQUIRED)
		r = buf_add_text(ret, "; required");
	else if (r == 0 && row->fallback)
		r = buf_printf(
		    ret, "; default %s", *row->fallback ? row->fallback : "an empty text");
	if (r == 0 && scoped)
		r = buf_add_text(
		    ret, row->flags & PN_ACCOUNT_ONLY ? "; scoped by account" : "; scoped");
	return r < 0 ? r : buf_add_text(ret, "\n");
}

static int
write_rows(
    struct buf *ret, unsigned indent, const struct pn_option *rows, size_t row_size, bool inherited)
{
	struct pn_option row;
	bool scoped;
	int r = 0;

	for (size_t i = 0; r == 0 && (row = option_row(rows, row_size, i)).type != PN_TYPE_END;
	     i++) {
		scoped = scope_allows(&row, inherited);
		r = write_head(ret, indent, &row, scoped && row.name);
		if (r == 0 && row.help)
			r = write_wrapped(ret, indent + 8, row.help);
		if (r == 0)
			r = write_choice_help(ret, indent + 8, row.choices);
		if (r == 0 && row.nested)
			r = write_rows(ret, indent + 4, row.nested, row_size,
			    scoped && row.type == PN_TYPE_GROUP);
	}
	return r;
}

static bool
any_scoped(const struct pn_option *rows, size_t row_size)
{
	struct pn_option row;

	for (size_t i = 0; (row = option_row(rows, row_size, i)).type != PN_TYPE_END; i++)
		if (row.flags & PN_SCOPED ||
		    (row.type == PN_TYPE_GROUP && any_scoped(row.nested, row_size)))
			return true;
	return false;
}

int
settings_help(const struct pn_option *rows, size_t row_size, struct buf *ret)
{
	int r = write_rows(ret, 0, rows, row_size, false);

	if (r == 0 && any_scoped(rows, row_size))
		r = buf_add_text(ret, "\n");
	if (r == 0 && any_scoped(rows, row_size))
		r = write_wrapped(ret, 0,
		    "What is scoped may be overridden in the section's maps accounts, domains, "
		    "groups and users, as may enabled; a user's value wins over a group's, a "
		    "domain's, an account's.");
	return r;
}
