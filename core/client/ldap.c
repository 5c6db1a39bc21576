/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap.c - look-ups by libldap.
 *
 * Called on policy threads and by commands; connections are ldap_connection.c's. Must never wait
 * longer than its order says, nor leave half an answer on a connection that the next one uses.
 */
#include <core/base/clock.h>
#include <core/client/forget.h>
#include <core/client/ldap_inside.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>

#define IDLE_MOST    8
#define IDLE_MS      60000
#define SLICE_MS     200 /* how often a wait looks whether anybody still wants the answer */
#define FILTER_MOST  8192
#define ENTRIES_MOST 100 /* where the search does not say */

struct ldap_client {
	pthread_mutex_t lock;
	GQueue idle; /* of struct ldap_connection *, the last used first */
	uint8_t key[crypto_generichash_KEYBYTES];
};

/* One look-up under way. */
struct lookup {
	const struct ldap_order *order;
	struct ldap_client *client;
	struct ldap_connection *connection;
	struct ldap_patience patience;
	pn_ldap_fn *each;
	void *arg;
	struct pn_error *err;
	size_t found;
	struct berval
	    cookie; /* where the next page begins; empty: there is none. Freed by page_end() */
};

struct pn_ldap_entry {
	LDAP *handle;
	LDAPMessage *message;
	char *dn;
	GHashTable *values; /* attribute -> struct berval **, taken out when first asked for */
};

/* ---- errors ---------------------------------------------------------------------------------- */

