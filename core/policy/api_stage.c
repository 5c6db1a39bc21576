/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_stage.c - tags, effects, and what AUTH needs: staged beside a message's edits.
 *
 * Called by hooks. Any module may use these: they touch neither message nor envelope.
 */
#include <core/policy/call.h>
#include <core/policy/stage.h>
#include <errno.h>

#define TAG_MOST         64
#define EFFECT_NAME_MOST 32
#define MECHANISM_MOST   20 /* RFC 4422 section 3.1 */

#define PLANNING         (CALL_AT(PN_STAGE_SELECT) | CALL_AT(PN_STAGE_PROTECT))
#define IN_TRANSACTION \
	(CALL_AT(PN_STAGE_SENDER) | CALL_AT(PN_STAGE_RECIPIENT) | CALL_AT(PN_STAGE_MESSAGE))

int
pn_tag(struct pn_call *call, const char *tag)
{
	int r = call_may_change(call, IN_TRANSACTION);

	if (r < 0)
		return r;
	if (!call_name_valid(tag, TAG_MOST))
		return -EINVAL;
	if (pn_txn_has_tag(call->txn, tag) || call_words_have(&call->tags, tag))
		return 0;
	if (call->txn->tag_count + call->tags.count >= CALL_TAGS_MOST)
		return -E2BIG;
	call_words_add(&call->tags, &call->arena, tag);
	return 0;
}

/* ---- effects --------------------------------------------------------------------------------- */

/* Bytes of all effects, were this call's to stand. */
static size_t
effect_bytes(const struct pn_call *call)
{
	const struct pn_txn *txn = call->txn;
	size_t bytes = txn->effect_bytes;

	for (size_t i = 0; i < call->effect_count; i++) {
		const struct item_effect *replaced = call_effect_find(
		    txn->effects, txn->effect_count, call->effects[i].entry, call->effects[i].name);

		bytes += call->effects[i].bytes.len - (replaced ? replaced->bytes.len : 0);
	}
	return bytes;
}

static struct item_effect *
effect_new(struct pn_call *call, const char *name)
{
	struct item_effect *effect;

	if (call->effect_count == call->effect_capacity) {
		size_t capacity = call->effect_capacity ? call->effect_capacity * 2 : 4;
		struct item_effect *rows = arena_alloc(&call->arena, capacity * sizeof(*rows));

		if (call->effect_count > 0)
			memcpy(rows, call->effects, call->effect_count * sizeof(*rows));
		call->effects = rows;
		call->effect_capacity = capacity;
	}
	effect = &call->effects[call->effect_count++];
	effect->entry = call->entry->config->id;
	effect->name = arena_text(&call->arena, name);
	return effect;
}

int
pn_effect_stage(struct pn_call *call, const char *name, struct pn_slice bytes)
{
	struct item_effect *effect, *old;
	size_t before = 0;
	int r = call_may_change(call, IN_TRANSACTION | PLANNING);

	if (r < 0)
		return r;
	if (!call_name_valid(name, EFFECT_NAME_MOST))
		return -EINVAL;
	effect = call_effect_find(call->effects, call->effect_count, call->entry->config->id, name);
	old = effect ? effect
		     : call_effect_find(call->txn->effects, call->txn->effect_count,
			   call->entry->config->id, name);
	if (old)
		before = old->bytes.len;
	if (bytes.len > CALL_EFFECTS_MOST ||
	    effect_bytes(call) - before + bytes.len > CALL_EFFECTS_MOST)
		return -E2BIG;
	if (!effect)
		effect = effect_new(call, name);
	effect->bytes = pn_slice(arena_slice(&call->arena, bytes), bytes.len);
	return 0;
}

bool
pn_effect(const struct pn_call *call, const char *name, struct pn_slice *ret)
{
	const struct item_effect *effect;

	if (!stage_is(call->stage, STAGE_EFFECTS))
		return false;
	effect = call_effect_find(
	    call->txn->effects, call->txn->effect_count, call->entry->config->id, name);
	if (effect)
		*ret = effect->bytes;
	return effect != NULL;
}

/* ---- AUTH ------------------------------------------------------------------------------------ */

int
pn_auth_offer(struct pn_call *call, const char *mechanism)
{
	size_t len = strlen(mechanism);
	int r = call_may_change(call, CALL_AT(PN_STAGE_HELO));

	if (r < 0)
		return r;
	if (len == 0 || len > MECHANISM_MOST ||
	    strspn(mechanism, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != len)
		return -EINVAL;
	if (!call_words_have(&call->offers, mechanism))
		call_words_add(&call->offers, &call->arena, mechanism);
	return 0;
}

int
pn_auth_keep(struct pn_call *call, void *data, void (*drop)(void *data))
{
	int r = call_may_change(call, CALL_AT(PN_STAGE_AUTH));

	if (r < 0)
		return r;
	call->keep = true;
	call->kept = data;
	call->drop = drop;
	return 0;
}
