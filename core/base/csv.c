/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv.c - reads and writes comma-separated values.
 *
 * Called by posternctl with files that people bring. Must never guess: what RFC 4180 does not say
 * is an error with its place.
 */
#include <core/base/csv.h>
#include <errno.h>
#include <glib.h>

#define MARK "\xef\xbb\xbf" /* U+FEFF, which Excel writes first */

/* Over so many bytes; columns count characters. */
static void
pass(struct csv *csv, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)csv->rest.data[i];

		if (c == '\n') {
			csv->line++;
			csv->column = 1;
		} else if ((c & 0xc0) != 0x80) {
			csv->column++;
		}
	}
	csv->rest.data += len;
	csv->rest.len -= len;
}

int
csv_open(struct csv *csv, struct pn_slice text, struct pn_error *err)
{
	const char *end = text.data;

	*csv = (struct csv){ text, 1, 1 };
	if (text.len > 0 && !g_utf8_validate(text.data, (gssize)text.len, &end)) {
		pass(csv, (size_t)(end - text.data));
		return pn_error_set(err, -EINVAL, *end ? "is not UTF-8" : "is a NUL byte");
	}
	if (text.len >= 3 && memcmp(text.data, MARK, 3) == 0)
		csv->rest = pn_slice(text.data + 3, text.len - 3);
	return 0;
}

/* 0 where nothing is left. */
static char
at(const struct csv *csv, size_t ahead)
{
	return csv->rest.len > ahead ? csv->rest.data[ahead] : '\0';
}

/* Bytes of the line's end that comes next; 0: something else comes. */
static size_t
end_of_line(const struct csv *csv)
{
	if (at(csv, 0) == '\n')
		return 1;
	return at(csv, 0) == '\r' && at(csv, 1) == '\n' ? 2 : 0;
}

static bool
ends_cell(const struct csv *csv)
{
	return csv->rest.len == 0 || at(csv, 0) == ',' || end_of_line(csv) > 0;
}

static int
read_quoted(struct csv *csv, struct buf *cell, struct pn_error *err)
{
	size_t line = csv->line, column = csv->column;
	int r = 0;

	for (pass(csv, 1); r == 0; pass(csv, 1)) {
		if (csv->rest.len == 0) {
			csv->line = line;
			csv->column = column;
			return pn_error_set(err, -EINVAL, "the quote here has no end");
		}
		if (at(csv, 0) == '"') {
			pass(csv, 1);
			if (at(csv, 0) != '"')
				break;
		}
		r = buf_add(cell, csv->rest.data, 1);
	}
	if (r == 0 && !ends_cell(csv))
		r = pn_error_set(err, -EINVAL,
		    "a comma or the line's end should stand here; a quote in a cell is written "
		    "twice");
	return r;
}

static int
read_bare(struct csv *csv, struct buf *cell, struct pn_error *err)
{
	int r = 0;

	for (; r == 0 && !ends_cell(csv); pass(csv, 1)) {
		if (at(csv, 0) == '"')
			return pn_error_set(err, -EINVAL,
			    "a quote may not stand here; put the whole cell in quotes and write "
			    "it twice");
		if (at(csv, 0) == '\r')
			return pn_error_set(err, -EINVAL, "a CR without LF may not stand here");
		r = buf_add(cell, csv->rest.data, 1);
	}
	return r;
}

static int
read_cell(struct csv *csv, struct arena *arena, struct csv_cell *ret, struct pn_error *err)
{
	struct buf cell = BUF_INIT(CSV_CELL_MOST);
	int r;

	*ret = (struct csv_cell){ NULL, csv->line, csv->column };
	r = at(csv, 0) == '"' ? read_quoted(csv, &cell, err) : read_bare(csv, &cell, err);
	if (r == 0)
		ret->text = cell.len > 0 ? arena_text_of(arena, buf_slice(&cell)) : "";
	else if (r != -EINVAL)
		pn_error_set(err, -E2BIG, "a cell has at most %d bytes", CSV_CELL_MOST);
	buf_free(&cell);
	return r == 0 || r == -EINVAL ? r : -E2BIG;
}

int
csv_next(struct csv *csv, struct arena *arena, struct csv_row *ret, struct pn_error *err)
{
	size_t len;
	int r;

	while ((len = end_of_line(csv)) > 0)
		pass(csv, len);
	ret->count = 0;
	if (csv->rest.len == 0)
		return 0;
	for (;;) {
		if (ret->count == CSV_CELLS_MOST)
			return pn_error_set(
			    err, -E2BIG, "a row has at most %d cells", CSV_CELLS_MOST);
		r = read_cell(csv, arena, &ret->cells[ret->count++], err);
		if (r < 0)
			return r;
		if (at(csv, 0) != ',')
			break;
		pass(csv, 1);
	}
	pass(csv, end_of_line(csv));
	return 1;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Behind any apostrophes, something that a spreadsheet would compute. */
static bool
is_formula(const char *text)
{
	text += strspn(text, "'");
	return *text && strchr("=+-@\t\r", *text);
}

int
csv_add(struct buf *to, const char *text, bool first)
{
	int r = first ? 0 : buf_add(to, ",", 1);

	if (!text)
		text = "";
	if (r == 0)
		r = buf_add(to, "\"", text[strcspn(text, "\",\r\n")] != '\0');
	if (r == 0 && is_formula(text))
		r = buf_add(to, "'", 1);
	for (const char *c = text; r == 0 && *c; c++)
		r = buf_add(to, *c == '"' ? "\"\"" : c, *c == '"' ? 2 : 1);
	if (r == 0)
		r = buf_add(to, "\"", text[strcspn(text, "\",\r\n")] != '\0');
	return r;
}

int
csv_end_row(struct buf *to)
{
	return buf_add(to, "\r\n", 2);
}

const char *
csv_plain(const char *text)
{
	return *text == '\'' && is_formula(text) ? text + 1 : text;
}