int
ldap_errno_of(int code)
{
	switch (code) {
	case LDAP_SUCCESS:
		return 0;
	case LDAP_SIZELIMIT_EXCEEDED:
	case LDAP_ADMINLIMIT_EXCEEDED:
		return -E2BIG;
	case LDAP_TIMEOUT:
	case LDAP_TIMELIMIT_EXCEEDED:
		return -ETIMEDOUT;
	case LDAP_NO_SUCH_OBJECT:
		return -ENOENT;
	case LDAP_FILTER_ERROR:
	case LDAP_INVALID_DN_SYNTAX:
	case LDAP_PARAM_ERROR:
		return -EINVAL;
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
	case LDAP_UNAVAILABLE:
		return -ECONNREFUSED;
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_INSUFFICIENT_ACCESS:
	case LDAP_INAPPROPRIATE_AUTH:
	case LDAP_CONFIDENTIALITY_REQUIRED:
	case LDAP_STRONG_AUTH_REQUIRED:
		return -EACCES;
	case LDAP_NO_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

static int
fail(const struct lookup *lookup, int code, const char *doing)
{
	char *words = NULL;

	if (lookup->connection && lookup->connection->handle)
		ldap_get_option(lookup->connection->handle, LDAP_OPT_DIAGNOSTIC_MESSAGE, &words);
	pn_error_set(lookup->err, ldap_errno_of(code), "%s: %s: %s%s%s",
	    lookup->order->search->server->uris.items[0], doing, ldap_err2string(code),
	    words && *words ? ": " : "", words ? words : "");
	ldap_memfree(words);
	return ldap_errno_of(code);
}

const char *
ldap_uri_fault(const char *uri)
{
	LDAPURLDesc *parsed = NULL;
	const char *fault = NULL;

	if (strncmp(uri, "ldap://", 7) != 0 && strncmp(uri, "ldaps://", 8) != 0 &&
	    strncmp(uri, "ldapi://", 8) != 0)
		fault = "begins neither with ldap:// nor with ldaps:// or ldapi://";
	else if (strchr(uri, ' ') || ldap_url_parse(uri, &parsed) != LDAP_URL_SUCCESS)
		fault = "is no address of a directory server";
	else if (parsed->lud_dn && *parsed->lud_dn)
		fault = "has a base; that belongs into \"base\"";
	ldap_free_urldesc(parsed);
	return fault;
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Milliseconds that are left, or negative. */
static int64_t
time_left(const struct lookup *lookup)
{
	int64_t left = ldap_patience_left(&lookup->patience);

	if (left == -ECANCELED)
		return pn_error_set(lookup->err, -ECANCELED, "the time of this call is up");
	if (left < 0)
		return pn_error_set(lookup->err, -ETIMEDOUT, "%s: no answer in time",
		    lookup->order->search->server->uris.items[0]);
	return left;
}

static struct timeval
interval(int64_t ms)
{
	return (struct timeval){ ms / 1000, ms % 1000 * 1000 };
}

/* The next message of an operation: its type, or negative. */
static int
next_message(struct lookup *lookup, int id, LDAPMessage **ret)
{
	for (;;) {
		int64_t left = time_left(lookup);
		struct timeval slice = interval(left < SLICE_MS ? left : SLICE_MS);
		int type, code = LDAP_SERVER_DOWN;

		if (left < 0)
			return (int)left;
		type = ldap_result(lookup->connection->handle, id, LDAP_MSG_ONE, &slice, ret);
		if (type > 0)
			return type;
		if (type < 0) {
			ldap_get_option(lookup->connection->handle, LDAP_OPT_RESULT_CODE, &code);
			return fail(lookup, code, "waiting for an answer");
		}
	}
}

/* Waits for the end of an operation. */
static int
finish(struct lookup *lookup, int id, const char *doing)
{
	LDAPMessage *message = NULL;
	int code = LDAP_SUCCESS, r = next_message(lookup, id, &message);

	if (r < 0)
		return r;
	r = ldap_parse_result(
	    lookup->connection->handle, message, &code, NULL, NULL, NULL, NULL, 1);
	if (r == LDAP_SUCCESS)
		r = code;
	return r == LDAP_SUCCESS ? 0 : fail(lookup, r, doing);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void
connection_free(struct ldap_connection *connection)
{
	ldap_connection_close(connection);
	free(connection);
}

static int
log_in(struct lookup *lookup)
{
	const struct pn_ldap_server *server = lookup->order->search->server;
	struct pn_slice secret = pn_secret_bytes(server->bind_password);
	struct berval password = { secret.len, (char *)(uintptr_t)secret.data };
	int id, code;

	if (!server->bind_dn)
		return 0;
	code = ldap_sasl_bind(lookup->connection->handle, server->bind_dn, LDAP_SASL_SIMPLE,
	    &password, NULL, NULL, &id);
	return code == LDAP_SUCCESS ? finish(lookup, id, "logging in")
				    : fail(lookup, code, "logging in");
}

/* To one server. What failed because time was up, failed for that. */
static int
open_one(struct lookup *lookup, const char *uri)
{
	const char *doing;
	int code = ldap_connection_open(
	    lookup->connection, lookup->order->search->server, uri, &doing);
	int64_t left = time_left(lookup);

	if (left < 0)
		return (int)left;
	return code == LDAP_SUCCESS ? log_in(lookup) : fail(lookup, code, doing);
}

static void
be_patient(struct lookup *lookup, const struct ldap_patience *patience)
{
	lookup->patience = lookup->connection->patience = *patience;
}

/* The next server where one does not answer; a wrong password is wrong for all of them. */
static int
open_any(struct lookup *lookup)
{
	const struct pn_strings *uris = &lookup->order->search->server->uris;
	const struct ldap_patience whole = lookup->patience;
	int r = -EINVAL;

	for (size_t i = 0; i < uris->count; i++) {
		struct ldap_patience share = ldap_patience_share(&whole, uris->count - i);

		be_patient(lookup, &share);
		r = open_one(lookup, uris->items[i]);
		be_patient(lookup, &whole);
		if (r == 0 || r == -EACCES || r == -ECANCELED)
			return r;
		ldap_connection_close(lookup->connection);
	}
	return r;
}

static void
add_text(crypto_generichash_state *state, const char *text)
{
	crypto_generichash_update(
	    state, (const unsigned char *)(text ? text : "\xff"), text ? strlen(text) + 1 : 2);
}

/* Under a key of this process: the password is part of it. */
static void
settings_of(const struct ldap_client *client, const struct pn_ldap_server *server,
    uint8_t ret[crypto_generichash_BYTES])
{
	struct pn_slice secret = pn_secret_bytes(server->bind_password);
	crypto_generichash_state state;

	crypto_generichash_init(&state, client->key, sizeof(client->key), crypto_generichash_BYTES);
	for (size_t i = 0; i < server->uris.count; i++)
		add_text(&state, server->uris.items[i]);
	add_text(&state, server->starttls ? "tls" : "clear");
	add_text(&state, server->ca_file);
	add_text(&state, server->bind_dn);
	if (secret.len > 0)
		crypto_generichash_update(&state, (const unsigned char *)secret.data, secret.len);
	crypto_generichash_final(&state, ret, crypto_generichash_BYTES);
}

/* One that waits and is made by the same settings; those too old go. NULL: none. */
static struct ldap_connection *
take_idle(struct ldap_client *client, const uint8_t settings[crypto_generichash_BYTES])
{
	int64_t now = clock_monotonic_ms();
	struct ldap_connection *found = NULL;

	pthread_mutex_lock(&client->lock);
	for (GList *at = client->idle.head, *next; at && !found; at = next) {
		struct ldap_connection *connection = at->data;

		next = at->next;
		if (now - connection->used_ms > IDLE_MS) {
			connection_free(connection);
			g_queue_delete_link(&client->idle, at);
		} else if (memcmp(connection->settings, settings, sizeof(connection->settings)) ==
			   0) {
			found = connection;
			g_queue_delete_link(&client->idle, at);
		}
	}
	pthread_mutex_unlock(&client->lock);
	return found;
}

static int
open_new(struct lookup *lookup)
{
	lookup->connection = calloc(1, sizeof(*lookup->connection));
	if (!lookup->connection)
		return pn_error_set(lookup->err, -ENOMEM, "out of memory");
	settings_of(lookup->client, lookup->order->search->server, lookup->connection->settings);
	return open_any(lookup);
}

static void
give_back(struct lookup *lookup, bool whole)
{
	struct ldap_client *client = lookup->client;
	struct ldap_connection *connection = lookup->connection;

	lookup->connection = NULL;
	if (!connection)
		return;
	connection->used_ms = clock_monotonic_ms();
	pthread_mutex_lock(&client->lock);
	if (whole && g_queue_get_length(&client->idle) < IDLE_MOST) {
		g_queue_push_head(&client->idle, connection);
		connection = NULL;
	}
	pthread_mutex_unlock(&client->lock);
	if (connection)
		connection_free(connection);
}

/* ---- what is found --------------------------------------------------------------------------- */

const char *
pn_ldap_dn(const struct pn_ldap_entry *entry)
{
	return entry->dn;
}

bool
pn_ldap_value(
    const struct pn_ldap_entry *entry, const char *attribute, size_t nth, struct pn_slice *ret)
{
	struct berval **values = g_hash_table_lookup(entry->values, attribute);

	if (!values) {
		values = ldap_get_values_len(entry->handle, entry->message, attribute);
		if (!values)
			return false;
		g_hash_table_insert(entry->values, g_strdup(attribute), values);
	}
	if (nth >= (size_t)ldap_count_values_len(values))
		return false;
	*ret = pn_slice(values[nth]->bv_val, values[nth]->bv_len);
	return true;
}

static void
free_values(gpointer values)
{
	ldap_value_free_len(values);
}

static int
give_entry(struct lookup *lookup, LDAPMessage *message)
{
	LDAP *handle = lookup->connection->handle;
	struct pn_ldap_entry entry = { handle, message, ldap_get_dn(handle, message),
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_values) };
	int r = entry.dn ? lookup->each(lookup->arg, &entry)
			 : pn_error_set(lookup->err, -EBADMSG, "an entry without a name");

	if (++lookup->found > lookup->order->most && lookup->order->page > 0 && r == 0)
		r = pn_error_set(lookup->err, -E2BIG, "%s: there are more than %zu entries",
		    lookup->order->search->server->uris.items[0], lookup->order->most);
	g_hash_table_destroy(entry.values);
	ldap_memfree(entry.dn);
	return r;
}

static void
page_end(struct lookup *lookup)
{
	ber_memfree(lookup->cookie.bv_val);
	lookup->cookie = (struct berval){ 0 };
}

/* RFC 2696: where the next page begins. A server that knows no pages gave all at once. */
static int
take_cookie(struct lookup *lookup, LDAPControl **controls)
{
	LDAPControl *page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
	ber_int_t estimate;

	page_end(lookup);
	return page ? ldap_parse_pageresponse_control(
			  lookup->connection->handle, page, &estimate, &lookup->cookie)
		    : LDAP_SUCCESS;
}

static int
end_search(struct lookup *lookup, LDAPMessage *message)
{
	LDAPControl **controls = NULL;
	int code = LDAP_SUCCESS;
	int r = ldap_parse_result(
	    lookup->connection->handle, message, &code, NULL, NULL, NULL, &controls, 0);

	if (r == LDAP_SUCCESS)
		r = code;
	if (r == LDAP_SUCCESS && lookup->order->page > 0)
		r = take_cookie(lookup, controls);
	ldap_controls_free(controls);
	return r == LDAP_SUCCESS ? 0 : fail(lookup, r, "searching");
}

/* All that comes. `*ret_whole`: the connection has nothing more of it in store. */
static int
read_all(struct lookup *lookup, int id, bool *ret_whole)
{
	LDAPMessage *message = NULL;
	int r = 0, type = 0;

	while (r == 0 && type != LDAP_RES_SEARCH_RESULT) {
		type = next_message(lookup, id, &message);
		if (type < 0)
			return type;
		if (type == LDAP_RES_SEARCH_ENTRY)
			r = give_entry(lookup, message);
		else if (type == LDAP_RES_SEARCH_RESULT)
			r = end_search(lookup, message);
		ldap_msgfree(message);
	}
	*ret_whole = type == LDAP_RES_SEARCH_RESULT;
	return r;
}

/* All of it, or a page. Pages are counted here: some servers count each for itself. */
static int
search_page(struct lookup *lookup, const char *filter, LDAPControl **controls, bool *ret_whole)
{
	static const int scopes[] = { LDAP_SCOPE_SUBTREE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_BASE };
	const struct pn_ldap_search *search = lookup->order->search;
	uint32_t most = search->max_entries ? search->max_entries : ENTRIES_MOST;
	int64_t left = time_left(lookup);
	struct timeval patience = interval(left + 999); /* the server counts whole seconds */
	int id, code;

	if (left < 0)
		return (int)left;
	if (lookup->order->page > 0)
		most = LDAP_NO_LIMIT;
	code = ldap_search_ext(lookup->connection->handle,
	    search->base ? search->base : search->server->base, scopes[search->scope], filter,
	    (char **)(uintptr_t)search->attributes, 0, controls, NULL, &patience,
	    most > INT32_MAX ? INT32_MAX : (int)most, &id);
	if (code != LDAP_SUCCESS)
		return fail(lookup, code, "searching");
	return read_all(lookup, id, ret_whole);
}

static int
search_once(struct lookup *lookup, const char *filter, bool *ret_whole)
{
	int r;

	do {
		LDAPControl *controls[] = { NULL, NULL };

		if (lookup->order->page > 0) {
			r = ldap_create_page_control(lookup->connection->handle,
			    (ber_int_t)lookup->order->page, &lookup->cookie, 0, &controls[0]);
			if (r != LDAP_SUCCESS)
				return fail(lookup, r, "asking for a page");
		}
		r = search_page(lookup, filter, controls, ret_whole);
		if (controls[0])
			ldap_control_free(controls[0]);
	} while (r == 0 && lookup->cookie.bv_len > 0);
	page_end(lookup);
	return r;
}

/* Again, over a new connection, where one that waited had gone stale. */
static int
search(struct lookup *lookup, const char *filter)
{
	uint8_t settings[crypto_generichash_BYTES];
	bool whole = false;
	int r;

	settings_of(lookup->client, lookup->order->search->server, settings);
	while ((lookup->connection = take_idle(lookup->client, settings))) {
		lookup->connection->patience = lookup->patience;
		r = search_once(lookup, filter, &whole);
		give_back(lookup, whole);
		if (r != -ECONNREFUSED || lookup->found > 0)
			return r;
	}
	r = open_new(lookup);
	if (r == 0)
		r = search_once(lookup, filter, &whole);
	give_back(lookup, whole);
	return r;
}

/* ---- from outside ---------------------------------------------------------------------------- */

int
ldap_client_new(struct ldap_client **ret)
{
	struct ldap_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	if (forget_start() < 0) {
		free(client);
		return -ENOTSUP;
	}
	pthread_mutex_init(&client->lock, NULL);
	g_queue_init(&client->idle);
	randombytes_buf(client->key, sizeof(client->key));
	*ret = client;
	return 0;
}

void
ldap_client_free(struct ldap_client **client)
{
	struct ldap_connection *connection;

	if (!*client)
		return;
	while ((connection = g_queue_pop_head(&(*client)->idle)))
		connection_free(connection);
	pthread_mutex_destroy(&(*client)->lock);
	free(*client);
	*client = NULL;
}

int
ldap_client_search(struct ldap_client *client, const struct ldap_order *order, pn_ldap_fn *each,
    void *arg, struct pn_error *err)
{
	const struct pn_ldap_search *search_for = order->search;
	struct lookup lookup = { .order = order,
		.client = client,
		.patience = { clock_monotonic_ms() + order->timeout_ms, order->stop, order->arg },
		.each = each,
		.arg = arg,
		.err = err };
	struct buf filter = BUF_INIT(FILTER_MOST);
	int r;

	if (search_for->scope < PN_LDAP_BELOW || search_for->scope > PN_LDAP_BASE)
		return pn_error_set(err, -EINVAL, "there is no scope %d", search_for->scope);
	if (search_for->server->uris.count == 0)
		return pn_error_set(err, -EINVAL, "no directory server is set");
	r = ldap_filter_fill(
	    search_for->filter, search_for->values, search_for->value_count, &filter, err);
	if (r == 0)
		r = buf_text(&filter) ? search(&lookup, buf_text(&filter)) : -ENOMEM;
	buf_free(&filter);
	return r;
}
