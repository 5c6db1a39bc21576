/* SPDX-License-Identifier: Apache-2.0 */
/*
 * protect.c - groups of recipients, and the providers that render a message for them.
 *
 * Called by plans.c, and by hooks of PN_STAGE_PROTECT through the chain. Must never put two
 * recipients into one group of whom one must not know of the other: who is in neither To nor Cc is
 * always alone.
 */
#include <core/mail/address_list.h>
#include <core/policy/call.h>
#include <core/policy/plans.h>
#include <core/policy/trace.h>
#include <errno.h>
#include <glib.h>

/* ---- who is named in the message ------------------------------------------------------------- */

static void
remember(void *arg, const char *address)
{
	g_hash_table_add(arg, g_strdup(address));
}

/* Canonical addresses of To and Cc of the clear original. */
static GHashTable *
named(const struct pn_txn *txn)
{
	static const char *const fields[] = { "To", "Cc" };
	GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct pn_header header;

	for (size_t f = 0; f < sizeof(fields) / sizeof(*fields); f++)
		for (size_t i = 0; pn_header_find(txn, fields[f], i, &header); i++)
			mail_address_list(header.value, remember, names);
	return names;
}

static bool
is_named(GHashTable *names, const char *address)
{
	char canonical[MAIL_ADDRESS_SIZE];

	return mail_address_canonical(address, canonical) == 0 &&
	       g_hash_table_contains(names, canonical);
}

/* Rewritten or not: what others see of him is the address that the client gave. */
static bool
is_visible(GHashTable *names, const struct mail_recipient *recipient)
{
	return is_named(names, recipient->address) || is_named(names, recipient->original);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static struct plan_group *
new_group(struct pn_txn *txn, const struct provided *by)
{
	struct plans *plans = txn->plans;
	struct plan_group *group;

	if (plans->group_count == plans->group_capacity) {
		size_t capacity = plans->group_capacity ? plans->group_capacity * 2 : 4;
		struct plan_group *more = arena_alloc(&txn->arena, capacity * sizeof(*more));

		if (plans->group_count > 0)
			memcpy(more, plans->groups, plans->group_count * sizeof(*more));
		plans->groups = more;
		plans->group_capacity = capacity;
	}
	group = &plans->groups[plans->group_count++];
	group->by = *by;
	group->number = plans->group_count;
	return group;
}

static bool
same_provider(const struct provided *one, const struct provided *other)
{
	return one->provider == other->provider && one->entry == other->entry;
}

static bool
together(const struct pn_txn *txn, const struct provided *by, size_t one, size_t other)
{
	const struct chain_entry *entries;
	const struct pn_module *module;

	generation_entries(txn->generation, &entries);
	module = entries[by->entry].module;
	return module->abi < 6 || !module->together ||
	       module->together(
		   by->method, txn->plans->of[one].choice, txn->plans->of[other].choice);
}

/* Everybody from `first` on who may share a rendering with him. */
static void
fill_group(struct pn_txn *txn, struct plan_group *group, size_t first, const bool *taken,
    GHashTable *names)
{
	const struct plans *plans = txn->plans;
	const struct mail_recipient *recipients = txn->envelope.recipients;
	bool alone = group->by.provider->flags & PN_ONE_PER_RECIPIENT ||
		     !is_visible(names, &recipients[first]);

	group->members = arena_alloc(
	    &txn->arena, (alone ? 1 : plans->count - first) * sizeof(*group->members));
	group->members[group->count++] = (uint32_t)first;
	for (size_t i = first + 1; !alone && i < plans->count; i++)
		if (plans->of[i].state == PLAN_CHOSEN && !taken[i] &&
		    same_provider(&plans->of[i].by, &group->by) &&
		    is_visible(names, &recipients[i]) && together(txn, &group->by, first, i))
			group->members[group->count++] = (uint32_t)i;
}

void
protect_group(struct pn_txn *txn)
{
	struct plans *plans = txn->plans;
	bool *taken = arena_alloc(&txn->arena, plans->count * sizeof(*taken));
	GHashTable *names = NULL;

	for (size_t i = 0; i < plans->count; i++) {
		struct plan_group *group;

		if (plans->of[i].state != PLAN_CHOSEN || taken[i])
			continue;
		if (!names)
			names = named(txn);
		group = new_group(txn, &plans->of[i].by);
		fill_group(txn, group, i, taken, names);
		for (size_t m = 0; m < group->count; m++)
			taken[group->members[m]] = true;
	}
	if (names)
		g_hash_table_destroy(names);
}

/* ---- rendering ------------------------------------------------------------------------------- */

const struct chain_entry *
plan_group_entry(const struct pn_txn *txn)
{
	const struct chain_entry *entries;

	generation_entries(txn->generation, &entries);
	return txn->group ? &entries[txn->group->by.entry] : NULL;
}

struct pn_verdict
protect_render(struct pn_call *call, struct pn_txn *txn)
{
	return txn->group->by.provider->render(call, txn);
}

/* Whom the provider has named leaves the group: selection goes on for him. */
static void
decline(struct pn_call *call, struct plan_group *group)
{
	struct pn_txn *txn = call->txn;
	size_t left = 0;

	for (size_t i = 0; i < group->count; i++) {
		if (!call->declined[i]) {
			group->members[left++] = group->members[i];
			continue;
		}
		txn->plans->of[group->members[i]].state = PLAN_OPEN;
		txn->recipient = (int32_t)group->members[i];
		trace_add(txn, call->entry, call->effective, PN_STAGE_PROTECT, "decline",
		    call->declined[i]);
	}
	txn->recipient = -1;
	group->count = left;
	group->failed = left == 0;
}

int
protect_apply(struct pn_call *call)
{
	struct plans *plans = call->txn->plans;
	struct plan_group *group = &plans->groups[plans->at];
	struct mail_bytes *bytes = call->rendered;
	int bare = bytes ? mail_bytes_bare_newline(bytes) : 1;

	if (call->declined_count == group->count && !bytes) {
		decline(call, group);
		return 0;
	}
	if (bare != 0)
		return bare < 0 ? bare : -EBADMSG;
	if (!call->rendered_body) {
		int r = mail_bytes_append(bytes, "\r\n", 2, SIZE_MAX);

		if (r < 0)
			return r;
	}
	mail_bytes_trim(bytes);
	group->bytes = bytes;
	group->sender = arena_text(&call->txn->arena, call->rendered_sender);
	call->rendered = NULL;
	if (call->declined)
		decline(call, group);
	return 0;
}
