/* SPDX-License-Identifier: Apache-2.0 */
/* csv.c - fuzz target: files that posternctl imports; what was read is written and read again. */
#include <core/base/csv.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
again(const struct csv_row *row)
{
	struct buf text = BUF_INIT(1u << 20);
	struct arena arena = { 0 };
	struct csv_row read;
	struct csv csv;

	if (csv_add(&text, "x", true) < 0) /* else it may be an empty line, or begin with a mark */
		abort();
	for (size_t i = 0; i < row->count; i++)
		if (csv_add(&text, row->cells[i].text, false) < 0)
			abort();
	if (csv_end_row(&text) < 0 || csv_open(&csv, buf_slice(&text), NULL) < 0)
		abort();
	/* where the limits leave room for one more cell, and for an apostrophe */
	if (csv_next(&csv, &arena, &read, NULL) == 1) {
		if (read.count != row->count + 1)
			abort();
		for (size_t i = 0; i < row->count; i++)
			if (strcmp(csv_plain(read.cells[i + 1].text), row->cells[i].text) != 0)
				abort();
	}
	arena_free(&arena);
	buf_free(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = { 0 };
	struct csv_row row;
	struct csv csv;

	if (csv_open(&csv, pn_slice((const char *)data, size), NULL) == 0)
		while (csv_next(&csv, &arena, &row, NULL) == 1)
			again(&row);
	if (csv.line == 0 || csv.column == 0)
		abort();
	arena_free(&arena);
	return 0;
}
