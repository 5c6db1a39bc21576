/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that is dropped whole: one arena per configuration, session or transaction.
 *
 * Allocation never fails for the caller: out of memory ends the process, which the master restarts
 * (what was acknowledged is on disk). Ceilings on what the wire can ask for are the caller's.
 * Not locked: one owner at a time.
 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include <postern/base.h>

struct arena_block;
struct arena {
	struct arena_block *blocks; /* all zero is ready to use and holds no memory */
};

void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
void *arena_copy(struct arena *arena, const void *bytes, size_t size);
char *arena_text(struct arena *arena, const char *text);
char *arena_slice(struct arena *arena, struct pn_slice bytes); /* with a NUL behind */
char *arena_printf(struct arena *arena, const char *format, ...) PN_PRINTF(2, 3);
void arena_free(struct arena *arena); /* leaves an empty arena */
void arena_wipe(struct arena *arena); /* the same for secrets: overwritten first */

#endif
