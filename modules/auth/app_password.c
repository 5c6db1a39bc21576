/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_password.c - app passwords in the database.
 *
 * Called by backend_database.c and login.c on policy threads, and by app_command.c. Must never keep
 * or log one.
 */
#include "app_password_inside.h"
#include <errno.h>
#include <sodium.h>

/* No two that look alike; 32 of them, so that five bits are one. */
static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
_Static_assert(sizeof(letters) == 33, "five bits");

void
app_password_make(char ret[APP_PASSWORD_SIZE])
{
	char *at = ret;

	for (unsigned i = 0; i < APP_PASSWORD_LETTERS; i++) {
		if (i > 0 && i % APP_PASSWORD_GROUP == 0)
			*at++ = '-';
		*at++ = letters[randombytes_uniform(sizeof(letters) - 1)];
	}
	*at = '\0';
}

/* Without what people put between the letters; false: it cannot be one. */
static bool
letters_of(const char *password, char ret[APP_PASSWORD_LETTERS + 1])
{
	size_t len = 0;

	for (; *password; password++) {
		if (*password == ' ' || *password == '-')
			continue;
		if (len == APP_PASSWORD_LETTERS || !strchr(letters, *password))
			return false;
		ret[len++] = *password;
	}
	ret[len] = '\0';
	return len == APP_PASSWORD_LETTERS;
}

bool
app_password_looks_so(const char *password)
{
	char text[APP_PASSWORD_LETTERS + 1];
	bool so = letters_of(password, text);

	sodium_memzero(text, sizeof(text));
	return so;
}

bool
app_password_hash(const char *address, const char *password, uint8_t ret[APP_PASSWORD_HASH])
{
	char text[APP_PASSWORD_LETTERS + 1];
	bool so = letters_of(password, text);
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, APP_PASSWORD_HASH);
	crypto_generichash_update(&state, (const unsigned char *)address, strlen(address) + 1);
	crypto_generichash_update(&state, (const unsigned char *)text, so ? sizeof(text) : 0);
	crypto_generichash_final(&state, ret, APP_PASSWORD_HASH);
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(text, sizeof(text));
	return so;
}

static int
read_number(void *arg, const struct pn_row *row)
{
	*(int64_t *)arg = pn_row_int(row, 0);
	return 0;
}

int
app_password_find(struct pn_call *call, const char *address, const char *password,
    int64_t *ret_number, struct pn_error *err)
{
	uint8_t hash[APP_PASSWORD_HASH];

	*ret_number = 0;
	if (!app_password_hash(address, password, hash))
		return 0;
	return pn_db_query(call, err,
	    "SELECT number FROM auth_app_passwords WHERE address = ?1 AND hash = ?2",
	    PN_VALUES(PN_TEXT(address), PN_BLOB(hash, sizeof(hash))), read_number, ret_number);
}

int
app_password_exists(
    struct pn_call *call, const char *address, int64_t number, bool *ret, struct pn_error *err)
{
	int64_t found = 0;
	int r = pn_db_query(call, err,
	    "SELECT number FROM auth_app_passwords WHERE number = ?1 AND address = ?2",
	    PN_VALUES(PN_INT(number), PN_TEXT(address)), read_number, &found);

	*ret = found != 0;
	return r;
}
