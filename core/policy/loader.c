/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.c - finds modules on the path and loads them through libltdl.
 *
 * Called by generation.c on the main thread. libltdl's own loader binds functions at their first
 * call and says "file not found" whatever was wrong, so it is removed: ours binds everything while
 * loading and keeps the words of the dynamic linker. Must never unload anything: hooks, tables and
 * texts of a module are used as long as the process lives.
 */
#include <core/base/buf.h>
#include <core/base/text.h>
#include <core/config/scopes.h>
#include <core/policy/loader.h>
#include <core/policy/provider.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ltdl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <libltdl/lt_dlloader.h>

#define NAME_MOST  64
#define NAMES_MOST (64u * 1024)
#define SUFFIX     ".so"

/* ---- our loader ------------------------------------------------------------------------------ */

static char linker_words[400]; /* what dlopen() said last; the main thread's */
static bool loader_ready;

static lt_module
open_now(lt_user_data data, const char *path, lt_dladvise advise)
{
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *words = module ? NULL : dlerror();

	if (words)
		snprintf(linker_words, sizeof(linker_words), "%s", words);
	return module;
}

static int
close_never(lt_user_data data, lt_module module)
{
	return 0;
}

static void *
find_symbol(lt_user_data data, lt_module module, const char *name)
{
	return dlsym(module, name);
}

static const lt_dlvtable our_loader = {
	.name = "postern",
	.sym_prefix = "",
	.module_open = open_now,
	.module_close = close_never,
	.find_sym = find_symbol,
	.priority = LT_DLLOADER_PREPEND,
};

static int
prepare(struct pn_error *err)
{
	if (loader_ready)
		return 0;
	if (lt_dlinit() != 0 || lt_dlloader_add(&our_loader) != 0)
		return pn_error_set(err, -ENOTSUP, "libltdl: %s", lt_dlerror());
	/* What is left beside ours, lt_preopen, knows only what was linked in: nothing. */
	free(lt_dlloader_remove("lt_dlopen"));
	loader_ready = true;
	return 0;
}

/* ---- the path -------------------------------------------------------------------------------- */

/* The next folder of "a:b:c", in `folder`; false at the end. */
static bool
next_folder(const char **path, char *folder, size_t size)
{
	size_t len;

	do {
		*path += strspn(*path, ":");
		len = strcspn(*path, ":");
		if (len == 0)
			return false;
		snprintf(folder, size, "%.*s", (int)len, *path);
		*path += len;
	} while (len >= size);
	return true;
}

int
loader_find(const char *name, const char *module_path, char *ret, size_t size)
{
	char folder[3000];

	while (next_folder(&module_path, folder, sizeof(folder))) {
		snprintf(ret, size, "%s/%s" SUFFIX, folder, name);
		if (access(ret, F_OK) == 0)
			return 0;
		if (errno == EACCES)
			return -EACCES;
	}
	return -ENOENT;
}

static int
add_names(const char *folder, struct buf *ret)
{
	DIR *dir = opendir(folder);
	struct dirent *item;
	int r = 0;

	if (!dir)
		return 0; /* a folder that is not there holds no modules */
	while (r == 0 && (item = readdir(dir))) {
		size_t len = strlen(item->d_name), suffix = strlen(SUFFIX);

		if (len <= suffix || strcmp(item->d_name + len - suffix, SUFFIX) != 0)
			continue;
		r = buf_add(ret, item->d_name, len - suffix);
		if (r == 0)
			r = buf_add(ret, "", 1);
	}
	closedir(dir);
	return r;
}

int
loader_names(const char *module_path, struct buf *ret)
{
	char folder[3000];
	int r = 0;

	while (r == 0 && next_folder(&module_path, folder, sizeof(folder)))
		r = add_names(folder, ret);
	return r;
}

static int
not_found(const char *name, const char *module_path, struct pn_error *err)
{
	struct buf names = BUF_INIT(NAMES_MOST);
	const char *words[256], *nearest = NULL;
	size_t count = 0;
	int r = -ENOENT;

	if (loader_names(module_path, &names) == 0)
		for (size_t at = 0; at < names.len && count < 255; at += strlen(words[count++]) + 1)
			words[count] = names.data + at;
	words[count] = NULL;
	nearest = text_nearest(name, words);
	if (nearest)
		pn_error_set(err, r, "there is no module \"%s\" in %s; did you mean \"%s\"?", name,
		    module_path, nearest);
	else
		pn_error_set(err, r, "there is no module \"%s\" in %s", name, module_path);
	buf_free(&names);
	return r;
}

static int
out_of_reach(const char *path, struct pn_error *err)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pn_error_set(err, -EACCES,
	    "%s: a folder on the way there is closed to user %s; see relay.user", path,
	    pw ? pw->pw_name : "without a name");
}

/* ---- is it a module, and one for us ---------------------------------------------------------- */

/* ABI 1 ended before `providers`, 2 to 5 before `together`. */
static size_t
size_of_abi(uint32_t abi)
{
	if (abi == 1)
		return offsetof(struct pn_module, providers);
	return abi < 6 ? offsetof(struct pn_module, together) : sizeof(struct pn_module);
}

