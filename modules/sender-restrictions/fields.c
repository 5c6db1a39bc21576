/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fields.c - the header's From and Sender against whoever sends (RFC 6409 sections 6.1 and 8.1).
 *
 * Called at the message stage. Must never let through what one mail program shows as another
 * address than we read: what is not clear belongs to nobody.
 */
#include "sender_restrictions.h"
#include <errno.h>

#define FIELD_MOST (16u * 1024) /* bytes of one field: nobody sends in the name of more */

enum finding {
	ABSENT,
	FINE,
	FOREIGN,  /* names somebody else, too */
	UNCLEAR,  /* readers may differ on whom it names, or it names nobody */
	REPEATED, /* RFC 5322 section 3.6: one at most */
};

static bool
belongs(const struct origin *origin, enum treatment treatment, const char *address)
{
	if (origin_owns(origin, address))
		return true;
	return (!origin->user || treatment == AS_ALLOWED) && origin_allows(origin, address);
}

/*
 * Some programs end a display name, or more, at a control character that was encoded. Where a
 * mailbox cannot be taken apart what is encoded there is unknown.
 */
static bool
has_strange_name(
    const struct origin *origin, const char *name, struct pn_slice value, size_t addresses)
{
	const struct pn_mailbox *boxes;
	size_t count = pn_header_mailboxes(origin->call, name, 0, &boxes);

	for (size_t i = 0; i < count; i++)
		for (const char *p = boxes[i].name; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return true;
	return count != addresses && memmem(value.data, value.len, "=?", 2) != NULL;
}

static enum finding
look_at(const struct origin *origin, enum treatment treatment, const char *name, size_t most)
{
	struct pn_strings addresses;
	struct pn_header field;

	if (!pn_header_find(origin->txn, name, 0, &field))
		return ABSENT;
	if (pn_header_find(origin->txn, name, 1, &field))
		return REPEATED;
	if (field.value.len > FIELD_MOST ||
	    pn_header_addresses(origin->call, name, 0, &addresses) < 0 || addresses.count == 0 ||
	    addresses.count > most || has_strange_name(origin, name, field.value, addresses.count))
		return UNCLEAR;
	for (size_t i = 0; i < addresses.count; i++)
		if (!belongs(origin, treatment, addresses.items[i]))
			return FOREIGN;
	return FINE;
}

/* ---- what becomes of it ---------------------------------------------------------------------- */

static struct pn_verdict
refuse(const struct origin *origin, enum finding finding, const char *name)
{
	const char *text = origin->cfg->text;

	if (finding == REPEATED)
		return pn_reject(origin->call, 550, "5.6.0",
		    "The header has several %s fields; a message may have one", name);
	if (finding == UNCLEAR)
		return pn_reject(origin->call, 550, "5.6.0",
		    "%s can be read in more than one way, or names nobody; write for example "
		    "%s: Ada <ada@example.com>",
		    name, name);
	if (text && *text)
		return pn_reject(origin->call, 550, "5.7.1", "%s", text);
	return pn_reject(origin->call, 550, "5.7.1",
	    origin->user ? "%s has an address that is not yours; write as yourself, an alias of "
			   "yours or somebody who lets you"
			 : "%s has an address that you may not send with from here",
	    name);
}

/* An address that may stand for the sender; NULL: there is none. */
static const char *
own_address(const struct origin *origin)
{
	const char *sender = pn_txn_sender(origin->txn);

	if (!origin->user)
		return *sender && origin_allows(origin, sender) ? sender : NULL;
	return *sender && origin_owns(origin, sender) ? sender : origin->user;
}

static bool
is_named(struct pn_slice name, const char *text)
{
	return name.len == strlen(text) && !g_ascii_strncasecmp(name.data, text, name.len);
}

/* One field of that name with this value, where the first one was. */
static int
put(const struct origin *origin, const char *name, const char *value)
{
	struct pn_header field;
	bool done = false;
	int r = 0;

	for (size_t i = 0; r == 0 && pn_header_at(origin->txn, i, &field); i++) {
		if (!is_named(field.name, name))
			continue;
		r = done ? pn_header_remove(origin->call, i)
			 : pn_header_replace(origin->call, i, value);
		done = true;
	}
	return r == 0 && !done ? pn_header_append(origin->call, name, value) : r;
}

static bool
is_wrong(enum finding finding)
{
	return finding != ABSENT && finding != FINE;
}

static struct pn_verdict
correct(
    const struct origin *origin, enum treatment treatment, enum finding from, enum finding sender)
{
	bool adds = treatment == ADD_SENDER, in_from = !adds && is_wrong(from);
	const char *own = own_address(origin);
	char *value;
	int r = 0;

	if (!own || (adds && from == REPEATED))
		return is_wrong(from) ? refuse(origin, from, "From")
				      : refuse(origin, sender, "Sender");
	value = g_strdup_printf("<%s>", own);
	if (in_from)
		r = put(origin, "From", value);
	if (r == 0 && (is_wrong(sender) || (adds && sender == ABSENT)))
		r = put(origin, "Sender", value);
	g_free(value);
	return r < 0 ? pn_fault(origin->call, r, "cannot edit the header")
		     : pn_pass_because(
			   origin->call, "%s is the sender's own", in_from ? "From" : "Sender");
}

struct pn_verdict
fields_judge(const struct origin *origin)
{
	enum treatment treatment = origin_treatment(origin, origin->cfg->from_header);
	enum finding from, sender;

	if (treatment == ANYTHING ||
	    (origin->cfg->allowed == ANY && (!origin->user || treatment == AS_ALLOWED)))
		return pn_pass();
	from = look_at(origin, treatment, "From", SIZE_MAX);
	sender = look_at(origin, treatment, "Sender", 1);
	if (!is_wrong(from) && !is_wrong(sender))
		return pn_pass();
	if (treatment == REWRITE || treatment == ADD_SENDER)
		return correct(origin, treatment, from, sender);
	return is_wrong(from) ? refuse(origin, from, "From") : refuse(origin, sender, "Sender");
}
