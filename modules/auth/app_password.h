/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_password.h - passwords that we make for one program each: shown once, revocable at once.
 *
 * 125 bits by chance: nobody guesses one, so a plain hash is enough and no Argon2id is needed.
 */
#ifndef MODULES_AUTH_APP_PASSWORD_H
#define MODULES_AUTH_APP_PASSWORD_H

#include <postern/module.h>

/*
 * The number of the user's app password that this is, above 0; 0: it is none. `address` as the
 * directory writes it. Blocks. -errno: the database did not answer.
 */
int app_password_find(struct pn_call *call, const char *address, const char *password,
    int64_t *ret_number, struct pn_error *err);
/* Whether it is there still. */
int app_password_exists(
    struct pn_call *call, const char *address, int64_t number, bool *ret, struct pn_error *err);

/* Whether it could be one at all, by its look. */
bool app_password_looks_so(const char *password);

/*
 * Which ones were used and when: noted in memory on any thread, written about once a minute. What a
 * crash loses is the last minute.
 */
struct app_uses;
int app_uses_new(struct app_uses **ret);
void app_uses_free(struct app_uses **uses);
void app_uses_note(struct app_uses *uses, int64_t number);
int app_uses_write(struct pn_call *call, struct app_uses *uses, struct pn_error *err);

/* user app-password add|list|remove */
int app_password_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
int app_password_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
int app_password_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);

#endif
