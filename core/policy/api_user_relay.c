/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_user_relay.c - servers that users have named, as modules ask for and change them.
 *
 * Called by hooks, quick ones too, and by commands. Must never hand a password out, nor store one
 * that is not sealed.
 */
#include <core/base/clock.h>
#include <core/config/sealed.h>
#include <core/policy/api_db.h>
#include <core/queue/route_try.h>
#include <core/store/records.h>
#include <core/store/user_relays.h>
#include <errno.h>
#include <postern/user_relay.h>
#include <stdio.h>

#define TRY_MS 20000

static const struct roster *
roster_of(const struct pn_call *call)
{
	return generation_roster(call->generation);
}

static bool
give(const struct roster_relay *relay, struct pn_user_relay *ret)
{
	*ret = (struct pn_user_relay){ 0 };
	if (!relay)
		return false;
	*ret = (struct pn_user_relay){
		.user = relay->user,
		.address = relay->address,
		.host = relay->host,
		.port = relay->port,
		.implicit_tls = relay->implicit_tls,
		.verify = relay->verify,
	};
	return true;
}

bool
pn_user_relay_find(
    const struct pn_call *call, const char *user, const char *address, struct pn_user_relay *ret)
{
	return give(roster_relay(roster_of(call), user, address), ret);
}

bool
pn_user_relay_at(const struct pn_call *call, size_t index, struct pn_user_relay *ret)
{
	return give(roster_relay_at(roster_of(call), index), ret);
}

int
pn_send_by_user_relay(struct pn_call *call, const char *address)
{
	int r = call_may_edit(call, CALL_AT(PN_STAGE_MESSAGE));
	const struct roster_relay *relay;

	if (r < 0)
		return r;
	if (!call->txn->facts.user)
		return -ENOENT;
	relay = roster_relay(roster_of(call), call->txn->facts.user, address);
	if (!relay)
		return -ENOENT;
	call->user_relay = arena_text(&call->arena, relay->address);
	return 0;
}

/* ---- storing --------------------------------------------------------------------------------- */

/* NULL: none is configured, or out of memory. */
static struct keyring *
keys_of(const struct pn_call *call, struct pn_error *err)
{
	const struct config_core *core = generation_core(call->generation);
	struct keyring *keys = NULL;

	if (!core->relay.user_relays.seal_with)
		pn_error_set(err, -ENOKEY,
		    "relay.user_relays.seal_with names no keys, so nothing can be stored");
	else
		(void)keyring_parse(pn_secret_bytes(core->relay.user_relays.seal_with), &keys, err);
	return keys;
}

static int
check_port(const struct config_user_relays *config, uint16_t port, struct pn_error *err)
{
	uint16_t allowed;

	for (size_t i = 0; i < config->ports.count; i++)
		if (config_user_relays_port(config->ports.items[i], &allowed) && allowed == port)
			return 0;
	return pn_error_set(err, -EINVAL,
	    "port %u is not one of those that users' servers may have (relay.user_relays.ports)",
	    (unsigned)port);
}

static int
check_literal(struct pn_call *call, const char *host, struct pn_error *err)
{
	char text[ADDRESS_TEXT];
	const struct network *refused;
	struct address address;
	size_t count;

	snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]" : "%s", host);
	if (address_parse(text, 25, &address, err) < 0)
		return -EINVAL;
	refused = config_user_relays_refused(
	    &generation_core(call->generation)->relay.user_relays, &call->arena, &count);
	for (size_t i = 0; i < count; i++) {
		if (!network_contains(&refused[i], &address))
			continue;
		network_format(&refused[i], text);
		return pn_error_set(err, -EINVAL,
		    "%s is in %s, where users' servers may not be "
		    "(relay.user_relays.refused_networks)",
		    host, text);
	}
	return 0;
}

