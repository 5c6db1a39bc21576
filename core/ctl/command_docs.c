/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_docs.c - posternctl help, modules, schema, completion: what the tables say, for people,
 * editors, man pages and shells.
 *
 * Must write nothing, and must work without a configuration wherever that is possible.
 */
#include <core/config/schema.h>
#include <core/ctl/commands.h>
#include <core/policy/loader.h>
#include <core/policy/stage.h>
#include <errno.h>

#define TEXT_MOST (1024u * 1024)

static const struct pn_option no_options[] = { PN_OPT_END };

static const struct pn_option *
options_of(const struct pn_module *module)
{
	return module->settings ? module->settings : no_options;
}

/* ---- help ------------------------------------------------------------------------------------ */

typedef int write_fn(const struct pn_option *rows, size_t row_size, struct buf *ret);

static int
print_table(write_fn *write, const char *name, const struct pn_option *rows, size_t row_size,
    struct pn_error *err)
{
	struct buf text = BUF_INIT(TEXT_MOST);
	int r = write(rows, row_size, &text);

	if (r == 0)
		fwrite(text.data, 1, text.len, stdout);
	buf_free(&text);
	if (r == 0)
		return EXIT_OK;
	pn_error_set(err, r, "%s: %s", name, strerror(-r));
	return EXIT_REFUSED;
}

/* What modules add to the command line, for their man pages. */
static void
print_command_mdoc(const char *words, const char *arguments, const char *help)
{
	printf(".It Cm %s%s%s\n%s\n", words, *arguments ? " Ar " : "", arguments, help);
}

static int
print_commands_mdoc(const struct pn_module *module)
{
	const struct pn_command *command = module ? module->commands : NULL;

	printf(".Bl -tag -width Ds\n");
	for (size_t t = 0; !module && ctl_tables[t]; t++)
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++)
			print_command_mdoc(c->words, c->arguments, c->help);
	for (; command && command->name; command++)
		print_command_mdoc(command->name, command->arguments, command->help);
	printf(".El\n");
	return EXIT_OK;
}

static int
print_mdoc(struct ctl *ctl, const char *name, bool commands, struct pn_error *err)
{
	const struct pn_option *rows = config_core_options(name);
	const struct pn_module *module;

	if (commands && strcmp(name, "posternctl") == 0)
		return print_commands_mdoc(NULL);
	if (rows && !commands)
		return print_table(settings_mdoc, name, rows, sizeof(*rows), err);
	if (loader_open(name, ctl->modules, &module, err) < 0)
		return EXIT_REFUSED;
	if (commands)
		return print_commands_mdoc(module);
	return print_table(settings_mdoc, name, options_of(module), module->option_size, err);
}

static int
run_help(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	const struct pn_option *rows;
	const struct pn_module *module;

	if (argc == 2 && strcmp(argv[0], "--mdoc") == 0)
		return print_mdoc(ctl, argv[1], false, err);
	if (argc == 2 && strcmp(argv[0], "--mdoc-commands") == 0)
		return print_mdoc(ctl, argv[1], true, err);
	if (argc == 2) {
		pn_error_set(err, -EINVAL, "help takes one name of a section or module");
		return EXIT_USAGE;
	}
	rows = config_core_options(argv[0]);
	if (rows) {
		printf("%s - settings of the relay itself\n\n", argv[0]);
		return print_table(settings_help, argv[0], rows, sizeof(*rows), err);
	}
	if (loader_open(argv[0], ctl->modules, &module, err) < 0)
		return EXIT_REFUSED;
	printf("%s - %s\n\n", module->name, module->summary);
	return print_table(settings_help, argv[0], options_of(module), module->option_size, err);
}

/* ---- modules --------------------------------------------------------------------------------- */

typedef int module_fn(void *arg, const struct pn_module *module, struct pn_error *err);

/* Every module on the path, in the order of their names. */
static int
each_module(struct ctl *ctl, module_fn *each, void *arg, struct pn_error *err)
{
	struct buf names = BUF_INIT(TEXT_MOST);
	const struct pn_module *module;
	int r = loader_names(ctl->modules, &names);

	for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.data + at) + 1) {
		r = loader_open(names.data + at, ctl->modules, &module, err);
		if (r == 0)
			r = each(arg, module, err);
	}
	buf_free(&names);
	return r;
}

static void
add_word(struct buf *text, const char *word)
{
	if (buf_printf(text, "%s%s", text->len ? ", " : "", word) < 0)
		buf_reset(text); /* longer than a table's cell can be */
}

