/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - the commands there are: the core's, and those of every module on the path, whether the
 * pipeline has it or not. Needs no configuration.
 */
#ifndef CORE_CTL_KNOWN_H
#define CORE_CTL_KNOWN_H

#include <core/ctl/commands.h>

/* Number of arguments that `words` takes up, 0 if they do not begin so. */
int known_match(const char *words, int argc, char **argv);

enum known {
	KNOWN_NOT,
	KNOWN_PERHAPS, /* a module cannot be loaded, and who knows what it has */
	KNOWN_MODULES  /* `ret_module` has it */
};
enum known known_find(
    const struct ctl *ctl, int argc, char **argv, const struct pn_module **ret_module);
/* Prints those that begin with these words, or are these words; false: none. */
bool known_help(const struct ctl *ctl, int argc, char **argv);
/* Says on standard error that there is no such command, and which ones are like it. */
void known_complain(const struct ctl *ctl, int argc, char **argv);

#endif
