/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_group.c - posternctl group, and addresses that are given or delegated.
 *
 * Only the database is changed, through directory.h. Members and owners of addresses need not be
 * registered users: groups are for whoever sends.
 */
#include <core/ctl/directory.h>
#include <errno.h>
#include <stdio.h>

/* ---- groups ---------------------------------------------------------------------------------- */

static int
run_group_add(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char scope[100];
	struct ctl_change change = { .action = "group add",
		.scope = scope,
		.kind = RECORD_GROUP,
		.keys = 1,
		.columns = { argv[0] } };
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	if (!ctl_is_new_name(argv[0], err))
		return EXIT_REFUSED;
	if (roster_has_group(generation_roster(ctl->generation), argv[0])) {
		pn_error_set(err, -EEXIST, "group %s is there already", argv[0]);
		return EXIT_REFUSED;
	}
	snprintf(scope, sizeof(scope), "group %s", argv[0]);
	return ctl_directory_change(ctl, &change, err);
}

static int
run_group_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	int code = ctl_open_db(ctl, err);

	return code == EXIT_OK
		   ? ctl_directory_remove(ctl, "group remove", RECORD_GROUP, "group", argv[0], err)
		   : code;
}

static int
change_member(struct ctl *ctl, const char *action, char **argv, bool removes, struct pn_error *err)
{
	char scope[MAIL_ADDRESS_SIZE], address[MAIL_ADDRESS_SIZE];
	struct ctl_change change = { .action = action,
		.scope = scope,
		.kind = RECORD_MEMBER,
		.keys = 2,
		.columns = { argv[0], address },
		.removes = removes };
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	if (!roster_has_group(generation_roster(ctl->generation), argv[0]))
		return ctl_absent(err, "group", argv[0]);
	if (!ctl_read_address(argv[1], address, err))
		return EXIT_REFUSED;
	snprintf(scope, sizeof(scope), "group %s", argv[0]);
	return ctl_directory_change(ctl, &change, err);
}

static int
run_group_join(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return change_member(ctl, "group join", argv, false, err);
}

static int
run_group_leave(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return change_member(ctl, "group leave", argv, true, err);
}

/* Groups with the members they have, whoever says so. */
static int
run_group_list(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct roster *roster;
	const char *group, *member;
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	roster = generation_roster(ctl->generation);
	for (size_t i = 0; (group = roster_group_at(roster, i)); i++) {
		json_t *members = json_array();

		for (size_t k = 0; (member = roster_member_at(roster, k)); k++)
			if (roster_in_group(roster, member, group))
				json_array_append_new(members, json_string(member));
		console_add(
		    &ctl->console, json_pack("{s:s, s:o}", "group", group, "members", members));
	}
	return EXIT_OK;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static int
run_alias(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char address[MAIL_ADDRESS_SIZE], user[MAIL_ADDRESS_SIZE], scope[MAIL_ADDRESS_SIZE + 16];
	struct ctl_change change = { .action = "address alias",
		.scope = scope,
		.kind = RECORD_ALIAS,
		.keys = 1,
		.columns = { address, user } };
	const struct roster *roster;
	const char *owner;
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	roster = generation_roster(ctl->generation);
	if (!ctl_read_address(argv[0], address, err) || !ctl_read_address(argv[1], user, err))
		return EXIT_REFUSED;
	if (!roster_user(roster, user))
		return ctl_absent(err, "user", user);
	owner = roster_user(roster, address) ? address : roster_alias_owner(roster, address);
	if (owner) {
		pn_error_set(err, -EEXIST, "%s is an address of %s already", address, owner);
		return EXIT_REFUSED;
	}
	snprintf(scope, sizeof(scope), "address %s", address);
	return ctl_directory_change(ctl, &change, err);
}

static int
run_address_remove(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char address[MAIL_ADDRESS_SIZE];
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	return ctl_read_address(argv[0], address, err) ? ctl_directory_remove(ctl, "address remove",
							     RECORD_ALIAS, "address", address, err)
						       : EXIT_REFUSED;
}

/* "group:NAME", or a user. */
static int
change_delegate(
    struct ctl *ctl, const char *action, char **argv, bool removes, struct pn_error *err)
{
	char address[MAIL_ADDRESS_SIZE], user[MAIL_ADDRESS_SIZE], scope[MAIL_ADDRESS_SIZE + 16];
	const char *group = strncmp(argv[1], "group:", 6) == 0 ? argv[1] + 6 : NULL;
	struct ctl_change change = { .action = action,
		.scope = scope,
		.kind = RECORD_DELEGATE,
		.keys = 3,
		.columns = { address, group ? group : user, group ? "group" : "user" },
		.removes = removes };
	int code = ctl_open_db(ctl, err);

	if (code != EXIT_OK)
		return code;
	if (!ctl_read_address(argv[0], address, err) ||
	    (!group && !ctl_read_address(argv[1], user, err)))
		return EXIT_REFUSED;
	if (group && !roster_has_group(generation_roster(ctl->generation), group))
		return ctl_absent(err, "group", group);
	snprintf(scope, sizeof(scope), "address %s", address);
	return ctl_directory_change(ctl, &change, err);
}

static int
run_delegate(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return change_delegate(ctl, "address delegate", argv, false, err);
}

static int
run_revoke(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return change_delegate(ctl, "address revoke", argv, true, err);
}

const struct ctl_command ctl_group_commands[] = {
	{ "group add", "NAME", "Add a group.", 1, 1, run_group_add },
	{ "group list", "", "Show all groups with their members, those of the files too.", 0, 0,
	    run_group_list },
	{ "group join", "NAME ADDRESS", "Take a user into a group.", 2, 2, run_group_join },
	{ "group leave", "NAME ADDRESS", "Take a user out of a group.", 2, 2, run_group_leave },
	{ "group remove", "NAME", "Remove a group and what is delegated to it.", 1, 1,
	    run_group_remove },
	{ "address alias", "ADDRESS USER", "Give a user a further address.", 2, 2, run_alias },
	{ "address remove", "ADDRESS", "Take a further address away.", 1, 1, run_address_remove },
	{ "address delegate", "ADDRESS USER|group:NAME",
	    "Let a user, or a group's members, send with an address.", 2, 2, run_delegate },
	{ "address revoke", "ADDRESS USER|group:NAME", "No longer let them.", 2, 2, run_revoke },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
