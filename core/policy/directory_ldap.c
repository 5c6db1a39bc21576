/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory_ldap.c - what a directory server has, as rows of the directory.
 *
 * Called by the relay on a thread of its own, by posternctl, and where a first roster is made. What
 * the server says is checked like anything from outside: what makes no sense is left out. Must
 * never keep half a reading, nor one that has lost most of what there was.
 */
#include <core/client/ldap.h>
#include <core/policy/directory_ldap.h>
#include <core/store/directory.h>
#include <core/store/snapshot.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct reading {
	const struct config_ldap *ldap;
	struct ldap_client *client;
	bool (*stop)(const void *arg);
	const void *arg;
	GHashTable *lines;   /* set of snapshot_line() */
	GHashTable *entries; /* compared DN of a user's entry -> address */
	GPtrArray *links;    /* struct link *: whose DN may come later */
};

/* "GROUP has MEMBER" or "USER's address may be used by MEMBER", as the server names that one. */
struct link {
	enum record_kind kind;
	char *key, *named;
};

/* ---- values ---------------------------------------------------------------------------------- */

/* As text of one line, newly allocated; NULL: there is none, or it is something else. */
static char *
text_of(const struct pn_ldap_entry *entry, const char *attribute, size_t nth)
{
	struct pn_slice value;

	if (!attribute || !pn_ldap_value(entry, attribute, nth, &value) || value.len == 0 ||
	    !g_utf8_validate(value.data, (gssize)value.len, NULL))
		return NULL;
	for (size_t i = 0; i < value.len; i++)
		if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
			return NULL;
	return g_strndup(value.data, value.len);
}

static size_t
count_of(const struct pn_ldap_entry *entry, const char *attribute)
{
	struct pn_slice value;
	size_t count = 0;

	while (attribute && pn_ldap_value(entry, attribute, count, &value))
		count++;
	return count;
}

/* In the form that is compared, newly allocated; NULL: it is no address. */
static char *
address_of(const char *text)
{
	char checked[MAIL_ADDRESS_SIZE], compared[MAIL_ADDRESS_SIZE];

	if (text && g_ascii_strncasecmp(text, "smtp:", 5) == 0)
		text += 5;
	if (!text || mail_address_check(pn_slice_of(text), true, checked) < 0 ||
	    !*mail_address_domain(checked) || config_scope_address(checked, compared) < 0)
		return NULL;
	return g_strdup(compared);
}

/* RFC 4517 section 3.3.3, and what people write. */
static bool
is_false(const char *text)
{
	return g_ascii_strcasecmp(text, "FALSE") == 0 || g_ascii_strcasecmp(text, "no") == 0 ||
	       strcmp(text, "0") == 0;
}

static void
add(struct reading *reading, enum record_kind kind, const char *a, const char *b, const char *c,
    const char *d)
{
	const char *const columns[RECORD_COLUMNS] = { a, b, c, d };

	g_hash_table_add(reading->lines, snapshot_line(kind, columns));
}

static void
add_link(struct reading *reading, enum record_kind kind, const char *key, char *named)
{
	struct link *link = g_new(struct link, 1);

	*link = (struct link){ kind, g_strdup(key), named };
	g_ptr_array_add(reading->links, link);
}

static void
free_link(gpointer data)
{
	struct link *link = data;

	g_free(link->key);
	g_free(link->named);
	g_free(link);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void
add_fields(struct reading *reading, const struct pn_ldap_entry *entry, const char *address)
{
	const struct config_ldap_attributes *from = &reading->ldap->attributes;
	const struct {
		const char *field, *attribute;
	} fields[] = { { "name", from->name }, { "title", from->title }, { "phone", from->phone } };

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char *value = text_of(entry, fields[i].attribute, 0);

		if (value && strlen(value) < DIRECTORY_FIELD_SIZE)
			add(reading, RECORD_FIELD, address, fields[i].field, value, NULL);
		g_free(value);
	}
}

/* From the value `first` on. */
static void
add_aliases(struct reading *reading, const struct pn_ldap_entry *entry, const char *attribute,
    size_t first, const char *address)
{
	for (size_t i = first, count = count_of(entry, attribute); i < count; i++) {
		char *text = text_of(entry, attribute, i), *alias = address_of(text);

		if (alias && strcmp(alias, address) != 0)
			add(reading, RECORD_ALIAS, alias, address, NULL, NULL);
		g_free(text);
		g_free(alias);
	}
}