/* What is an address is judged here; where a name leads, when it is connected to. */
static int
check_host(struct pn_call *call, const char *host, struct pn_error *err)
{
	char domain[MAIL_DOMAIN_MOST + 1];
	struct network literal;

	if (network_parse(host, &literal, NULL) == 0)
		return check_literal(call, host, err);
	return mail_domain_canonical(host, domain) == 0
		   ? 0
		   : pn_error_set(err, -EINVAL, "\"%.100s\" is not the name of a host", host);
}

static int
check(struct pn_call *call, const struct pn_user_relay *relay, struct pn_error *err)
{
	const struct config_user_relays *config = &generation_core(call->generation)
						       ->relay.user_relays;
	int r = check_port(config, relay->port, err);

	return r < 0 ? r : check_host(call, relay->host, err);
}

/* As the database has it already, or as compared: the row falls with its user's. */
static int
set_names(const struct pn_call *call, const struct pn_user_relay *relay,
    char user[MAIL_ADDRESS_SIZE], char address[MAIL_ADDRESS_SIZE], struct pn_error *err)
{
	const struct roster_relay *old = roster_relay(roster_of(call), relay->user, relay->address);

	if (old) {
		snprintf(user, MAIL_ADDRESS_SIZE, "%s", old->user);
		snprintf(address, MAIL_ADDRESS_SIZE, "%s", old->address);
		return 0;
	}
	if (mail_address_compared(relay->user, user) < 0 || !*user ||
	    mail_address_compared(relay->address, address) < 0 || !*address)
		return pn_error_set(err, -EINVAL, "that is no mail address");
	return 0;
}

static int
seal(const struct keyring *keys, const struct roster_relay *relay, struct pn_slice login,
    struct buf *ret, struct pn_error *err)
{
	struct buf about = BUF_INIT(ROSTER_RELAY_ABOUT);
	int r = roster_relay_about(relay, &about);

	if (r == 0)
		r = sealed_make(keys, buf_slice(&about), login, ret);
	buf_free(&about);
	return r < 0 ? pn_error_set(err, r, "name and password cannot be sealed: %s", strerror(-r))
		     : 0;
}

/* Sealed about what the row says, as part of the caller's change. */
static int
put(struct db *db, const struct keyring *keys, const struct roster_relay *relay,
    struct pn_slice login, struct pn_error *err)
{
	struct buf sealed = BUF_INIT(SEALED_MOST);
	struct user_relay_row row = {
		.user = relay->user,
		.address = relay->address,
		.host = relay->host,
		.port = relay->port,
		.implicit_tls = relay->implicit_tls,
		.verify = relay->verify,
		.changed_us = relay->changed_us,
	};
	int r = seal(keys, relay, login, &sealed, err);

	row.sealed = buf_slice(&sealed);
	if (r == 0)
		r = user_relays_put(db, &row, err);
	buf_free(&sealed);
	return r;
}

int
pn_user_relay_set(struct pn_call *call, const struct pn_user_relay *relay, struct pn_slice login,
    struct pn_error *err)
{
	char user[MAIL_ADDRESS_SIZE], address[MAIL_ADDRESS_SIZE];
	struct roster_relay row = {
		.user = user,
		.address = address,
		.host = relay->host,
		.port = relay->port,
		.implicit_tls = relay->implicit_tls,
		.verify = relay->verify,
		.changed_us = clock_wall_us(),
	};
	struct keyring *keys;
	struct db *db;
	int r = check(call, relay, err);

	if (r == 0)
		r = set_names(call, relay, user, address, err);
	if (r < 0)
		return r;
	keys = keys_of(call, err);
	if (!keys)
		return -ENOKEY;
	r = api_db_begin(call, &db, err);
	if (r == 0)
		r = api_db_end(call, db, put(db, keys, &row, login, err), err);
	keyring_release(&keys);
	return r;
}

static int
absent(const char *user, const char *address, struct pn_error *err)
{
	return pn_error_set(err, -ENOENT, "%.320s has named no server for %.320s", user, address);
}

