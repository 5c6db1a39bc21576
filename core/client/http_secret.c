/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_secret.c - keeps secrets out of ordinary memory while libcurl sends them.
 *
 * Called by http.c. libcurl has to copy a header field into its send buffer, so it gets an
 * allocator that overwrites whatever it frees; the line itself stands in libsodium's guarded pages.
 */
#include <core/client/http_secret.h>
#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

/* ---- an allocator that forgets --------------------------------------------------------------- */

static void
forget(void *memory)
{
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *
regrow(void *memory, size_t size)
{
	size_t had = memory ? malloc_usable_size(memory) : 0;
	void *larger;

	if (memory && size <= had)
		return memory;
	larger = malloc(size);
	if (larger && memory) {
		memcpy(larger, memory, had);
		forget(memory);
	}
	return larger;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode started = CURLE_FAILED_INIT;

static void
start(void)
{
	if (sodium_init() >= 0)
		started = curl_global_init_mem(
		    CURL_GLOBAL_DEFAULT, malloc, forget, regrow, strdup, calloc);
}

int
http_secret_start(void)
{
	pthread_once(&once, start);
	return started == CURLE_OK ? 0 : -ENOTSUP;
}

/* ---- lines ----------------------------------------------------------------------------------- */

char *
http_secret_line(
    struct http_secrets *secrets, const char *name, struct pn_slice value, struct pn_slice secret)
{
	size_t len = strlen(name);
	char *line, *at;

	if (secrets->count == HTTP_SECRETS_MOST)
		return NULL;
	line = at = sodium_malloc(len + 2 + value.len + secret.len + 1);
	if (!line)
		return NULL;
	at = mempcpy(at, name, len);
	at = mempcpy(at, ": ", 2);
	if (value.len > 0)
		at = mempcpy(at, value.data, value.len);
	at = mempcpy(at, secret.data, secret.len);
	*at = '\0';
	secrets->lines[secrets->count++] = line;
	return line;
}

void
http_secrets_free(struct http_secrets *secrets)
{
	while (secrets->count > 0)
		sodium_free(secrets->lines[--secrets->count]);
}
