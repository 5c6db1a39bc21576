/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_csv.c - comma-separated values, as modules may read and write them.
 *
 * Called by commands of modules. The grammar is core/base/csv.c's; here is only what keeps its
 * types out of the contract.
 */
#include <core/base/csv.h>
#include <errno.h>
#include <postern/module.h>
#include <stdlib.h>

_Static_assert(PN_CSV_CELLS_MOST == CSV_CELLS_MOST && PN_CSV_CELL_MOST == CSV_CELL_MOST,
    "the contract promises what the core reads");

#define ROW_MOST ((size_t)PN_CSV_CELLS_MOST * PN_CSV_CELL_MOST * 3)

struct pn_csv {
	struct csv csv;
	struct arena arena; /* of the last row */
	struct csv_row row;
	struct buf out;
};

static int
make(struct pn_csv **ret, struct pn_error *err)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return pn_error_set(err, -ENOMEM, "out of memory");
	(*ret)->out = BUF_INIT(ROW_MOST);
	return 0;
}

/* What is wrong, with its place before it. */
static int
in_place(const struct pn_csv *csv, int r, struct pn_error *err)
{
	if (err)
		err->code = r;
	return pn_error_in(err, "line %zu, column %zu", csv->csv.line, csv->csv.column);
}

int
pn_csv_open(struct pn_slice text, struct pn_csv **ret, struct pn_error *err)
{
	int r = make(ret, err);

	if (r < 0)
		return r;
	r = csv_open(&(*ret)->csv, text, err);
	if (r < 0) {
		in_place(*ret, r, err);
		pn_csv_close(*ret);
		*ret = NULL;
	}
	return r;
}

int
pn_csv_next(struct pn_csv *csv, struct pn_csv_row *ret, struct pn_error *err)
{
	int r;

	arena_free(&csv->arena);
	r = csv_next(&csv->csv, &csv->arena, &csv->row, err);
	ret->count = 0;
	if (r < 0)
		in_place(csv, r, err);
	if (r <= 0)
		return r;
	ret->line = csv->row.cells[0].line;
	ret->count = csv->row.count;
	for (size_t i = 0; i < ret->count; i++)
		ret->cells[i] = csv_plain(csv->row.cells[i].text);
	return 1;
}

int
pn_csv_open_writer(struct pn_csv **ret, struct pn_error *err)
{
	return make(ret, err);
}

int
pn_csv_write(struct pn_csv *csv, size_t count, const char *const *cells, struct pn_slice *ret,
    struct pn_error *err)
{
	int r = 0;

	if (count > PN_CSV_CELLS_MOST)
		return pn_error_set(err, -EINVAL, "a row has at most %d cells", PN_CSV_CELLS_MOST);
	buf_reset(&csv->out);
	for (size_t i = 0; i < count && r >= 0; i++)
		r = csv_add(&csv->out, cells[i], i == 0);
	if (r >= 0)
		r = csv_end_row(&csv->out);
	if (r < 0)
		return pn_error_set(err, r, "the row is too large");
	*ret = buf_slice(&csv->out);
	return 0;
}

void
pn_csv_close(struct pn_csv *csv)
{
	if (!csv)
		return;
	arena_free(&csv->arena);
	buf_free(&csv->out);
	free(csv);
}