const struct pn_provider *
loader_providers(const struct pn_module *module)
{
	return module->abi > 1 ? module->providers : NULL;
}

static int
check_abi(const struct pn_module *module, const char *path, struct pn_error *err)
{
	if (module->abi == 0 || module->abi > PN_ABI)
		return pn_error_set(err, -ENOEXEC,
		    "%s: built for module ABI %u, this Postern speaks %d; build it again", path,
		    module->abi, PN_ABI);
	if (module->size != size_of_abi(module->abi) ||
	    module->option_size != sizeof(struct pn_option) ||
	    module->hook_size != sizeof(struct pn_hook) ||
	    module->command_size != sizeof(struct pn_command) ||
	    module->migration_size != sizeof(struct pn_migration) ||
	    (module->abi > 1 && module->provider_size != sizeof(struct pn_provider)))
		return pn_error_set(err, -ENOEXEC,
		    "%s: its tables are not those of module ABI %u; did it use PN_MODULE_HEAD?",
		    path, module->abi);
	return 0;
}

static const char *
hooks_fault(const struct pn_hook *hooks)
{
	bool seen[PN_STAGE_COUNT] = { false };

	for (; hooks && hooks->stage != PN_STAGE_END; hooks++) {
		if (hooks->stage < 0 || hooks->stage >= PN_STAGE_COUNT)
			return "a hook at a stage that does not exist";
		if (hooks->stage == PN_STAGE_PROTECT)
			return "a hook at the stage of providers, which have a table of their own";
		if (seen[hooks->stage])
			return "two hooks at one stage";
		if (!hooks->run || hooks->flags & ~PN_QUICK)
			return "a hook without a function or with unknown flags";
		seen[hooks->stage] = true;
	}
	return NULL;
}

static const char *
commands_fault(const struct pn_command *commands)
{
	for (; commands && commands->name; commands++)
		if (!commands->run || !commands->help || commands->min_arguments < 0 ||
		    commands->max_arguments < commands->min_arguments)
			return "a command without a function or help, or with an odd range";
	return NULL;
}

static const char *
description_fault(const struct pn_module *module)
{
	const char *fault;

	if (!module->summary)
		return "no summary";
	if (module->roles & ~(PN_ROLE_RELAY | PN_ROLE_CTL) ||
	    module->flags & ~(PN_MODIFIES | PN_WANTS | PN_HOLDS))
		return "unknown roles or flags";
	if (!module->start != !module->stop)
		return "start without stop, or stop without start";
	if (!module->prepare != !module->release)
		return "prepare without release, or release without prepare";
	if (!module->settings != !module->settings_size)
		return "settings without a size, or a size without settings";
	fault = hooks_fault(module->hooks);
	if (!fault)
		fault = commands_fault(module->commands);
	if (!fault)
		fault = provider_table_fault(module);
	if (!fault && module->settings)
		fault = settings_table_fault(module->settings, module->option_size);
	if (!fault && module->settings)
		fault = scopes_table_fault(module->settings, module->option_size);
	return fault;
}

static int
check_module(
    const struct pn_module *module, const char *name, const char *path, struct pn_error *err)
{
	const char *fault;
	int r = check_abi(module, path, err);

	if (r < 0)
		return r;
	if (!module->name || strcmp(module->name, name) != 0)
		return pn_error_set(err, -ENOEXEC, "%s: calls itself \"%.64s\"", path,
		    module->name ? module->name : "(nothing)");
	fault = description_fault(module);
	if (fault)
		return pn_error_set(err, -ENOEXEC, "%s: %s", path, fault);
	return 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

static bool
name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MOST && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static void
symbol_of(const char *name, char *ret, size_t size)
{
	snprintf(ret, size, "%s_LTX_postern_module", name);
	for (; *ret; ret++)
		if (*ret == '-')
			*ret = '_';
}

int
loader_open(
    const char *name, const char *module_path, const struct pn_module **ret, struct pn_error *err)
{
	char path[3100], symbol[NAME_MOST + 32];
	const struct pn_module *module;
	lt_dlhandle handle;
	int r;

	if (!name_valid(name))
		return pn_error_set(err, -EINVAL,
		    "\"%.64s\" is no name of a module; they have a to z, 0 to 9, - and _", name);
	r = loader_find(name, module_path, path, sizeof(path));
	if (r < 0)
		return r == -EACCES ? out_of_reach(path, err) : not_found(name, module_path, err);
	r = prepare(err);
	if (r < 0)
		return r;
	linker_words[0] = '\0';
	handle = lt_dlopen(path);
	if (!handle)
		return pn_error_set(err, -ENOEXEC, "cannot load %s: %s", path,
		    linker_words[0] ? linker_words : lt_dlerror());
	symbol_of(name, symbol, sizeof(symbol));
	module = lt_dlsym(handle, symbol);
	if (!module)
		return pn_error_set(err, -ENOEXEC,
		    "%s: is no module: it exports no %s (PN_MODULE, not static)", path, symbol);
	r = check_module(module, name, path, err);
	if (r == 0)
		*ret = module;
	return r;
}
