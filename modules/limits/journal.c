/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.c - records to bytes and back: a length, then fields, all little-endian.
 *
 * Called by book.c (writing) and store.c (reading). Must never read past the bytes it was given.
 */
#include "journal.h"
#include <sys/param.h>

#define TEXT_MOST   UINT16_MAX
#define RECORD_MOST (512u * 1024 * 1024)

/* ---- writing --------------------------------------------------------------------------------- */

static void
put_number(GByteArray *journal, uint64_t number, unsigned octets)
{
	guint8 bytes[8];

	for (unsigned i = 0; i < octets; i++)
		bytes[i] = (guint8)(number >> (8 * i));
	g_byte_array_append(journal, bytes, octets);
}

static void
put_text(GByteArray *journal, struct pn_slice text)
{
	size_t len = MIN(text.len, TEXT_MOST);

	put_number(journal, len, 2);
	g_byte_array_append(journal, (const guint8 *)(text.data ? text.data : ""), (guint)len);
}

void
journal_put(GByteArray *journal, const struct record *record)
{
	size_t user = MIN(record->user.len, TEXT_MOST),
	       account = MIN(record->account.len, TEXT_MOST);

	put_number(journal, 2 + 8 + 8 + 2 + user + 2 + account + 8 + record->hashes.len, 4);
	put_number(journal, (uint64_t)record->type, 1);
	put_number(journal, record->which, 1);
	put_number(journal, (uint64_t)record->at, 8);
	put_number(journal, record->id, 8);
	put_text(journal, record->user);
	put_text(journal, record->account);
	put_number(journal, record->recipients, 4);
	put_number(journal, record->unique, 4);
	g_byte_array_append(journal,
	    (const guint8 *)(record->hashes.data ? record->hashes.data : ""),
	    (guint)record->hashes.len);
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint64_t
number_at(const char *data, unsigned octets)
{
	uint64_t number = 0;

	for (unsigned i = octets; i-- > 0;)
		number = number << 8 | (unsigned char)data[i];
	return number;
}

static bool
take(struct pn_slice *rest, size_t len, struct pn_slice *ret)
{
	if (rest->len < len)
		return false;
	*ret = pn_slice(rest->data, len);
	*rest = pn_slice(rest->data + len, rest->len - len);
	return true;
}

static bool
take_number(struct pn_slice *rest, unsigned octets, uint64_t *ret)
{
	struct pn_slice bytes;

	if (!take(rest, octets, &bytes))
		return false;
	*ret = number_at(bytes.data, octets);
	return true;
}

static bool
take_text(struct pn_slice *rest, struct pn_slice *ret)
{
	uint64_t len;

	return take_number(rest, 2, &len) && take(rest, (size_t)len, ret);
}

static bool
parse(struct pn_slice bytes, struct record *ret)
{
	uint64_t type, which, at, recipients, unique;

	if (!take_number(&bytes, 1, &type) || !take_number(&bytes, 1, &which) ||
	    !take_number(&bytes, 8, &at) || !take_number(&bytes, 8, &ret->id) ||
	    !take_text(&bytes, &ret->user) || !take_text(&bytes, &ret->account) ||
	    !take_number(&bytes, 4, &recipients) || !take_number(&bytes, 4, &unique))
		return false;
	if (type < RECORD_MESSAGE || type > RECORD_WARNED || bytes.len != unique * 8)
		return false;
	ret->type = (enum record_type)type;
	ret->which = (uint8_t)which;
	ret->at = (int64_t)at;
	ret->recipients = (uint32_t)recipients;
	ret->unique = (uint32_t)unique;
	ret->hashes = bytes;
	return true;
}

bool
journal_next(struct pn_slice *rest, struct record *ret)
{
	struct pn_slice after = *rest, bytes;
	uint64_t len;

	if (!take_number(&after, 4, &len) || len > RECORD_MOST ||
	    !take(&after, (size_t)len, &bytes) || !parse(bytes, ret))
		return false;
	*rest = after;
	return true;
}

uint64_t
record_hash(const struct record *record, uint32_t index)
{
	return number_at(record->hashes.data + (size_t)index * 8, 8);
}
