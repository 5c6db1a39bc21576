/* SPDX-License-Identifier: Apache-2.0 */
/* app_password_inside.h - what app_password.c and app_command.c share: how one looks and is kept.
 */
#ifndef MODULES_AUTH_APP_PASSWORD_INSIDE_H
#define MODULES_AUTH_APP_PASSWORD_INSIDE_H

#include "app_password.h"

#define APP_PASSWORD_LETTERS 25u
#define APP_PASSWORD_GROUP   5u
#define APP_PASSWORD_SIZE    (APP_PASSWORD_LETTERS + APP_PASSWORD_LETTERS / APP_PASSWORD_GROUP)
#define APP_PASSWORD_HASH    32u

/* "abcde-fghij-..."; by chance. */
void app_password_make(char ret[APP_PASSWORD_SIZE]);
/* False: that is none, and the hash is nobody's. */
bool app_password_hash(const char *address, const char *password, uint8_t ret[APP_PASSWORD_HASH]);

#endif
