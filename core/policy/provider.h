/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provider.h - the methods by which mail can leave, and who applies them.
 *
 * "none" and "tls" are the core's: the clear rendering, by whatever or by a demanded connection.
 * The others come from modules. Read-only once a generation is built, any thread.
 */
#ifndef CORE_POLICY_PROVIDER_H
#define CORE_POLICY_PROVIDER_H

#include <core/policy/generation.h>

#define PROVIDER_NONE "none"
#define PROVIDER_TLS  "tls"

/* A method that was found. */
struct provided {
	const char *method;                 /* NULL: nothing */
	const struct pn_provider *provider; /* NULL: the core's */
	size_t entry;                       /* the provider's place in the pipeline */
};

/*
 * Who applies a method: an entry of the module that chose it before any other, since its settings
 * are those that the choice was made by; then the pipeline's first. -ENOENT.
 */
int provider_find(const struct generation *generation, const struct chain_entry *chooser,
    const char *method, struct provided *ret);
/* "a method's name of capitals", or NULL where the table is sound. */
const char *provider_table_fault(const struct pn_module *module);
/* The module's table, NULL: none. */
const struct pn_provider *provider_table(const struct pn_module *module);
/* Two modules may not have methods of one name. */
void providers_check(const struct generation *generation, struct diags *diags);
/*
 * Protection may be wanted and nobody chooses how, or a method may be chosen that nobody has. An
 * error: mail that may want it may be held, and the spool is not encrypted.
 */
void providers_warn(const struct generation *generation, struct diags *diags);

#endif
