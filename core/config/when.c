/* SPDX-License-Identifier: Apache-2.0 */
/*
 * when.c - does a pipeline entry or a route concern this message?
 *
 * Matching is called by the chain and by the routes, per message and from any thread; it allocates
 * nothing. Checking and settling are called while a configuration is read.
 */
#include <core/base/arena.h>
#include <core/base/text.h>
#include <core/config/when.h>
#include <core/mail/address.h>
#include <glib.h>
#include <stdio.h>

const struct pn_option config_when_options[] = {
	PN_OPT_STRINGS("sender", struct config_when, sender, NULL, 0,
	    "Envelope senders, as whole addresses; \"\" is the empty sender of bounces."),
	PN_OPT_STRINGS("sender_domain", struct config_when, sender_domain, NULL, 0,
	    "Domains of the envelope sender; \"*.example.com\" means every subdomain, \"\" the "
	    "empty sender."),
	PN_OPT_STRINGS("recipient", struct config_when, recipient, NULL, 0,
	    "Envelope recipients, as whole addresses."),
	PN_OPT_STRINGS("recipient_domain", struct config_when, recipient_domain, NULL, 0,
	    "Domains of the recipient; \"*.example.com\" means every subdomain."),
	PN_OPT_STRINGS("user", struct config_when, user, NULL, 0, "Users as they logged in."),
	PN_OPT_STRINGS("listener", struct config_when, listener, NULL, 0,
	    "Names of the listeners that the message came in by."),
	PN_OPT_STRINGS("network", struct config_when, network, NULL, 0,
	    "Networks of the client, as in 192.0.2.0/24 or 2001:db8::/32."),
	PN_OPT_STRINGS("tag", struct config_when, tag, NULL, 0,
	    "Tags that an earlier module put on the message."),
	PN_OPT_STRINGS("group", struct config_when, group, NULL, 0,
	    "Groups of `directory.groups` that the user who logged in, or else the sender, is in."),
	PN_OPT_STRINGS("account", struct config_when, account, NULL, 0,
	    "Accounts of `directory.accounts` that the domain of the user who logged in, or else "
	    "of the sender, belongs to."),
	PN_OPT_STRINGS("header", struct config_when, header, NULL, 0,
	    "Header fields of the message: \"X-Protect\" where one is there, \"X-Protect: yes\" "
	    "where "
	    "one has that value, in any case. For entries, not for routes."),
	PN_OPT_SIZE("larger_than", struct config_when, larger_than, NULL, 0, 0, 0,
	    "Messages of more bytes than this."),
	PN_OPT_END
};

/* ---- checking ---- */

static bool
is_domain(const char *text)
{
	char canonical[MAIL_DOMAIN_MOST + 1];

	if (!*text || strcmp(text, ".") == 0)
		return true;
	if (strncmp(text, "*.", 2) == 0)
		text += 2;
	return mail_domain_canonical(text, canonical) == 0;
}

static bool
is_sender(const char *text)
{
	char address[MAIL_ADDRESS_SIZE];

	return !*text || mail_address_check(pn_slice_of(text), true, address) == 0;
}

static bool
is_recipient(const char *text)
{
	return *text && is_sender(text);
}

static bool
is_word(const char *text)
{
	return *text;
}

/* "Name", or "Name: value". */
static bool
is_field(const char *text)
{
	char name[100];
	size_t len = strcspn(text, ":");

	if (len >= sizeof(name))
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	return mail_header_name_valid(name) && (!text[len] || strspn(text + len, ": ") > 0);
}

static void
check_items(struct pn_check *check, const char *path, const char *key,
    const struct pn_strings *items, bool (*is_good)(const char *), const char *wanted)
{
	char at[200];

	for (size_t i = 0; i < items->count; i++) {
		if (is_good(items->items[i]))
			continue;
		snprintf(at, sizeof(at), "%s.%s[%zu]", path, key, i);
		pn_complain(check, at, "\"%s\" is not %s", items->items[i], wanted);
	}
}

void
config_when_check(struct pn_check *check, const char *path, const struct config_when *when)
{
	static const char domain[] = "a domain; write for example example.com or *.example.com";
	static const char address[] = "an address; write for example ada@example.com";
	struct network network;
	struct pn_error err;
	char at[200];

	check_items(check, path, "sender", &when->sender, is_sender, address);
	check_items(check, path, "sender_domain", &when->sender_domain, is_domain, domain);
	check_items(check, path, "recipient", &when->recipient, is_recipient, address);
	check_items(check, path, "recipient_domain", &when->recipient_domain, is_domain, domain);
	check_items(check, path, "user", &when->user, is_word, "a user");
	check_items(check, path, "tag", &when->tag, is_word, "a tag");
	check_items(check, path, "header", &when->header, is_field,
	    "a header field; write for example X-Protect, or \"X-Protect: yes\"");
	for (size_t i = 0; i < when->network.count; i++) {
		snprintf(at, sizeof(at), "%s.network[%zu]", path, i);
		if (network_parse(when->network.items[i], &network, &err) < 0)
			pn_complain(check, at, "%s", err.text);
	}
}