static void
add_links(struct reading *reading, const struct pn_ldap_entry *entry, const char *attribute,
    enum record_kind kind, const char *key)
{
	for (size_t i = 0, count = count_of(entry, attribute); i < count; i++) {
		char *named = text_of(entry, attribute, i);

		if (named)
			add_link(reading, kind, key, named);
	}
}

static void
add_account_of(struct reading *reading, const struct pn_ldap_entry *entry, const char *address)
{
	char *account = text_of(entry, reading->ldap->attributes.account, 0);

	if (account && config_directory_is_name(account))
		add(reading, RECORD_REGISTERED, address, account, NULL, NULL);
	g_free(account);
}

static void
add_user(struct reading *reading, const struct pn_ldap_entry *entry, const char *address)
{
	const struct config_ldap_attributes *from = &reading->ldap->attributes;
	char *enabled = text_of(entry, from->enabled, 0), *dn = ldap_dn_compared(pn_ldap_dn(entry));

	add(reading, RECORD_USER, address,
	    !enabled            ? NULL
	    : is_false(enabled) ? "0"
				: "1",
	    NULL, NULL);
	add_fields(reading, entry, address);
	add_aliases(reading, entry, from->address, 1, address);
	add_aliases(reading, entry, from->aliases, 0, address);
	add_links(reading, entry, from->delegates, RECORD_DELEGATE, address);
	add_account_of(reading, entry, address);
	if (dn)
		g_hash_table_insert(reading->entries, dn, g_strdup(address));
	g_free(enabled);
}

static int
take_user(void *arg, const struct pn_ldap_entry *entry)
{
	struct reading *reading = arg;
	char *text = text_of(entry, reading->ldap->attributes.address, 0);
	char *address = address_of(text);

	if (address)
		add_user(reading, entry, address);
	g_free(text);
	g_free(address);
	return 0;
}

/* ---- groups and accounts --------------------------------------------------------------------- */

static int
take_group(void *arg, const struct pn_ldap_entry *entry)
{
	struct reading *reading = arg;
	const struct config_ldap_groups *groups = &reading->ldap->groups;
	char *name = text_of(entry, groups->name, 0);

	if (name && config_directory_is_name(name)) {
		add(reading, RECORD_GROUP, name, NULL, NULL, NULL);
		add_links(reading, entry, groups->member, RECORD_MEMBER, name);
	}
	g_free(name);
	return 0;
}

static void
add_domains(struct reading *reading, const struct pn_ldap_entry *entry, const char *account)
{
	const char *attribute = reading->ldap->accounts.domains;

	for (size_t i = 0, count = count_of(entry, attribute); i < count; i++) {
		char canonical[MAIL_DOMAIN_MOST + 1], *domain = text_of(entry, attribute, i);

		if (domain && mail_domain_canonical(domain, canonical) == 0)
			add(reading, RECORD_DOMAIN, canonical, account, NULL, NULL);
		g_free(domain);
	}
}

static bool
is_number(const char *text)
{
	return *text && strlen(text) <= 9 && !text[strspn(text, "0123456789")];
}

static int
take_account(void *arg, const struct pn_ldap_entry *entry)
{
	struct reading *reading = arg;
	const struct config_ldap_accounts *from = &reading->ldap->accounts;
	char *name = text_of(entry, from->name, 0), *licences = text_of(entry, from->licences, 0);
	char *paid = text_of(entry, from->paid, 0), *plan = text_of(entry, from->plan, 0);

	if (name && config_directory_is_name(name)) {
		add(reading, RECORD_ACCOUNT, name,
		    licences && is_number(licences) ? licences : NULL,
		    !paid            ? NULL
		    : is_false(paid) ? "0"
				     : "1",
		    plan && config_directory_is_name(plan) ? plan : NULL);
		add_domains(reading, entry, name);
	}
	g_free(name);
	g_free(licences);
	g_free(paid);
	g_free(plan);
	return 0;
}

