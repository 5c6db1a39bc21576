/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_settings.c - posternctl settings get, set, unset; audit list.
 *
 * What is set is checked by the table and by the module itself, together with all that stands in
 * YAML and in the database, before it is stored. Every change is audited. A running relay is told;
 * if it does not hear, it looks for itself within seconds.
 */
#include <core/base/clock.h>
#include <core/ctl/commands.h>
#include <core/ctl/directory.h>
#include <core/policy/effective.h>
#include <core/store/audit.h>
#include <core/store/overrides.h>
#include <errno.h>
#include <stdlib.h>

#define AUDIT_ROWS  100
#define VALUE_LABEL "the value"

/* What the words of the command line say. */
struct request {
	const char *words[3]; /* ENTRY, KEY, VALUE */
	int count;
	enum config_scope_kind kind;
	const char *name; /* "" for the default */
	const char *as;
	bool removing; /* also what nobody has a use for any more */
	char canonical[MAIL_ADDRESS_SIZE];
	char who[200];
};

/* ---- the command line ------------------------------------------------------------------------ */

static int
take_option(struct request *ret, const char *word, const char *value)
{
	if (strcmp(word, "--as") == 0) {
		ret->as = value;
		return 0;
	}
	for (int kind = SCOPE_ACCOUNT; kind < SCOPE_KINDS; kind++) {
		if (strcmp(word + 2, scope_word((enum config_scope_kind)kind)) != 0)
			continue;
		if (ret->kind != SCOPE_DEFAULT)
			return -EINVAL;
		ret->kind = (enum config_scope_kind)kind;
		ret->name = value;
		return 0;
	}
	return -EINVAL;
}

/* EXIT_OK, or EXIT_USAGE with the reason in `err`. */
static int
read_request(const struct ctl *ctl, int argc, char **argv, int least, int most, struct request *ret,
    struct pn_error *err)
{
	*ret = (struct request){ .name = "" };
	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) != 0) {
			if (ret->count == most) {
				pn_error_set(err, -EINVAL, "\"%s\" is one word too many", argv[i]);
				return EXIT_USAGE;
			}
			ret->words[ret->count++] = argv[i];
		} else if (i + 1 == argc || take_option(ret, argv[i], argv[i + 1]) < 0) {
			pn_error_set(err, -EINVAL,
			    "%s: one of --account, --domain, --group and --user with a name is "
			    "known here, and --as NAME",
			    argv[i]);
			return EXIT_USAGE;
		} else {
			i++;
		}
	}
	if (ret->count < least) {
		pn_error_set(err, -EINVAL, "the name of an entry%s is missing",
		    least > 1 ? ", a key or a value" : "");
		return EXIT_USAGE;
	}
	if (ret->as)
		snprintf(ret->who, sizeof(ret->who), "%s (by %s)", ret->as, ctl->who);
	else
		snprintf(ret->who, sizeof(ret->who), "%s", ctl->who);
	return EXIT_OK;
}

static bool
is_known(const struct roster *roster, enum config_scope_kind kind, const char *name)
{
	if (kind == SCOPE_ACCOUNT)
		return roster_account(roster, name);
	return kind != SCOPE_GROUP || roster_has_group(roster, name);
}

/* The scope's name as it is compared; a group or account must be there, unless it is to go. */
static int
check_scope(const struct ctl *ctl, struct request *request, struct pn_error *err)
{
	const struct roster *roster = generation_roster(ctl->generation);
	const char *what = scope_word(request->kind);

	if (request->kind == SCOPE_DEFAULT)
		return 0;
	if (scope_name(request->kind, request->name, request->canonical) < 0)
		return pn_error_set(err, -EINVAL, "\"%s\" is no name of a %s", request->name, what);
	if (!request->removing && !is_known(roster, request->kind, request->canonical))
		return pn_error_set(err, -ENOENT,
		    "no %s is called \"%s\"; define it in directory.%s", what, request->name,
		    scope_key(request->kind));
	request->name = request->canonical;
	return 0;
}

static const struct chain_entry *
find_entry(const struct ctl *ctl, const char *id, struct pn_error *err)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(ctl->generation, &entries);

	for (size_t i = 0; i < count; i++)
		if (strcmp(entries[i].config->id, id) == 0)
			return &entries[i];
	pn_error_set(err, -ENOENT, "no entry of the pipeline is called \"%s\"", id);
	return NULL;
}

/* ---- with the database ----------------------------------------------------------------------- */

struct with_db {
	struct ctl *ctl;
	struct arena arena;
	struct overrides overrides;
	struct generation *generation; /* with these overrides; nothing is started */
};

static void
print_line(const struct diag *diag)
{
	struct arena arena = { 0 };

	fprintf(stderr, "%s\n", diag_format(diag, &arena));
	arena_free(&arena);
}

/* Everything is checked as for a start; what is said about other things than `label` is not told
 * again. */