/* ---- settling ---- */

static void
settle_addresses(struct pn_strings *addresses, struct arena *arena)
{
	const char **items = arena_alloc(arena, addresses->count * sizeof(*items));
	char canonical[MAIL_ADDRESS_SIZE];

	for (size_t i = 0; i < addresses->count; i++)
		items[i] = mail_address_canonical(addresses->items[i], canonical) == 0
			       ? arena_text(arena, canonical)
			       : addresses->items[i];
	addresses->items = items;
}

static void
settle_domains(struct pn_strings *domains, struct arena *arena)
{
	const char **items = arena_alloc(arena, domains->count * sizeof(*items));
	char canonical[MAIL_DOMAIN_MOST + 1];

	for (size_t i = 0; i < domains->count; i++) {
		const char *text = domains->items[i];
		bool wild = strncmp(text, "*.", 2) == 0;

		items[i] = strcmp(text, ".") == 0 ? "" : text;
		if (mail_domain_canonical(text + (wild ? 2 : 0), canonical) == 0)
			items[i] = arena_printf(arena, "%s%s", wild ? "*." : "", canonical);
	}
	domains->items = items;
}

static void
settle_networks(struct config_when *when, struct arena *arena)
{
	struct network *networks = arena_alloc(arena, when->network.count * sizeof(*networks));
	static const struct network nobody = { { 0 }, 128 };

	for (size_t i = 0; i < when->network.count; i++)
		if (network_parse(when->network.items[i], &networks[i], NULL) < 0)
			networks[i] = nobody;
	when->networks = networks;
}

void
config_when_settle(struct config_when *when, struct arena *arena)
{
	settle_addresses(&when->sender, arena);
	settle_addresses(&when->recipient, arena);
	settle_addresses(&when->user, arena);
	settle_domains(&when->sender_domain, arena);
	settle_domains(&when->recipient_domain, arena);
	settle_networks(when, arena);
	when->given = when->sender.count || when->sender_domain.count || when->recipient.count ||
		      when->recipient_domain.count || when->user.count || when->listener.count ||
		      when->network.count || when->tag.count || when->group.count ||
		      when->account.count || when->header.count || when->larger_than > 0;
}

/* ---- matching ---- */

static const struct pn_strings nothing;

static bool
has_item(const struct pn_strings *items, const char *text)
{
	for (size_t i = 0; text && i < items->count; i++)
		if (strcmp(items->items[i], text) == 0)
			return true;
	return false;
}

static bool
has_domain(const struct pn_strings *domains, const char *domain)
{
	size_t len = strlen(domain);

	for (size_t i = 0; i < domains->count; i++) {
		const char *item = domains->items[i];
		size_t tail = strlen(item);

		if (strcmp(item, domain) == 0)
			return true;
		/* "*.example.com" against the end of the domain, the dot included */
		if (item[0] == '*' && len > tail - 1 &&
		    strcmp(domain + len - (tail - 1), item + 1) == 0)
			return true;
	}
	return false;
}

/* An address against a list of addresses and a list of domains; empty lists ask nothing. */
static bool
matches_address(
    const struct pn_strings *addresses, const struct pn_strings *domains, const char *address)
{
	char canonical[MAIL_ADDRESS_SIZE];

	if (addresses->count == 0 && domains->count == 0)
		return true;
	if (!address || mail_address_canonical(address, canonical) < 0)
		return false;
	return (addresses->count == 0 || has_item(addresses, canonical)) &&
	       (domains->count == 0 || has_domain(domains, mail_address_domain(canonical)));
}

static bool
matches_user(const struct pn_strings *users, const char *user)
{
	char canonical[MAIL_ADDRESS_SIZE];

	if (users->count == 0)
		return true;
	if (user && mail_address_canonical(user, canonical) == 0)
		user = canonical;
	return has_item(users, user);
}

static bool
matches_network(const struct config_when *when, const char *client)
{
	struct address address;

	if (when->network.count == 0)
		return true;
	if (!client || address_parse(client, 0, &address, NULL) < 0)
		return false;
	for (size_t i = 0; i < when->network.count; i++)
		if (network_contains(&when->networks[i], &address))
			return true;
	return false;
}

static void
find_scope(const struct config_subject *subject, struct config_scope *ret)
{
	config_scope_find(subject->roster, subject->facts, subject->original_sender, ret);
}

