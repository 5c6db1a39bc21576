/* SPDX-License-Identifier: Apache-2.0 */
/* certs.h - certificates for tests, made at run time (P-256). Any failure ends the process. */
#ifndef TESTS_UNIT_CERTS_H
#define TESTS_UNIT_CERTS_H

#include <postern/base.h>

struct certs {
	char *certificate, *key; /* PEM, owned */
};

/* A root that may sign others. */
struct certs certs_authority(const char *name);
/*
 * Signed by `authority`, or by itself when NULL. `names`: SAN entries as OpenSSL writes them,
 * "DNS:mx.example,DNS:*.example,IP:127.0.0.1". Valid from `first_day` to `last_day`, counted from
 * today: -2, -1 has expired.
 */
struct certs certs_issue(
    const struct certs *authority, const char *names, int first_day, int last_day);
void certs_free(struct certs *certs);

/* Writes bytes to a new file under $TMPDIR or /tmp and returns its path, owned. */
char *certs_write(const char *bytes);

#endif
