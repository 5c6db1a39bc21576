/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap.h - look-ups in a directory server, for modules (RFC 4511).
 *
 *	struct book { struct pn_ldap_server directory; const char *filter; };
 *
 *	static const struct pn_option server_options[] = { PN_LDAP_OPTIONS, PN_OPT_END };
 *	...
 *	const struct pn_ldap_search search = {
 *		PN_LDAP_HEAD,
 *		.server = &cfg->directory,
 *		.filter = cfg->filter,                    // "(mail=?1)"
 *		PN_LDAP_VALUES(pn_slice_of(address)),     // ?1
 *		.attributes = (const char *const[]){ "mail", NULL },
 *	};
 *	int r = pn_ldap_search(call, &search, each, arg, &err);
 *
 * Nothing is ever changed over there, so a look-up is made in a trial as well. Referrals are not
 * followed. Connections are kept and used again, for each entry apart; one that has gone stale is
 * replaced without a word.
 *
 * Threads and blocking: blocks, as long as the server's `timeout` and pn_time_left() allow. A
 * PN_QUICK hook gets -EWOULDBLOCK.
 */
#ifndef POSTERN_LDAP_H
#define POSTERN_LDAP_H

#include <postern/settings.h>

struct pn_call;

/* Which server, as settings: a group of the module's own table has these rows. */
struct pn_ldap_server {
	struct pn_strings uris;
	bool starttls;
	const char *ca_file, *bind_dn;
	const struct pn_secret *bind_password;
	const char *base;
	int64_t timeout; /* ms */
};

#define PN_LDAP_OPTIONS \
	PN_OPT_STRINGS("uris", struct pn_ldap_server, uris, NULL, PN_REQUIRED, \
	    "Directory servers, ldap://, ldaps:// or ldapi://; the next where one does not " \
	    "answer."), \
	    PN_OPT_BOOL("starttls", struct pn_ldap_server, starttls, "yes", 0, \
		"Encrypt ldap:// by StartTLS, or do not connect."), \
	    PN_OPT_STRING("ca_file", struct pn_ldap_server, ca_file, NULL, PN_PATH, \
		"Certificates (PEM) that vouch for the servers, instead of the system's."), \
	    PN_OPT_STRING("bind_dn", struct pn_ldap_server, bind_dn, NULL, 0, \
		"Name to log in with; left out: anonymous."), \
	    PN_OPT_SECRET("bind_password", struct pn_ldap_server, bind_password, 0, \
		"Password of that name."), \
	    PN_OPT_STRING("base", struct pn_ldap_server, base, "", 0, \
		"Search below this entry, such as dc=example,dc=com."), \
	    PN_OPT_DURATION("timeout", struct pn_ldap_server, timeout, "5s", 10, 60000, 0, \
		"How long an answer may take.")

/*
 * For a module's `check`: reports what is wrong with a server under the path at which it stands in
 * the settings ("directory").
 */
PN_PUBLIC void pn_ldap_check_sized(
    struct pn_check *check, const char *path, const struct pn_ldap_server *server, size_t size);
#define pn_ldap_check(check, path, server) \
	pn_ldap_check_sized(check, path, server, sizeof(struct pn_ldap_server))

enum pn_ldap_scope {
	PN_LDAP_BELOW = 0, /* the base and all below it */
	PN_LDAP_CHILDREN,  /* one level below the base */
	PN_LDAP_BASE       /* the base alone */
};

struct pn_ldap_search {
	uint32_t size, server_size; /* PN_LDAP_HEAD */
	const struct pn_ldap_server *server;
	const char *base; /* NULL: the server's */
	int32_t scope;
	uint32_t max_entries; /* 0: 100 */
	/*
	 * RFC 4515, with ?1 to ?9 where values come in. Values are escaped: whatever bytes they are
	 * (an address that a client made up), they stand for themselves.
	 */
	const char *filter;
	const struct pn_slice *values;
	size_t value_count;
	const char *const *attributes; /* NULL-ended; NULL: all that users may set */
};
#define PN_LDAP_HEAD \
	.size = sizeof(struct pn_ldap_search), .server_size = sizeof(struct pn_ldap_server)
#define PN_LDAP_VALUES(...) \
	.values = (const struct pn_slice[]){ __VA_ARGS__ }, \
	.value_count = sizeof((struct pn_slice[]){ __VA_ARGS__ }) / sizeof(struct pn_slice)

/*
 * since ABI 4. Whether `password` is that of the entry `dn`: a bind over a connection of its own,
 * which is never used again. 0: it is; -EACCES: it is not, or there is no such entry, or it may not
 * log in; else as pn_ldap_search(). -EINVAL: an empty name or password, which a server would take
 * for nobody's and let in (RFC 4513 section 5.1.2).
 */
PN_PUBLIC int pn_ldap_bind_sized(struct pn_call *call, const struct pn_ldap_server *server,
    size_t size, const char *dn, struct pn_slice password, struct pn_error *err);
#define pn_ldap_bind(call, server, dn, password, err) \
	pn_ldap_bind_sized(call, server, sizeof(struct pn_ldap_server), dn, password, err)

/* One that was found; all of it lives until the function it was given to returns. */
struct pn_ldap_entry;
PN_PUBLIC const char *pn_ldap_dn(const struct pn_ldap_entry *entry);
/* The `nth` (from 0) value of an attribute, as bytes; false if there is none. */
PN_PUBLIC bool pn_ldap_value(
    const struct pn_ldap_entry *entry, const char *attribute, size_t nth, struct pn_slice *ret);

/* Called for each; a value other than 0 stops and is returned by pn_ldap_search(). */
typedef int pn_ldap_fn(void *arg, const struct pn_ldap_entry *entry);

/*
 * 0: that was all, also where nothing was found. Else, with the text in `err` (which may be NULL):
 * -EINVAL: no filter, or a value for it is missing; -ENOENT: there is no such base; -E2BIG: more
 * than max_entries (which were given) or than the server allows; -ETIMEDOUT; -ECANCELED: the time
 * of the call is up; -ECONNREFUSED: no server answers, or none that its certificate vouches for;
 * -EACCES: wrong password, or not allowed to see that; -EIO: anything else.
 */
PN_PUBLIC int pn_ldap_search(struct pn_call *call, const struct pn_ldap_search *search,
    pn_ldap_fn *each, void *arg, struct pn_error *err);

#endif
