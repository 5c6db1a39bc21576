/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory_ldap.c - the table of `directory.ldap`: which server, what of it are users, groups and
 * accounts, and in which attributes the directory finds what it wants to know of them.
 *
 * Read once per configuration. Must never ask the server: a configuration is sound or not by
 * itself.
 */
#include <core/client/ldap.h>
#include <core/config/directory.h>
#include <core/config/option.h>
#include <stdio.h>

#define ATTRIBUTES struct config_ldap_attributes
static const struct pn_option attribute_options[] = {
	PN_OPT_STRING("address", ATTRIBUTES, address, "mail", 0,
	    "The user's address; of several, the first that the server gives, and the others are "
	    "aliases."),
	PN_OPT_STRING("aliases", ATTRIBUTES, aliases, NULL, 0,
	    "Further addresses of the user, each also with \"smtp:\" before it as in "
	    "proxyAddresses."),
	PN_OPT_STRING("delegates", ATTRIBUTES, delegates, NULL, 0,
	    "Users who may send with the user's address, by their addresses or as names of "
	    "entries (publicDelegates)."),
	PN_OPT_STRING("account", ATTRIBUTES, account, NULL, 0,
	    "Name of the account whose user this is; left out, or where an entry lacks it, by the "
	    "address's domain."),
	PN_OPT_STRING("enabled", ATTRIBUTES, enabled, NULL, 0,
	    "FALSE, no or 0 there, and the user is switched off; who is to be none at all belongs "
	    "into `filter`."),
	PN_OPT_STRING("name", ATTRIBUTES, name, "cn", 0, "Full name."),
	PN_OPT_STRING("title", ATTRIBUTES, title, "title", 0, "Title or position."),
	PN_OPT_STRING("phone", ATTRIBUTES, phone, "telephoneNumber", 0, "Telephone number."),
	PN_OPT_END
};

#define GROUPS struct config_ldap_groups
static const struct pn_option group_options[] = {
	PN_OPT_STRING("filter", GROUPS, filter, NULL, PN_REQUIRED,
	    "Which entries are groups (RFC 4515), such as (objectClass=groupOfNames)."),
	PN_OPT_STRING("base", GROUPS, base, NULL, 0,
	    "Where they are; left out, where users are. Users below another entry are members all "
	    "the same."),
	PN_OPT_STRING("name", GROUPS, name, "cn", 0, "The group's name."),
	PN_OPT_STRING("member", GROUPS, member, "member", 0,
	    "Its members: addresses, or names of entries of users; others are passed over."),
	PN_OPT_END
};

#define ACCOUNTS struct config_ldap_accounts
static const struct pn_option account_options[] = {
	PN_OPT_STRING("filter", ACCOUNTS, filter, NULL, PN_REQUIRED,
	    "Which entries are accounts (RFC 4515), such as (objectClass=organization)."),
	PN_OPT_STRING(
	    "base", ACCOUNTS, base, NULL, 0, "Where they are; left out, where users are."),
	PN_OPT_STRING("name", ACCOUNTS, name, "o", 0, "The account's name."),
	PN_OPT_STRING(
	    "domains", ACCOUNTS, domains, "associatedDomain", 0, "Domains of the account."),
	PN_OPT_STRING("licences", ACCOUNTS, licences, NULL, 0, "Users that are paid for."),
	PN_OPT_STRING("paid", ACCOUNTS, paid, NULL, 0,
	    "FALSE, no or 0 there, and the limits of a trial hold."),
	PN_OPT_STRING("plan", ACCOUNTS, plan, NULL, 0, "The plan that the account is on."),
	PN_OPT_END
};

#define LDAP struct config_ldap
const struct pn_option config_ldap_options[] = {
	PN_OPT_STRINGS("url", LDAP, server.uris, NULL, PN_REQUIRED,
	    "Directory servers, ldap://, ldaps:// or ldapi://; the next where one does not "
	    "answer."),
	PN_OPT_BOOL("starttls", LDAP, server.starttls, "yes", 0,
	    "Encrypt ldap:// by StartTLS, or do not connect."),
	PN_OPT_STRING("ca_file", LDAP, server.ca_file, NULL, PN_PATH,
	    "Certificates (PEM) that vouch for the servers, instead of the system's."),
	PN_OPT_STRING("bind_dn", LDAP, server.bind_dn, NULL, 0,
	    "Name to log in with; left out: anonymous. It needs to read and nothing else."),
	PN_OPT_SECRET("bind_password", LDAP, server.bind_password, 0, "Password of that name."),
	PN_OPT_STRING("base", LDAP, server.base, "", 0,
	    "Users are below this entry, such as ou=people,dc=example,dc=com."),
	PN_OPT_DURATION("timeout", LDAP, server.timeout, "10s", 100, 300000, 0,
	    "How long a reading of all there is may take."),
	PN_OPT_DURATION("interval", LDAP, interval, "30s", 1000, 86400000, 0,
	    "How long after one reading the next begins: what changes over there holds here by "
	    "then. posternctl directory refresh reads at once."),
	PN_OPT_INT("page_size", LDAP, page_size, "500", 1, 100000, 0,
	    "Entries that the server is asked for at a time (RFC 2696); many refuse to give more "
	    "than 500 or 1000."),
	PN_OPT_INT("most", LDAP, most, "100000", 1, 5000000, 0,
	    "Users, groups and accounts that are read at most; where there are more, nothing is "
	    "taken."),
	PN_OPT_INT("most_lost", LDAP, most_lost, "50", 0, 100, 0,
	    "Percent of the users, of the groups' members or of the domains that may be gone at "
	    "once: where more are, nothing is taken until posternctl directory refresh --force. "
	    "100: all may."),
	PN_OPT_STRING("filter", LDAP, filter, "(mail=*)", 0,
	    "Which entries are users (RFC 4515), such as (&(objectClass=person)(mail=*))."),
	PN_OPT_GROUP("attributes", LDAP, attributes, ATTRIBUTES, attribute_options, 0,
	    "Attributes of a user's entry; those without a default are not read."),
	PN_OPT_GROUP("groups", LDAP, groups, GROUPS, group_options, 0,
	    "Groups, if any are to be read; those that settings are overridden for or that "
	    "group_order names must stand in `groups` of the files as well, and may be empty "
	    "there."),
	PN_OPT_GROUP("accounts", LDAP, accounts, ACCOUNTS, account_options, 0,
	    "Accounts, if any are to be read; what the files say of one stays."),
	PN_OPT_END
};

void
config_ldap_check(struct pn_check *check, const struct config_ldap *ldap)
{
	const struct pn_ldap_server *server = &ldap->server;
	char path[40];

	for (size_t i = 0; i < server->uris.count; i++) {
		const char *fault = ldap_uri_fault(server->uris.items[i]);

		snprintf(path, sizeof(path), "ldap.url[%zu]", i);
		if (fault)
			pn_complain(check, path, "%s", fault);
		else if (strncmp(server->uris.items[i], "ldap://", 7) == 0 && !server->starttls)
			pn_warn(check, path,
			    "who may send is read in clear, and so is the password; starttls or "
			    "ldaps:// would protect both");
	}
	/* RFC 4513 section 5.1.2: a name without a password is let in as nobody. */
	if (!server->bind_dn != !server->bind_password)
		pn_complain(check, server->bind_dn ? "ldap.bind_dn" : "ldap.bind_password",
		    "bind_dn and bind_password go together");
	if (server->uris.count > 0 && !*server->base)
		pn_complain(check, "ldap.base",
		    "is missing; name the entry that users are below, as in "
		    "ou=people,dc=example,dc=com");
}
