/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - the answer to a question, kept so that it can be checked and never read back; and what
 * is chosen for method "escrow".
 *
 * Argon2id of the normalised answer (NFKC, case folded, white space single) is the secret key of
 * an X25519 pair: salt and public key are all that is stored. What is sealed to that public key
 * opens with the answer alone. Each key costs 64 MiB and about a tenth of a second: the caller
 * bounds how many are made at a time.
 */
#ifndef MODULES_COMMON_ANSWER_H
#define MODULES_COMMON_ANSWER_H

#include <postern/module.h>

#define ANSWER_MOST          1024 /* bytes of an answer */
#define ANSWER_QUESTION_MOST 500  /* bytes of a question */
#define ANSWER_SALT_SIZE     16
#define ANSWER_SECRET_SIZE   32
#define ANSWER_TEXT_SIZE     73 /* "answer1$" and 64 characters, with the NUL */

struct answer_key {
	uint8_t salt[ANSWER_SALT_SIZE];
	uint8_t public_key[32];
};

/*
 * The key of an answer, with a salt of its own. -EINVAL: nothing is left of it when white space is
 * taken off; -EILSEQ: no UTF-8, or with a NUL; -E2BIG: longer than ANSWER_MOST; -ENOMEM.
 */
int answer_key_make(struct pn_slice answer, struct answer_key *ret);
/*
 * The pair that this answer makes with that salt; the same errors. It is the right answer where
 * `ret->public_key` is the one that was stored. The secret is the caller's to wipe.
 */
int answer_key_derive(struct pn_slice answer, const uint8_t salt[ANSWER_SALT_SIZE],
    struct answer_key *ret, uint8_t secret[ANSWER_SECRET_SIZE]);
/* One word, for databases, files and choices. */
void answer_key_print(const struct answer_key *key, char ret[ANSWER_TEXT_SIZE]);
/* -EINVAL: no such word. */
int answer_key_parse(struct pn_slice text, struct answer_key *ret);
/* What is wrong with it as an answer, or as a question ("is empty"); NULL: nothing. */
const char *answer_fault(struct pn_slice answer);
const char *answer_question_fault(const char *question);

/* ---- choices --------------------------------------------------------------------------------- */

/* How an escrowed message is opened: what pn_choose() is given for method "escrow". */
struct answer_choice {
	bool login;               /* by the recipient's portal account; the rest is empty */
	struct pn_slice question; /* UTF-8, one line */
	struct answer_key key;
};

#define ANSWER_CHOICE_SIZE  (sizeof("question ") + ANSWER_TEXT_SIZE + ANSWER_QUESTION_MOST + 1)
#define ANSWER_CHOICE_LOGIN "login"

/* For a question that answer_question_fault() finds nothing wrong with; the bytes of `ret`. */
struct pn_slice answer_choice_print(
    const char *question, const struct answer_key *key, char ret[ANSWER_CHOICE_SIZE]);
/* -EINVAL: neither form. `ret->question` points into `choice`. */
int answer_choice_parse(struct pn_slice choice, struct answer_choice *ret);

#endif
