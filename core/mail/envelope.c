/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.c - sender and recipients in an arena.
 *
 * Called by sessions, the chain and the queue, each on an envelope of its own. Must never free a
 * string: what is replaced stays in the arena until that is dropped.
 */
#include <core/base/text.h>
#include <core/mail/address.h>
#include <core/mail/envelope.h>
#include <errno.h>

#define FIRST_CAPACITY 4u

struct mail_recipient *
mail_envelope_add(struct mail_envelope *envelope, struct arena *arena, const char *address)
{
	struct mail_recipient *recipient;

	if (envelope->count == envelope->capacity) {
		size_t capacity = envelope->capacity ? envelope->capacity * 2 : FIRST_CAPACITY;
		struct mail_recipient *more = arena_alloc(arena, capacity * sizeof(*more));

		if (envelope->count > 0)
			memcpy(more, envelope->recipients, envelope->count * sizeof(*more));
		envelope->recipients = more;
		envelope->capacity = capacity;
	}
	recipient = &envelope->recipients[envelope->count++];
	*recipient = (struct mail_recipient){ .address = arena_text(arena, address) };
	recipient->original = recipient->address;
	return recipient;
}

/* Equal in canonical form; conversion only where a byte comparison cannot decide. */
static bool
same_address(const char *a, const char *b)
{
	const char *da = mail_address_domain(a), *db = mail_address_domain(b);
	struct pn_slice local_a = pn_slice(a, *da ? (size_t)(da - a) : strlen(a));
	struct pn_slice local_b = pn_slice(b, *db ? (size_t)(db - b) : strlen(b));
	char canonical_a[MAIL_ADDRESS_SIZE], canonical_b[MAIL_ADDRESS_SIZE];

	if (*da == '\0' || *db == '\0') /* "postmaster" has no case */
		return *da == *db && text_equals_nocase(local_a, local_b);
	if (!pn_slice_equals(local_a, local_b) && *a != '"' && *b != '"')
		return false;
	if (pn_slice_equals(local_a, local_b) &&
	    text_equals_nocase(pn_slice_of(da), pn_slice_of(db)))
		return true;
	return mail_address_canonical(a, canonical_a) == 0 &&
	       mail_address_canonical(b, canonical_b) == 0 && strcmp(canonical_a, canonical_b) == 0;
}

int
mail_envelope_find(const struct mail_envelope *envelope, const char *address)
{
	for (size_t i = 0; i < envelope->count; i++)
		if (same_address(envelope->recipients[i].address, address))
			return (int)i;
	return -ENOENT;
}

void
mail_envelope_remove(struct mail_envelope *envelope, size_t index)
{
	struct mail_recipient *at = &envelope->recipients[index];

	envelope->count--;
	memmove(at, at + 1, (envelope->count - index) * sizeof(*at));
}

/* `copy` where both were one string before. */
static const char *
copy_original(const char *original, const char *address, const char *copy, struct arena *arena)
{
	return original == address ? copy : arena_text(arena, original);
}

void
mail_envelope_copy(struct mail_envelope *ret, const struct mail_envelope *from, struct arena *arena)
{
	*ret = (struct mail_envelope){
		.sender = arena_text(arena, from->sender),
		.envid = arena_text(arena, from->envid),
		.auth = arena_text(arena, from->auth),
		.user_relay = arena_text(arena, from->user_relay),
		.ret = from->ret,
		.count = from->count,
		.capacity = from->count,
		.recipients = arena_alloc(arena, from->count * sizeof(*from->recipients)),
	};
	ret->original_sender = copy_original(
	    from->original_sender, from->sender, ret->sender, arena);
	for (size_t i = 0; i < from->count; i++) {
		const struct mail_recipient *old = &from->recipients[i];
		struct mail_recipient *new = &ret->recipients[i];

		new->address = arena_text(arena, old->address);
		new->original = copy_original(old->original, old->address, new->address, arena);
		new->orcpt = arena_text(arena, old->orcpt);
		new->notify = old->notify;
		new->added = old->added;
		new->demand = mail_demand_copy(&old->demand, arena);
		new->want = old->want;
		new->before = old->before;
		new->want.why = arena_text(arena, old->want.why);
	}
}
