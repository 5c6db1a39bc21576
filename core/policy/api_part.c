/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_part.c - the parts of the message for hooks: core/mail/part.h behind the module contract.
 *
 * Called by hooks. Must never let a part outlive the tree it belongs to: the call holds that.
 */
#include <core/mail/address_list.h>
#include <core/mail/part.h>
#include <core/policy/call.h>
#include <errno.h>

/* ---- the tree -------------------------------------------------------------------------------- */

/*
 * The tree of the view, made once and shared by the entries that follow: call_end() leaves it to
 * them. The transaction itself may be its owner's again while this hook runs.
 */
static int
tree_of(const struct pn_txn *txn, struct mail_parts **ret, struct pn_error *err)
{
	struct mail_bytes *whole;
	int r;

	if (txn->parts && reading_is_view(txn, txn->parts->bytes)) {
		*ret = mail_parts_hold(txn->parts);
		return 0;
	}
	r = reading_hold_view(txn, &whole);
	if (r < 0)
		return pn_error_set(err, r, "no memory to look at the message");
	r = mail_parts_read(whole, ret, err);
	mail_bytes_release(&whole);
	return r;
}

int
pn_parts(struct pn_call *call, const struct pn_part **ret, struct pn_error *err)
{
	int r;

	if (!call->txn || !call->txn->view)
		return pn_error_set(err, -ENODATA, "there is no message here");
	if (call_overdue(call))
		return pn_error_set(err, -ECANCELED, "the time of this call is up");
	if (!call->parts) {
		r = tree_of(call->txn, &call->parts, err);
		if (r < 0)
			return r;
	}
	*ret = call->parts->parts[0];
	return 0;
}

static const struct pn_part *
part_at(const struct pn_part *part, size_t index)
{
	return index < part->tree->count ? part->tree->parts[index] : NULL;
}

const struct pn_part *
pn_part_next(const struct pn_part *part)
{
	return part_at(part, part->index + 1);
}

const struct pn_part *
pn_part_skip(const struct pn_part *part)
{
	return part_at(part, part->behind);
}

const struct pn_part *
pn_part_parent(const struct pn_part *part)
{
	return part->parent;
}

const struct pn_part *
pn_part_first_child(const struct pn_part *part)
{
	return part->behind > part->index + 1 ? part_at(part, part->index + 1) : NULL;
}

const struct pn_part *
pn_part_sibling(const struct pn_part *part)
{
	const struct pn_part *next = pn_part_skip(part);

	return next && next->parent == part->parent ? next : NULL;
}

/* ---- what a part says of itself -------------------------------------------------------------- */

const char *
pn_part_type(const struct pn_part *part)
{
	return part->type;
}

bool
pn_part_is(const struct pn_part *part, const char *type)
{
	size_t len = strlen(type);

	if (len >= 2 && !strcmp(type + len - 2, "/*"))
		return strncmp(part->type, type, len - 1) == 0;
	return strcmp(part->type, type) == 0;
}

const char *
pn_part_parameter(const struct pn_part *part, const char *name)
{
	for (size_t i = 0; i < part->parameter_count; i++)
		if (!strcmp(part->parameters[i].name, name))
			return part->parameters[i].value;
	return NULL;
}

const char *
pn_part_disposition(const struct pn_part *part)
{
	return part->disposition;
}

const char *
pn_part_filename(const struct pn_part *part)
{
	return part->filename;
}

const char *
pn_part_charset(const struct pn_part *part)
{
	return part->charset;
}

const char *
pn_part_encoding(const struct pn_part *part)
{
	return part->encoding_name;
}

struct pn_slice
pn_part_header(const struct pn_part *part)
{
	return pn_slice(part->tree->view.data + part->start, part->body - part->start);
}

struct pn_slice
pn_part_body(const struct pn_part *part)
{
	return mail_part_body(part);
}

bool
pn_part_field(const struct pn_part *part, const char *name, size_t nth, struct pn_header *ret)
{
	struct pn_slice bytes = pn_part_header(part);
	struct arena arena = { 0 };
	struct mail_header header;
	int at = -1;

	if (mail_header_index(bytes, SIZE_MAX, &arena, &header) == 0)
		at = mail_header_find(bytes, &header, name, nth);
	if (at >= 0)
		mail_header_field(bytes, &header, (size_t)at, ret);
	arena_free(&arena);
	return at >= 0;
}

/* ---- what is in it --------------------------------------------------------------------------- */

int
pn_part_bytes(struct pn_call *call, const struct pn_part *part, size_t most, struct pn_slice *ret)
{
	return call_overdue(call) ? -ECANCELED : mail_part_raw(part, most, ret);
}

int
pn_part_text(struct pn_call *call, const struct pn_part *part, size_t most, struct pn_slice *ret)
{
	return call_overdue(call) ? -ECANCELED : mail_part_text(part, most, ret);
}

int
pn_part_splice_text(struct pn_call *call, const struct pn_part *part, size_t offset, size_t length,
    struct pn_slice text)
{
	const struct mail_header *header = &call->txn->header;
	int r = call_may_edit(call, CALL_AT(PN_STAGE_MESSAGE));
	bool begins_body;

	if (r < 0)
		return r;
	/* A message without an empty line has no body yet, and gets one only once. */
	begins_body = part->index == 0 && header->size > 0 && header->body == header->size;
	if (begins_body && call->body_begun)
		return -EINVAL;
	r = mail_part_splice(part, offset, length, text, &call->arena, &call->edits);
	if (r >= 0 && begins_body)
		call->body_begun = true;
	return r;
}

int
pn_part_insert_text(
    struct pn_call *call, const struct pn_part *part, size_t offset, struct pn_slice text)
{
	return pn_part_splice_text(call, part, offset, 0, text);
}

/* ---- header fields --------------------------------------------------------------------------- */

static bool
field_value(struct pn_call *call, const char *name, size_t nth, struct pn_slice *ret)
{
	struct pn_header field;

	if (!call->txn || !pn_header_find(call->txn, name, nth, &field))
		return false;
	*ret = field.value;
	return true;
}

const char *
pn_header_text(struct pn_call *call, const char *name, size_t nth)
{
	struct pn_slice value;

	return field_value(call, name, nth, &value) ? mail_header_text(value, &call->arena) : NULL;
}

size_t
pn_header_mailboxes(
    struct pn_call *call, const char *name, size_t nth, const struct pn_mailbox **ret)
{
	struct pn_slice value;

	return field_value(call, name, nth, &value)
		   ? mail_header_mailboxes(value, &call->arena, ret)
		   : 0;
}

struct addresses {
	struct pn_call *call;
	struct call_words found;
};

static void
add_address(void *arg, const char *address)
{
	struct addresses *addresses = arg;

	call_words_add(&addresses->found, &addresses->call->arena, address);
}

int
pn_header_addresses(struct pn_call *call, const char *name, size_t nth, struct pn_strings *ret)
{
	struct addresses addresses = { .call = call };
	struct pn_slice value;
	int r = -ENOENT;

	if (field_value(call, name, nth, &value))
		r = mail_address_list(value, add_address, &addresses);
	*ret = (struct pn_strings){ addresses.found.count, addresses.found.items };
	return r;
}