/* When all users are known. */
static void
follow_links(struct reading *reading)
{
	for (guint i = 0; i < reading->links->len; i++) {
		const struct link *link = reading->links->pdata[i];
		char *dn = ldap_dn_compared(link->named), *own = address_of(link->named);
		const char *user = dn ? g_hash_table_lookup(reading->entries, dn) : NULL;

		if (!user)
			user = own;
		if (user && link->kind == RECORD_MEMBER)
			add(reading, RECORD_MEMBER, link->key, user, NULL, NULL);
		else if (user && strcmp(user, link->key) != 0)
			add(reading, RECORD_DELEGATE, link->key, user, "user", NULL);
		g_free(dn);
		g_free(own);
	}
}

/* ---- reading --------------------------------------------------------------------------------- */

#define ATTRIBUTES_MOST 9

static int
search(struct reading *reading, const char *base, const char *filter, const char *const *attributes,
    pn_ldap_fn *take, struct pn_error *err)
{
	const struct config_ldap *ldap = reading->ldap;
	const char *wanted[ATTRIBUTES_MOST + 1] = { NULL };
	const struct pn_ldap_search search = { PN_LDAP_HEAD, .server = &ldap->server, .base = base,
		.filter = filter, .attributes = wanted };
	const struct ldap_order order = { .search = &search,
		.timeout_ms = ldap->server.timeout,
		.stop = reading->stop,
		.arg = reading->arg,
		.page = (uint32_t)ldap->page_size,
		.most = (size_t)ldap->most };
	size_t count = 0;

	for (size_t i = 0; i < ATTRIBUTES_MOST; i++)
		if (attributes[i])
			wanted[count++] = attributes[i];
	return ldap_client_search(reading->client, &order, take, reading, err);
}

static int
read_all(struct reading *reading, struct pn_error *err)
{
	const struct config_ldap *ldap = reading->ldap;
	const struct config_ldap_attributes *a = &ldap->attributes;
	const struct config_ldap_groups *g = &ldap->groups;
	const struct config_ldap_accounts *c = &ldap->accounts;
	const char *const of_user[ATTRIBUTES_MOST] = { a->address, a->aliases, a->delegates,
		a->account, a->enabled, a->name, a->title, a->phone };
	const char *const of_group[ATTRIBUTES_MOST] = { g->name, g->member };
	const char *const of_account[ATTRIBUTES_MOST] = { c->name, c->domains, c->licences, c->paid,
		c->plan };
	int r = search(reading, NULL, ldap->filter, of_user, take_user, err);

	if (r == 0 && g->filter)
		r = search(reading, g->base, g->filter, of_group, take_group, err);
	if (r == 0 && c->filter)
		r = search(reading, c->base, c->filter, of_account, take_account, err);
	if (r == 0)
		follow_links(reading);
	return r;
}

/* ---- keeping --------------------------------------------------------------------------------- */

static size_t
count_kind(GHashTable *lines, enum record_kind kind, GHashTable *but)
{
	GHashTableIter iter;
	gpointer line;
	size_t count = 0;

	g_hash_table_iter_init(&iter, lines);
	while (g_hash_table_iter_next(&iter, &line, NULL))
		count += (kind == RECORD_KINDS || snapshot_kind(line) == kind) &&
			 (!but || !g_hash_table_contains(but, line));
	return count;
}

/* A user whose switch has changed is another line: the numbers count, not the lines. */
static int
check_lost(
    const struct config_ldap *ldap, GHashTable *before, GHashTable *lines, struct pn_error *err)
{
	static const struct {
		enum record_kind kind;
		const char *what;
	} kinds[] = { { RECORD_USER, "users" }, { RECORD_MEMBER, "members of groups" },
		{ RECORD_DOMAIN, "domains" } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t had = count_kind(before, kinds[i].kind, NULL);
		size_t has = count_kind(lines, kinds[i].kind, NULL);

		if (has < had && (had - has) * 100 > had * (size_t)ldap->most_lost)
			return pn_error_set(err, -EXDEV,
			    "of %zu %s only %zu are left there, and directory.ldap.most_lost is "
			    "%lld: nothing is taken; if that is right: posternctl directory "
			    "refresh --force",
			    had, kinds[i].what, has, (long long)ldap->most_lost);
	}
	return 0;
}

static int
keep(struct db *db, struct reading *reading, unsigned flags, struct ldap_reading *ret,
    struct pn_error *err)
{
	char source[SNAPSHOT_SOURCE_SIZE];
	struct snapshot_state state;
	GHashTable *before;
	bool is_own;
	int r = snapshot_state(db, &state, err);

