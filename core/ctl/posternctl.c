/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl.c - the command line for administrators: global options and the choice of a command.
 *
 * Commands are words ("queue list"); the core's are in tables, a module's come with the module.
 */
#include <core/base/log.h>
#include <core/crypt/helper.h>
#include <core/crypt/pool.h>
#include <core/ctl/directory.h>
#include <core/ctl/known.h>
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

const struct ctl_command *const ctl_tables[] = { ctl_config_commands, ctl_docs_commands,
	ctl_live_commands, ctl_queue_commands, ctl_settings_commands, ctl_user_commands,
	ctl_account_commands, ctl_group_commands, ctl_address_commands, ctl_directory_commands,
	ctl_exchange_commands, ctl_explain_commands, ctl_drain_commands, ctl_backup_commands,
	ctl_setup_commands, ctl_sts_commands, ctl_tls_report_commands, ctl_probe_commands, NULL };

static const char options_help[] =
    "Usage: posternctl [-c FOLDER] [-m FOLDERS] [--json] COMMAND [ARGUMENT ...]\n"
    "\n"
    "  -c, --config FOLDER    the YAML files (" POSTERN_CONF_DIR ")\n"
    "  -m, --modules FOLDERS  where modules are, separated by ':'\n"
    "                         (" POSTERN_MODULE_DIR ")\n"
    "  -j, --json             print JSON; also behind the command\n"
    "  -V, --version          print the version\n"
    "  -h, --help             print this; --help behind a command: about that one\n"
    "\nCommands:\n";

static const char codes_help[] =
    "\nModules of the pipeline add commands of their own (module auth: user passwd ADDRESS).\n"
    "Exit status: 0 done, 1 refused or wrong, 2 usage, 3 no relay is running, 4 not done in "
    "time.\n";

static void
print_usage(FILE *out)
{
	fputs(options_help, out);
	for (size_t t = 0; ctl_tables[t]; t++)
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++)
			fprintf(out, "  %s %s\n        %s\n", c->words, c->arguments, c->help);
	fputs(codes_help, out);
}

static int
wrong_arguments(const char *words, const char *arguments)
{
	fprintf(stderr, "Usage: posternctl %s %s\n", words, arguments);
	return EXIT_USAGE;
}

static int
run_module_command(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct chain_entry *entry = NULL;
	const struct pn_module *module = NULL;
	const struct pn_command *command;
	enum known known = known_find(ctl, argc, argv, &module);
	int words = 0, code;

	if (known == KNOWN_NOT) {
		known_complain(ctl, argc, argv);
		return EXIT_USAGE;
	}
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK) {
		if (known == KNOWN_PERHAPS)
			known_complain(ctl, argc, argv);
		return code;
	}
	command = generation_command(ctl->generation, argc, argv, &entry, &words);
	if (!command && module) {
		pn_error_set(err, -ENOENT,
		    "\"%s\" is a command of module %s, which the pipeline does not have", argv[0],
		    module->name);
		return EXIT_REFUSED;
	}
	if (!command) {
		known_complain(ctl, argc, argv);
		return EXIT_USAGE;
	}
	argc -= words;
	argv += words;
	if (argc < command->min_arguments || argc > command->max_arguments)
		return wrong_arguments(command->name, command->arguments);
	if (generation_command_run(
		ctl->generation, ctl->who, entry, command, &ctl->console, argc, argv, err) < 0)
		return EXIT_REFUSED;
	ctl_tell_relay(ctl); /* it looks whether anything is new */
	return EXIT_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	for (size_t t = 0; ctl_tables[t]; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++) {
			int words = known_match(c->words, argc, argv);

			if (words == 0)
				continue;
			if (argc - words < c->min_arguments || argc - words > c->max_arguments)
				return wrong_arguments(c->words, c->arguments);
			return c->run(ctl, argc - words, argv + words, err);
		}
	}
	return run_module_command(ctl, argc, argv, err);
}

/* Before root is given up: who really asks. */
static void
find_who(char *ret, size_t size)
{
	const struct passwd *pw = getpwuid(getuid());

	if (pw)
		snprintf(ret, size, "%s", pw->pw_name);
	else
		snprintf(ret, size, "%u", (unsigned)getuid());
}

/* Global options behind the command: that is where people add them. */
static bool
take_option(int *argc, char **argv, const char *option)
{
	for (int i = 1; i < *argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], option) != 0)
			continue;
		memmove(&argv[i], &argv[i + 1], (size_t)(*argc - i) * sizeof(*argv));
		(*argc)--;
		return true;
	}
	return false;
}

static int
help_with(struct ctl *ctl, int argc, char **argv)
{
	if (known_help(ctl, argc, argv))
		return EXIT_OK;
	known_complain(ctl, argc, argv);
	return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "modules", required_argument, NULL, 'm' }, { "json", no_argument, NULL, 'j' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 } };
	struct ctl ctl = { .folder = POSTERN_CONF_DIR, .modules = POSTERN_MODULE_DIR };
	struct pn_error err = { 0 };
	bool json = false;
	char who[100];
	int option, code;

	if (helper_wanted(argc, argv))
		return helper_main();
	find_who(who, sizeof(who));
	ctl.who = who;
	while ((option = getopt_long(argc, argv, "+c:m:jVh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ctl.folder = optarg;
			break;
		case 'm':
			ctl.modules = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'V':
			puts("posternctl " POSTERN_VERSION);
			return EXIT_OK;
		case 'h':
			print_usage(stdout);
			return EXIT_OK;
		default:
			print_usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (optind + 1 == argc && strcmp(argv[optind], "help") == 0) {
		print_usage(stdout);
		return EXIT_OK;
	}
	argc -= optind;
	argv += optind;
	json = take_option(&argc, argv, "--json") || json;
	log_setup("posternctl", PN_LOG_WARNING, LOG_LOGFMT);
	if (take_option(&argc, argv, "--help"))
		return help_with(&ctl, argc, argv);
	if (console_open(&ctl.console, json) < 0)
		return EXIT_REFUSED;
	code = run(&ctl, argc, argv, &err);
	if (code == EXIT_OK)
		console_print(&ctl.console, stdout);
	else if (err.text[0])
		fprintf(stderr, "posternctl: %s\n", err.text);
	console_close(&ctl.console);
	ctl_close(&ctl);
	pool_end();
	return code;
}