static bool
matches_group(const struct config_when *when, const struct config_subject *subject)
{
	struct config_scope scope;

	if (when->group.count == 0)
		return true;
	find_scope(subject, &scope);
	for (size_t i = 0; i < scope.group_count; i++)
		if (has_item(&when->group, scope.groups[i]))
			return true;
	return false;
}

static bool
matches_account(const struct config_when *when, const struct config_subject *subject)
{
	struct config_scope scope;

	if (when->account.count == 0)
		return true;
	find_scope(subject, &scope);
	return has_item(&when->account, scope.account);
}

static bool
matches_tags(const struct pn_strings *wanted, const struct config_subject *subject)
{
	for (size_t i = 0; i < subject->tag_count; i++)
		if (has_item(wanted, subject->tags[i]))
			return true;
	return wanted->count == 0;
}

/* The value without folds and outer blanks against `wanted`, in any case. */
static bool
value_is(struct pn_slice value, const char *wanted)
{
	size_t at = 0;

	wanted += strspn(wanted, " ");
	while (at < value.len && strchr(" \t\r\n", value.data[at]))
		at++;
	while (value.len > at && strchr(" \t\r\n", value.data[value.len - 1]))
		value.len--;
	for (; at < value.len && *wanted; at++) {
		char c = value.data[at];

		if (c == '\r' || c == '\n')
			continue;
		if (g_ascii_tolower(c == '\t' ? ' ' : c) != g_ascii_tolower(*wanted))
			return false;
		wanted++;
	}
	return at == value.len && !*wanted;
}

static bool
has_field(const struct config_subject *subject, const char *item)
{
	size_t len = strcspn(item, ":");
	struct pn_header field;

	for (size_t i = 0; i < subject->header->count; i++) {
		if (!mail_header_field(subject->bytes, subject->header, i, &field) ||
		    !text_equals_nocase(field.name, pn_slice(item, len)))
			continue;
		if (!item[len] || value_is(field.value, item + len + 1))
			return true;
	}
	return false;
}

static bool
matches_header(const struct config_when *when, const struct config_subject *subject)
{
	for (size_t i = 0; subject->header && i < when->header.count; i++)
		if (has_field(subject, when->header.items[i]))
			return true;
	return when->header.count == 0;
}

/* ---- key by key ---- */

static bool
fits_listener(const struct config_when *when, const struct config_subject *subject)
{
	return when->listener.count == 0 ||
	       has_item(&when->listener, subject->facts ? subject->facts->listener : NULL);
}

static bool
fits_size(const struct config_when *when, const struct config_subject *subject)
{
	return when->larger_than <= 0 || subject->size > (uint64_t)when->larger_than;
}

static bool
fits_user(const struct config_when *when, const struct config_subject *subject)
{
	return matches_user(&when->user, subject->facts ? subject->facts->user : NULL);
}

static bool
fits_tags(const struct config_when *when, const struct config_subject *subject)
{
	return matches_tags(&when->tag, subject);
}

static bool
fits_network(const struct config_when *when, const struct config_subject *subject)
{
	return matches_network(when, subject->facts ? subject->facts->client_address : NULL);
}

static bool
fits_sender(const struct config_when *when, const struct config_subject *subject)
{
	return matches_address(&when->sender, &nothing, subject->sender);
}

static bool
fits_sender_domain(const struct config_when *when, const struct config_subject *subject)
{
	return matches_address(&nothing, &when->sender_domain, subject->sender);
}

static bool
fits_recipient(const struct config_when *when, const struct config_subject *subject)
{
	return matches_address(&when->recipient, &nothing, subject->recipient);
}

static bool
fits_recipient_domain(const struct config_when *when, const struct config_subject *subject)
{
	return matches_address(&nothing, &when->recipient_domain, subject->recipient);
}

/* Cheap ones first. */
static const struct {
	const char *name;
	bool (*fits)(const struct config_when *when, const struct config_subject *subject);
} keys[] = {
	{ "listener", fits_listener },
	{ "larger_than", fits_size },
	{ "user", fits_user },
	{ "tag", fits_tags },
	{ "header", matches_header },
	{ "group", matches_group },
	{ "account", matches_account },
	{ "network", fits_network },
	{ "sender", fits_sender },
	{ "sender_domain", fits_sender_domain },
	{ "recipient", fits_recipient },
	{ "recipient_domain", fits_recipient_domain },
};

const char *
config_when_misfit(const struct config_when *when, const struct config_subject *subject)
{
	for (size_t i = 0; when->given && i < sizeof(keys) / sizeof(*keys); i++)
		if (!keys[i].fits(when, subject))
			return keys[i].name;
	return NULL;
}

bool
config_when_matches(const struct config_when *when, const struct config_subject *subject)
{
	return !config_when_misfit(when, subject);
}
