/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record_read.c - makes items out of the heads of records, and applies marks to them.
 *
 * Called by the spool's recovery. The bytes passed their CRC but may still be anything (a newer
 * version, a disk that lies): every refusal is an error, never a crash. All text is copied.
 */
#include <core/queue/record_plan.h>
#include <errno.h>

int
record_get_id(struct pn_slice value, char ret[ITEM_ID_SIZE])
{
	if (value.len == 0 || value.len >= ITEM_ID_SIZE || memchr(value.data, '\0', value.len))
		return -EBADMSG;
	memset(ret, 0, ITEM_ID_SIZE);
	memcpy(ret, value.data, value.len);
	return 0;
}

int
record_find_id(struct pn_slice head, char ret[ITEM_ID_SIZE])
{
	struct field field;
	int r;

	while ((r = field_next(&head, &field)) > 0)
		if (field.type == RECORD_ID)
			return record_get_id(field.value, ret);
	return r < 0 ? r : -EBADMSG;
}

/* Text with a NUL in it would be cut short in C: refused. */
int
record_get_text(struct arena *arena, const struct field *field, const char **ret)
{
	if (field->value.len > 0 && memchr(field->value.data, '\0', field->value.len))
		return -EBADMSG;
	*ret = arena_text_of(arena, field->value);
	return 0;
}

int
record_get_u32(const struct field *field, uint32_t *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r < 0)
		return r;
	if (number > UINT32_MAX)
		return -EBADMSG;
	*ret = (uint32_t)number;
	return 0;
}

static int
get_time(const struct field *field, int64_t *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r == 0)
		*ret = (int64_t)number;
	return r;
}

/* ---- states of recipients ---- */

struct state {
	uint32_t index;
	bool held;
	struct item_hold *hold;
	struct item_recipient recipient;
};

static int
get_state_number(const struct field *field, enum item_state *ret, bool *ret_held)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r < 0)
		return r;
	switch (number) {
	case RECORD_WAITING:
		*ret = ITEM_WAITING;
		return 0;
	case RECORD_DELIVERED:
		*ret = ITEM_DELIVERED;
		return 0;
	case RECORD_FAILED:
		*ret = ITEM_FAILED;
		return 0;
	case RECORD_REPLANNED:
		*ret = ITEM_REPLANNED;
		return 0;
	case RECORD_HELD:
		*ret = ITEM_WAITING;
		*ret_held = true;
		return 0;
	default: /* not to be sent by who does not know it */
		return -EPROTONOSUPPORT;
	}
}

static int
get_hold_end(const struct field *field, enum item_hold_end *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r == 0 && number > ITEM_HOLD_DELETE)
		r = -EPROTONOSUPPORT;
	if (r == 0)
		*ret = (enum item_hold_end)number;
	return r;
}

static int
get_hold_field(struct arena *arena, const struct field *field, struct item_hold *ret)
{
	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_HOLD_REASON:
		return record_get_text(arena, field, &ret->reason);
	case RECORD_HOLD_OWNER:
		return record_get_text(arena, field, &ret->owner);
	case RECORD_HOLD_SINCE:
		return get_time(field, &ret->since_us);
	case RECORD_HOLD_UNTIL:
		return get_time(field, &ret->until_us);
	case RECORD_HOLD_END:
		return get_hold_end(field, &ret->end);
	default:
		return field_skip(field);
	}
}

static int
get_hold(struct arena *arena, struct pn_slice value, struct item_hold **ret)
{
	struct item_hold *hold = arena_alloc(arena, sizeof(*hold));
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_hold_field(arena, &field, hold);
		if (r < 0)
			return r;
	}
	*ret = hold;
	return r;
}

static int
get_state_field(struct arena *arena, const struct field *field, struct state *state)
{
	struct item_recipient *recipient = &state->recipient;

	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_INDEX:
		return record_get_u32(field, &state->index);
	case RECORD_STATE_NUMBER:
		return get_state_number(field, &recipient->state, &state->held);
	case RECORD_ATTEMPTS:
		return record_get_u32(field, &recipient->attempts);
	case RECORD_DUE:
		return get_time(field, &recipient->due_us);
	case RECORD_LAST_ATTEMPT:
		return get_time(field, &recipient->last_attempt_us);
	case RECORD_LAST_REPLY:
		return record_get_text(arena, field, &recipient->last_reply);
	case RECORD_LAST_REMOTE:
		return record_get_text(arena, field, &recipient->last_remote);
	case RECORD_HOLD:
		return get_hold(arena, field->value, &state->hold);
	default:
		return field_skip(field);
	}
}

