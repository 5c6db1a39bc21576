/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap.c - a directory server as an address book (RFC 4523, RFC 2798).
 *
 * Called by look.c on policy threads. Must never say "has no entry" of a server that did not
 * answer. Values that are no keys are left out, and said.
 */
#include "address_book.h"
#include <errno.h>

#define ENTRIES_MOST    8  /* people of one address */
#define VALUES_MOST     16 /* of an attribute */
#define ATTRIBUTES_MOST 32
#define REASONS_MOST    1000u /* bytes, more or less */

struct reading {
	const struct ldap_book *book;
	struct keydata keys;
	GString *reasons;
	bool found;
};

static void
take_value(struct reading *reading, const char *attribute, struct pn_slice value)
{
	struct pn_error err;

	if (keydata_look(&reading->keys, value, &err) == 0 || reading->reasons->len > REASONS_MOST)
		return;
	g_string_append_printf(reading->reasons, "%sa value of %s: %s",
	    reading->reasons->len ? "; " : "", attribute, err.text);
}

static void
take_attributes(
    struct reading *reading, const struct pn_strings *attributes, const struct pn_ldap_entry *entry)
{
	struct pn_slice value;

	for (size_t i = 0; i < attributes->count; i++)
		for (size_t nth = 0;
		     nth < VALUES_MOST && pn_ldap_value(entry, attributes->items[i], nth, &value);
		     nth++)
			take_value(reading, attributes->items[i], value);
}

static int
take_entry(void *arg, const struct pn_ldap_entry *entry)
{
	struct reading *reading = arg;

	reading->found = true;
	take_attributes(reading, &reading->book->certificates, entry);
	take_attributes(reading, &reading->book->pgp, entry);
	return 0;
}

static void
name_attributes(const struct pn_strings *from, const char *to[ATTRIBUTES_MOST + 1], size_t *count)
{
	for (size_t i = 0; i < from->count && *count < ATTRIBUTES_MOST; i++)
		to[(*count)++] = from->items[i];
	to[*count] = NULL;
}

/* What only says that the server cannot be asked now. */
static bool
is_away(int r)
{
	return r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EACCES || r == -EIO || r == -ENOENT;
}

static void
hand_over(struct reading *reading, struct entry *ret)
{
	const struct keydata *keys = &reading->keys;

	entry_init(ret);
	g_byte_array_append(ret->certificates, keys->certificates->data, keys->certificates->len);
	g_byte_array_append(ret->pgp, keys->pgp->data, keys->pgp->len);
}

int
ldap_load(struct pn_call *call, const struct ldap_book *book, const char *address,
    struct entry *ret, GString *reasons, struct pn_error *err)
{
	const char *attributes[ATTRIBUTES_MOST + 1];
	struct reading reading = { .book = book, .reasons = reasons };
	size_t count = 0;
	const struct pn_ldap_search search = {
		PN_LDAP_HEAD,
		.server = &book->directory,
		.max_entries = ENTRIES_MOST,
		.filter = book->filter,
		PN_LDAP_VALUES(pn_slice_of(address)),
		.attributes = attributes,
	};
	int r;

	name_attributes(&book->certificates, attributes, &count);
	name_attributes(&book->pgp, attributes, &count);
	keydata_init(&reading.keys);
	r = pn_ldap_search(call, &search, take_entry, &reading, err);
	if (r == -E2BIG)
		r = 0; /* more people of one address than anybody needs */
	if (r == 0 && reading.found)
		hand_over(&reading, ret);
	keydata_clear(&reading.keys);
	if (r < 0)
		return is_away(r) ? -EHOSTUNREACH : r;
	return reading.found;
}
