/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loader.h - finds modules and loads them through libltdl, with a loader of our own that binds
 * everything at once and keeps what the dynamic linker said. Nothing is ever unloaded; the second
 * load of a path gives the first one's module. Not thread-safe: the main thread loads.
 */
#ifndef CORE_POLICY_LOADER_H
#define CORE_POLICY_LOADER_H

#include <postern/module.h>

int loader_open(
    const char *name, const char *module_path, const struct pn_module **ret, struct pn_error *err);
/* The methods it provides, ended by one without a name; NULL: none. */
const struct pn_provider *loader_providers(const struct pn_module *module);
/* The file it is loaded from. 0, -ENOENT, or -EACCES with the path that cannot be reached. */
int loader_find(const char *name, const char *module_path, char *ret, size_t size);
/* Names of all modules found on the path, each with a NUL; for suggestions. */
struct buf;
int loader_names(const char *module_path, struct buf *ret);

#endif
