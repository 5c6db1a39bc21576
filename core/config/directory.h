/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.h - the section `directory` as it stands in YAML: accounts, domains, networks, users,
 * groups.
 *
 * What is asked of it per message is the roster (roster.h), into which this goes with what the
 * database has.
 */
#ifndef CORE_CONFIG_DIRECTORY_H
#define CORE_CONFIG_DIRECTORY_H

#include <core/base/certificate.h>
#include <core/mail/address.h>
#include <core/net/address.h>
#include <postern/directory.h>
#include <postern/ldap.h>
#include <postern/settings.h>

struct config_network {
	const char *range, *description;
	bool enabled;
};

struct config_account {
	int64_t licences; /* 0: none stated */
	bool paid;
	const char *plan; /* NULL: none */
	struct pn_strings domains;
	struct pn_list networks;        /* struct config_network */
	struct pn_strings certificates; /* fingerprints */
};

struct config_user {
	const char *account; /* NULL: by the domain of the address */
	bool enabled;
	const char *name, *title, *phone; /* NULL: not known */
	struct pn_strings aliases;
	struct pn_strings delegates; /* users who may send with the user's address */
};

struct config_delegation {
	struct pn_strings users, groups;
};

/* Names of attributes; NULL: not read. */
struct config_ldap_attributes {
	const char *address, *aliases, *delegates, *account, *enabled, *name, *title, *phone;
};
struct config_ldap_groups {
	const char *filter, *base; /* filter NULL: none are read */
	const char *name, *member;
};
struct config_ldap_accounts {
	const char *filter, *base; /* likewise */
	const char *name, *domains, *licences, *paid, *plan;
};
struct config_ldap {
	struct pn_ldap_server server;       /* no `uris`: nothing is read */
	int64_t interval;                   /* ms */
	int64_t page_size, most, most_lost; /* entries; percent */
	const char *filter;
	struct config_ldap_attributes attributes;
	struct config_ldap_groups groups;
	struct config_ldap_accounts accounts;
};

struct config_plan {
	struct pn_strings without; /* ids of entries */
};

struct config_directory {
	struct pn_map accounts;    /* name -> struct config_account */
	struct pn_map users;       /* address -> struct config_user */
	struct pn_map groups;      /* name -> struct pn_strings of users */
	struct pn_map delegations; /* address -> struct config_delegation */
	struct pn_map plans;       /* name -> struct config_plan */
	struct pn_strings group_order;
	struct pn_strings attribute_by; /* "user", "certificate", "network", "helo", "sender" */
	int64_t largest_network;        /* addresses */
	int64_t address_code_age;       /* ms */
	struct config_ldap ldap;
};
extern const struct pn_option config_directory_options[], config_ldap_options[];

/*
 * Domains that are none or two accounts', networks likewise or too wide, addresses that are none or
 * two users', members that are no addresses, groups and accounts that nobody knows, more users than
 * licences.
 */
void config_directory_check(struct pn_check *check, const struct config_directory *directory);
/* directory_ldap.c: the part of it about a directory server. */
void config_ldap_check(struct pn_check *check, const struct config_ldap *ldap);
bool config_directory_has_account(const struct config_directory *directory, const char *name);
bool config_directory_has_group(const struct config_directory *directory, const char *name);
/* All names of a map, NULL-ended, for suggestions. */
const char *const *config_directory_names(const struct pn_map *map, struct arena *arena);

/* What names of accounts and groups are made of. */
bool config_directory_is_name(const char *name);
/* The addresses in a network, INT64_MAX where there are more. */
int64_t config_network_size(const struct network *network);

/*
 * An address in the form that scopes compare: canonical, composed (NFC) and with its case folded;
 * an address again, and its own such form. -EINVAL, -E2BIG.
 */
int config_scope_address(const char *address, char ret[MAIL_ADDRESS_SIZE]);

#endif
