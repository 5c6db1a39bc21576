/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route_index.c - conditions by the names that they ask for: recipients, senders, users, their
 * domains.
 *
 * Called by route.c. A condition stands under each item of one of its keys; of a message only those
 * are looked at that stand under one of its own names, or under none, in the order of YAML. Must
 * never leave a condition out that could fit: whether one does, config_when_matches() says.
 */
#include <core/queue/route_index.h>
#include <glib.h>

/* Names that one message has: two addresses, their domains and all parents, and a user. */
#define LISTS_MOST (2 * (MAIL_DOMAIN_MOST / 2 + 3) + 2)
#define NAME_SIZE  (MAIL_ADDRESS_SIZE + 2)

enum name_kind { RECIPIENT, RECIPIENT_DOMAIN, SENDER, SENDER_DOMAIN, USER, KINDS };

struct route_index {
	const struct config_when *whens;
	size_t count;
	bool has[KINDS];
	GHashTable *by_name; /* kind and name to GArray of uint32_t, ascending */
	GArray *nameless;    /* those to be looked at for everybody */
};

/* What is left to be looked at of some of these. */
struct list {
	const uint32_t *at, *end;
};
struct lists {
	const struct route_index *index;
	size_t count;
	struct list list[LISTS_MOST];
};

/* ---- making ---------------------------------------------------------------------------------- */

static void
free_array(gpointer array)
{
	g_array_free(array, TRUE);
}

static void
append(GArray *array, uint32_t number)
{
	if (array->len == 0 || g_array_index(array, uint32_t, array->len - 1) != number)
		g_array_append_val(array, number);
}

static void
add_name(struct route_index *index, enum name_kind kind, const char *name, uint32_t number)
{
	char *key = g_strdup_printf("%c%s", 'a' + kind, name);
	GArray *array = g_hash_table_lookup(index->by_name, key);

	if (!array) {
		array = g_array_new(FALSE, FALSE, sizeof(uint32_t));
		g_hash_table_insert(index->by_name, g_strdup(key), array);
	}
	append(array, number);
	index->has[kind] = true;
	g_free(key);
}

/* Those that are not found by what a message is called. */
static bool
is_odd(const struct pn_strings *items)
{
	for (size_t i = 0; i < items->count; i++)
		if (strlen(items->items[i]) > MAIL_ADDRESS_MOST ||
		    (items->items[i][0] == '*' && items->items[i][1] != '.'))
			return true;
	return false;
}

/* By one of its keys, since all of them have to fit: the one that tells most apart. */
static void
add(struct route_index *index, const struct config_when *when, uint32_t number)
{
	const struct pn_strings *const items[KINDS] = {
		[RECIPIENT] = &when->recipient,
		[RECIPIENT_DOMAIN] = &when->recipient_domain,
		[SENDER] = &when->sender,
		[SENDER_DOMAIN] = &when->sender_domain,
		[USER] = &when->user,
	};
	int kind = 0;

	while (kind < KINDS && (items[kind]->count == 0 || is_odd(items[kind])))
		kind++;
	if (kind == KINDS || !when->given) {
		append(index->nameless, number);
		return;
	}
	for (size_t i = 0; i < items[kind]->count; i++)
		add_name(index, (enum name_kind)kind, items[kind]->items[i], number);
}

struct route_index *
route_index_new(const struct config_when *whens, size_t count)
{
	struct route_index *index = g_new0(struct route_index, 1);

	index->whens = whens;
	index->count = count;
	index->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_array);
	index->nameless = g_array_new(FALSE, FALSE, sizeof(uint32_t));
	for (size_t i = 0; i < count; i++)
		add(index, &whens[i], (uint32_t)i);
	return index;
}

void
route_index_free(struct route_index **index_at)
{
	struct route_index *index = *index_at;

	*index_at = NULL;
	if (!index)
		return;
	g_hash_table_destroy(index->by_name);
	g_array_free(index->nameless, TRUE);
	g_free(index);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void
take(struct lists *lists, const GArray *array)
{
	const uint32_t *first;

	if (!array || array->len == 0 || lists->count == LISTS_MOST)
		return;
	first = (const uint32_t *)(const void *)array->data;
	lists->list[lists->count++] = (struct list){ first, first + array->len };
}

static void
take_name(struct lists *lists, enum name_kind kind, const char *prefix, const char *name)
{
	char key[NAME_SIZE + 1];

	g_snprintf(key, sizeof(key), "%c%s%s", 'a' + kind, prefix, name);
	take(lists, g_hash_table_lookup(lists->index->by_name, key));
}

/* "*.example.com" is the name of all that end so. */
static void
take_domain(struct lists *lists, enum name_kind kind, const char *domain)
{
	take_name(lists, kind, "", domain);
	for (const char *dot = strchr(domain, '.'); dot; dot = strchr(dot + 1, '.'))
		take_name(lists, kind, "*", dot);
}

static void
take_address(
    struct lists *lists, enum name_kind kind, enum name_kind by_domain, const char *address)
{
	char canonical[MAIL_ADDRESS_SIZE];

	if (!address || (!lists->index->has[kind] && !lists->index->has[by_domain]) ||
	    mail_address_canonical(address, canonical) < 0)
		return;
	if (lists->index->has[kind])
		take_name(lists, kind, "", canonical);
	if (lists->index->has[by_domain])
		take_domain(lists, by_domain, mail_address_domain(canonical));
}

static void
take_user(struct lists *lists, const char *user)
{
	char canonical[MAIL_ADDRESS_SIZE];

	if (!user || !lists->index->has[USER])
		return;
	take_name(lists, USER, "", mail_address_canonical(user, canonical) == 0 ? canonical : user);
}

/* The least number that is left, off every list that has it; `count`: none is. */
static size_t
take_least(struct lists *lists)
{
	size_t least = lists->index->count;

	for (size_t i = 0; i < lists->count; i++)
		if (lists->list[i].at < lists->list[i].end)
			least = MIN(least, *lists->list[i].at);
	for (size_t i = 0; i < lists->count; i++)
		if (lists->list[i].at < lists->list[i].end && *lists->list[i].at == least)
			lists->list[i].at++;
	return least;
}

size_t
route_index_match(const struct route_index *index, const struct config_subject *subject)
{
	struct lists lists;
	size_t next;

	lists.index = index;
	lists.count = 0;
	take(&lists, index->nameless);
	take_address(&lists, RECIPIENT, RECIPIENT_DOMAIN, subject->recipient);
	take_address(&lists, SENDER, SENDER_DOMAIN, subject->sender);
	take_user(&lists, subject->facts ? subject->facts->user : NULL);
	while ((next = take_least(&lists)) < index->count)
		if (config_when_matches(&index->whens[next], subject))
			break;
	return next;
}
