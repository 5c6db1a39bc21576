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
/* The same for text, which needs no alignment. */
char *arena_text_of(struct arena *arena, struct pn_slice text);
char *arena_printf(struct arena *arena, const char *format, ...) PN_PRINTF(2, 3);
/* What is allocated next takes no more memory than this, as long as it does not need more. */
void arena_reserve(struct arena *arena, size_t size);
/* What was allocated, as a later arena_reserve() for the same in the same order needs it. */
size_t arena_used(const struct arena *arena);
void arena_free(struct arena *arena); /* leaves an empty arena */
void arena_wipe(struct arena *arena); /* the same for secrets: overwritten first */

#endif
