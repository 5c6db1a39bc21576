/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patterns.h - lists of addresses, domains and wildcards, compiled once and matched per recipient.
 *
 * A pattern is "user@domain", "domain" with all that is below it, "*" for everybody, or has
 * asterisks for any number of characters: "*@domain" is that domain alone, "*.domain" what is below
 * it, "sales-*@domain". Compared without regard to case, domains in any spelling.
 */
#ifndef MODULES_COMMON_PATTERNS_H
#define MODULES_COMMON_PATTERNS_H

#include <glib.h>
#include <postern/module.h>

struct patterns {
	size_t count; /* of the items that it was made of */
	bool everybody;
	GHashTable *addresses; /* whole ones */
	GHashTable *domains;   /* of "*@domain" */
	GHashTable *trees;     /* of "domain" */
	GPtrArray *wild;       /* char *, "local@domain" with asterisks */
};

/* What is wrong with an item is complained of as `path`[i]; -EINVAL. */
int patterns_compile(
    const struct pn_strings *items, const char *path, struct pn_check *check, struct patterns *ret);
void patterns_clear(struct patterns *patterns);
/* Any spelling; false for what is no address. Touches nothing but memory; any thread. */
bool patterns_match(const struct patterns *patterns, const char *address);

#endif
