/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - headers and heads of the spool's records; the format stands in record.h.
 *
 * Called by the spool on any thread; keeps no state. What is read may be anything: nothing here
 * trusts a length before it was compared with the bytes there are.
 */
#include <core/base/text.h>
#include <core/queue/record_plan.h>
#include <errno.h>

#define UNIT 16u /* of header lengths */

void
record_header_write(const struct record_header *header, char ret[RECORD_HEADER])
{
	field_store32(ret, RECORD_MAGIC);
	ret[4] = (char)(RECORD_HEADER / UNIT);
	ret[5] = (char)header->type;
	field_store16(ret + 6, header->flags);
	field_store64(ret + 8, header->epoch);
	field_store64(ret + 16, header->sequence);
	field_store64(ret + 24, header->body_len);
	field_store32(ret + 32, header->head_len);
	field_store32(ret + 36, header->head_crc);
	field_store32(ret + 40, header->body_crc);
	field_store32(ret + 44, text_crc32(0, ret, 44));
}

int
record_header_read(struct pn_slice bytes, uint64_t epoch, struct record_header *ret)
{
	const char *at = bytes.data;
	uint32_t len;

	if (bytes.len < RECORD_HEADER || field_load32(at) != RECORD_MAGIC)
		return -EBADMSG;
	len = (uint8_t)at[4] * UNIT;
	if (len < RECORD_HEADER || len > bytes.len || field_load64(at + 8) != epoch)
		return -EBADMSG;
	if (field_load32(at + len - 4) != text_crc32(0, at, len - 4))
		return -EBADMSG;
	ret->header_len = len;
	ret->type = (uint8_t)at[5];
	ret->flags = field_load16(at + 6);
	ret->epoch = epoch;
	ret->sequence = field_load64(at + 16);
	ret->body_len = field_load64(at + 24);
	ret->head_len = field_load32(at + 32);
	ret->head_crc = field_load32(at + 36);
	ret->body_crc = field_load32(at + 40);
	return 0;
}

bool
record_header_remains(struct pn_slice bytes, uint64_t epoch)
{
	struct record_header old;

	if (bytes.len < RECORD_HEADER)
		return false;
	if (field_load64(bytes.data + 8) == epoch)
		return true;
	/* One whole under another epoch is only left from an earlier use. */
	return field_load32(bytes.data) == RECORD_MAGIC &&
	       record_header_read(bytes, field_load64(bytes.data + 8), &old) < 0;
}

