/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roster.h - the directory as it is asked for every message: one state of it, out of YAML, the
 * database and LDAP.
 *
 * Filled by one thread, settled, and from then on never changed: any thread may ask, and but for
 * local parts that are not ASCII nothing allocates. Counted by reference; a generation holds one,
 * and so do its routes, which may live longer. Addresses are compared in the form of
 * config_scope_address(): a rule for ada@ is one for Ada@ as well.
 */
#ifndef CORE_CONFIG_ROSTER_H
#define CORE_CONFIG_ROSTER_H

#include <core/base/buf.h>
#include <core/config/directory.h>
#include <core/mail/facts.h>

struct roster;

/* ---- filling --------------------------------------------------------------------------------- */

struct roster_network {
	struct network network;
	const char *range, *description; /* as they were given; NULL: none */
	bool enabled;
};

/* Who says that there is such a user. */
enum roster_from { ROSTER_FILES = 1, ROSTER_SERVER = 2, ROSTER_DATABASE = 4 };

struct roster_user {
	const char *address;              /* as compared */
	unsigned from;                    /* bits of enum roster_from */
	const char *account;              /* NULL: by the domain */
	const char *name, *title, *phone; /* NULL: not known */
	bool enabled;
};

/* A server that a user has named for an address of his own. */
struct roster_relay {
	const char *user, *address; /* as the database has them */
	const char *host;
	uint16_t port;
	bool implicit_tls;      /* else STARTTLS */
	bool verify;            /* the certificate */
	struct pn_slice sealed; /* sealed.h: name there, NUL, password */
	int64_t changed_us;
};

#define ROSTER_RELAY_ABOUT 2048u
/* What its login is sealed about (sealed.h): whose it is, and where alone it may be sent. */
int roster_relay_about(const struct roster_relay *relay, struct buf *ret) PN_WARN_UNUSED;

struct roster *roster_new(void);
struct roster *roster_hold(const struct roster *roster);
void roster_release(struct roster **roster); /* any thread */

/* All that YAML has. */
void roster_add_directory(struct roster *roster, const struct config_directory *directory);
/*
 * Each finds what is there or makes it. A struct that comes back is to be filled in, with texts
 * that the roster has copied (roster_text()).
 */
struct pn_account *roster_add_account(struct roster *roster, const char *name);
struct roster_user *roster_add_user(struct roster *roster, const char *address);
struct roster_user *roster_find_user(struct roster *roster, const char *address); /* or NULL */
void roster_add_group(struct roster *roster, const char *group);
const char *roster_text(struct roster *roster, const char *text); /* NULL: NULL */
/* False: it is another account's already, `ret_owner`. What is no domain or network is left out. */
bool roster_add_domain(
    struct roster *roster, const char *account, const char *domain, const char **ret_owner);
bool roster_add_network(struct roster *roster, const char *account,
    const struct roster_network *network, const char **ret_owner);
/* By its fingerprint, in any spelling; what is none is left out. */
bool roster_add_certificate(
    struct roster *roster, const char *account, const char *fingerprint, const char **ret_owner);
/* What is no address is left out. */
void roster_add_member(struct roster *roster, const char *group, const char *user);
void roster_add_owner(
    struct roster *roster, const char *address, const char *user, enum pn_owns owns);
/* Its members may send with the address. */
void roster_add_delegated_group(struct roster *roster, const char *address, const char *group);
/*
 * An alias is one user's, and none where it is another's own address or what came earlier has it;
 * `each` hears of those that are left out. Before settling.
 */
void roster_one_owner(struct roster *roster,
    void (*each)(void *arg, const char *address, const char *owner, const char *other), void *arg);
/* One for each user and address. What is no address is left out. */
void roster_add_relay(struct roster *roster, const struct roster_relay *relay);
/* Makes the indexes. `order`: groups, strongest first; `by`: what an account may be found by. */
void roster_settle(
    struct roster *roster, const struct pn_strings *order, const struct pn_strings *by);