static int
apply_state(struct pn_slice value, struct item *item)
{
	struct state state = { 0 };
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_state_field(&item->arena, &field, &state);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (state.index >= item->envelope.count)
		return -EBADMSG;
	state.recipient.envelope = &item->envelope.recipients[state.index];
	state.recipient.plan = item->recipients[state.index].plan; /* for good */
	if (state.held && !state.hold) /* the state counts, not what is said of it */
		state.hold = arena_alloc(&item->arena, sizeof(*state.hold));
	state.recipient.hold = state.held ? state.hold : NULL;
	item->recipients[state.index] = state.recipient;
	return 0;
}

/* Bytes that the texts in it take. */
static size_t
texts_of_states(struct pn_slice head)
{
	struct field field, inner;
	size_t size = 0;

	while (field_next(&head, &field) > 0)
		while (field.type == RECORD_RECIPIENT_STATE && field_next(&field.value, &inner) > 0)
			if (inner.type == RECORD_LAST_REPLY || inner.type == RECORD_LAST_REMOTE)
				size += inner.value.len + 1;
			else if (inner.type == RECORD_HOLD)
				size += inner.value.len + sizeof(struct item_hold);
	return size;
}

int
record_apply(struct pn_slice head, struct item *item)
{
	struct field field;
	int r;

	arena_reserve(&item->arena, texts_of_states(head));
	while ((r = field_next(&head, &field)) > 0) {
		if (field_too_new(&field))
			r = field_skip(&field);
		else if (field.type == RECORD_RECIPIENT_STATE)
			r = apply_state(field.value, item);
		else if (field.type == RECORD_EFFECTS_DONE)
			item->effects_done = true;
		else if (field.type != RECORD_ID)
			r = field_skip(&field);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- messages ---- */

static int
get_flags(const struct field *field, struct item *item)
{
	struct mail_facts *facts = &item->facts;
	uint64_t flags;
	int r = field_number(field, &flags);

	if (r < 0)
		return r;
	facts->esmtp = flags & RECORD_FLAG_ESMTP;
	facts->smtputf8 = flags & RECORD_FLAG_SMTPUTF8;
	facts->eightbit = flags & RECORD_FLAG_EIGHTBIT;
	facts->binary = flags & RECORD_FLAG_BINARY;
	facts->requiretls = flags & RECORD_FLAG_REQUIRETLS;
	facts->tls_optional = flags & RECORD_FLAG_TLS_OPTIONAL;
	item->needs_utf8 = flags & RECORD_FLAG_NEEDS_UTF8;
	item->has_eightbit = flags & RECORD_FLAG_HAS_EIGHTBIT;
	item->effects_done = flags & RECORD_FLAG_EFFECTS_DONE;
	item->wanted = flags & RECORD_FLAG_WANTED;
	item->opted_out = flags & RECORD_FLAG_OPTED_OUT;
	item->submission = flags & RECORD_FLAG_SUBMISSION;
	item->hide_client = flags & RECORD_FLAG_HIDE_CLIENT;
	return 0;
}

static int
get_ret(const struct field *field, enum mail_ret *ret)
{
	uint64_t number;
	int r = field_number(field, &number);

	if (r < 0)
		return r;
	if (number > MAIL_RET_HDRS)
		return -EBADMSG;
	*ret = (enum mail_ret)number;
	return 0;
}

static int
get_want(struct pn_slice value, struct mail_want *ret)
{
	struct field field;
	uint32_t number = 0;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		bool known = field.type == RECORD_WANT_WANTED ||
			     field.type == RECORD_WANT_OPTED_OUT;

		r = known && !field_too_new(&field) ? record_get_u32(&field, &number)
						    : field_skip(&field);
		if (r == 0 && number > INT32_MAX)
			r = -EBADMSG;
		if (r < 0)
			return r;
		if (known && field.type == RECORD_WANT_WANTED)
			ret->wanted = (int32_t)number;
		else if (known)
			ret->opted_out = (int32_t)number;
	}
	return r;
}

static int
get_recipient_field(struct arena *arena, const struct field *field, struct mail_recipient *ret)
{
	uint32_t number = 0;
	int r;

	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_ADDRESS:
		return record_get_text(arena, field, &ret->address);
	case RECORD_ORIGINAL:
		return record_get_text(arena, field, &ret->original);
	case RECORD_ORCPT:
		return record_get_text(arena, field, &ret->orcpt);
	case RECORD_NOTIFY:
		return record_get_u32(field, &ret->notify);
	case RECORD_ADDED:
		r = record_get_u32(field, &number);
		ret->added = number != 0;
		return r;
	case RECORD_WANT:
		return get_want(field->value, &ret->want);
	case RECORD_PLAN: /* in the second pass: the item has no states yet */
	case RECORD_RECIPIENT_STATE:
		return 0;
	default:
		return field_skip(field);
	}
}

