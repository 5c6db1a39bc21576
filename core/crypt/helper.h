/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper.h - the process that runs GPGME. Every program that has a pool (pool.h) can become one:
 * its main() asks helper_wanted() before anything else.
 */
#ifndef CORE_CRYPT_HELPER_H
#define CORE_CRYPT_HELPER_H

#include <stdbool.h>

#define HELPER_ROLE "--child=crypt"

bool helper_wanted(int argc, char **argv);
/* The process's exit status. Ends when the socket is closed, and removes its home. */
int helper_main(void);

#endif