/*
 * A licence each (S0-19): of these users, in the order in which they came, the last ones are
 * switched off where an account has more users than licences. Between settling and the first
 * question; `each` hears how many they are of an account, and one of them.
 */
void roster_limit(struct roster *roster, const char *const *addresses, size_t count,
    void (*each)(void *arg, const struct pn_account *account, size_t off, const char *address),
    void *arg);
/* What `directory` alone says, settled. */
struct roster *roster_of_directory(const struct config_directory *directory);

/* ---- asking: NULL is a roster of nobody ------------------------------------------------------ */

const struct pn_account *roster_account(const struct roster *roster, const char *name);
/* Whether the account's plan is without that entry of the pipeline. `account` NULL: nobody's. */
bool roster_plan_lacks(
    const struct roster *roster, const struct pn_account *account, const char *entry);
/* Whether any plan is without anything. */
bool roster_has_plans(const struct roster *roster);
/* By number, in the order of their names; NULL past the end. */
const struct pn_account *roster_account_at(const struct roster *roster, size_t index);
const char *roster_group_at(const struct roster *roster, size_t index);
/* The account of a domain, or of one that it is below. NULL: nobody's. */
const struct pn_account *roster_domain_account(const struct roster *roster, const char *domain);
/* The account whose enabled network is the narrowest around the address. */
const struct pn_account *roster_network_account(
    const struct roster *roster, const struct address *address);
/* The account that a client's certificate is of; NULL: nobody's, or no certificate. */
const struct pn_account *roster_certificate_account(
    const struct roster *roster, const struct certificate *certificate);
bool roster_has_group(const struct roster *roster, const char *name);
/* NULL: nobody registered has that address. Disabled users are found. */
const struct roster_user *roster_user(const struct roster *roster, const char *address);
/* By number, in the order of their addresses; NULL past the end. */
const struct roster_user *roster_user_at(const struct roster *roster, size_t index);
/* The account of an address that is a user's, or whose domain is the account's. */
const struct pn_account *roster_user_account(const struct roster *roster, const char *address);
/* Enabled users of the account: each takes a licence. */
size_t roster_count_users(const struct roster *roster, const struct pn_account *account);
/* Whose alias the address is; NULL: nobody's. */
const char *roster_alias_owner(const struct roster *roster, const char *address);
/* Until `each` returns something other than 0. */
void roster_each_owner(const struct roster *roster,
    int (*each)(void *arg, const char *address, const char *who, bool is_group, enum pn_owns owns),
    void *arg);
enum pn_owns roster_owns(const struct roster *roster, const char *user, const char *address);
bool roster_in_group(const struct roster *roster, const char *user, const char *group);
/* NULL: that user has named none for that address. */
const struct roster_relay *roster_relay(
    const struct roster *roster, const char *user, const char *address);
/* By number, in the order of users and addresses; NULL past the end. */
const struct roster_relay *roster_relay_at(const struct roster *roster, size_t index);
/* Everybody who is in a group, as compared, by number; NULL past the end. */
const char *roster_member_at(const struct roster *roster, size_t index);

/* Whose mail it is: the user who logged in, else the envelope sender. */
struct config_scope {
	/* not to be copied: `domain` points into it */
	char user[MAIL_ADDRESS_SIZE]; /* "": nobody, the null sender */
	const char *domain;           /* in `user` */
	/* whose overrides hold: the account found, else that of `domain`; NULL: none */
	const char *account;
	const struct pn_account *counted; /* what pn_txn_account() says; NULL: nobody's */
	enum pn_account_by by;
	size_t group_count;
	const char *const *groups; /* strongest first; the roster's */
};
/* `facts` NULL: nothing is known of the session; `sender` NULL: not known yet. */
void config_scope_find(const struct roster *roster, const struct mail_facts *facts,
    const char *sender, struct config_scope *ret);
/* The scope of an address alone, as of a user who logged in. */
void config_scope_of(const struct roster *roster, const char *address, struct config_scope *ret);

#endif
