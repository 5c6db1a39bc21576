/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.c - finds who applies a method.
 *
 * Called when a generation is built and when a hook chooses.
 */
#include <core/mail/label.h>
#include <core/policy/entry.h>
#include <core/policy/provider.h>
#include <errno.h>
#include <glib.h>

#define METHOD_MOST 32

const struct pn_provider *
provider_table(const struct pn_module *module)
{
	return module->abi > 1 ? module->providers : NULL;
}

const char *
provider_table_fault(const struct pn_module *module)
{
	const struct pn_provider *row = provider_table(module);

	for (; row && row->method; row++) {
		size_t len = strlen(row->method);

		if (len == 0 || len > METHOD_MOST ||
		    strspn(row->method, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
			return "a method whose name is not [a-z0-9-], 32 at most";
		if (!strcmp(row->method, PROVIDER_NONE) || !strcmp(row->method, PROVIDER_TLS) ||
		    !strcmp(row->method, MAIL_METHOD_OPT_OUT))
			return "a method that is the relay's own: \"none\", \"tls\" or \"opt-out\"";
		if (!row->render || row->flags & ~PN_ONE_PER_RECIPIENT)
			return "a method without a function or with unknown flags";
	}
	return NULL;
}

static const struct pn_provider *
find(const struct chain_entry *entry, const char *method)
{
	const struct pn_provider *row = entry->config->enabled ? provider_table(entry->module)
							       : NULL;

	for (; row && row->method; row++)
		if (!strcmp(row->method, method))
			return row;
	return NULL;
}

int
provider_find(const struct generation *generation, const struct chain_entry *chooser,
    const char *method, struct provided *ret)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);
	const struct pn_provider *own = find(chooser, method);

	*ret = (struct provided){ .method = PROVIDER_NONE };
	if (!strcmp(method, PROVIDER_NONE))
		return 0;
	ret->method = PROVIDER_TLS;
	if (!strcmp(method, PROVIDER_TLS))
		return 0;
	for (size_t i = 0; i < count; i++) {
		ret->provider = own && &entries[i] != chooser ? NULL : find(&entries[i], method);
		ret->entry = i;
		if (ret->provider) {
			ret->method = ret->provider->method;
			return 0;
		}
	}
	return -ENOENT;
}

/* ---- while building -------------------------------------------------------------------------- */

static const struct chain_entry *
other_provider(const struct chain_entry *entries, size_t index, const char *method)
{
	for (size_t i = 0; i < index; i++)
		if (entries[i].module && entries[i].module != entries[index].module &&
		    find(&entries[i], method))
			return &entries[i];
	return NULL;
}

void
providers_check(const struct generation *generation, struct diags *diags)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);

	for (size_t i = 0; i < count; i++) {
		const struct pn_provider *row = entries[i].module && entries[i].config->enabled
						    ? provider_table(entries[i].module)
						    : NULL;

		for (; row && row->method; row++) {
			const struct chain_entry *other = other_provider(entries, i, row->method);

			if (other)
				diag_add(diags, DIAG_ERROR, entries[i].config->mark,
				    "pipeline: %s and %s both provide the method \"%s\"; leave one "
				    "of them out",
				    other->config->id, entries[i].config->id, row->method);
		}
	}
}

/* ---- what would not work --------------------------------------------------------------------- */

static bool
anybody_selects(const struct chain_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].module && entry_may_run(&entries[i]) &&
		    entries[i].hooks[PN_STAGE_SELECT])
			return true;
	return false;
}

static bool
anybody_provides(const struct chain_entry *entries, size_t count, const char *method)
{
	if (!strcmp(method, PROVIDER_NONE) || !strcmp(method, PROVIDER_TLS))
		return true;
	for (size_t i = 0; i < count; i++)
		if (entries[i].module && find(&entries[i], method))
			return true;
	return false;
}

static void
warn_of_choices(const struct chain_entry *entries, size_t count, size_t index, struct diags *diags)
{
	const struct pn_module *module = entries[index].module;
	char **methods = g_strsplit(
	    module->abi > 1 && module->chooses ? module->chooses : "", " ", -1);

	for (char **method = methods; *method; method++)
		if (**method && !anybody_provides(entries, count, *method))
			diag_add(diags, DIAG_WARNING, entries[index].config->mark,
			    "pipeline: %s may choose \"%s\", which no entry provides, and mail "
			    "would wait with 451; add one that does: posternctl modules shows the "
			    "methods of each",
			    entries[index].config->id, *method);
	g_strfreev(methods);
}

/* Held mail lies on the disk as it came: what is to be protected must not (DESIGN, Hold). */
static void
check_holds(const struct generation *generation, const struct chain_entry *entries, size_t count,
    struct diags *diags)
{
	const struct chain_entry *holder = NULL, *wanting = NULL;

	for (size_t i = 0; i < count; i++) {
		if (!entries[i].module || !entry_may_run(&entries[i]))
			continue;
		if (entries[i].module->flags & PN_HOLDS)
			holder = &entries[i];
		if (entries[i].module->flags & PN_WANTS)
			wanting = &entries[i];
	}
	if (holder && wanting && !generation_core(generation)->relay.spool.encrypt_with)
		diag_add(diags, DIAG_ERROR, holder->config->mark,
		    "pipeline: %s may hold messages for which %s wants protection, and they would "
		    "lie on the disk in clear; set relay.spool.encrypt_with",
		    holder->config->id, wanting->config->id);
}

void
providers_warn(const struct generation *generation, struct diags *diags)
{
	const struct chain_entry *entries;
	size_t count = generation_entries(generation, &entries);
	bool selects = anybody_selects(entries, count);

	check_holds(generation, entries, count, diags);
	for (size_t i = 0; i < count; i++) {
		if (!entries[i].module || !entry_may_run(&entries[i]))
			continue;
		if (entries[i].module->flags & PN_WANTS && !selects)
			diag_add(diags, DIAG_WARNING, entries[i].config->mark,
			    "pipeline: %s may want protection, and no entry chooses how, so that "
			    "mail would be refused with 550 5.7.1; add one that selects: "
			    "posternctl modules shows the stages of each",
			    entries[i].config->id);
		warn_of_choices(entries, count, i, diags);
	}
}
