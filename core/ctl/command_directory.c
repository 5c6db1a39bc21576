/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_directory.c - posternctl directory refresh: reads the directory server at once.
 *
 * The relay does so by itself; this is for whoever cannot wait, wants to see what would come, or
 * means it when most users are gone.
 */
#include <core/ctl/directory.h>
#include <core/policy/directory_ldap.h>
#include <core/store/audit.h>
#include <errno.h>
#include <stdio.h>

static int
read_flags(int argc, char **argv, unsigned *ret, struct pn_error *err)
{
	*ret = 0;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--force") == 0)
			*ret |= LDAP_FORCE;
		else if (strcmp(argv[i], "--dry-run") == 0)
			*ret |= LDAP_DRY_RUN;
		else
			return pn_error_set(err, -EINVAL,
			    "\"%.40s\": only --force and --dry-run may stand there", argv[i]);
	}
	return 0;
}

static int
audit(struct ctl *ctl, const struct ldap_reading *reading, struct pn_error *err)
{
	char after[100];
	const struct audit_row row = { .who = ctl->who,
		.action = "directory refresh",
		.scope = "default",
		.object = "directory server",
		.after = after };

	snprintf(
	    after, sizeof(after), "rows added=%zu removed=%zu", reading->added, reading->removed);
	return audit_add(ctl->db, &row, err);
}

static void
show(struct ctl *ctl, const struct ldap_reading *reading, bool kept)
{
	console_add(&ctl->console,
	    json_pack("{s:I, s:I, s:I, s:I, s:b}", "users", (json_int_t)reading->users,
		"group_members", (json_int_t)reading->members, "rows_added",
		(json_int_t)reading->added, "rows_removed", (json_int_t)reading->removed, "kept",
		kept));
}

static int
run_refresh(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct config_ldap *ldap;
	struct ldap_reading reading;
	unsigned flags;
	int code;

	if (read_flags(argc, argv, &flags, err) < 0)
		return EXIT_USAGE;
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	ldap = &generation_core(ctl->generation)->directory.ldap;
	if (ldap->server.uris.count == 0) {
		pn_error_set(err, -ENOENT, "no directory server is configured; set directory.ldap");
		return EXIT_REFUSED;
	}
	if (directory_ldap_refresh(ctl->db, ldap, flags, NULL, NULL, &reading, err) < 0)
		return EXIT_REFUSED;
	if (!(flags & LDAP_DRY_RUN) && reading.changed) {
		if (audit(ctl, &reading, err) < 0)
			return EXIT_REFUSED;
		ctl_tell_relay(ctl);
	}
	show(ctl, &reading, !(flags & LDAP_DRY_RUN));
	return EXIT_OK;
}

const struct ctl_command ctl_directory_commands[] = {
	{ "directory refresh", "[--dry-run] [--force]",
	    "Read the directory server (directory.ldap) now; --dry-run keeps nothing of it, "
	    "--force takes it even where most users are gone.",
	    0, 2, run_refresh },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
