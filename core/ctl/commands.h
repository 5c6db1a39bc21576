/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - what posternctl can do, as tables.
 *
 * Exit codes, the same for every command: EXIT_OK; EXIT_REFUSED, the thing asked for cannot be done
 * or is wrong, with the reason on standard error; EXIT_USAGE, the words are off; EXIT_ABSENT, no
 * relay is running and the command needs one; EXIT_LATE, not done within the time that was given.
 */
#ifndef CORE_CTL_COMMANDS_H
#define CORE_CTL_COMMANDS_H

#include <core/ctl/console.h>
#include <core/ctl/control.h>
#include <core/policy/generation.h>
#include <core/store/db.h>

enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_ABSENT = 3, EXIT_LATE = 4 };

struct ctl {
	const char *folder, *modules;
	const char *who; /* asks, before root was given up: for the audit log */
	bool trial; /* ctl_open_db: modules start as in the relay, and nothing can be changed */
	struct pn_console console;
	/* made by ctl_open_generation and ctl_open_db */
	struct diags diags;
	struct source *files, *recording, *bundle;
	struct generation *generation;
	struct db *db;
	struct arena stored; /* settings of the database that the generation was made with */
};

struct ctl_command {
	const char *words; /* "queue list"; NULL ends a table */
	const char *arguments, *help;
	int min_arguments, max_arguments;
	/* Returns an exit code; the text of a refusal in `err`. */
	int (*run)(struct ctl *ctl, int argc, char **argv, struct pn_error *err);
};

extern const struct ctl_command ctl_config_commands[], ctl_docs_commands[], ctl_live_commands[],
    ctl_settings_commands[], ctl_user_commands[], ctl_explain_commands[], ctl_queue_commands[],
    ctl_drain_commands[], ctl_backup_commands[], ctl_account_commands[], ctl_group_commands[],
    ctl_setup_commands[], ctl_sts_commands[], ctl_tls_report_commands[], ctl_address_commands[],
    ctl_directory_commands[], ctl_exchange_commands[], ctl_probe_commands[];
extern const struct ctl_command *const ctl_tables[]; /* all of them; NULL-ended */

/* Reads and checks the configuration; diagnostics go to standard error. EXIT_OK or EXIT_REFUSED. */
int ctl_open_generation(struct ctl *ctl, struct pn_error *err);
/*
 * The same, then becomes the relay's user (as root) and opens the database for writing with the
 * tables of the core and of every module up to date.
 */
int ctl_open_db(struct ctl *ctl, struct pn_error *err);
/* Its second half, behind ctl_open_generation(): up to here root is still root. */
int ctl_go_on_with_db(struct ctl *ctl, struct pn_error *err);
/*
 * Asks the running relay; takes the request. EXIT_OK with its answer, EXIT_REFUSED, EXIT_ABSENT.
 * `listener` may be NULL.
 */
int ctl_ask(struct ctl *ctl, json_t *request, const struct control_listener *listener, json_t **ret,
    struct pn_error *err);
/* Closes what was opened. */
void ctl_close(struct ctl *ctl);

#endif
