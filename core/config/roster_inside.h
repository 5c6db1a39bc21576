/* SPDX-License-Identifier: Apache-2.0 */
/* roster_inside.h - the roster as roster.c asks it and roster_fill.c makes it; nobody else. */
#ifndef CORE_CONFIG_ROSTER_INSIDE_H
#define CORE_CONFIG_ROSTER_INSIDE_H

#include <core/config/roster.h>
#include <glib.h>

struct roster_home {
	const char *domain;
	const struct pn_account *account;
};

struct roster_range {
	struct network network;
	const struct pn_account *account;
};

struct roster_certificate {
	const char *fingerprint;
	const struct pn_account *account;
};

/* An entry that a plan is without. */
struct roster_lack {
	const char *plan, *entry;
};

/* A user who is in groups. */
struct roster_member {
	const char *user;
	size_t count;
	const char **groups; /* strongest first */
};

/* Who may use an address that is not the user's own: a user, or the members of a group. */
struct roster_owner {
	const char *address, *who;
	bool is_group;
	enum pn_owns owns;
};

struct roster_sender {
	const char *user, *address; /* as compared */
	struct roster_relay relay;
};

/* What there is only while it is filled. */
struct roster_filling {
	GHashTable *accounts, *users; /* name -> struct pn_account, address -> struct roster_user */
	GHashTable *domains;          /* domain -> struct roster_home */
	GHashTable *networks;         /* struct network -> struct filling_network */
	GHashTable *certificates;     /* fingerprint -> struct roster_certificate */
	GHashTable *groups;           /* name -> GPtrArray of users */
	GArray *owners;               /* struct roster_owner */
	GArray *relays;               /* struct roster_sender */
};

struct roster {
	uint32_t references; /* atomic */
	struct arena arena;
	struct roster_filling *filling; /* NULL: settled */
	/* All sorted; the ranges from narrow to wide. */
	size_t account_count, user_count, home_count, range_count, member_count, owner_count,
	    group_count, certificate_count, lack_count, relay_count;
	struct pn_account **accounts;
	const struct roster_user **users;
	struct roster_home *homes;
	struct roster_range *ranges;
	struct roster_certificate *certificates;
	struct roster_lack *lacks; /* few; as they were given */
	struct roster_member *members;
	struct roster_owner *owners;
	struct roster_sender *relays;
	const char **groups;
	unsigned by; /* bits of enum pn_account_by: what may find an account */
};

int roster_compare_homes(const void *a, const void *b);
int roster_compare_accounts(const void *a, const void *b); /* pointers to them */
int roster_compare_users(const void *a, const void *b);    /* likewise */
int roster_compare_ranges(const void *a, const void *b);
int roster_compare_certificates(const void *a, const void *b);
int roster_compare_members(const void *a, const void *b);
int roster_compare_owners(const void *a, const void *b);
int roster_compare_relays(const void *a, const void *b);
int roster_compare_names(const void *a, const void *b);

#endif