static int
get_recipient(struct pn_slice value, struct item *item)
{
	struct mail_envelope *envelope = &item->envelope;
	struct mail_recipient *recipient = &envelope->recipients[envelope->count];
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		r = get_recipient_field(&item->arena, &field, recipient);
		if (r < 0)
			return r;
	}
	if (r < 0 || !recipient->address)
		return -EBADMSG;
	if (!recipient->original)
		recipient->original = recipient->address;
	envelope->count++;
	return 0;
}

static int
get_effect(struct pn_slice value, struct item *item)
{
	struct item_effect *effect = &item->effects[item->effect_count];
	struct field field;
	int r;

	while ((r = field_next(&value, &field)) > 0) {
		if (field_too_new(&field))
			r = field_skip(&field);
		else if (field.type == RECORD_EFFECT_ENTRY)
			r = record_get_text(&item->arena, &field, &effect->entry);
		else if (field.type == RECORD_EFFECT_NAME)
			r = record_get_text(&item->arena, &field, &effect->name);
		else if (field.type == RECORD_EFFECT_BYTES)
			effect->bytes = pn_slice(
			    arena_slice(&item->arena, field.value), field.value.len);
		else
			r = field_skip(&field);
		if (r < 0)
			return r;
	}
	if (r < 0 || !effect->entry || !effect->name)
		return -EBADMSG;
	item->effect_count++;
	return 0;
}

/* Of the client's certificate, as much as is kept. */
static int
get_certificate(const struct field *field, struct item *item)
{
	struct certificate *certificate = item->facts.certificate
					      ? arena_copy(&item->arena, item->facts.certificate,
						    sizeof(*certificate))
					      : arena_alloc(&item->arena, sizeof(*certificate));

	item->facts.certificate = certificate;
	return record_get_text(&item->arena, field,
	    field->type == RECORD_CERTIFICATE ? &certificate->fingerprint : &certificate->subject);
}

static int
get_item_field(const struct field *field, struct item *item)
{
	struct mail_facts *facts = &item->facts;
	struct mail_envelope *envelope = &item->envelope;
	struct arena *arena = &item->arena;
	uint32_t bits = 0;
	int r;

	if (field_too_new(field))
		return field_skip(field);
	switch (field->type) {
	case RECORD_ID:
		return record_get_id(field->value, item->id);
	case RECORD_ORIGIN:
		return record_get_id(field->value, item->origin);
	case RECORD_ACCEPTED:
		return get_time(field, &item->accepted_us);
	case RECORD_FLAGS:
		return get_flags(field, item);
	case RECORD_CLIENT_ADDRESS:
		return record_get_text(arena, field, &facts->client_address);
	case RECORD_CLIENT_LITERAL:
		return record_get_text(arena, field, &facts->client_literal);
	case RECORD_LISTENER:
		return record_get_text(arena, field, &facts->listener);
	case RECORD_HELO:
		return record_get_text(arena, field, &facts->helo);
	case RECORD_USER:
		return record_get_text(arena, field, &facts->user);
	case RECORD_TLS_VERSION:
		return record_get_text(arena, field, &facts->tls_version);
	case RECORD_TLS_CIPHER:
		return record_get_text(arena, field, &facts->tls_cipher);
	case RECORD_TLS_BITS:
		r = record_get_u32(field, &bits);
		facts->tls_bits = (int32_t)bits;
		return r;
	case RECORD_CLIENT_UID:
		return record_get_text(arena, field, &facts->client_uid);
	case RECORD_CERTIFICATE:
	case RECORD_CERTIFICATE_SUBJECT:
		return get_certificate(field, item);
	case RECORD_SENDER:
		return record_get_text(arena, field, &envelope->sender);
	case RECORD_SENDER_ORIGINAL:
		return record_get_text(arena, field, &envelope->original_sender);
	case RECORD_ENVID:
		return record_get_text(arena, field, &envelope->envid);
	case RECORD_AUTH:
		return record_get_text(arena, field, &envelope->auth);
	case RECORD_USER_RELAY:
		return record_get_text(arena, field, &envelope->user_relay);
	case RECORD_RET:
		return get_ret(field, &envelope->ret);
	case RECORD_RECIPIENT:
		return get_recipient(field->value, item);
	case RECORD_TAG:
		return record_get_text(arena, field, &item->tags[item->tag_count++]);
	case RECORD_EFFECT:
		return get_effect(field->value, item);
	case RECORD_RESUME:
		return record_get_text(arena, field, &item->resume);
	case RECORD_WANT:
		return get_want(field->value, &item->want);
	case RECORD_RENDERING:
		return record_get_rendering(field->value, item);
	case RECORD_REPLACES:
		return record_get_replaces(field->value, item);
	default:
		return field_skip(field);
	}
}

