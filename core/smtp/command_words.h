/* SPDX-License-Identifier: Apache-2.0 */
/* command_words.h - what command.c and command_envelope.c share; nobody else includes it. */
#ifndef CORE_SMTP_COMMAND_WORDS_H
#define CORE_SMTP_COMMAND_WORDS_H

#include <core/smtp/command.h>

static inline bool
command_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes the next word off the front, with the blanks before it; empty at the end. */
struct pn_slice command_word(struct pn_slice *text);
/* Decimal digits alone. -EINVAL, -ERANGE. */
int command_number(struct pn_slice text, uint64_t *ret);
/* Fills `ret` and returns -EINVAL. */
int command_refuse(struct command_fault *ret, int code, const char *enhanced, const char *text);

#endif