	if (r == 0)
		r = snapshot_lines(db, &before, err);
	if (r < 0)
		return r;
	ret->users = count_kind(reading->lines, RECORD_USER, NULL);
	ret->members = count_kind(reading->lines, RECORD_MEMBER, NULL);
	ret->added = count_kind(reading->lines, RECORD_KINDS, before);
	ret->removed = count_kind(before, RECORD_KINDS, reading->lines);
	directory_ldap_source(reading->ldap, source);
	is_own = strcmp(source, state.source) == 0;
	ret->changed = ret->added + ret->removed > 0 || !is_own;
	/* Who changes the settings means it. */
	if (ret->changed && is_own && !(flags & LDAP_FORCE))
		r = check_lost(reading->ldap, before, reading->lines, err);
	g_hash_table_destroy(before);
	if (r < 0 || !ret->changed || flags & LDAP_DRY_RUN)
		return r;
	if (reading->stop && reading->stop(reading->arg))
		return pn_error_set(err, -ECANCELED, "these settings hold no more");
	return snapshot_replace(db, reading->lines, source, err);
}

int
directory_ldap_refresh(struct db *db, const struct config_ldap *ldap, unsigned flags,
    bool (*stop)(const void *arg), const void *arg, struct ldap_reading *ret, struct pn_error *err)
{
	struct reading reading = { ldap, NULL, stop, arg,
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
		g_ptr_array_new_with_free_func(free_link) };
	int r = ldap_client_new(&reading.client);

	*ret = (struct ldap_reading){ 0 };
	if (r < 0)
		pn_error_set(err, r, "LDAP cannot be used here");
	else
		r = read_all(&reading, err);
	ldap_client_free(&reading.client);
	if (r == 0)
		r = keep(db, &reading, flags, ret, err);
	g_hash_table_destroy(reading.lines);
	g_hash_table_destroy(reading.entries);
	g_ptr_array_free(reading.links, TRUE);
	return r;
}

/* Not the server: the same directory may be asked elsewhere tomorrow. */
void
directory_ldap_source(const struct config_ldap *ldap, char ret[65])
{
	const struct config_ldap_attributes *a = &ldap->attributes;
	const struct config_ldap_groups *g = &ldap->groups;
	const struct config_ldap_accounts *c = &ldap->accounts;
	const char *const texts[] = { ldap->server.base, ldap->filter, a->address, a->aliases,
		a->delegates, a->account, a->enabled, a->name, a->title, a->phone, g->filter,
		g->base, g->name, g->member, c->filter, c->base, c->name, c->domains, c->licences,
		c->paid, c->plan };
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		g_checksum_update(sum, (const guchar *)(texts[i] ? texts[i] : "\x01"),
		    (gssize)(texts[i] ? strlen(texts[i]) + 1 : 2));
	snprintf(ret, SNAPSHOT_SOURCE_SIZE, "%s", g_checksum_get_string(sum));
	g_checksum_free(sum);
}

int
directory_ldap_is_own(
    struct db *db, const struct config_ldap *ldap, bool *ret, struct pn_error *err)
{
	char source[SNAPSHOT_SOURCE_SIZE];
	struct snapshot_state state;
	int r = snapshot_state(db, &state, err);

	directory_ldap_source(ldap, source);
	*ret = ldap->server.uris.count == 0 ||
	       (r == 0 && state.any && strcmp(state.source, source) == 0);
	return r;
}

int
directory_ldap_ensure(
    struct db *db, const struct config_ldap *ldap, struct ldap_reading *ret, struct pn_error *err)
{
	bool is_own;
	int r = directory_ldap_is_own(db, ldap, &is_own, err);

	*ret = (struct ldap_reading){ 0 };
	return r < 0 || is_own ? r : directory_ldap_refresh(db, ldap, 0, NULL, NULL, ret, err);
}

int
directory_ldap_forget(struct db *db, const struct config_ldap *ldap, struct pn_error *err)
{
	struct snapshot_state state;
	int r = snapshot_state(db, &state, err);

	return r < 0 || !state.any || ldap->server.uris.count > 0 ? r : snapshot_forget(db, err);
}