uint64_t
record_length(const struct record_header *header)
{
	uint64_t len = (uint64_t)header->header_len + header->head_len;

	if (header->head_len > RECORD_HEAD_MOST || header->body_len > INT64_MAX / 2)
		return 0;
	return (len + header->body_len + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

int
record_known(const struct record_header *header)
{
	bool type = (header->type >= RECORD_MESSAGE && header->type <= RECORD_STATE) ||
		    header->type == RECORD_COPY || header->type >= RECORD_SKIPPABLE;

	return type && !(header->flags & 0xff00) ? 0 : -EPROTONOSUPPORT;
}

/* ---- writing ---- */

void
record_put_id(struct field_writer *writer, const char *id)
{
	field_put_text(writer, RECORD_ID, id);
}

static void
put_hold(struct field_writer *writer, const struct item_hold *hold)
{
	size_t mark = field_begin(writer, RECORD_HOLD);

	field_put_text(writer, RECORD_HOLD_REASON, hold->reason);
	field_put_text(writer, RECORD_HOLD_OWNER, hold->owner);
	field_put_number(writer, RECORD_HOLD_SINCE, (uint64_t)hold->since_us);
	field_put_number(writer, RECORD_HOLD_UNTIL, (uint64_t)hold->until_us);
	field_put_number(writer, RECORD_HOLD_END, (uint64_t)hold->end);
	field_end(writer, mark);
}

void
record_put_state(
    struct field_writer *writer, uint32_t index, const struct item_recipient *recipient)
{
	size_t mark = field_begin(writer, RECORD_RECIPIENT_STATE);
	/* A courier's work under way does not outlive the process. */
	uint64_t state = recipient->state == ITEM_DELIVERED   ? RECORD_DELIVERED
			 : recipient->state == ITEM_FAILED    ? RECORD_FAILED
			 : recipient->state == ITEM_REPLANNED ? RECORD_REPLANNED
			 : recipient->hold                    ? RECORD_HELD
							      : RECORD_WAITING;

	field_put_number(writer, RECORD_INDEX, index);
	field_put_number(writer, RECORD_STATE_NUMBER, state);
	field_put_number(writer, RECORD_ATTEMPTS, recipient->attempts);
	field_put_number(writer, RECORD_DUE, (uint64_t)recipient->due_us);
	field_put_number(writer, RECORD_LAST_ATTEMPT, (uint64_t)recipient->last_attempt_us);
	field_put_text(writer, RECORD_LAST_REPLY, recipient->last_reply);
	field_put_text(writer, RECORD_LAST_REMOTE, recipient->last_remote);
	if (state == RECORD_HELD)
		put_hold(writer, recipient->hold);
	field_end(writer, mark);
}

static uint64_t
item_flags(const struct item *item)
{
	const struct mail_facts *facts = &item->facts;

	return (facts->esmtp ? RECORD_FLAG_ESMTP : 0u) |
	       (facts->smtputf8 ? RECORD_FLAG_SMTPUTF8 : 0u) |
	       (facts->eightbit ? RECORD_FLAG_EIGHTBIT : 0u) |
	       (facts->binary ? RECORD_FLAG_BINARY : 0u) |
	       (facts->requiretls ? RECORD_FLAG_REQUIRETLS : 0u) |
	       (facts->tls_optional ? RECORD_FLAG_TLS_OPTIONAL : 0u) |
	       (item->needs_utf8 ? RECORD_FLAG_NEEDS_UTF8 : 0u) |
	       (item->has_eightbit ? RECORD_FLAG_HAS_EIGHTBIT : 0u) |
	       (item->effects_done ? RECORD_FLAG_EFFECTS_DONE : 0u) |
	       (item->wanted ? RECORD_FLAG_WANTED : 0u) |
	       (item->opted_out ? RECORD_FLAG_OPTED_OUT : 0u) |
	       (item->submission ? RECORD_FLAG_SUBMISSION : 0u) |
	       (item->hide_client ? RECORD_FLAG_HIDE_CLIENT : 0u);
}

static void
put_facts(struct field_writer *writer, const struct mail_facts *facts)
{
	field_put_text(writer, RECORD_CLIENT_ADDRESS, facts->client_address);
	field_put_text(writer, RECORD_CLIENT_LITERAL, facts->client_literal);
	field_put_text(writer, RECORD_LISTENER, facts->listener);
	field_put_text(writer, RECORD_HELO, facts->helo);
	field_put_text(writer, RECORD_USER, facts->user);
	field_put_text(writer, RECORD_TLS_VERSION, facts->tls_version);
	field_put_text(writer, RECORD_TLS_CIPHER, facts->tls_cipher);
	field_put_number(writer, RECORD_TLS_BITS, (uint64_t)facts->tls_bits);
	field_put_text(writer, RECORD_CLIENT_UID, facts->client_uid);
	if (!facts->certificate)
		return;
	field_put_text(writer, RECORD_CERTIFICATE, facts->certificate->fingerprint);
	field_put_text(writer, RECORD_CERTIFICATE_SUBJECT, facts->certificate->subject);
}

bool
record_has_state(const struct item_recipient *recipient)
{
	return item_is_final(recipient->state) || recipient->attempts || recipient->due_us ||
	       recipient->last_attempt_us || recipient->last_reply || recipient->last_remote ||
	       recipient->hold;
}

static void
put_want(struct field_writer *writer, const struct mail_want *want)
{
	size_t mark;

	if (!want->wanted && !want->opted_out)
		return;
	mark = field_begin(writer, RECORD_WANT);
	field_put_number(writer, RECORD_WANT_WANTED, (uint64_t)want->wanted);
	field_put_number(writer, RECORD_WANT_OPTED_OUT, (uint64_t)want->opted_out);
	field_end(writer, mark);
}

static void
put_resume(struct field_writer *writer, const struct item *item)
{
	size_t mark = writer->buf->len;

	field_put_text(writer, RECORD_RESUME, item->resume);
	field_is_critical(writer, mark);
	put_want(writer, &item->want);
}

static void
put_recipient(struct field_writer *writer, const struct item *item, size_t index)
{
	const struct mail_recipient *recipient = &item->envelope.recipients[index];
	size_t mark = field_begin(writer, RECORD_RECIPIENT);

	field_put_text(writer, RECORD_ADDRESS, recipient->address);
	if (recipient->original != recipient->address)
		field_put_text(writer, RECORD_ORIGINAL, recipient->original);
	field_put_text(writer, RECORD_ORCPT, recipient->orcpt);
	field_put_number(writer, RECORD_NOTIFY, recipient->notify);
	field_put_number(writer, RECORD_ADDED, recipient->added);
	if (item->resume)
		put_want(writer, &recipient->want);
	if (item->recipients)
		record_put_plan(writer, &item->recipients[index].plan);
	if (item->recipients && record_has_state(&item->recipients[index]))
		record_put_state(writer, (uint32_t)index, &item->recipients[index]);
	field_end(writer, mark);
}

static void
put_user_relay(struct field_writer *writer, const char *address)
{
	size_t mark = writer->buf->len;

	field_put_text(writer, RECORD_USER_RELAY, address);
	field_is_critical(writer, mark);
}

static void
put_envelope(struct field_writer *writer, const struct item *item)
{
	const struct mail_envelope *envelope = &item->envelope;

	field_put_text(writer, RECORD_SENDER, envelope->sender);
	if (envelope->original_sender != envelope->sender)
		field_put_text(writer, RECORD_SENDER_ORIGINAL, envelope->original_sender);
	field_put_text(writer, RECORD_ENVID, envelope->envid);
	field_put_text(writer, RECORD_AUTH, envelope->auth);
	field_put_number(writer, RECORD_RET, (uint64_t)envelope->ret);
	if (envelope->user_relay)
		put_user_relay(writer, envelope->user_relay);
	for (size_t i = 0; i < envelope->count; i++)
		put_recipient(writer, item, i);
}

void
record_put_item(struct field_writer *writer, const struct item *item)
{
	record_put_id(writer, item->id);
	if (item->origin[0])
		field_put_text(writer, RECORD_ORIGIN, item->origin);
	field_put_number(writer, RECORD_ACCEPTED, (uint64_t)item->accepted_us);
	field_put_number(writer, RECORD_FLAGS, item_flags(item));
	put_facts(writer, &item->facts);
	put_envelope(writer, item);
	if (item->resume)
		put_resume(writer, item);
	for (size_t i = 0; i < item->rendering_count; i++)
		record_put_rendering(writer, &item->renderings[i]);
	record_put_replaces(writer, item);
	for (size_t i = 0; i < item->tag_count; i++)
		field_put_text(writer, RECORD_TAG, item->tags[i]);
	for (size_t i = 0; i < item->effect_count; i++) {
		const struct item_effect *effect = &item->effects[i];
		size_t mark = field_begin(writer, RECORD_EFFECT);

		field_put_text(writer, RECORD_EFFECT_ENTRY, effect->entry);
		field_put_text(writer, RECORD_EFFECT_NAME, effect->name);
		field_put(writer, RECORD_EFFECT_BYTES, effect->bytes.data, effect->bytes.len);
		field_end(writer, mark);
	}
}

/* Fields as they stand, also those that a newer version wrote. */
void
record_put_copy(struct field_writer *writer, struct pn_slice head)
{
	struct pn_slice rest = head;
	struct field field;

	while (writer->r == 0 && field_next(&rest, &field) > 0)
		if (field.type != RECORD_REPLACES && field.type != RECORD_RECIPIENT_STATE &&
		    field.type != RECORD_EFFECTS_DONE)
			writer->r = buf_add(writer->buf, field.value.data - FIELD_HEAD,
			    FIELD_HEAD + field.value.len);
}