static int
build(struct with_db *with, const char *label, struct pn_error *err)
{
	struct generation_how how = { .source = with->ctl->bundle,
		.folder = with->ctl->folder,
		.module_path = with->ctl->modules,
		.overrides = &with->overrides,
		.directory = with->ctl->generation };
	struct diags diags = { 0 };
	int r = generation_build(&how, &diags, &with->generation);

	diags_sort(&diags);
	for (size_t i = 0; i < diags.count; i++) {
		const char *file = diags.items[i].mark.file;

		if (r < 0 ||
		    (label && file && (strcmp(file, label) == 0 || strcmp(file, SCOPES_KEY) == 0)))
			print_line(&diags.items[i]);
	}
	diags_free(&diags);
	return r < 0 ? pn_error_set(err, r, "nothing was changed") : 0;
}

/* Scopes stand in YAML as keys; here they are options. */
static int
check_key(const struct request *request, struct pn_error *err)
{
	const char *key = request->words[1];

	for (int kind = SCOPE_ACCOUNT; key && kind < SCOPE_KINDS; kind++) {
		const char *scope = scope_key((enum config_scope_kind)kind);
		size_t len = strlen(scope);

		if (strncmp(key, scope, len) == 0 && (key[len] == '\0' || key[len] == '.'))
			return pn_error_set(err, -EINVAL,
			    "\"%s\" is no setting: give KEY and VALUE as for everybody, and say "
			    "for "
			    "whom with --%s NAME",
			    key, scope_word((enum config_scope_kind)kind));
	}
	return 0;
}

static int
open_with_db(struct ctl *ctl, struct request *request, struct with_db *ret, struct pn_error *err)
{
	int code;

	*ret = (struct with_db){ .ctl = ctl };
	if (check_key(request, err) < 0)
		return EXIT_REFUSED;
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	if ((!request->removing && !find_entry(ctl, request->words[0], err)) ||
	    check_scope(ctl, request, err) < 0 ||
	    overrides_read(ctl->db, &ret->arena, &ret->overrides, err) < 0)
		return EXIT_REFUSED;
	return EXIT_OK;
}

static void
close_with_db(struct with_db *with)
{
	generation_release(&with->generation);
	arena_free(&with->arena);
}

/* ---- get ------------------------------------------------------------------------------------- */

static void
find_stack(const struct with_db *with, const struct scopes *scopes, const struct request *request,
    struct scope_stack *ret)
{
	const struct roster *roster = generation_roster(with->generation);
	struct config_scope sender = { .domain = "" };
	const char *groups[1] = { request->name };
	char address[MAIL_ADDRESS_SIZE + 2];

	if (request->kind == SCOPE_USER) {
		config_scope_of(roster, request->name, &sender);
	} else if (request->kind == SCOPE_DOMAIN) {
		snprintf(address, sizeof(address), "x@%s", request->name);
		config_scope_of(roster, address, &sender);
		sender.user[0] = '\0';
		sender.group_count = 0;
	} else if (request->kind == SCOPE_GROUP) {
		sender.groups = groups;
		sender.group_count = 1;
	} else if (request->kind == SCOPE_ACCOUNT) {
		sender.account = request->name;
	}
	scopes_match(scopes, &sender, ret);
}

static void
show_value(void *arg, const struct scope_value *value)
{
	struct pn_console *console = arg;
	char from[400];

	if (!value->mark.file)
		snprintf(from, sizeof(from), "the module's default");
	else if (value->mark.line == 0 || strcmp(value->mark.file, VALUE_LABEL) == 0 ||
		 strcmp(value->mark.file, SCOPES_KEY) == 0)
		snprintf(from, sizeof(from), "database");
	else
		snprintf(from, sizeof(from), "%s:%u", value->mark.file, value->mark.line);
	pn_console_row(console);
	pn_console_field(console, "key", value->key);
	pn_console_field(console, "value", value->value);
	pn_console_field(console, "scope", value->scope);
	pn_console_field(console, "from", from);
}

static int
show(struct with_db *with, const struct request *request, const char *key, struct pn_error *err)
{
	const struct chain_entry *entries, *entry = NULL;
	struct scope_stack stack;
	size_t count = generation_entries(with->generation, &entries);

	for (size_t i = 0; i < count && !entry; i++)
		if (strcmp(entries[i].config->id, request->words[0]) == 0)
			entry = &entries[i];
	find_stack(with, entry->layers, request, &stack);
	if (scopes_show(
		entry->layers, &stack, key, &with->arena, show_value, &with->ctl->console) == 0)
		return EXIT_OK;
	pn_error_set(err, -ENOENT, "%s has no setting \"%s\"; see posternctl help %s",
	    request->words[0], key, entry->module->name);
	return EXIT_REFUSED;
}

