/* SPDX-License-Identifier: Apache-2.0 */
/*
 * patterns.c - lists of addresses, domains and wildcards.
 *
 * Compiled where a configuration is prepared; matched at the recipient stage, on the event loop.
 * Must never match an address by half: a domain ends where its labels end.
 */
#include "patterns.h"
#include <errno.h>
#include <string.h>

/* Case and combined letters apart; g_free. */
static char *
fold(const char *text)
{
	char *composed = g_utf8_normalize(text, -1, G_NORMALIZE_NFC), *folded;

	if (!composed)
		return g_ascii_strdown(text, -1);
	folded = g_utf8_casefold(composed, -1);
	g_free(composed);
	return folded;
}

/* The form in which everything here is compared; NULL: no address. */
static char *
comparable(const char *address)
{
	char canonical[PN_ADDRESS_SIZE];

	return strchr(address, '@') && pn_address_canonical(address, canonical) == 0
		   ? fold(canonical)
		   : NULL;
}

/* ---- compiling ------------------------------------------------------------------------------- */

/* Canonical; NULL: no domain. */
static char *
comparable_domain(const char *domain)
{
	char *address = g_strconcat("x@", domain, NULL), *made = comparable(address);

	g_free(address);
	if (made)
		memmove(made, made + 2, strlen(made + 2) + 1);
	return made;
}

/* Labels with asterisks; what stands behind a leading "*." may be in any script. */
static char *
comparable_wild_domain(const char *domain)
{
	char *tail, *made;

	if (g_str_has_prefix(domain, "*.") && !strchr(domain + 1, '*')) {
		tail = comparable_domain(domain + 2);
		made = tail ? g_strconcat("*.", tail, NULL) : NULL;
		g_free(tail);
		return made;
	}
	if (strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*") !=
	    strlen(domain))
		return NULL;
	return g_ascii_strdown(domain, -1);
}

static bool
add_wild(struct patterns *patterns, const char *local, const char *domain)
{
	char *folded = fold(local), *known = comparable_wild_domain(domain);

	if (!strchr(domain, '*')) {
		g_free(known);
		known = comparable_domain(domain);
	}
	if (known)
		g_ptr_array_add(patterns->wild, g_strconcat(folded, "@", known, NULL));
	g_free(folded);
	g_free(known);
	return known != NULL;
}

static bool
add_to(GHashTable *table, char *item)
{
	if (item)
		g_hash_table_add(table, item);
	return item != NULL;
}

static bool
add_address(struct patterns *patterns, const char *item)
{
	const char *at = strrchr(item, '@');
	char *local = g_strndup(item, (size_t)(at - item));
	bool good;

	if (!strchr(item, '*'))
		good = add_to(patterns->addresses, comparable(item));
	else if (strcmp(local, "*") == 0 && !strchr(at, '*'))
		good = add_to(patterns->domains, comparable_domain(at + 1));
	else
		good = *local && add_wild(patterns, local, at + 1);
	g_free(local);
	return good;
}

static bool
add_item(struct patterns *patterns, const char *item)
{
	if (!g_utf8_validate(item, -1, NULL) || strpbrk(item, " \t\r\n"))
		return false;
	if (strcmp(item, "*") == 0) {
		patterns->everybody = true;
		return true;
	}
	if (strchr(item, '@'))
		return add_address(patterns, item);
	if (strchr(item, '*'))
		return add_wild(patterns, "*", item);
	return add_to(patterns->trees, comparable_domain(item));
}

static GHashTable *
new_set(void)
{
	return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

int
patterns_compile(
    const struct pn_strings *items, const char *path, struct pn_check *check, struct patterns *ret)
{
	int r = 0;

	*ret = (struct patterns){ .count = items->count,
		.addresses = new_set(),
		.domains = new_set(),
		.trees = new_set(),
		.wild = g_ptr_array_new_with_free_func(g_free) };
	for (size_t i = 0; i < items->count; i++) {
		char at[64];

		if (add_item(ret, items->items[i]))
			continue;
		g_snprintf(at, sizeof(at), "%s[%zu]", path, i);
		pn_complain(check, at,
		    "\"%s\" is neither address nor domain; write for example ada@example.com, "
		    "example.com (with all below it), \"*@example.com\" or \"*\" for everybody",
		    items->items[i]);
		r = -EINVAL;
	}
	return r;
}

void
patterns_clear(struct patterns *patterns)
{
	g_clear_pointer(&patterns->addresses, g_hash_table_unref);
	g_clear_pointer(&patterns->domains, g_hash_table_unref);
	g_clear_pointer(&patterns->trees, g_hash_table_unref);
	g_clear_pointer(&patterns->wild, g_ptr_array_unref);
}

/* ---- matching -------------------------------------------------------------------------------- */

/* Asterisks stand for any number of characters; of several ways the last one is gone back to. */
static bool
is_like(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

/* Local part and domain apart, so that no asterisk reaches over the '@'. */
static bool
is_like_address(const char *pattern, const char *address)
{
	const char *at = strrchr(pattern, '@'), *other = strrchr(address, '@');
	char *local, *name;
	bool alike = is_like(at + 1, other + 1);

	if (!alike)
		return false;
	local = g_strndup(pattern, (size_t)(at - pattern));
	name = g_strndup(address, (size_t)(other - address));
	alike = is_like(local, name);
	g_free(local);
	g_free(name);
	return alike;
}

static bool
has_tree(const struct patterns *patterns, const char *domain)
{
	for (;;) {
		const char *dot = strchr(domain, '.');

		if (g_hash_table_contains(patterns->trees, domain))
			return true;
		if (!dot)
			return false;
		domain = dot + 1;
	}
}

static bool
match(const struct patterns *patterns, const char *address)
{
	const char *domain = strrchr(address, '@') + 1;

	if (g_hash_table_contains(patterns->addresses, address) ||
	    g_hash_table_contains(patterns->domains, domain) || has_tree(patterns, domain))
		return true;
	for (guint i = 0; i < patterns->wild->len; i++)
		if (is_like_address(patterns->wild->pdata[i], address))
			return true;
	return false;
}

bool
patterns_match(const struct patterns *patterns, const char *address)
{
	char *folded;
	bool found;

	if (patterns->count == 0 || patterns->everybody)
		return patterns->everybody;
	folded = comparable(address);
	found = folded && match(patterns, folded);
	g_free(folded);
	return found;
}
