/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csv.h - comma-separated values (RFC 4180), from and to whatever spreadsheets make of them. Since
 * ABI 6.
 *
 * Reading: UTF-8 with or without a byte order mark, lines that end in CRLF or LF, rows of up to 64
 * cells of up to 96 KiB each; empty lines are passed over. What RFC 4180 does not say is an error
 * with its place and never guessed.
 *
 * A spreadsheet takes what begins with = + - @, a tab or CR for a formula: such a text is written
 * with an apostrophe before it, which reading takes away again.
 *
 * Threads: one per reader, any.
 */
#ifndef POSTERN_CSV_H
#define POSTERN_CSV_H

#include <postern/base.h>

#define PN_CSV_CELLS_MOST 64
#define PN_CSV_CELL_MOST  98304 /* bytes */

struct pn_csv;

/* `text` is borrowed until pn_csv_close(). -EINVAL: something in it is no UTF-8, or NUL. */
PN_PUBLIC int pn_csv_open(struct pn_slice text, struct pn_csv **ret, struct pn_error *err);

/* Cells are NUL-ended and live until the next row is asked for. */
struct pn_csv_row {
	size_t line; /* where it begins, from 1 */
	size_t count;
	const char *cells[PN_CSV_CELLS_MOST];
};
/* 1; 0: there is none; -EINVAL, -E2BIG: "line 3, column 14: ...". */
PN_PUBLIC int pn_csv_next(struct pn_csv *csv, struct pn_csv_row *ret, struct pn_error *err);
PN_PUBLIC void pn_csv_close(struct pn_csv *csv); /* NULL is fine */

/*
 * Writes a row, its line's end with it. The text lives until the next row or pn_csv_close().
 * NULL cells are written as "". -E2BIG; -EINVAL: more than PN_CSV_CELLS_MOST.
 */
PN_PUBLIC int pn_csv_open_writer(struct pn_csv **ret, struct pn_error *err);
PN_PUBLIC int pn_csv_write(struct pn_csv *csv, size_t count, const char *const *cells,
    struct pn_slice *ret, struct pn_error *err);

#endif
