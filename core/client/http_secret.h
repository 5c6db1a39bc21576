/* SPDX-License-Identifier: Apache-2.0 */
/* http_secret.h - secrets on their way through libcurl. Any thread. */
#ifndef CORE_CLIENT_HTTP_SECRET_H
#define CORE_CLIENT_HTTP_SECRET_H

#include <postern/base.h>

/* Once per process, before anything of libcurl: what it frees is overwritten. 0 or negative. */
int http_secret_start(void);

#define HTTP_SECRETS_MOST 64

/* Lines in guarded memory; all zero is none. */
struct http_secrets {
	char *lines[HTTP_SECRETS_MOST];
	size_t count;
};

/* "name: value<secret>"; NULL: out of memory, or of rows. */
char *http_secret_line(
    struct http_secrets *secrets, const char *name, struct pn_slice value, struct pn_slice secret);
void http_secrets_free(struct http_secrets *secrets);

#endif
