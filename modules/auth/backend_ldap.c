/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_ldap.c - passwords in a directory server: finds the user's entry, then logs in with its
 * name and the password (RFC 4513 section 6.3.3).
 *
 * Called by login.c on policy threads. For a user who is not there it tries a name that nobody has:
 * the server is asked as often for nobody as for somebody. Wrong passwords count for the entry as
 * well, since a server finds one and the same by many spellings of a name. Must never send an empty
 * password, which a server takes for a log-in of nobody and lets in.
 */
#include "backend.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#define ATTRIBUTES_MOST 2

struct found {
	const char *attribute; /* NULL: none asked for */
	char *dn;
	char user[CACHE_USER_SIZE];
};

static int
read_entry(void *arg, const struct pn_ldap_entry *entry)
{
	struct found *found = arg;
	struct pn_slice value;

	free(found->dn);
	found->dn = strdup(pn_ldap_dn(entry));
	if (found->attribute && pn_ldap_value(entry, found->attribute, 0, &value) &&
	    value.len < sizeof(found->user) && !memchr(value.data, 0, value.len)) {
		memcpy(found->user, value.data, value.len);
		found->user[value.len] = '\0';
	}
	return found->dn ? 0 : -ENOMEM;
}

static int
find(const struct attempt *attempt, struct found *found, struct pn_error *err)
{
	const struct auth_ldap *cfg = &attempt->cfg->ldap;
	const char *const attributes[ATTRIBUTES_MOST] = {
		found->attribute ? found->attribute : "1.1", NULL /* RFC 4511 section 4.5.1.8 */
	};
	const struct pn_ldap_search search = {
		PN_LDAP_HEAD,
		.server = &cfg->server,
		.filter = cfg->filter,
		PN_LDAP_VALUES(pn_slice_of(attempt->said->user)),
		.max_entries = 1,
		.attributes = attributes,
	};
	int r = pn_ldap_search(attempt->call, &search, read_entry, found, err);

	/* The server's own limits also end so, before it has found anybody. */
	if (r != -E2BIG || !found->dn)
		return r;
	pn_log(attempt->call, PN_LOG_WARNING,
	    "more than one entry in the directory server has the name that somebody logs in with");
	free(found->dn);
	found->dn = NULL;
	return 0;
}

/* A name below the base that no entry has. */
static char *
nobody(const struct auth_ldap *cfg)
{
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1], *dn = NULL;

	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
	if (asprintf(&dn, "cn=nobody-%s%s%s", hex, *cfg->server.base ? "," : "", cfg->server.base) <
	    0)
		return NULL;
	return dn;
}

/* For whom wrong passwords count; of nobody, the name in all its spellings, so that he blocks, too.
 */
static char *
counted_for(const char *dn, bool known, const char *name)
{
	char *text = NULL, *to;

	if (asprintf(&text, "%s %s", known ? "entry" : "nobody", known ? dn : name) < 0)
		return NULL;
	to = text;
	for (const char *at = text; !known && *at; at++)
		if (*at != ' ')
			*to++ = *at;
	if (!known)
		*to = '\0';
	return text;
}

/* These counters stand beside those of the name as typed. 0, -EACCES, or what else went wrong. */
static int
log_in(const struct attempt *attempt, const char *dn, bool known, bool *ret_put_off,
    struct pn_error *err)
{
	const struct auth *cfg = attempt->cfg;
	struct throttle *throttle = attempt->state->throttle;
	char *counted = counted_for(dn, known, attempt->said->user);
	int r;

	if (!counted)
		return pn_error_set(err, -ENOMEM, "out of memory");
	*ret_put_off = throttle_blocks(
	    throttle, &cfg->failures, &attempt->client, counted, attempt->now);
	if (*ret_put_off) {
		free(counted);
		return -EACCES;
	}
	r = pn_ldap_bind(
	    attempt->call, &cfg->ldap.server, dn, pn_slice_of(attempt->said->password), err);
	if (r == -EACCES)
		throttle_failure(throttle, &cfg->failures, &attempt->client, counted, attempt->now);
	else if (r == 0)
		throttle_success(throttle, &attempt->client, counted, attempt->now);
	free(counted);
	return r;
}

static int
judge(const struct attempt *attempt, struct found *found, struct backend_answer *ret,
    struct pn_error *err)
{
	const struct auth_ldap *cfg = &attempt->cfg->ldap;
	bool known = found->dn != NULL;
	int r;

	if (!known)
		found->dn = nobody(cfg);
	if (!found->dn)
		return pn_error_set(err, -ENOMEM, "out of memory");
	r = log_in(attempt, found->dn, known, &ret->put_off, err);
	if (r < 0 && r != -EACCES)
		return r;
	if (r == 0 && known && found->attribute && !*found->user)
		ret->reason = "the entry has no address";
	else if (r == 0 && known)
		return backend_yes(
		    ret, pn_slice_of(found->attribute ? found->user : attempt->said->user));
	else
		ret->reason = known ? "wrong password" : "no such user";
	return 0;
}

int
backend_ldap(const struct attempt *attempt, struct backend_answer *ret, struct pn_error *err)
{
	struct found found = { .attribute = attempt->cfg->ldap.address_attribute };
	int r;

	ret->reason = "an empty password";
	if (!*attempt->said->password)
		return 0;
	r = find(attempt, &found, err);
	if (r == 0)
		r = judge(attempt, &found, ret, err);
	free(found.dn);
	return r;
}
