/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trigger.h - how a sender says something to a module: by a word in the subject, or by a field.
 *
 * Words are compared without regard to case and white space. A reply's subject brings the words of
 * the one before, which somebody else may have written: TRIGGER_OWN counts only what stands at the
 * very beginning or, of what is no reply, at the end.
 */
#ifndef MODULES_COMMON_TRIGGER_H
#define MODULES_COMMON_TRIGGER_H

#include <postern/module.h>

/* Part of a module's settings; NULL or empty: not that way. */
struct trigger {
	const char *subject;
	const char *header; /* "Name: value" */
};

enum trigger_place {
	TRIGGER_ANYWHERE, /* what makes mail safer */
	TRIGGER_OWN,      /* what makes it less safe */
};

/* For `check`: complains of what can never match, as `path`.subject or `path`.header. */
void trigger_check(struct pn_check *check, const char *path, const struct trigger *trigger);

/*
 * Where it was found ("its subject"), or NULL. Of the message as the entry sees it; touches memory
 * only.
 */
const char *trigger_find(
    struct pn_call *call, const struct trigger *trigger, enum trigger_place place);
/* The same for one word of the subject. */
bool trigger_in_subject(struct pn_call *call, const char *word, enum trigger_place place);

#endif