/* Room for what repeats; the fields are whole, or -EBADMSG. */
static int
prepare_lists(struct pn_slice head, struct item *item)
{
	size_t recipients = 0, tags = 0, effects = 0, renderings = 0;
	struct field field;
	int r;

	while ((r = field_next(&head, &field)) > 0) {
		recipients += field.type == RECORD_RECIPIENT;
		tags += field.type == RECORD_TAG;
		effects += field.type == RECORD_EFFECT;
		renderings += field.type == RECORD_RENDERING;
	}
	item->envelope.recipients = arena_alloc(
	    &item->arena, recipients * sizeof(*item->envelope.recipients));
	item->envelope.capacity = recipients;
	item->tags = arena_alloc(&item->arena, tags * sizeof(*item->tags));
	item->effects = arena_alloc(&item->arena, effects * sizeof(*item->effects));
	item->renderings = arena_alloc(&item->arena, renderings * sizeof(*item->renderings));
	return r;
}

static int
get_plan_and_state(struct pn_slice value, struct item *item, size_t index)
{
	struct field field;
	int r = 0;

	while (r == 0 && field_next(&value, &field) > 0) {
		if (field_too_new(&field))
			continue; /* the first pass has refused it or may skip it */
		if (field.type == RECORD_PLAN)
			r = record_get_plan(
			    field.value, &item->arena, &item->recipients[index].plan);
		else if (field.type == RECORD_RECIPIENT_STATE)
			r = apply_state(field.value, item);
	}
	return r;
}

/* Plans, and the states that the message had when it was accepted. */
static int
get_plans_and_states(struct pn_slice head, struct item *item)
{
	struct field field;
	size_t index = 0;
	int r = 0;

	while (r == 0 && field_next(&head, &field) > 0)
		if (field.type == RECORD_RECIPIENT && !field_too_new(&field))
			r = get_plan_and_state(field.value, item, index++);
	return r;
}

/* Two readings: the first says how much memory the second needs, for a million may have to wait. */
static int
read_item(struct pn_slice head, uint64_t body_len, size_t room, struct item **ret)
{
	struct item *item = item_new_sized(room);
	struct pn_slice rest = head;
	struct field field;
	int r;

	r = prepare_lists(head, item);
	while (r == 0 && (r = field_next(&rest, &field)) > 0)
		r = get_item_field(&field, item);
	if (r < 0)
		goto out;
	r = -EBADMSG;
	if (!item->id[0] || !item->envelope.sender)
		goto out;
	if (!item->envelope.original_sender)
		item->envelope.original_sender = item->envelope.sender;
	item->size = body_len;
	item_prepare(item);
	r = get_plans_and_states(head, item);
	if (r == 0)
		r = record_check_plans(item);
	if (r < 0)
		goto out;
	*ret = item;
	item = NULL;
out:
	item_free(&item);
	return r;
}

int
record_get_item(struct pn_slice head, uint64_t body_len, struct item **ret)
{
	struct item *item;
	int r = read_item(head, body_len, 0, &item);

	if (r < 0)
		return r;
	r = read_item(head, body_len, arena_used(&item->arena), ret);
	item_free(&item);
	return r;
}

int
record_get_copy(struct pn_slice head, uint64_t body_len, struct item **ret)
{
	struct field field;
	int r = record_get_item(head, body_len, ret);

	/* What else there is was looked at: states alone are left. */
	while (r == 0 && field_next(&head, &field) > 0) {
		if (field_too_new(&field))
			continue;
		if (field.type == RECORD_RECIPIENT_STATE)
			r = apply_state(field.value, *ret);
		else if (field.type == RECORD_EFFECTS_DONE)
			(*ret)->effects_done = true;
		if (r < 0)
			item_free(ret);
	}
	return r;
}