static void
put_words(struct pn_console *console, const char *name, struct buf *words)
{
	pn_console_field(console, name, words->len ? buf_text(words) : "");
	buf_free(words);
}

static int
show_module(void *arg, const struct pn_module *module, struct pn_error *err)
{
	struct pn_console *console = arg;
	struct buf stages = BUF_INIT(TEXT_MOST), commands = BUF_INIT(TEXT_MOST),
		   methods = BUF_INIT(TEXT_MOST);

	pn_console_row(console);
	pn_console_field(console, "module", module->name);
	for (const struct pn_hook *h = module->hooks; h && h->stage != PN_STAGE_END; h++)
		add_word(&stages, stage_name(h->stage));
	for (const struct pn_command *c = module->commands; c && c->name; c++)
		add_word(&commands, c->name);
	for (const struct pn_provider *p = loader_providers(module); p && p->method; p++)
		add_word(&methods, p->method);
	put_words(console, "stages", &stages);
	put_words(console, "commands", &commands);
	put_words(console, "methods", &methods);
	pn_console_field(console, "summary", module->summary);
	return 0;
}

static int
run_modules(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	return each_module(ctl, show_module, &ctl->console, err) < 0 ? EXIT_REFUSED : EXIT_OK;
}

/* ---- schema ---------------------------------------------------------------------------------- */

struct schema {
	json_t *sections; /* by name */
	json_t *names;    /* of modules: what may stand in the pipeline */
	json_t *entries;  /* "name: { ... }" there */
};

static void
add_module(struct schema *schema, const struct pn_module *module)
{
	json_object_set_new(schema->sections, module->name,
	    schema_section(options_of(module), module->option_size));
	json_array_append_new(schema->names, json_string(module->name));
	json_object_set_new(schema->entries, module->name,
	    schema_table(config_core_options("pipeline"), sizeof(struct pn_option)));
}

static int
schema_module(void *arg, const struct pn_module *module, struct pn_error *err)
{
	add_module(arg, module);
	return 0;
}

/* Sections of entries that go by another name than their module's. */
static void
add_entries(struct schema *schema, const struct generation *generation)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);

	for (size_t i = 0; i < count; i++)
		json_object_set_new(schema->sections, entries[i].config->id,
		    schema_section(options_of(entries[i].module), entries[i].module->option_size));
}

static json_t *
pipeline_schema(struct schema *schema)
{
	json_t *entry = json_pack("{s:s, s:o, s:b, s:i, s:i}", "type", "object", "properties",
	    schema->entries, "additionalProperties", 0, "minProperties", 1, "maxProperties", 1);

	return json_pack("{s:[s,s], s:{s:[{s:o},o]}, s:s}", "type", "array", "null", "items",
	    "anyOf", "enum", schema->names, entry, "description",
	    "Modules in the order in which they run.");
}

static json_t *
whole_schema(struct schema *schema)
{
	for (size_t i = 0; config_core_sections[i]; i++)
		if (strcmp(config_core_sections[i], "pipeline") != 0)
			json_object_set_new(schema->sections, config_core_sections[i],
			    schema_table(config_core_options(config_core_sections[i]),
				sizeof(struct pn_option)));
	json_object_set_new(schema->sections, "pipeline", pipeline_schema(schema));
	return json_pack("{s:s, s:s, s:s, s:o, s:b}", "$schema",
	    "https://json-schema.org/draft/2020-12/schema", "title", "Postern configuration",
	    "type", "object", "properties", schema->sections, "additionalProperties", 0);
}

