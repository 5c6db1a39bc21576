/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag.h - everything wrong with a configuration, collected in one run, each with its place.
 *
 *	conf.d/outbound.yaml:14:15: taglines.max_body: "lots" is not a size; write for example 64k
 *
 * Lines and columns count from one; columns count characters, not bytes. One owner at a time.
 */
#ifndef CORE_CONFIG_DIAG_H
#define CORE_CONFIG_DIAG_H

#include <core/base/arena.h>

struct config_mark {
	const char *file; /* as to be printed; NULL: no place (a default) */
	uint32_t line, column;
};

enum diag_kind { DIAG_ERROR, DIAG_WARNING };

struct diag {
	enum diag_kind kind;
	struct config_mark mark;
	const char *text;
};

struct diags {
	struct arena arena;
	struct diag *items;
	size_t count, capacity, errors;
};

void diag_add(struct diags *diags, enum diag_kind kind, struct config_mark mark, const char *format,
    ...) PN_PRINTF(4, 5);
/* By file, line, column; equal ones once. */
void diags_sort(struct diags *diags);
/* "file:line:column: text", warnings with "warning: " before the text; no newline. In `arena`. */
const char *diag_format(const struct diag *diag, struct arena *arena);
void diags_free(struct diags *diags);

#endif
