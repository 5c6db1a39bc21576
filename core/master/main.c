/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - posternd: the command line, and the choice of the role.
 *
 * Started by people and by systemd as master; started by the master as one of its children.
 */
#include <core/crypt/helper.h>
#include <core/master/channel.h>
#include <core/master/checker.h>
#include <core/master/child.h>
#include <core/master/master.h>
#include <core/master/relay.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "Usage: posternd [-c FOLDER] [-m FOLDERS]\n"
			    "Runs the Postern mail relay in the foreground, until SIGTERM.\n"
			    "\n"
			    "  -c, --config FOLDER    the YAML files (" POSTERN_CONF_DIR ")\n"
			    "  -m, --modules FOLDERS  where modules are, separated by ':'\n"
			    "                         (" POSTERN_MODULE_DIR ")\n"
			    "  -V, --version          print the version\n"
			    "  -h, --help             print this\n"
			    "\n"
			    "SIGHUP reloads the configuration, SIGUSR2 takes new code as well; see "
			    "also posternctl check, reload,\n"
			    "upgrade, status.\n";

/* An upgrade has put this posternd under a master of another build. */
static int
refuse(void)
{
	static const char why[] = "{\"ok\": false, \"why\": \"posternd " POSTERN_VERSION
				  " cannot serve the posternd that runs: restart it instead\"}";

	channel_send(CHILD_CHANNEL, CHANNEL_RESULT, pn_slice_of(why), NULL, 0);
	return EXIT_FAILURE;
}

static int
run_child(const char *role, const char *version)
{
	if (!version || atoi(version) != CHANNEL_VERSION)
		return refuse();
	if (strcmp(role, "checker") == 0)
		return checker_main();
	if (strcmp(role, "relay") == 0)
		return relay_main();
	fprintf(stderr, "posternd: --child is for the master's use\n");
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
		{ "modules", required_argument, NULL, 'm' }, { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' }, { "child", required_argument, NULL, 'C' },
		{ "channel", required_argument, NULL, 'v' }, { NULL, 0, NULL, 0 } };
	const char *folder = POSTERN_CONF_DIR, *modules = POSTERN_MODULE_DIR;
	const char *role = NULL, *version = NULL;
	char real[PATH_MAX];
	int option;

	if (helper_wanted(argc, argv))
		return helper_main();
	while ((option = getopt_long(argc, argv, "c:m:Vh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			folder = optarg;
			break;
		case 'm':
			modules = optarg;
			break;
		case 'C':
			role = optarg;
			break;
		case 'v':
			version = optarg;
			break;
		case 'V':
			puts("posternd " POSTERN_VERSION);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "posternd: \"%s\" is not expected here\n%s", argv[optind], usage);
		return 2;
	}
	if (role)
		return run_child(role, version);
	if (!realpath(folder, real)) {
		fprintf(stderr, "posternd: %s: %s; -c FOLDER names the folder of YAML files\n",
		    folder, strerror(errno));
		return EXIT_FAILURE;
	}
	return master_main(real, modules);
}