static int
run_schema(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct schema schema = { json_object(), json_array(), json_object() };
	int code = EXIT_OK;
	json_t *whole;

	if (each_module(ctl, schema_module, &schema, err) < 0)
		code = EXIT_REFUSED;
	if (code == EXIT_OK && argc == 1) {
		ctl->folder = argv[0];
		code = ctl_open_generation(ctl, err);
		if (code == EXIT_OK)
			add_entries(&schema, ctl->generation);
	}
	whole = whole_schema(&schema);
	if (code == EXIT_OK && json_dumpf(whole, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	json_decref(whole);
	return code;
}

/* ---- completion ------------------------------------------------------------------------------ */

/* Asks this program for the words, so that a script installed once knows the modules of today. */
static const char bash_script[] =
    "# posternctl completion for bash, and for zsh behind bashcompinit\n"
    "_posternctl() {\n"
    "\tlocal word=${COMP_WORDS[COMP_CWORD]} i before=() options=()\n"
    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
    "\t\tcase ${COMP_WORDS[i]} in\n"
    "\t\t-c | --config | -m | --modules)\n"
    "\t\t\toptions+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i + 1]}\")\n"
    "\t\t\t((i++)) ;;\n"
    "\t\t-*) ;;\n"
    "\t\t*) before+=(\"${COMP_WORDS[i]}\") ;;\n"
    "\t\tesac\n"
    "\tdone\n"
    "\tlocal IFS=$'\\n' words\n"
    "\twords=$(posternctl \"${options[@]}\" completion words -- \"${before[@]}\" 2>/dev/null)\n"
    "\t[[ $word == -* ]] || words=$(grep -v '^-' <<<\"$words\")\n"
    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
    "\t[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n"
    "}\n"
    "complete -o filenames -F _posternctl posternctl\n";

struct words {
	int count;
	char **given;
	struct buf *seen;
};

static void
offer_word(struct words *words, const char *text, size_t len)
{
	char word[64];

	if (len == 0 || len >= sizeof(word))
		return;
	memcpy(word, text, len);
	word[len] = '\0';
	for (size_t at = 0; at < words->seen->len; at += strlen(words->seen->data + at) + 1)
		if (strcmp(words->seen->data + at, word) == 0)
			return;
	puts(word);
	if (buf_add(words->seen, word, len + 1) < 0)
		buf_reset(words->seen); /* then some words come twice */
}

/* "--from" and so on, wherever they stand. */
static void
offer_options(struct words *words, const char *arguments)
{
	for (const char *at = strstr(arguments, "--"); at; at = strstr(at + 2, "--"))
		offer_word(words, at, 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz-"));
}

/* Prints the word of `command` behind those given, or its options behind all of it; each once. */
static void
offer(struct words *words, const char *command, const char *arguments)
{
	for (int i = 0; i < words->count && *command; i++) {
		size_t len = strcspn(command, " ");

		if (strlen(words->given[i]) != len || memcmp(words->given[i], command, len) != 0)
			return;
		command += len;
		command += strspn(command, " ");
	}
	if (*command)
		offer_word(words, command, strcspn(command, " "));
	else
		offer_options(words, arguments);
}

static int
offer_module(void *arg, const struct pn_module *module, struct pn_error *err)
{
	struct words *words = arg;

	if (words->count == 1 && strcmp(words->given[0], "help") == 0)
		puts(module->name);
	for (const struct pn_command *c = module->commands; c && c->name; c++)
		offer(words, c->name, c->arguments);
	return 0;
}

static int
print_words(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct buf seen = BUF_INIT(TEXT_MOST);
	struct words words = { argc, argv, &seen };
	int r;

	for (size_t t = 0; ctl_tables[t]; t++)
		for (const struct ctl_command *c = ctl_tables[t]; c->words; c++)
			offer(&words, c->words, c->arguments);
	if (argc == 1 && strcmp(argv[0], "help") == 0)
		for (size_t i = 0; config_core_sections[i]; i++)
			puts(config_core_sections[i]);
	r = each_module(ctl, offer_module, &words, err);
	buf_free(&seen);
	return r < 0 ? EXIT_REFUSED : EXIT_OK;
}

static int
run_completion(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	if (argc == 1 && strcmp(argv[0], "bash") == 0) {
		fputs(bash_script, stdout);
		return EXIT_OK;
	}
	if (argc >= 1 && strcmp(argv[0], "words") == 0) {
		bool dashes = argc >= 2 && strcmp(argv[1], "--") == 0;

		return print_words(ctl, argc - 1 - dashes, argv + 1 + dashes, err);
	}
	pn_error_set(err, -EINVAL, "completion: \"bash\", or \"words\" with the words so far");
	return EXIT_USAGE;
}

const struct ctl_command ctl_docs_commands[] = {
	{ "help", "SECTION|MODULE",
	    "Explain every setting of a module or of relay, routes, database, directory, pipeline.",
	    1, 2, run_help },
	{ "modules", "", "Show the modules that are installed and what each brings along.", 0, 0,
	    run_modules },
	{ "schema", "[FOLDER]",
	    "Print a JSON Schema of the configuration; with a folder, its entries' own names too.",
	    0, 1, run_schema },
	{ "completion", "bash | words [-- WORD ...]",
	    "Print a script that completes commands in the shell: source it.", 1, 64,
	    run_completion },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
