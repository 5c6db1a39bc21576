/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv.h - comma-separated values (RFC 4180), from and to whatever spreadsheets make of them.
 *
 * Reading: UTF-8 with or without a byte order mark, lines that end in CRLF or LF, rows of any
 * number of cells; empty lines are passed over. One thread per reader.
 */
#ifndef CORE_BASE_CSV_H
#define CORE_BASE_CSV_H

#include <core/base/arena.h>
#include <core/base/buf.h>

#define CSV_CELLS_MOST 64
#define CSV_CELL_MOST  98304 /* bytes */

struct csv {
	struct pn_slice rest;
	size_t line, column; /* of the next character, or of what is wrong; both from 1 */
};

struct csv_cell {
	const char *text; /* NUL-ended, without NUL inside */
	size_t line, column;
};

struct csv_row {
	size_t count;
	struct csv_cell cells[CSV_CELLS_MOST];
};

/* `text` is borrowed. -EINVAL: something in it is no UTF-8, or NUL; `line` and `column` say where.
 */
int csv_open(struct csv *csv, struct pn_slice text, struct pn_error *err);
/*
 * The next row, its texts in the arena: 1; 0: there is none; -EINVAL, what is wrong at `line` and
 * `column`; -E2BIG, too many cells or too long a one there.
 */
int csv_next(struct csv *csv, struct arena *arena, struct csv_row *ret, struct pn_error *err);

/*
 * A spreadsheet takes what begins with = + - @, a tab or CR for a formula: such a text gets an
 * apostrophe before it, and so does one that has that already. NULL is written as "".
 */
int csv_add(struct buf *to, const char *text, bool first);
int csv_end_row(struct buf *to);
/* What csv_add() was given: the text, or behind its apostrophe. */
const char *csv_plain(const char *text);

#endif
