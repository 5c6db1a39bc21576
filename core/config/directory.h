/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory.h - accounts, domains and groups: whom a sender belongs to.
 *
 * Read-only once settled, any thread. It is a plain index over names, so that accounts and groups
 * from elsewhere than YAML are more rows to settle and nothing else. Addresses are compared without
 * regard to case, and to how letters with marks are written: a rule for ada@ is one for Ada@ as
 * well.
 */
#ifndef CORE_CONFIG_DIRECTORY_H
#define CORE_CONFIG_DIRECTORY_H

#include <core/base/arena.h>
#include <core/mail/address.h>
#include <postern/settings.h>

struct config_account {
	struct pn_strings domains;
};

/* A user who is in groups, and a domain that an account owns. */
struct config_member {
	const char *user;
	size_t count;
	const char **groups; /* names, strongest first */
};
struct config_home {
	const char *domain, *account;
};

struct config_directory {
	struct pn_map accounts; /* name -> struct config_account */
	struct pn_map groups;   /* name -> struct pn_strings of users */
	struct pn_strings group_order;
	/* From here on not in YAML: config_directory_settle() fills it in. */
	size_t member_count, home_count;
	struct config_member *members; /* sorted */
	struct config_home *homes;     /* sorted */
};
extern const struct pn_option config_directory_options[];

/* Makes the indexes; complaints about what is in YAML are config_directory_check()'s. */
void config_directory_settle(struct config_directory *directory, struct arena *arena);
/* Domains that are none or two accounts', members that are no addresses, unknown groups. */
void config_directory_check(struct pn_check *check, const struct config_directory *directory);
/* Everything anew in `arena`. */
struct config_directory *config_directory_copy(
    const struct config_directory *directory, struct arena *arena);
bool config_directory_has_account(const struct config_directory *directory, const char *name);
bool config_directory_has_group(const struct config_directory *directory, const char *name);
/* All names of a map, NULL-ended, for suggestions. */
const char *const *config_directory_names(const struct pn_map *map, struct arena *arena);

/*
 * An address in the form that scopes compare: canonical, composed (NFC) and with its case folded;
 * an address again, and its own such form. -EINVAL, -E2BIG.
 */
int config_scope_address(const char *address, char ret[MAIL_ADDRESS_SIZE]);

/* Whose mail it is: the user who logged in, else the envelope sender. */
struct config_scope {
	/* not to be copied: `domain` points into it */
	char user[MAIL_ADDRESS_SIZE]; /* "": nobody, the null sender */
	const char *domain;           /* in `user` */
	const char *account;          /* NULL: none */
	size_t group_count;
	const char *const *groups; /* strongest first; the directory's */
};
/* `user` and `sender` NULL: not known. */
void config_scope_find(const struct config_directory *directory, const char *user,
    const char *sender, struct config_scope *ret);

#endif
