/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mdoc.c - a table of options as a list in a man page, in mdoc(7).
 *
 * Called by `posternctl help --mdoc`, from which the man pages are made. Must let nothing of a text
 * be read as a request: every text goes through write_text().
 */
#include <core/config/option.h>
#include <stdio.h>

/* One line of text: no request at its beginning, no escape in it. */
static int
write_text(struct buf *ret, const char *text)
{
	int r = *text == '.' || *text == '\'' ? buf_add_text(ret, "\\&") : 0;

	for (; *text && r == 0; text++)
		r = *text == '\\' ? buf_add_text(ret, "\\e") : buf_add(ret, text, 1);
	return r < 0 ? r : buf_add_text(ret, "\n");
}

static int
write_choices(struct buf *ret, const struct pn_choice *choices)
{
	int r = choices ? buf_add_text(ret, ".Bl -tag -width Ds -compact\n") : 0;

	for (const struct pn_choice *choice = choices; choice && choice->word && r == 0; choice++) {
		r = buf_printf(ret, ".It Cm %s\n", choice->word);
		if (r == 0 && choice->help)
			r = write_text(ret, choice->help);
	}
	return r < 0 || !choices ? r : buf_add_text(ret, ".El\n");
}

static int
write_facts(struct buf *ret, const struct pn_option *row)
{
	char range[OPTION_RANGE_SIZE];
	int r;

	option_range(row, range);
	r = buf_printf(ret, "(%s%s%s%s", option_type_words(row), *range ? ", " : "", range,
	    row->flags & PN_REQUIRED ? "; required" : "");
	if (r == 0 && row->fallback && !(row->flags & PN_REQUIRED))
		r = buf_printf(
		    ret, "; default %s", *row->fallback ? row->fallback : "an empty text");
	if (r == 0 && row->flags & PN_ACCOUNT_ONLY)
		r = buf_add_text(ret, "; per account");
	else if (r == 0 && row->flags & PN_SCOPED)
		r = buf_add_text(ret, "; per account, domain, group, user");
	return r < 0 ? r : buf_add_text(ret, ")\n");
}

static int
write_rows(struct buf *ret, const struct pn_option *rows, size_t row_size)
{
	struct pn_option row = option_row(rows, row_size, 0);
	int r = 0;

	if (row.type == PN_TYPE_END)
		return 0;
	r = buf_add_text(ret, ".Bl -tag -width Ds\n");
	for (size_t i = 0; r == 0 && (row = option_row(rows, row_size, i)).type != PN_TYPE_END;
	     i++) {
		r = row.name ? buf_printf(ret, ".It Cm %s\n", row.name)
			     : buf_add_text(ret, ".It value\n");
		if (r == 0)
			r = write_facts(ret, &row);
		if (r == 0 && row.help)
			r = write_text(ret, row.help);
		if (r == 0)
			r = write_choices(ret, row.choices);
		if (r == 0 && row.nested)
			r = write_rows(ret, row.nested, row_size);
	}
	return r < 0 ? r : buf_add_text(ret, ".El\n");
}

int
settings_mdoc(const struct pn_option *rows, size_t row_size, struct buf *ret)
{
	return write_rows(ret, rows, row_size);
}
