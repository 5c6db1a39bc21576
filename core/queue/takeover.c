/* SPDX-License-Identifier: Apache-2.0 */
/*
 * takeover.c - recipients that one message of the log took over from another.
 *
 * Called by recovery. Of everybody taken over exactly one rendering may leave: must never let two
 * messages keep the same recipient, nor take him from one without another that has him.
 */
#include <core/queue/takeover.h>
#include <glib.h>

struct takeover {
	char by[ITEM_ID_SIZE], from[ITEM_ID_SIZE];
	bool aborted, damaged;
	size_t count;
	uint32_t indices[]; /* in `from`; in `by` they are 0, 1 ... */
};

void
takeovers_init(struct takeovers *takeovers)
{
	takeovers->list = g_ptr_array_new_with_free_func(g_free);
}

void
takeovers_clear(struct takeovers *takeovers)
{
	g_ptr_array_unref(takeovers->list);
}

void
takeovers_add(struct takeovers *takeovers, const struct item *by, bool damaged)
{
	size_t size = by->replaced_count * sizeof(*by->replaced);
	struct takeover *one = g_malloc0(sizeof(*one) + size);

	memcpy(one->by, by->id, ITEM_ID_SIZE);
	memcpy(one->from, by->replaces, ITEM_ID_SIZE);
	one->damaged = damaged;
	one->count = by->replaced_count;
	if (size > 0)
		memcpy(one->indices, by->replaced, size);
	g_ptr_array_add(takeovers->list, one);
}

void
takeovers_abort(struct takeovers *takeovers, const char *id)
{
	GPtrArray *list = takeovers->list;

	for (guint i = 0; i < list->len; i++) {
		struct takeover *one = g_ptr_array_index(list, i);

		if (strcmp(one->by, id) == 0)
			one->aborted = true;
	}
}

void
takeovers_mend(struct takeovers *takeovers, const char *id)
{
	GPtrArray *list = takeovers->list;

	for (guint i = 0; i < list->len; i++) {
		struct takeover *one = g_ptr_array_index(list, i);

		if (strcmp(one->by, id) == 0)
			one->damaged = false;
	}
}

static void
replan(struct item *item, uint32_t index)
{
	if (item && index < item->envelope.count && !item_is_final(item->recipients[index].state))
		item->recipients[index].state = ITEM_REPLANNED;
}

/* Who had taken over the same recipient before gives him up; `has` remembers who has whom. */
static void
take_from_others(GHashTable *has, const struct takeover *one, size_t i,
    struct item *(*find)(void *arg, const char *id), void *arg)
{
	char *key;
	const struct takeover *before;

	if (one->indices[i] == ITEM_NOBODY)
		return;
	key = g_strdup_printf("%s %u", one->from, one->indices[i]);
	before = g_hash_table_lookup(has, key);

	for (size_t k = 0; before && k < before->count; k++)
		if (before->indices[k] == one->indices[i])
			replan(find(arg, before->by), (uint32_t)k);
	g_hash_table_insert(has, key, (void *)(uintptr_t)one);
}

static void
apply(GHashTable *has, const struct takeover *one, struct item *(*find)(void *arg, const char *id),
    void *arg)
{
	const struct item *by = find(arg, one->by);

	for (size_t i = 0; i < one->count; i++) {
		if (one->damaged && by && i < by->envelope.count &&
		    !item_is_final(by->recipients[i].state))
			continue;
		take_from_others(has, one, i, find, arg);
		replan(find(arg, one->from), one->indices[i]);
	}
}

void
takeovers_apply(
    const struct takeovers *takeovers, struct item *(*find)(void *arg, const char *id), void *arg)
{
	GHashTable *has = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	const GPtrArray *list = takeovers->list;

	for (guint i = 0; i < list->len; i++) {
		const struct takeover *one = g_ptr_array_index(list, i);

		if (!one->aborted)
			apply(has, one, find, arg);
	}
	g_hash_table_destroy(has);
}
