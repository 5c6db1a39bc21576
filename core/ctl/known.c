/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.c - finds commands by their words, and what a mistyped one was meant to be.
 *
 * Called by posternctl for what is no command of the core. Must not need a configuration: a typing
 * mistake is none of its faults.
 */
#include <core/base/text.h>
#include <core/ctl/known.h>
#include <core/policy/loader.h>
#include <glib.h>

#define NAMES_MOST (64u * 1024)

int
known_match(const char *words, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(words, " ");

		if (strlen(argv[i]) != len || memcmp(words, argv[i], len) != 0)
			return 0;
		if (words[len] == '\0')
			return i + 1;
		words += len + 1;
	}
	return 0;
}

typedef void module_fn(void *arg, const struct pn_module *module);

/* False: not all could be loaded. */
static bool
each_module(const struct ctl *ctl, module_fn *each, void *arg)
{
	struct buf names = BUF_INIT(NAMES_MOST);
	const struct pn_module *module;
	struct pn_error err;
	bool all = loader_names(ctl->modules, &names) == 0;

	for (size_t at = 0; at < names.len; at += strlen(names.data + at) + 1) {
		if (loader_open(names.data + at, ctl->modules, &module, &err) == 0)
			each(arg, module);
		else
			all = false;
	}
	buf_free(&names);
	return all;
}

struct finding {
	int argc;
	char **argv;
	const struct pn_module *module;
};

static void
look_into(void *arg, const struct pn_module *module)
{
	struct finding *finding = arg;

	for (const struct pn_command *c = module->commands; c && c->name; c++)
		if (known_match(c->name, finding->argc, finding->argv) > 0)
			finding->module = module;
}

enum known
known_find(const struct ctl *ctl, int argc, char **argv, const struct pn_module **ret_module)
{
	struct finding finding = { argc, argv, NULL };
	bool all = each_module(ctl, look_into, &finding);

	*ret_module = finding.module;
	return finding.module ? KNOWN_MODULES : all ? KNOWN_NOT : KNOWN_PERHAPS;
}

/* ---- help ------------------------------------------------------------------------------------ */

struct helping {
	int argc;
	char **argv;
	bool found;
};

/* All of the command's words that there is something typed for; what follows are arguments. */
static bool
begins_so(const char *words, int argc, char **argv)
{
	for (int i = 0; i < argc && *words; i++) {
		size_t len = strcspn(words, " ");

		if (strlen(argv[i]) != len || memcmp(words, argv[i], len) != 0)
			return false;
		words += len + (words[len] == ' ');
	}
	return true;
}

static void
help_command(struct helping *helping, const char *words, const char *arguments, const char *help)
{
	if (!begins_so(words, helping->argc, helping->argv))
		return;
	printf("posternctl %s%s%s\n        %s\n", words, *arguments ? " " : "", arguments, help);
	helping->found = true;
}

static void
help_module(void *arg, const struct pn_module *module)
{
	for (const struct pn_command *c = module->commands; c && c->name; c++)
		help_command(arg, c->name, c->arguments ? c->arguments : "", c->help);
}

bool
known_help(const struct ctl *ctl, int argc, char **argv)
{
	struct helping helping = { argc, argv, false };

	for (size_t t = 0; ctl_tables[t]; t++)
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++)
			help_command(&helping, c->words, c->arguments, c->help);
	each_module(ctl, help_module, &helping);
	return helping.found;
}

/* ---- what was meant -------------------------------------------------------------------------- */

struct meaning {
	const char *first;  /* word of the command line */
	GPtrArray *words;   /* of all commands, first words too; owned */
	GPtrArray *members; /* usage lines of those that begin with `first`; owned */
};

static void
add_command(struct meaning *meaning, const char *words, const char *arguments)
{
	size_t len = strcspn(words, " ");

	g_ptr_array_add(meaning->words, g_strdup(words));
	if (!words[len])
		return;
	g_ptr_array_add(meaning->words, g_strndup(words, len));
	if (strlen(meaning->first) == len && memcmp(meaning->first, words, len) == 0)
		g_ptr_array_add(meaning->members,
		    g_strdup_printf("%s%s%s", words, *arguments ? " " : "", arguments));
}

static void
add_module(void *arg, const struct pn_module *module)
{
	for (const struct pn_command *c = module->commands; c && c->name; c++)
		add_command(arg, c->name, c->arguments ? c->arguments : "");
}

/* "user frob" where there are commands of `user`, else "frob". */
static void
say(const struct meaning *meaning, int argc, char **argv)
{
	const char *nearest;
	char *typed = argc > 1 && meaning->members->len > 0
			  ? g_strdup_printf("%s %s", argv[0], argv[1])
			  : g_strdup(argv[0]);

	if (argc > 1 || meaning->members->len == 0) {
		nearest = text_nearest(typed, (const char *const *)meaning->words->pdata);
		fprintf(stderr, "posternctl: there is no command \"%s\"", typed);
		if (nearest)
			fprintf(stderr, "; did you mean \"%s\"?", nearest);
		if (meaning->members->len == 0)
			fprintf(stderr, "%s see posternctl --help", nearest ? "" : ";");
		fputc('\n', stderr);
	}
	for (guint i = 0; i < meaning->members->len; i++)
		fprintf(stderr, "%s posternctl %s\n",
		    i ? "      " : "Usage:", (const char *)meaning->members->pdata[i]);
	g_free(typed);
}

void
known_complain(const struct ctl *ctl, int argc, char **argv)
{
	struct meaning meaning = { argv[0], g_ptr_array_new_with_free_func(g_free),
		g_ptr_array_new_with_free_func(g_free) };

	for (size_t t = 0; ctl_tables[t]; t++)
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++)
			add_command(&meaning, c->words, c->arguments);
	each_module(ctl, add_module, &meaning);
	g_ptr_array_add(meaning.words, NULL);
	say(&meaning, argc, argv);
	g_ptr_array_free(meaning.words, TRUE);
	g_ptr_array_free(meaning.members, TRUE);
}
