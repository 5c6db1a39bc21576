/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_edit.c - what a hook may change: envelope, header, body. All of it is staged in the call.
 *
 * Called by hooks of modules that say PN_MODIFIES. Must never let a bare CR or LF into a message,
 * nor what is no address into an envelope.
 */
#include <core/mail/address.h>
#include <core/policy/call.h>
#include <errno.h>

#define AT_SENDER    CALL_AT(PN_STAGE_SENDER)
#define AT_RECIPIENT CALL_AT(PN_STAGE_RECIPIENT)
#define AT_MESSAGE   CALL_AT(PN_STAGE_MESSAGE)
#define AT_HEADER    (AT_MESSAGE | CALL_AT(PN_STAGE_SEAL))

/* ---- the envelope ---------------------------------------------------------------------------- */

static int
staged_address(struct pn_call *call, const char *address, const char **ret)
{
	char checked[MAIL_ADDRESS_SIZE];

	if (mail_address_check(pn_slice_of(address), true, checked) < 0)
		return -EINVAL;
	*ret = arena_text(&call->arena, checked);
	return 0;
}

int
pn_edit_sender(struct pn_call *call, const char *address)
{
	int r = call_may_edit(call, AT_SENDER | AT_MESSAGE);

	if (r == 0 && !*address)
		call->sender = "";
	else if (r == 0)
		r = staged_address(call, address, &call->sender);
	return r;
}

int
pn_edit_recipient(struct pn_call *call, const char *address)
{
	int r = call_may_edit(call, AT_RECIPIENT);

	if (r == 0 && call->txn->recipient < 0)
		r = -EINVAL;
	return r < 0 ? r : staged_address(call, address, &call->recipient);
}

/* By canonical form, like the envelope. */
static bool
words_have_address(const struct call_words *words, const char *address)
{
	char wanted[MAIL_ADDRESS_SIZE], other[MAIL_ADDRESS_SIZE];

	if (mail_address_canonical(address, wanted) < 0)
		return false;
	for (size_t i = 0; i < words->count; i++)
		if (mail_address_canonical(words->items[i], other) == 0 && !strcmp(wanted, other))
			return true;
	return false;
}

int
pn_add_recipient(struct pn_call *call, const char *address)
{
	const struct pn_txn *txn = call->txn;
	const char *checked;
	int r = call_may_edit(call, AT_RECIPIENT | AT_MESSAGE);

	if (r == 0)
		r = staged_address(call, address, &checked);
	if (r < 0)
		return r;
	if (mail_envelope_find(&txn->envelope, checked) >= 0 ||
	    words_have_address(&call->added, checked))
		return -EEXIST;
	if (txn->recipient_limit > 0 &&
	    txn->envelope.count + call->added.count >= txn->recipient_limit)
		return -E2BIG;
	call_words_add(&call->added, &call->arena, checked);
	return 0;
}

int
pn_remove_recipient(struct pn_call *call, const char *address)
{
	int r = call_may_edit(call, AT_MESSAGE);

	if (r < 0)
		return r;
	if (mail_envelope_find(&call->txn->envelope, address) < 0 ||
	    words_have_address(&call->removed, address))
		return -ENOENT;
	call_words_add(&call->removed, &call->arena, address);
	return 0;
}

/* ---- the header ------------------------------------------------------------------------------ */

static int
stage(struct pn_call *call, size_t offset, size_t length, const char *text)
{
	return mail_edits_add(&call->edits, &call->arena, offset, length, pn_slice_of(text));
}

static const char *
value_gap(const char *value)
{
	return *value == ' ' || *value == '\t' ? "" : " ";
}

static int
insert(struct pn_call *call, size_t offset, const char *name, const char *value)
{
	const struct pn_txn *txn = call->txn;
	const char *before = "";

	if (!mail_header_name_valid(name) || !mail_header_value_valid(value) ||
	    (call->body_begun && offset == txn->header.body))
		return -EINVAL;
	/* A header that ends without a line end: BDAT can bring one (RFC 3030). */
	if (offset > 0 && txn->view->data[offset - 1] != '\n')
		before = "\r\n";
	return stage(call, offset, 0,
	    arena_printf(&call->arena, "%s%s:%s%s\r\n", before, name, value_gap(value), value));
}

int
pn_header_prepend(struct pn_call *call, const char *name, const char *value)
{
	int r = call_may_edit(call, AT_HEADER);

	return r < 0 ? r : insert(call, 0, name, value);
}

int
pn_header_append(struct pn_call *call, const char *name, const char *value)
{
	int r = call_may_edit(call, AT_HEADER);

	return r < 0 ? r : insert(call, call->txn->header.size, name, value);
}

int
pn_header_replace(struct pn_call *call, size_t index, const char *value)
{
	const struct mail_header *header = &call->txn->header;
	int r = call_may_edit(call, AT_HEADER);
	const struct mail_field *field;

	if (r < 0)
		return r;
	if (index >= header->count || header->fields[index].name_len == 0 ||
	    !mail_header_value_valid(value))
		return -EINVAL;
	field = &header->fields[index];
	return stage(call, field->value, field->end - field->value,
	    arena_printf(&call->arena, "%s%s\r\n", value_gap(value), value));
}

int
pn_header_remove(struct pn_call *call, size_t index)
{
	const struct mail_header *header = &call->txn->header;
	int r = call_may_edit(call, AT_HEADER);

	if (r < 0)
		return r;
	if (index >= header->count)
		return -EINVAL;
	return stage(call, header->fields[index].start,
	    header->fields[index].end - header->fields[index].start, "");
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Cutting between CR and LF would leave both bare. */
static bool
splits_newline(struct pn_slice body, size_t at)
{
	return at > 0 && at < body.len && body.data[at - 1] == '\r' && body.data[at] == '\n';
}

/* A message without an empty line has no body yet (RFC 5322 section 2.1). */
static int
begin_body(struct pn_call *call, struct pn_slice bytes)
{
	char *text = arena_alloc(&call->arena, 2 + bytes.len);
	int r;

	memcpy(text, "\r\n", 2);
	memcpy(text + 2, bytes.data, bytes.len);
	r = mail_edits_add(
	    &call->edits, &call->arena, call->txn->header.body, 0, pn_slice(text, 2 + bytes.len));
	call->body_begun = r == 0;
	return r;
}

int
pn_body_splice(struct pn_call *call, size_t offset, size_t length, struct pn_slice bytes)
{
	struct pn_slice body = pn_txn_body(call->txn);
	const struct mail_header *header = &call->txn->header;
	int r = call_may_edit(call, AT_MESSAGE);

	if (call->stage == PN_STAGE_SEAL)
		return -EPERM; /* seals are made of what is there */
	if (r < 0)
		return r;
	if (offset > body.len || length > body.len - offset || mail_bare_newline(bytes) ||
	    splits_newline(body, offset) || splits_newline(body, offset + length))
		return -EINVAL;
	if (header->body == header->size && bytes.len > 0 && !call->body_begun)
		return begin_body(call, bytes);
	return mail_edits_add(&call->edits, &call->arena, header->body + offset, length, bytes);
}
