/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.h - how a copy was protected, in words: for the header of the copy, reports and logs.
 *
 * What stands in a header is read by whoever gets the copy, so it is one of a few fixed texts, made
 * of nothing but the copy's own method: no entry's words, which may name a book or a person, and
 * nothing of other recipients.
 */
#ifndef CORE_MAIL_LABEL_H
#define CORE_MAIL_LABEL_H

#include <core/mail/plan.h>

/* The method of somebody who would have been protected and whose sender did not want it. */
#define MAIL_METHOD_OPT_OUT "opt-out"

/* Copies of the message as it is, by what their header says. */
enum mail_label {
	MAIL_LABEL_PLAIN,    /* nothing was wanted: no header */
	MAIL_LABEL_INSECURE, /* wanted, and policy lets it go without */
	MAIL_LABEL_OPT_OUT,
	MAIL_LABEL_TLS,      /* chosen as protection */
	MAIL_LABEL_DEMANDED, /* TLS, whether or not protection is wanted */
	MAIL_LABEL_COUNT
};
/* Of a plan that no provider renders. `requiretls`: the sender demands it (RFC 8689). */
enum mail_label mail_label_of(const struct mail_plan *plan, bool requiretls);
/* What the header of such a copy says; NULL: nothing. */
const char *mail_label_text(enum mail_label label);
/* The same of a provider's method, where it has words of its own, else NULL: its name will do. */
const char *mail_label_provided(const char *method);

/* The same for a plan: one that demands TLS without protection being wanted is "TLS". */
const char *mail_plan_word(const struct mail_plan *plan);
/* "S/MIME" for "smime" and so on; what is not known is as it is. NULL is "none". */
const char *mail_method_word(const char *method);

#endif