int
pn_user_relay_remove(
    struct pn_call *call, const char *user, const char *address, struct pn_error *err)
{
	const struct roster_relay *relay = roster_relay(roster_of(call), user, address);
	struct db *db;
	int r;

	if (!relay)
		return absent(user, address, err);
	r = api_db_begin(call, &db, err);
	return r < 0 ? r
		     : api_db_end(
			   call, db, user_relays_remove(db, relay->user, relay->address, err), err);
}

/* ---- the key changes ------------------------------------------------------------------------- */

/* True: it is sealed under the first key. */
static bool
is_fresh(const struct keyring *keys, const struct roster_relay *relay)
{
	char name[KEYRING_NAME + 1];

	return sealed_key_name(relay->sealed, name) == 0 &&
	       strcmp(name, keyring_name(keys, 0)) == 0;
}

static int
reseal_one(struct db *db, const struct keyring *keys, const struct roster_relay *relay,
    struct pn_error *err)
{
	struct buf login = BUF_INIT(SEALED_MOST), about = BUF_INIT(ROSTER_RELAY_ABOUT);
	int r = roster_relay_about(relay, &about);

	if (r == 0)
		r = sealed_open(keys, buf_slice(&about), relay->sealed, &login);
	if (r < 0)
		pn_error_set(err, r,
		    "what %s has stored for %s cannot be opened: its key is not in "
		    "relay.user_relays.seal_with, or it was changed",
		    relay->user, relay->address);
	else
		r = put(db, keys, relay, buf_slice(&login), err);
	buf_wipe(&login);
	buf_free(&about);
	return r;
}

static int
reseal(const struct pn_call *call, struct db *db, const struct keyring *keys, size_t *ret,
    struct pn_error *err)
{
	const struct roster_relay *relay;
	int64_t version;
	int r = records_version(db, &version, err);

	if (r == 0 && version != generation_directory_version(call->generation))
		r = pn_error_set(
		    err, -EAGAIN, "somebody else has just changed the directory; try again");
	for (size_t i = 0; r == 0 && (relay = roster_relay_at(roster_of(call), i)); i++) {
		if (is_fresh(keys, relay))
			continue;
		r = reseal_one(db, keys, relay, err);
		*ret += r == 0;
	}
	return r;
}

int
pn_user_relay_reseal(struct pn_call *call, size_t *ret, struct pn_error *err)
{
	struct keyring *keys = keys_of(call, err);
	struct db *db;
	int r;

	*ret = 0;
	if (!keys)
		return -ENOKEY;
	r = api_db_begin(call, &db, err);
	if (r == 0)
		r = api_db_end(call, db, reseal(call, db, keys, ret, err), err);
	keyring_release(&keys);
	return r;
}

/* ---- trying ---------------------------------------------------------------------------------- */

static int
try_way(const struct pn_call *call, const struct routes *routes, const char *user,
    const char *address, struct pn_error *err)
{
	const struct mail_facts facts = { .user = user };
	const struct config_subject subject = { .facts = &facts, .user_relay = address };
	const char *refusal;
	const struct route *route = routes_find(routes, &subject, &refusal);

	if (!route)
		return pn_error_set(err, -EREMOTEIO, "%s", refusal);
	return route_try(route, generation_core(call->generation)->relay.hostname, TRY_MS, err);
}

int
pn_user_relay_test(
    struct pn_call *call, const char *user, const char *address, struct pn_error *err)
{
	struct capability *capability;
	struct routes *routes;
	int r;

	if (call->txn)
		return pn_error_set(err, -EINVAL, "a server is tried by a command, not by a hook");
	if (!roster_relay(roster_of(call), user, address))
		return absent(user, address, err);
	capability = capability_new();
	r = routes_new(
	    generation_core(call->generation), roster_of(call), capability, &routes, err);
	capability_release(&capability);
	if (r < 0)
		return r;
	r = try_way(call, routes, user, address, err);
	routes_release(&routes);
	return r;
}
