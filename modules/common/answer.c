/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - makes X25519 keys of answers, and writes and reads what is chosen for "escrow".
 *
 * Called by modules that have questions and answers, on threads that may block. Must never leave an
 * answer, or what was derived of it, behind in memory.
 */
#include "answer.h"
#include <errno.h>
#include <glib.h>
#include <sodium.h>
#include <string.h>

/*
 * What "answer1" stands for. People's answers are short, so this is twice what a password costs
 * here (RFC 9106 section 4, the second choice, on one lane). Others need another number.
 */
#define PREFIX "answer1$"
#define PASSES 3
#define MEMORY (64 * 1024 * 1024)

_Static_assert(ANSWER_SALT_SIZE == crypto_pwhash_SALTBYTES, "a salt of Argon2id");
_Static_assert(ANSWER_SECRET_SIZE == crypto_scalarmult_SCALARBYTES, "a secret key of X25519");
_Static_assert(sizeof(struct answer_key) == 48, "no padding: it is printed as a whole");
_Static_assert(ANSWER_TEXT_SIZE == sizeof(PREFIX) + 64, "48 bytes in base64");

/* ---- one spelling ---------------------------------------------------------------------------- */

static void
wipe(char *text)
{
	if (text)
		sodium_memzero(text, strlen(text));
	g_free(text);
}

/*
 * White space single, none at the ends; without what nobody sees (a phone's keyboard may add it).
 * In place: it only shrinks.
 */
static void
tidy(char *text)
{
	char *from = text;
	char *to = text;
	bool space = false;

	while (*from) {
		gunichar c = g_utf8_get_char(from);

		from = g_utf8_next_char(from); /* before it is written over */
		if (g_unichar_isspace(c)) {
			space = to > text;
			continue;
		}
		if (g_unichar_type(c) == G_UNICODE_FORMAT)
			continue;
		if (space)
			*to++ = ' ';
		space = false;
		to += g_unichar_to_utf8(c, to);
	}
	sodium_memzero(to, strlen(to));
}

/* NFKC, case folded, tidied, and NFKC again, which both may have undone; wipe() frees it. */
static char *
normalise(const char *answer)
{
	char *composed = g_utf8_normalize(answer, -1, G_NORMALIZE_ALL_COMPOSE);
	char *folded = composed ? g_utf8_casefold(composed, -1) : NULL;
	char *ret;

	if (folded)
		tidy(folded);
	ret = folded ? g_utf8_normalize(folded, -1, G_NORMALIZE_ALL_COMPOSE) : NULL;
	wipe(composed);
	wipe(folded);
	return ret;
}