static int
run_get(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct request request;
	struct with_db with = { 0 };
	int code = read_request(ctl, argc, argv, 1, 2, &request, err);

	if (code == EXIT_OK)
		code = open_with_db(ctl, &request, &with, err);
	if (code == EXIT_OK)
		code = build(&with, NULL, err) < 0 ? EXIT_REFUSED : EXIT_OK;
	if (code == EXIT_OK)
		code = show(&with, &request, request.count > 1 ? request.words[1] : NULL, err);
	close_with_db(&with);
	return code;
}

/* ---- set and unset --------------------------------------------------------------------------- */

/* The overrides as they would be. */
static void
add_candidate(struct with_db *with, const struct override *candidate)
{
	struct overrides *all = &with->overrides;
	struct override *items = arena_alloc(&with->arena, (all->count + 1) * sizeof(*items));
	size_t count = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct override *old = &all->items[i];

		if (strcmp(old->kind, candidate->kind) != 0 ||
		    strcmp(old->name, candidate->name) != 0 ||
		    strcmp(old->entry, candidate->entry) != 0 ||
		    strcmp(old->path, candidate->path) != 0)
			items[count++] = *old;
	}
	if (candidate->value)
		items[count++] = *candidate;
	all->items = items;
	all->count = count;
}

/* What holds now; of an entry or a key that is gone, what was removed. */
static void
show_change(struct with_db *with, const struct request *request)
{
	struct pn_error none;

	if (find_entry(with->ctl, request->words[0], &none) &&
	    show(with, request, request->words[1], &none) == EXIT_OK)
		return;
	pn_console_row(&with->ctl->console);
	pn_console_field(&with->ctl->console, "removed", request->words[1]);
}

static int
change(struct ctl *ctl, struct request *request, struct pn_error *err)
{
	struct with_db with = { 0 };
	struct override candidate = { .kind = scope_word(request->kind),
		.entry = request->words[0],
		.path = request->words[1],
		.value = request->count > 2 ? request->words[2] : NULL,
		.label = VALUE_LABEL };
	int code = open_with_db(ctl, request, &with, err);

	candidate.name = request->name;
	if (code == EXIT_OK) {
		add_candidate(&with, &candidate);
		code = build(&with, VALUE_LABEL, err) < 0 ? EXIT_REFUSED : EXIT_OK;
	}
	if (code == EXIT_OK && overrides_change(ctl->db, &candidate, request->who, err) < 0)
		code = EXIT_REFUSED;
	if (code == EXIT_OK) {
		ctl_tell_relay(ctl);
		show_change(&with, request);
	}
	close_with_db(&with);
	return code;
}

static int
run_set(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct request request;
	int code = read_request(ctl, argc, argv, 3, 3, &request, err);

	return code == EXIT_OK ? change(ctl, &request, err) : code;
}

static int
run_unset(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	struct request request;
	int code = read_request(ctl, argc, argv, 2, 2, &request, err);

	request.removing = true;
	return code == EXIT_OK ? change(ctl, &request, err) : code;
}

/* ---- the audit log --------------------------------------------------------------------------- */

static int
add_audit(void *arg, const struct audit_row *row)
{
	struct pn_console *console = arg;
	char at[CLOCK_DATE_SIZE];

	clock_log_date(row->at_us, at);
	console_add(console, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?}", "at", at, "who",
				 row->who, "action", row->action, "scope", row->scope, "object",
				 row->object, "before", row->before, "after", row->after));
	return 0;
}

static int
run_audit(struct ctl *ctl, int argc, char **argv, struct pn_error *err)
{
	char *end = NULL;
	long long most;
	int code;

	errno = 0;
	most = argc == 1 ? strtoll(argv[0], &end, 10) : AUDIT_ROWS;
	if (most <= 0 || errno != 0 || (end && *end)) {
		pn_error_set(
		    err, -EINVAL, "\"%s\" is not a number of rows; write for example 50", argv[0]);
		return EXIT_USAGE;
	}
	code = ctl_open_db(ctl, err);
	if (code != EXIT_OK)
		return code;
	return audit_each(ctl->db, most, add_audit, &ctl->console, err) < 0 ? EXIT_REFUSED
									    : EXIT_OK;
}

#define SCOPE_WORDS "[--account|--domain|--group|--user NAME]"

const struct ctl_command ctl_settings_commands[] = {
	{ "settings get", "ENTRY [KEY] " SCOPE_WORDS,
	    "Show the settings that hold for somebody, and where each comes from.", 1, 4, run_get },
	{ "settings set", "ENTRY KEY VALUE " SCOPE_WORDS " [--as NAME]",
	    "Store a setting in the database, over what stands in YAML; VALUE is YAML.", 3, 7,
	    run_set },
	{ "settings unset", "ENTRY KEY " SCOPE_WORDS " [--as NAME]",
	    "Remove a setting from the database.", 2, 6, run_unset },
	{ "audit list", "[ROWS]", "Show who changed what, the newest 100 changes or ROWS.", 0, 1,
	    run_audit },
	{ NULL, NULL, NULL, 0, 0, NULL },
};