const char *
answer_fault(struct pn_slice answer)
{
	char text[ANSWER_MOST + 1];
	const char *fault = NULL;
	char *normal;

	if (answer.len > ANSWER_MOST)
		return "is longer than 1,024 bytes";
	if (!g_utf8_validate(answer.data ? answer.data : "", (gssize)answer.len, NULL))
		return "is no UTF-8";
	if (answer.len > 0)
		memcpy(text, answer.data, answer.len);
	text[answer.len] = '\0';
	normal = normalise(text);
	sodium_memzero(text, sizeof(text));
	if (!normal || !*normal)
		fault = "is empty";
	wipe(normal);
	return fault;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int
make_pair(const char *normal, struct answer_key *ret, uint8_t secret[ANSWER_SECRET_SIZE])
{
	if (crypto_pwhash(secret, ANSWER_SECRET_SIZE, normal, strlen(normal), ret->salt, PASSES,
		MEMORY, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return -ENOMEM;
	return crypto_scalarmult_base(ret->public_key, secret) == 0 ? 0 : -EINVAL;
}

int
answer_key_derive(struct pn_slice answer, const uint8_t salt[ANSWER_SALT_SIZE],
    struct answer_key *ret, uint8_t secret[ANSWER_SECRET_SIZE])
{
	char text[ANSWER_MOST + 1];
	char *normal;
	int r = -ENOMEM;

	if (answer.len > ANSWER_MOST)
		return -E2BIG;
	if (sodium_init() < 0)
		return -ENOTSUP;
	if (answer.len > 0)
		memcpy(text, answer.data, answer.len);
	text[answer.len] = '\0';
	memmove(ret->salt, salt, ANSWER_SALT_SIZE);
	normal = g_utf8_validate(text, (gssize)answer.len, NULL) ? normalise(text) : NULL;
	sodium_memzero(text, sizeof(text));
	if (!normal)
		return -EILSEQ;
	r = *normal ? make_pair(normal, ret, secret) : -EINVAL;
	wipe(normal);
	return r;
}

int
answer_key_make(struct pn_slice answer, struct answer_key *ret)
{
	uint8_t salt[ANSWER_SALT_SIZE], secret[ANSWER_SECRET_SIZE];
	int r;

	if (sodium_init() < 0)
		return -ENOTSUP;
	randombytes_buf(salt, sizeof(salt));
	r = answer_key_derive(answer, salt, ret, secret);
	sodium_memzero(secret, sizeof(secret));
	return r;
}

void
answer_key_print(const struct answer_key *key, char ret[ANSWER_TEXT_SIZE])
{
	size_t prefix = strlen(PREFIX);

	memcpy(ret, PREFIX, prefix);
	sodium_bin2base64(ret + prefix, ANSWER_TEXT_SIZE - prefix, (const uint8_t *)key,
	    sizeof(*key), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

int
answer_key_parse(struct pn_slice text, struct answer_key *ret)
{
	size_t prefix = strlen(PREFIX), len = 0;

	if (text.len != ANSWER_TEXT_SIZE - 1 || memcmp(text.data, PREFIX, prefix) != 0)
		return -EINVAL;
	if (sodium_base642bin((uint8_t *)ret, sizeof(*ret), text.data + prefix, text.len - prefix,
		NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		return -EINVAL;
	return len == sizeof(*ret) ? 0 : -EINVAL;
}

/* ---- questions and choices ------------------------------------------------------------------- */

const char *
answer_question_fault(const char *question)
{
	bool empty = true;

	if (strlen(question) > ANSWER_QUESTION_MOST)
		return "is longer than 500 bytes";
	if (!g_utf8_validate(question, -1, NULL))
		return "is no UTF-8";
	for (; *question; question = g_utf8_find_next_char(question, NULL)) {
		gunichar c = g_utf8_get_char(question);

		if (g_unichar_iscntrl(c) || c == 0x2028 || c == 0x2029)
			return "must be a single line without control characters";
		empty = empty && g_unichar_isspace(c);
	}
	return empty ? "is empty" : NULL;
}

struct pn_slice
answer_choice_print(
    const char *question, const struct answer_key *key, char ret[ANSWER_CHOICE_SIZE])
{
	char text[ANSWER_TEXT_SIZE];
	int len;

	answer_key_print(key, text);
	len = g_snprintf(ret, ANSWER_CHOICE_SIZE, "question %s %s", text, question);
	return pn_slice(ret, (size_t)len);
}

int
answer_choice_parse(struct pn_slice choice, struct answer_choice *ret)
{
	static const char begin[] = "question ";
	size_t head = strlen(begin), key = ANSWER_TEXT_SIZE - 1;
	const char *at = choice.data;

	memset(ret, 0, sizeof(*ret));
	ret->login = pn_slice_equals(choice, pn_slice_of(ANSWER_CHOICE_LOGIN));
	if (ret->login)
		return 0;
	if (choice.len <= head + key + 1 || choice.len >= ANSWER_CHOICE_SIZE ||
	    memcmp(at, begin, head) != 0 || at[head + key] != ' ')
		return -EINVAL;
	ret->question = pn_slice(at + head + key + 1, choice.len - head - key - 1);
	return answer_key_parse(pn_slice(at + head, key), &ret->key);
}
